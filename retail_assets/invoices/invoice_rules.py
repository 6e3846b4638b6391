"""How a landed invoice row is read: its typed values, and the reasons for which it cannot be used."""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from retail_assets.invoices.countries import ISO_CODES
from retail_assets.invoices.written_values import (
    moment,
    present,
    price,
    trimmed_of_spaces,
    whole_number,
    worth,
)
from retail_assets.landing.dialect import Dialect
from retail_assets.shops.reasons import (
    INVALID_INVOICE_DATE,
    INVALID_INVOICE_NO,
    INVALID_QUANTITY,
    INVALID_UNIT_PRICE,
    LARGEST_QUANTITY,
    MALFORMED_LINE,
    MISSING_STOCK_CODE,
    NEGATIVE_QUANTITY,
)
from retail_assets.shops.rules import InvoiceRules, whole

LARGEST_LINE = 10**15
"""Pounds: what DECIMAL(18,3) cannot hold any more."""

UNSPECIFIED = "Unspecified"
"""What the published file writes where the country is not known; a line that lacks it is no less a sale."""

NOBODY = ("-", "--", "?", ".", "0", "n.a.", "n.a", "unknown", "guest", "anonymous")
"""What shops write for a customer whom they do not know, besides the words that mean nothing in any column."""

TAKEN_BACK = "TAKEN BACK"
"""The code of lines that stand for what was paid back of an order, of which products is not said."""

_STATUS = "status"


def read_rows(raw: DataFrame, rules: InvoiceRules) -> DataFrame:
    """Adds to raw rows typed values (`typed_…`, NULL where unreadable) and `reasons`, an array, empty if usable."""
    dialect = rules.dialect
    raw = _filled_down(raw, rules)

    def text(name: str) -> Column:
        """The landed text, or what stands in for it."""
        landed = F.col(f"filled_{name}" if name in rules.first_line_only else name)
        constant = rules.constants.get(name)
        return landed if constant is None else F.coalesce(present(landed, dialect), F.lit(constant))

    # Codes are not trimmed: a code with a blank in it is no product code (one real line, which the reference figures
    # count as a service). Upper and lower case are one: 85123a is 85123A.
    code, description = text("stock_code"), text("description")
    typed = raw.withColumns(
        {
            "typed_invoice_no": F.upper(present(text("invoice_no"), dialect)),
            "typed_stock_code": product_code(code, description, rules),
            "typed_description": description,
            "typed_quantity": whole_number(text("quantity"), dialect),
            "typed_unit_price": price(text("unit_price"), dialect),
            "typed_invoice_ts": moment(text("invoice_ts"), "invoice_date", dialect),
            "typed_customer_id": _customer(text("customer_id"), dialect),
            "typed_country": F.coalesce(_country(present(text("country"), dialect), rules), F.lit(UNSPECIFIED)),
        }
    )
    quantity = F.col("typed_quantity")
    cancelled = F.lit(rules.negative_is_cancellation) | is_cancelling(F.col("typed_invoice_no"), rules)
    reasons = {
        INVALID_INVOICE_NO: ~_holds(F.col("typed_invoice_no").rlike(whole(rules.invoice_no))),
        MISSING_STOCK_CODE: F.col("typed_stock_code").isNull(),
        INVALID_QUANTITY: ~_holds((quantity != 0) & quantity.between(-LARGEST_QUANTITY, LARGEST_QUANTITY)),
        INVALID_UNIT_PRICE: ~_holds(F.col("typed_unit_price") >= 0),
        INVALID_INVOICE_DATE: ~_holds(F.to_date("typed_invoice_ts") == F.col("invoice_date")),
        NEGATIVE_QUANTITY: _holds(F.col("typed_quantity") < 0) & ~cancelled,
    }
    found = F.array_compact(F.array(*[F.when(broken, F.lit(reason)) for reason, broken in reasons.items()]))
    malformed = F.array(F.lit(MALFORMED_LINE))
    return typed.withColumn("reasons", F.when(F.col("malformed_line").isNotNull(), malformed).otherwise(found))


def _customer(written: Column, dialect: Dialect) -> Column:
    """The id without the `.0` of a spreadsheet's number; NULL for nobody."""
    customer = present(F.regexp_replace(trimmed_of_spaces(written), r"\.0+\z", ""), dialect)
    return F.when(~F.lower(customer).isin(*NOBODY), customer)


