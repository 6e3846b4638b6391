"""bronze_daily_quality: how good each day's landed rows are, in figures; what anomalies are told by."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.invoice_rules import landed_money, product_code
from retail_assets.invoices.quarantined_invoices import QuarantinedInvoices
from retail_assets.invoices.raw_invoices import RawInvoices
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Real,
    Text,
    TextMap,
    Texts,
    column,
    money,
    month_directory,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import QUALITY
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import daily, same_window
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.shops.reasons import INVALID_QUANTITY, INVALID_UNIT_PRICE, NEGATIVE_QUANTITY
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import INVOICE_COLUMNS, Shop

KINDS = {
    "integer": r"^[ \t\r\n]*[+-]?[0-9]+(\.0*)?[ \t\r\n]*\z",
    "number": r"^[ \t\r\n]*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\r\n]*\z",
    "timestamp": r"^[ \t\r\n]*[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}",
}
"""Kinds of values, the narrowest first; what is none of them is text."""

NARROWER = {"number": ("integer",)}
"""Kind -> the narrower ones whose values are of it, too."""

AFTER_DIGITS = ":"
"""The character after 9. No pattern above matches what begins with it or one beyond, which spares most text a look."""

LINES_FOR_KINDS = 300
"""So many lines of each file tell what kind its columns are; a pattern held against every row would take seconds."""


class BronzeDailyQuality(Contract):
    """How good the landed rows of every calendar day are: what is missing, what cannot be used, what they consist of.

    Days without a drop have 0 rows and no score. A row is unusable if it is in quarantine, for whatever reason.
    """

    records: Count = column("Landed rows", ge=0, origin=(RawInvoices, "source_file"))
    files: Count = column("Drops they came from", ge=0, origin=(RawInvoices, "source_file"))
    malformed_lines: Count = column(
        "Lines that are no row of their file's table", ge=0, origin=(RawInvoices, "malformed_line")
    )
    null_invoice_no: Count = column("Rows without an invoice number", ge=0, origin=(RawInvoices, "invoice_no"))
    null_stock_code: Count = column("Rows without a stock code", ge=0, origin=(RawInvoices, "stock_code"))
    null_description: Count = column("Rows without a description", ge=0, origin=(RawInvoices, "description"))
    null_quantity: Count = column("Rows without a quantity", ge=0, origin=(RawInvoices, "quantity"))
    null_invoice_ts: Count = column("Rows without a date", ge=0, origin=(RawInvoices, "invoice_ts"))
    null_unit_price: Count = column("Rows without a price", ge=0, origin=(RawInvoices, "unit_price"))
    null_customer_id: Count = column("Rows without a customer", ge=0, origin=(RawInvoices, "customer_id"))
    null_country: Count = column("Rows without a country", ge=0, origin=(RawInvoices, "country"))
    bad_quantities: Count = column(
        "Rows in quarantine for their quantity", ge=0, origin=(QuarantinedInvoices, "reasons")
    )
    bad_prices: Count = column("Rows in quarantine for their price", ge=0, origin=(QuarantinedInvoices, "reasons"))
    unusable: Count = column("Rows in quarantine", ge=0, origin=(QuarantinedInvoices, "reasons"))
    score: Real = column(
        "Share of rows that can be used; NULL without rows",
        unit="%",
        nullable=True,
        in_range={"min_value": 0, "max_value": 100},
        origin=[(RawInvoices, "source_file"), (QuarantinedInvoices, "reasons")],
    )
    invoices: Count = column("Distinct invoice numbers", ge=0, origin=(RawInvoices, "invoice_no"))
    customers: Count = column("Distinct customers", ge=0, origin=(RawInvoices, "customer_id"))
    landed_value: Money = column(
        "Quantity × price of what can be read", unit=CURRENCY, origin=[(RawInvoices, "quantity", "unit_price")]
    )
    stock_codes: Texts = column("Distinct stock codes, upper case", origin=(RawInvoices, "stock_code"))
    countries: Texts = column("Distinct countries", origin=(RawInvoices, "country"))
    unknown_columns: Texts = column(
        "Headers that the published layout does not have", origin=(RawInvoices, "extra_columns")
    )
    column_kinds: TextMap = column(
        "Column -> what most of its values are (integer, number, timestamp, text), where it has any",
        origin=[(RawInvoices, *INVOICE_COLUMNS)],
    )
    invoice_date: Day = partition("Calendar day", origin=(RawInvoices, "invoice_date"))
    invoice_month: Text = month_directory("the day")

    class Config:
        unique = ["invoice_date"]

    @row_rule("No more rows are unusable than have landed")
    def unusable_within_records() -> Column:
        return F.col("unusable") <= F.col("records")


def bronze_daily_quality(raw: DataFrame, quarantined: DataFrame, days: DataFrame, rules: InvoiceRules) -> DataFrame:
    """One row for each of `days` (column invoice_date): one pass over the landed rows, one over the quarantine."""
    # Of events there is no order: all of them tell.
    early = (F.coalesce("line_number", F.lit(0)) <= LINES_FOR_KINDS) | F.col("source_file").startswith("kafka:")
    nulls = [
        F.count_if(F.col(name).isNull() & F.col("malformed_line").isNull()).alias(f"null_{name}")
        for name in INVOICE_COLUMNS
    ]
    told_apart = raw.withColumns({f"kind_of_{name}": F.when(early, _kind(name)) for name in INVOICE_COLUMNS})
    of_kind = [
        F.count_if(F.col(f"kind_of_{name}").isin(kind, *NARROWER.get(kind, ()))).alias(f"{kind}_{name}")
        for name in INVOICE_COLUMNS
        for kind in KINDS
    ]
    present = [F.count(F.when(early, F.col(name))).alias(f"present_{name}") for name in INVOICE_COLUMNS]
    landed = told_apart.groupBy("invoice_date").agg(
        F.count("*").alias("records"),
        F.size(F.collect_set("source_file")).alias("files"),
        F.count("malformed_line").alias("malformed_lines"),
        *nulls,
        *present,
        *of_kind,
        F.size(F.collect_set("invoice_no")).alias("invoices"),
        F.size(F.collect_set("customer_id")).alias("customers"),
        F.sum(landed_money(rules)).alias("landed_value"),
        F.array_sort(F.collect_set(product_code(F.col("stock_code"), F.col("description"), rules))).alias(
            "stock_codes"
        ),
        F.array_sort(F.collect_set("country")).alias("countries"),
        F.array_sort(F.array_distinct(F.flatten(F.collect_set(F.map_keys("extra_columns"))))).alias("unknown_columns"),
    )
    unusable = quarantined.groupBy("invoice_date").agg(
        F.count("*").alias("unusable"),
        F.count_if(F.arrays_overlap("reasons", _reasons(INVALID_QUANTITY, NEGATIVE_QUANTITY))).alias("bad_quantities"),
        F.count_if(F.arrays_overlap("reasons", _reasons(INVALID_UNIT_PRICE))).alias("bad_prices"),
    )
    known = days.join(landed, "invoice_date", "left").join(unusable, "invoice_date", "left").fillna(0)
    nothing = F.array().cast("array<string>")
    kinds = F.map_filter(
        F.create_map(*[part for name in INVOICE_COLUMNS for part in (F.lit(name), _usual_kind(name))]),
        lambda _, kind: kind.isNotNull(),
    )
    return known.withColumns(
        {
            **{name: F.coalesce(name, nothing) for name in ("stock_codes", "countries", "unknown_columns")},
            "landed_value": money(F.col("landed_value")),
            "column_kinds": kinds,
            "score": F.when(F.col("records") > 0, 100 * (1 - F.col("unusable") / F.col("records"))),
        }
    ).drop(*(f"{kind}_{name}" for name in INVOICE_COLUMNS for kind in ("present", *KINDS)))


def _kind(name: str) -> Column:
    """The narrowest kind that a value is of; NULL for text and for no value."""
    value = F.col(name)
    kind = F.when(value >= AFTER_DIGITS, F.lit(None).cast("string"))
    for narrowest, pattern in KINDS.items():
        kind = kind.when(value.rlike(pattern), narrowest)
    return kind


def _usual_kind(name: str) -> Column:
    """The narrowest kind that most of a column's values are; NULL for a column without values."""
    present = F.col(f"present_{name}")
    mostly = [F.when(2 * F.col(f"{kind}_{name}") > present, F.lit(kind)) for kind in KINDS]
    return F.when(present > 0, F.coalesce(*mostly, F.lit("text")))


def _reasons(*reasons: str) -> Column:
    return F.array(*map(F.lit, reasons))


@table(
    BronzeDailyQuality,
    daily,
    layer=QUALITY,
    reads={"raw": (RawInvoices, same_window), "quarantined": (QuarantinedInvoices, same_window)},
)
def build(raw: DataFrame, quarantined: DataFrame, window: PartitionWindow, source: Shop) -> DataFrame:
    """The window's days."""
    days = raw.sparkSession.createDataFrame([(day,) for day in window.days], "invoice_date date")
    return bronze_daily_quality(raw, quarantined, days, source.rules)
