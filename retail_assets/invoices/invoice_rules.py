"""How a landed invoice row is read: its typed values, and the reasons for which it cannot be used."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

MALFORMED_LINE = "malformed_line"
INVALID_INVOICE_NO = "invalid_invoice_no"
MISSING_STOCK_CODE = "missing_stock_code"
INVALID_QUANTITY = "invalid_quantity"
INVALID_UNIT_PRICE = "invalid_unit_price"
INVALID_INVOICE_DATE = "invalid_invoice_date"
NEGATIVE_QUANTITY = "negative_quantity"

# A million units at the highest price that DECIMAL(12,3) holds is what DECIMAL(18,3) holds of a line's total; the
# largest real quantity is 80,995.
LARGEST_QUANTITY = 1_000_000

REASONS = {
    MALFORMED_LINE: "The line is no row of the file's table: ragged, broken quotes, or undecodable",
    INVALID_INVOICE_NO: "Not an optional letter and six digits",
    MISSING_STOCK_CODE: "No stock code",
    INVALID_QUANTITY: f"Not an integer, 0, or beyond {LARGEST_QUANTITY:,}",
    INVALID_UNIT_PRICE: "Not a number of at most three decimals, or negative",
    INVALID_INVOICE_DATE: "Not a date, or not the day of its drop",
    NEGATIVE_QUANTITY: "Negative without being a cancellation",
}

# Day and month may stand in either order, with dots as well: the day of the drop says which is meant. Whatever date
# `retail land` goes by must be read here.
_WRITTEN_DATE = r"^[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{4}( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?\z"
"""What these forms may be held against: beyond it engines differ in what they forgive."""

_WRITTEN_PRICE = r"^ *[+-]?[0-9.]+ *\z"
"""What may be cast to a decimal: engines read exponents and other scripts' digits differently."""

_WRITTEN_DATES = ("M/d/yyyy[ H:mm[:ss]]", "d/M/yyyy[ H:mm[:ss]]")


def read_rows(raw: DataFrame) -> DataFrame:
    """Adds to raw rows typed values (`typed_…`, NULL where unreadable) and `reasons`, an array, empty if usable."""
    # Codes are not trimmed: a code with a blank in it is no product code (one real line, which the reference figures
    # count as a service). Upper and lower case are one: 85123a is 85123A.
    invoice_no, code = F.upper(F.trim("invoice_no")), F.upper("stock_code")
    typed = raw.withColumns(
        {
            "typed_invoice_no": invoice_no,
            "typed_stock_code": F.when(F.trim(code) != "", code),
            "typed_quantity": _number("quantity", r"^[+-]?[0-9]+\z", "int"),
            "typed_unit_price": _number(
                "unit_price", r"^[+-]?([0-9]+(\.[0-9]{0,3}0*)?|\.[0-9]{1,3}0*)\z", "decimal(12,3)"
            ),
            "typed_invoice_ts": _timestamp(),
            "typed_customer_id": _present(F.regexp_replace(F.trim("customer_id"), r"\.0+\z", "")),
        }
    )
    quantity = F.col("typed_quantity")
    cancelled = F.coalesce(F.col("typed_invoice_no").startswith("C"), F.lit(False))
    reasons = {
        INVALID_INVOICE_NO: ~_holds(F.col("typed_invoice_no").rlike(r"^[A-Z]?[0-9]{6}\z")),
        MISSING_STOCK_CODE: F.col("typed_stock_code").isNull(),
        INVALID_QUANTITY: ~_holds((quantity != 0) & quantity.between(-LARGEST_QUANTITY, LARGEST_QUANTITY)),
        INVALID_UNIT_PRICE: ~_holds(F.col("typed_unit_price") >= 0),
        INVALID_INVOICE_DATE: ~_holds(F.to_date("typed_invoice_ts") == F.col("invoice_date")),
        NEGATIVE_QUANTITY: _holds(F.col("typed_quantity") < 0) & ~cancelled,
    }
    found = F.array_compact(F.array(*[F.when(broken, F.lit(reason)) for reason, broken in reasons.items()]))
    malformed = F.array(F.lit(MALFORMED_LINE))
    return typed.withColumn("reasons", F.when(F.col("malformed_line").isNotNull(), malformed).otherwise(found))


def landed_money() -> Column:
    """What a landed row is worth: quantity × unit price where both can be read and the product held, else 0."""
    product = "try_cast(quantity AS int) * try_cast(unit_price AS decimal(12,3))"
    written = F.col("unit_price").rlike(_WRITTEN_PRICE)
    return F.coalesce(F.when(written, _try_cast(product, "decimal(18,3)")), F.lit(0))


def _try_cast(expression: str, kind: str) -> Column:
    """In SQL, as Spark 3.5 has it there only."""
    return F.expr(f"try_cast({expression} AS {kind})")


def _number(name: str, pattern: str, kind: str) -> Column:
    return F.when(F.trim(name).rlike(pattern), _try_cast(f"trim({name})", kind))


def _timestamp() -> Column:
    """ISO dates and times by a cast; other written forms where they give the drop's own day."""
    text = F.trim("invoice_ts")
    iso = F.when(text.rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}"), _try_cast("trim(invoice_ts)", "timestamp"))
    written = [F.try_to_timestamp(F.translate(text, ".", "/"), F.lit(form)) for form in _WRITTEN_DATES]
    own_day = [F.when(F.to_date(moment) == F.col("invoice_date"), moment) for moment in written]
    return F.coalesce(iso, F.when(text.rlike(_WRITTEN_DATE), F.coalesce(*own_day)))


def _present(text: Column) -> Column:
    return F.when(text != "", text)


def _holds(condition: Column) -> Column:
    """The condition, with NULL (a value that could not be read) counting as broken."""
    return F.coalesce(condition, F.lit(False))
