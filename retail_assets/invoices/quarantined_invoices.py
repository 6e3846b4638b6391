"""quarantined_invoices: the landed rows that cannot be used, as landed, each with its reasons."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.invoice_rules import read_rows
from retail_assets.invoices.raw_invoices import RawInvoices
from retail_assets.lakehouse.checks import WARN, Audit, Evidence, Verdict, check, nothing_to_judge
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Moment,
    Text,
    TextMap,
    Texts,
    column,
    month_directory,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import daily, same_window
from retail_assets.shops.reasons import REASONS
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import Shop

SHARE_LIMIT = 0.05
"""Above this share of a day's rows something is wrong with the drop, not with single rows. Real data: 0.3 %."""


class QuarantinedInvoices(Contract):
    """Landed rows that cannot be used, with the reasons why: to be looked at, corrected upstream and landed again."""

    reasons: Texts = column("Every rule that the row breaks")
    invoice_no: Text = column("Invoice number as landed", nullable=True, origin=(RawInvoices, "invoice_no"))
    stock_code: Text = column("Product or service code as landed", nullable=True, origin=(RawInvoices, "stock_code"))
    description: Text = column("Description as landed", nullable=True, origin=(RawInvoices, "description"))
    quantity: Text = column("Quantity as landed", nullable=True, origin=(RawInvoices, "quantity"))
    invoice_ts: Text = column("Date and time as landed", nullable=True, origin=(RawInvoices, "invoice_ts"))
    unit_price: Text = column("Price per unit as landed", nullable=True, origin=(RawInvoices, "unit_price"))
    customer_id: Text = column("Customer as landed", nullable=True, origin=(RawInvoices, "customer_id"))
    country: Text = column("Country as landed", nullable=True, origin=(RawInvoices, "country"))
    extra_columns: TextMap = column("Values of unknown columns", nullable=True, origin=(RawInvoices, "extra_columns"))
    malformed_line: Text = column("The malformed line as landed", nullable=True, origin=(RawInvoices, "malformed_line"))
    line_number: Count = column("Line of the file, where known", nullable=True, origin=(RawInvoices, "line_number"))
    source_file: Text = column("Name of the drop", origin=(RawInvoices, "source_file"))
    quarantined_at: Moment = column("When the row was put into quarantine", unit="UTC", of_the_writing=True)
    invoice_date: Day = partition("Day of the drop", origin=(RawInvoices, "invoice_date"))
    invoice_month: Text = month_directory("the drop's day")

    @row_rule("Every row has a reason, and every reason is a known one")
    def reasons_known() -> Column:
        return (F.size("reasons") > 0) & F.forall("reasons", lambda reason: reason.isin(list(REASONS)))


def quarantined_invoices(raw: DataFrame, rules: InvoiceRules) -> DataFrame:
    """The raw rows with at least one reason not to use them, `reasons` beside them."""
    rows = read_rows(raw, rules).filter(F.size("reasons") > 0)
    kept = [name for name in raw.columns if name != "ingested_at"]
    return rows.select("reasons", *kept, F.current_timestamp().alias("quarantined_at"))


def _landed_rows(audit: Audit) -> DataFrame:
    return audit.inputs["raw"].groupBy("invoice_date").agg(F.count("*").alias("landed"))


@check(f"At most {SHARE_LIMIT:.0%} of a day's rows are in quarantine", asks=_landed_rows, severity=WARN)
def quarantine_share(day: Evidence) -> Verdict:
    """Of a day's landed rows, those that cannot be used."""
    landed = day.asked[0]["landed"] if day.asked else 0
    if not landed and not day.rows:
        return nothing_to_judge("Nothing has landed for the day")
    share = round(day.rows / max(landed, 1), 4)
    told = f"{day.rows} of {landed} landed rows are in quarantine"
    return Verdict.within(share, told, upper=SHARE_LIMIT, metadata={"rows": day.rows, "landed": landed})


@table(QuarantinedInvoices, daily, layer=SILVER, reads={"raw": (RawInvoices, same_window)}, checks=[quarantine_share])
def build(raw: DataFrame, source: Shop) -> DataFrame:
    """The day's unusable rows."""
    return quarantined_invoices(raw, source.rules)
