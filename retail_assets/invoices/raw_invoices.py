"""raw_invoices: every row of every drop, as landed. Nothing is dropped, nothing is interpreted."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Moment,
    Text,
    TextMap,
    column,
    month_directory,
    partition,
)
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.operations.bronze import drops_as_expected, drops_readable, landed
from retail_assets.partitions.cadence import daily
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.shops.shop import Shop


class RawInvoices(Contract):
    """Every landed invoice row as text, exactly as the shop delivered it, with the file and line it came from.

    Lines that are no row of the file's table (ragged, broken quotes, undecodable) are kept as `malformed_line`.
    A drop that is delivered again, corrected or late replaces its day.
    """

    invoice_no: Text = column(
        "Invoice number as landed; a letter in front marks cancellations (C) and adjustments (A)", nullable=True
    )
    stock_code: Text = column("Product or service code as landed", nullable=True)
    description: Text = column("Description as landed", nullable=True)
    quantity: Text = column("Quantity as landed", nullable=True)
    invoice_ts: Text = column("Date, or date and time, of the invoice as landed", nullable=True)
    unit_price: Text = column("Price per unit as landed", nullable=True)
    customer_id: Text = column("Customer as landed", nullable=True)
    country: Text = column("Country as landed", nullable=True)
    extra_columns: TextMap = column(
        "Values of columns that the published layout does not have, by header", nullable=True
    )
    malformed_line: Text = column(
        "The line as landed, where it is no row of the file's table; else NULL", nullable=True
    )
    line_number: Count = column("Line of the file at which the row starts, where known", nullable=True, ge=1)
    source_file: Text = column("Name of the drop")
    ingested_at: Moment = column("When the row was read into the lakehouse", unit="UTC", of_the_writing=True)
    invoice_date: Day = partition("Day of the drop")
    invoice_month: Text = month_directory("the drop's day")


@table(RawInvoices, daily, layer=BRONZE, kinds=["csv"], checks=[drops_readable, drops_as_expected])
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource, source: Shop) -> Built:
    """The drops of the window's days; days with a drop that cannot be read are refused, the others go on."""
    drops: dict[str, list[Drop]] = {key: [] for key in window.keys}
    for drop in landing.drops(source.name):
        if drop.day.isoformat() in drops:
            drops[drop.day.isoformat()].append(drop)
    return landed(pyspark.spark_session, drops, source.layout, "invoice_date")
