"""clean_transactions: the usable rows, typed, each group of identical landed rows once."""

from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.invoices.invoice_rules import landed_money, line_type, read_rows, with_what_was_taken_back
from retail_assets.invoices.quarantined_invoices import QuarantinedInvoices
from retail_assets.invoices.raw_invoices import RawInvoices
from retail_assets.lakehouse.checks import RECONCILIATION, Audit, Evidence, RuleResult, Verdict, check
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Day,
    Flag,
    Integer,
    Moment,
    Money,
    Text,
    UnitPrice,
    column,
    month_directory,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.metrics import SALES
from retail_assets.partitions.cadence import daily, same_window
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import INVOICE_COLUMNS, Shop

LINE_TYPES = ["product", "service", "cancellation", "adjustment"]

# Beyond these a line is no retail sale; at most 0.1 % of the real lines lie there.
OUTLIER_QUANTITY = 1_000
OUTLIER_UNIT_PRICE = 1_000
OUTLIER_LINE_TOTAL = 2_500


class CleanTransactions(Contract):
    """Invoice lines that can be relied on: typed, valid, and each once, however often it was delivered.

    A line is a product sale, a service (postage, fees, manual entries), a cancellation or an adjustment. Outliers are
    flagged, not removed. `landed_rows` says how many identical landed rows a line stands for, so that every landed
    row is accounted for.
    """

    line_key: Text = column("Hash of the eight source columns", origin=[(RawInvoices, *INVOICE_COLUMNS)])
    invoice_no: Text = column("Invoice number", origin=(RawInvoices, "invoice_no"), str_matches=r"^.+$")
    stock_code: Text = column("Product or service code, upper case", origin=(RawInvoices, "stock_code"))
    description: Text = column("Description", nullable=True, origin=(RawInvoices, "description"))
    quantity: Integer = column("Units; negative for cancellations", origin=(RawInvoices, "quantity"), notin=[0])
    unit_price: UnitPrice = column("Price per unit", unit=CURRENCY, origin=(RawInvoices, "unit_price"), ge=0)
    line_total: Money = column("Quantity × unit price", unit=CURRENCY, origin=[(RawInvoices, "quantity", "unit_price")])
    invoice_ts: Moment = column(
        "Time of the invoice; midnight where only the date is known", origin=(RawInvoices, "invoice_ts")
    )
    customer_id: Text = column(
        "Customer; NULL for about a quarter of lines", nullable=True, origin=(RawInvoices, "customer_id")
    )
    country: Text = column("Country of the customer", origin=(RawInvoices, "country"))
    line_type: Text = column("What the line is", isin=LINE_TYPES, origin=[(RawInvoices, "invoice_no", "stock_code")])
    is_cancellation: Flag = column("Whether the invoice cancels an earlier one", origin=(RawInvoices, "invoice_no"))
    is_outlier: Flag = column(
        "Whether quantity, price or total is beyond what retail sales are",
        origin=[(RawInvoices, "quantity", "unit_price")],
    )
    landed_rows: Integer = column(
        "Identical landed rows that this line stands for; 0 where it takes back what was cancelled or refunded", ge=0
    )
    year: Integer = column("Year of the invoice", origin=(RawInvoices, "invoice_ts"))
    month: Integer = column("Month of the invoice, 1 to 12", origin=(RawInvoices, "invoice_ts"))
    day_of_week: Integer = column("Day of the week, Monday 1 to Sunday 7", in_range={"min_value": 1, "max_value": 7})
    source_file: Text = column(
        "Drop the line came from; the first by name if several", origin=(RawInvoices, "source_file")
    )
    invoice_date: Day = partition("Day of the invoice", origin=(RawInvoices, "invoice_date"))
    invoice_month: Text = month_directory("the invoice")

    class Config:
        unique = ["invoice_date", "line_key"]

    @row_rule("The line total is quantity × unit price")
    def line_total_is_the_product() -> Column:
        return F.col("line_total") == F.col("quantity") * F.col("unit_price")

    @row_rule("Only cancellations have negative quantities")
    def negative_only_when_cancelled() -> Column:
        return (F.col("quantity") > 0) | F.col("is_cancellation")

    @row_rule("Invoice time and partition are the same day")
    def invoice_is_of_its_day() -> Column:
        return F.to_date("invoice_ts") == F.col("invoice_date")


