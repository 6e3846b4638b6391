"""raw_invoices: every row of every drop, as landed. Nothing is dropped, nothing is interpreted."""

from collections.abc import Mapping

from dagster_pyspark import LazyPySparkResource
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.invoice_rules import landed_money
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
from retail_assets.landing.drop_rows import drop_rows
from retail_assets.landing.drops import Drop, LandingZone, is_events
from retail_assets.operations.bronze import drop_frame, drops_as_expected, drops_readable, landed
from retail_assets.partitions.cadence import daily
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.shops.shop import Shop
from retail_assets.streaming.event_form import EVENTS


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
    line_number: Count = column(
        "Line of the file at which the row starts, where known; of an event, its offset", nullable=True, ge=0
    )
    source_file: Text = column("Name of the drop; of an event, kafka:topic/partition")
    ingested_at: Moment = column("When the row was read into the lakehouse", unit="UTC", of_the_writing=True)
    invoice_date: Day = partition("Day of the drop")
    invoice_month: Text = month_directory("the drop's day")


def compared_drops(drops: Mapping[str, list[Drop]], source: Shop) -> dict[str, list[Drop]]:
    """Of the days that have both files and events, those drops that are not the truth."""
    form = source.layout.events
    if form is None:
        return {}
    both = {key: of for key, of in drops.items() if len({is_events(drop.path) for drop in of}) > 1}
    return {key: [d for d in of if is_events(d.path) != (form.truth == EVENTS)] for key, of in both.items()}


def differences(rows: DataFrame, source: Shop) -> dict[str, str]:
    """How the events of each day differ from its files, in rows and in money; of days on which they agree, nothing.

    `rows`: of both kinds, as landed.
    """
    of_events = F.col("source_file").startswith("kafka:")
    money = landed_money(source.rules)
    counted = rows.groupBy("invoice_date").agg(
        F.sum(F.when(of_events, 1).otherwise(-1)).alias("rows"),
        F.sum(F.when(of_events, money).otherwise(-money)).alias("money"),
    )
    told = "the day's events have {:+,} rows and {:+,.2f} " + source.currency + " against its files"
    return {
        str(day["invoice_date"]): told.format(day["rows"], day["money"])
        for day in counted.collect()
        if day["rows"] or day["money"]
    }


@table(RawInvoices, daily, layer=BRONZE, kinds=["csv"], checks=[drops_readable, drops_as_expected])
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource, source: Shop) -> Built:
    """The drops of the window's days; days with a drop that cannot be read are refused, the others go on."""
    drops: dict[str, list[Drop]] = {key: [] for key in window.keys}
    for drop in landing.drops(source.name):
        if drop.day.isoformat() in drops:
            drops[drop.day.isoformat()].append(drop)
    spark, compared = pyspark.spark_session, compared_drops(drops, source)
    differing: dict[str, str] = {}
    if compared:
        both = [(key, drop) for key in compared for drop in drops[key]]
        differing = differences(
            drop_rows(drop_frame(spark, both, "invoice_date"), source.layout, "invoice_date"), source
        )
    return landed(spark, drops, source.layout, "invoice_date", compared=compared, differences=differing)
