"""How a landed invoice row is read: its typed values, and the reasons for which it cannot be used."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.landing.dialect import Dialect
from retail_assets.online_retail.source import INVOICES
from retail_assets.online_retail.written_values import moment, present, price, whole_number, worth

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

LARGEST_LINE = 10**15
"""Pounds: what DECIMAL(18,3) cannot hold any more."""

REASONS = {
    MALFORMED_LINE: "The line is no row of the file's table: ragged, broken quotes, or undecodable",
    INVALID_INVOICE_NO: "Not an optional letter and six digits",
    MISSING_STOCK_CODE: "No stock code",
    INVALID_QUANTITY: f"Not a whole number, 0, or beyond {LARGEST_QUANTITY:,}",
    INVALID_UNIT_PRICE: "Not a number of at most three decimals, or negative",
    INVALID_INVOICE_DATE: "Not a date, or not the day of its drop",
    NEGATIVE_QUANTITY: "Negative without being a cancellation",
}


def read_rows(raw: DataFrame, dialect: Dialect = INVOICES.dialect) -> DataFrame:
    """Adds to raw rows typed values (`typed_…`, NULL where unreadable) and `reasons`, an array, empty if usable."""
    # Codes are not trimmed: a code with a blank in it is no product code (one real line, which the reference figures
    # count as a service). Upper and lower case are one: 85123a is 85123A.
    invoice_no, code = F.upper(present(F.col("invoice_no"), dialect)), F.upper("stock_code")
    typed = raw.withColumns(
        {
            "typed_invoice_no": invoice_no,
            "typed_stock_code": F.when(present(code, dialect).isNotNull(), code),
            "typed_quantity": whole_number("quantity", dialect),
            "typed_unit_price": price("unit_price", dialect),
            "typed_invoice_ts": moment("invoice_ts", "invoice_date", dialect),
            "typed_customer_id": present(F.regexp_replace(F.trim("customer_id"), r"\.0+\z", ""), dialect),
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


def landed_money(dialect: Dialect = INVOICES.dialect) -> Column:
    """What a landed row is worth: quantity × unit price where both can be read and the product held, else 0. A price of
    more decimals than silver holds is worth something, too, in quarantine."""
    product = whole_number("quantity", dialect).cast("decimal(10,0)") * worth("unit_price", dialect)
    held = F.abs(product) < LARGEST_LINE
    return F.coalesce(F.when(held, product.cast("decimal(18,3)")), F.lit(0))


def _holds(condition: Column) -> Column:
    """The condition, with NULL (a value that could not be read) counting as broken."""
    return F.coalesce(condition, F.lit(False))