def clean_transactions(raw: DataFrame, rules: InvoiceRules) -> DataFrame:
    """The usable rows of `raw`, typed, one for each group of rows identical in all eight source columns, and what takes
    back cancelled and refunded ones."""
    usable = with_what_was_taken_back(read_rows(raw, rules).filter(F.size("reasons") == 0), rules)
    # The unit separator cannot occur in a CSV field by accident, and NULL is told from empty.
    columns = [F.coalesce(F.col(name), F.lit("\x00")) for name in INVOICE_COLUMNS]
    text = F.concat_ws("\x1f", *columns, F.when(F.col("landed") == 0, F.col("typed_stock_code")))
    # Everything but the file follows from the key: grouping by all of it leaves only numbers to aggregate, which Spark
    # does by hashing where it would sort for texts. So the day's files are numbered, by name.
    by_name = Window.partitionBy("invoice_date").orderBy("source_file")
    files = raw.select("invoice_date", "source_file").distinct().withColumn("file_number", F.row_number().over(by_name))
    kept = {name: F.col(f"typed_{name}") for name in _TYPED}
    keyed = usable.join(F.broadcast(files), ["invoice_date", "source_file"]).select(
        "invoice_date",
        "file_number",
        F.md5(text).alias("line_key"),
        "landed",
        *[value.alias(name) for name, value in kept.items()],
    )
    once = (
        keyed.groupBy("invoice_date", "line_key", *kept)
        .agg(F.sum("landed").cast("int").alias("landed_rows"), F.min("file_number").alias("file_number"))
        .join(F.broadcast(files), ["invoice_date", "file_number"])
        .drop("file_number")
    )
    line_total = (F.col("quantity") * F.col("unit_price")).cast("decimal(18,3)")
    kind = line_type(F.col("invoice_no"), F.col("stock_code"), F.col("quantity"), rules)
    return once.select(
        "*",
        line_total.alias("line_total"),
        kind.alias("line_type"),
        (kind == "cancellation").alias("is_cancellation"),
        (
            (F.abs("quantity") > OUTLIER_QUANTITY)
            | (F.col("unit_price") > OUTLIER_UNIT_PRICE)
            | (F.abs(line_total) > OUTLIER_LINE_TOTAL)
        ).alias("is_outlier"),
        F.year("invoice_date").alias("year"),
        F.month("invoice_date").alias("month"),
        (F.pmod(F.dayofweek("invoice_date") + 5, F.lit(7)) + 1).alias("day_of_week"),
    )


_TYPED = ("description", "country", "invoice_no", "stock_code", "quantity", "unit_price", "invoice_ts", "customer_id")


def sums_of_lines(transactions: DataFrame, name: str, group: Column, *measures: str) -> DataFrame:
    """Of clean transactions per `group`, which is called `name`: what the tables made of them reconcile with.

    Measures: those that the metric layer defines, such as `revenue`, and `lines`. Gold's transforms sum without it, so
    that its reconciliations hold two readings of a figure against each other, and gold to what analysts are told.
    """
    defined = {**SALES.expressions, "lines": "count(*)"}
    return transactions.groupBy(group.alias(name)).agg(*(F.expr(defined[each]).alias(each) for each in measures))


def _landed_and_quarantined(audit: Audit) -> DataFrame:
    """Rows and money of both, side by side: `of` says which."""
    money = F.coalesce(F.sum(landed_money(audit.source.rules)), F.lit(0))
    landed, quarantined = (
        audit.inputs[name]
        .groupBy("invoice_date", F.lit(name).alias("of"))
        .agg(F.count("*").alias("rows"), money.alias("money"))
        for name in ("raw", "quarantined")
    )
    return landed.unionByName(quarantined)


@check(
    "Rows landed = rows clean + rows quarantined + rows dropped as exact duplicates, in rows and in money",
    measures={
        "copies": lambda: F.coalesce(F.sum("landed_rows"), F.lit(0)),
        "taken_back": lambda: F.count_if(F.col("landed_rows") == 0),
        "money_of_copies": lambda: F.coalesce(F.sum(F.col("line_total") * F.col("landed_rows")), F.lit(0)),
    },
    asks=_landed_and_quarantined,
    family=RECONCILIATION,
)
def accounting(day: Evidence) -> Verdict:
    """Landed = clean, with the copies that a line stands for, and quarantined."""
    sums = {row["of"]: row for row in day.asked}
    (landed, landed_money), (quarantined, quarantined_money) = (
        (sums[of]["rows"], Decimal(sums[of]["money"])) if of in sums else (0, Decimal(0))
        for of in ("raw", "quarantined")
    )
    copies, clean_money = day.total("copies"), Decimal(day.total("money_of_copies"))
    results = [
        RuleResult.within(
            of, found, f"{of}: {found} clean, in quarantine or repeated, of {wanted} landed", lower=wanted, upper=wanted
        )
        for of, found, wanted in (
            ("rows", copies + quarantined, landed),
            ("money", clean_money + quarantined_money, landed_money),
        )
    ]
    metadata = {
        "landed": landed,
        "clean": day.rows,
        "quarantined": quarantined,
        "duplicates_dropped": copies - (day.rows - day.total("taken_back")),
        "money_landed": str(landed_money),
        "money_clean": str(clean_money),
        "money_quarantined": str(quarantined_money),
    }
    return Verdict.of(results, metadata)


@table(
    CleanTransactions,
    daily,
    layer=SILVER,
    reads={"raw": (RawInvoices, same_window), "quarantined": (QuarantinedInvoices, same_window)},
    checks=[accounting],
)
def build(raw: DataFrame, source: Shop) -> DataFrame:
    """The day's usable rows; the quarantine is read to prove that nothing was lost."""
    return clean_transactions(raw, source.rules)