def with_what_was_taken_back(usable: DataFrame, rules: InvoiceRules) -> DataFrame:
    """The usable rows, `landed` 1, and rows that did not land, `landed` 0, which take back what the shop says was
    cancelled or refunded: a cancelled line once more with its quantity negative, a refund as a line of its own. So an
    order that was cancelled later is an order and its cancellation, as where a shop writes two invoices."""
    rows = usable.withColumn("landed", F.lit(1))
    status = F.lower(F.trim(F.col(f"filled_{_STATUS}"))) if rules.status_columns else F.lit(None).cast("string")
    cancelled = _holds(status.isin(*rules.cancelled_values)) if rules.cancelled_values else F.lit(False)
    found = rows
    if rules.status_columns:
        of_sales = rows.filter(cancelled & (F.col("typed_quantity") > 0))
        found = found.unionByName(
            of_sales.withColumns({"typed_quantity": -F.col("typed_quantity"), "landed": F.lit(0)})
        )
    if rules.refund_columns:
        amount = price(_extra(rules.refund_columns), rules.dialect)
        order = Window.partitionBy("invoice_date", "source_file", "typed_invoice_no").orderBy("line_number")
        refunded = rows.withColumn("refund", amount).filter((F.col("refund") > 0) & ~cancelled)
        once = refunded.withColumn("of_order", F.row_number().over(order)).filter("of_order = 1")
        what = {
            "typed_stock_code": F.lit(TAKEN_BACK),
            "typed_description": F.lit("Refund"),
            "typed_quantity": F.lit(-1),
            "typed_unit_price": F.col("refund"),
            "landed": F.lit(0),
        }
        found = found.unionByName(once.withColumns(what).drop("refund", "of_order"))
    return found


def product_code(code: Column, description: Column, rules: InvoiceRules) -> Column:
    """The code that a line goes by, in capitals; NULL without one."""
    own = F.when(present(code, rules.dialect).isNotNull(), F.upper(code))
    return F.coalesce(own, F.upper(present(description, rules.dialect))) if rules.code_from_description else own


def is_cancelling(invoice_no: Column, rules: InvoiceRules) -> Column:
    """Whether an invoice number is that of a cancellation."""
    return _holds(invoice_no.rlike(whole(rules.cancellation))) if rules.cancellation else F.lit(False)


def line_type(invoice_no: Column, code: Column, quantity: Column, rules: InvoiceRules) -> Column:
    """What a usable line is: a line of negative quantity is a cancellation, or it would be in quarantine."""
    kind = F.when((quantity < 0) | is_cancelling(invoice_no, rules), "cancellation")
    if rules.adjustment:
        kind = kind.when(invoice_no.rlike(whole(rules.adjustment)), "adjustment")
    return kind.when(is_product(code, rules), "product").otherwise("service")


def is_product(code: Column, rules: InvoiceRules) -> Column:
    """Whether a code is that of a product, and not of postage, fees or the like."""
    product = code.rlike(whole(rules.product_code)) & (code != TAKEN_BACK)
    return product & ~code.rlike(whole(rules.service_code)) if rules.service_code else product


def landed_money(rules: InvoiceRules) -> Column:
    """What a landed row is worth: quantity × unit price where both can be read and the product held, else 0. A price of
    more decimals than silver holds is worth something, too, in quarantine."""
    quantity = whole_number(F.coalesce(F.col("quantity"), F.lit(rules.constants.get("quantity"))), rules.dialect)
    product = quantity.cast("decimal(10,0)") * worth("unit_price", rules.dialect)
    held = F.abs(product) < LARGEST_LINE
    return F.coalesce(F.when(held, product.cast("decimal(18,3)")), F.lit(0))


def _filled_down(raw: DataFrame, rules: InvoiceRules) -> DataFrame:
    """Adds `filled_…` for columns that only the first line of an order fills, and for the order's status: their value,
    or that of the nearest line of the order above in the file."""
    if not rules.first_line_only and not rules.status_columns:
        return raw
    file = Window.partitionBy("invoice_date", "source_file").orderBy("line_number")
    order = Window.partitionBy("invoice_date", "source_file", "order").orderBy("line_number")

    def filled(text: Column, window: WindowSpec) -> Column:
        value = present(text, rules.dialect)
        above = F.max_by(value, F.when(value.isNotNull(), F.col("line_number"))).over(window)
        return F.coalesce(value, above)

    number = F.col("invoice_no")
    if "invoice_no" in rules.first_line_only:
        number = filled(number, file)
    raw = raw.withColumn("order", number)
    columns = {f"filled_{name}": filled(F.col(name), order) for name in rules.first_line_only if name != "invoice_no"}
    if rules.status_columns:
        columns[f"filled_{_STATUS}"] = filled(_extra(rules.status_columns), order)
    return (raw.withColumns(columns) if columns else raw).withColumnRenamed("order", "filled_invoice_no")


def _extra(headers: tuple[str, ...]) -> Column:
    """The value under the first of the headers that is there, of columns that the layout does not know."""
    return F.coalesce(*(F.try_element_at("extra_columns", F.lit(header)) for header in headers))


def _country(text: Column, rules: InvoiceRules) -> Column:
    """One name for a country, however its letters are written: the shop's, or the one that is known for it."""
    known = {name.upper(): name for name in ISO_CODES} | dict(rules.countries)
    names = F.create_map(*[F.lit(part) for pair in known.items() for part in pair])
    usual = text.isin(*ISO_CODES) & ~F.upper(text).isin(*rules.countries) if rules.countries else text.isin(*ISO_CODES)
    return F.when(usual, text).otherwise(F.coalesce(F.try_element_at(names, F.upper(text)), text))


def _holds(condition: Column) -> Column:
    """The condition, with NULL (a value that could not be read) counting as broken."""
    return F.coalesce(condition, F.lit(False))
