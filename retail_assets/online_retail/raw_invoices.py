"""raw_invoices: every row of every drop, as landed. Nothing is dropped, nothing is interpreted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dagster import MetadataValue
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import WARN, Evidence, Verdict, check
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
from retail_assets.lakehouse.judging import Judged
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drop_reader import DropRefused, content_hash, inspect
from retail_assets.landing.drop_rows import drop_rows
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.landing.layout import SourceLayout
from retail_assets.operations.arrival import CONTENTS, DROPS, fingerprints
from retail_assets.partitions.cadence import daily
from retail_assets.partitions.keys import PartitionWindow, as_days, within
from retail_assets.shops.shop import Shop

BYTES_PER_TASK = 32 * 1024 * 1024


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


def raw_invoices(drops: DataFrame, layout: SourceLayout) -> DataFrame:
    """The rows of the drops, from a frame of `path, size, modified_ns, invoice_date`."""
    return drop_rows(drops, layout, "invoice_date").withColumn("ingested_at", F.current_timestamp())


@check("Every drop of the day can be read and has the columns it must have")
def drops_readable(day: Evidence) -> Verdict:
    """The first drop that cannot be read is named, with what to do about it."""
    problem = day.found("refused")
    if problem is None:
        return Verdict(True, 0, upper=0)
    return Verdict(False, 1, upper=0, explanation=f"1 drop of the day cannot be read: {problem}")


@check(
    "No unknown columns, no content delivered twice under two names, no malformed lines",
    measures={"malformed_lines": lambda: F.count("malformed_line")},
    severity=WARN,
)
def drops_as_expected(day: Evidence) -> Verdict:
    """What was noted of the drops while they were read, and lines that are no rows."""
    notes = list(day.found("notes") or [])
    if malformed := day.total("malformed_lines"):
        notes.append(f"{malformed} malformed lines, now in quarantine")
    told = f"{len(notes)} to look at: {'; '.join(notes)}" if notes else ""
    return Verdict.within(len(notes), told, upper=0, metadata={"notes": notes} if notes else {})


@table(RawInvoices, daily, layer=BRONZE, kinds=["csv"], checks=[drops_readable, drops_as_expected])
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource, source: Shop) -> Built:
    """The drops of the window's days; days with a drop that cannot be read are refused, the others go on."""
    landed: dict[str, list[Drop]] = {key: [] for key in window.keys}
    for drop in landing.drops(source.name):
        if drop.day.isoformat() in landed:
            landed[drop.day.isoformat()].append(drop)
    refused: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    inspected: dict[str, list[InspectedDrop]] = {}
    for key, drops in landed.items():
        try:
            inspected[key], noted = _inspected(drops, source.layout)
        except DropRefused as refusal:
            refused[key] = str(refusal)
        else:
            if noted:
                notes[key] = noted
    readable = [found.drop for of_day in inspected.values() for found in of_day if not found.same_as]
    return Built(
        raw_invoices(_frame(pyspark.spark_session, readable), source.layout),
        findings={"refused": refused, "notes": notes},
        metadata={
            key: {
                DROPS: MetadataValue.json(fingerprints(drops)),
                CONTENTS: MetadataValue.json(sorted({found.content for found in inspected.get(key, [])})),
            }
            for key, drops in landed.items()
        },
        provenance=_provenance(inspected),
    )


@dataclass(frozen=True)
class InspectedDrop:
    """A drop that can be read, the hash of what is in it, and the name of another drop of its day that holds the same
    and is read instead."""

    drop: Drop
    content: str
    same_as: str | None = None


def _inspected(drops: list[Drop], layout: SourceLayout) -> tuple[list[InspectedDrop], list[str]]:
    """The drops of one day, each content to be read once, and what is noteworthy about them. Raises DropRefused."""
    notes: list[str] = []
    found: list[InspectedDrop] = []
    first: dict[str, str] = {}
    for drop in drops:
        header = inspect(drop.path, layout)
        if header.extra_columns:
            notes.append(f"{drop.name}: unknown columns {', '.join(header.extra_columns)} (kept in extra_columns)")
        # Read to its end here: a gzip found broken only by a worker would take all other days along.
        content = content_hash(drop.path)
        same_as = first.get(content)
        if same_as:
            notes.append(f"{drop.name}: the same content as {same_as}, read once")
        else:
            first[content] = drop.name
        found.append(InspectedDrop(drop, content, same_as))
    return found, notes


def _provenance(inspected: Mapping[str, list[InspectedDrop]]) -> Callable[[Judged], Mapping[str, Any]]:
    """What each day was made from, drop by drop, for the commit that writes the day's rows."""

    def of_days(judged: Judged) -> dict[str, Any]:
        rows = _rows_by_drop(judged, inspected)
        return {
            key: [
                {
                    "path": found.drop.path,
                    "size": found.drop.size,
                    "content_hash": found.content,
                    "rows": 0 if found.same_as else rows.get((key, found.drop.name), 0),
                }
                for found in inspected.get(key, [])
            ]
            for key in judged.audit.keys
        }

    return of_days


def _rows_by_drop(judged: Judged, inspected: Mapping[str, list[InspectedDrop]]) -> dict[tuple[str, str], int]:
    """(day, name) -> rows. Where a day has one drop, its rows are the day's: counted already."""
    several = [key for key, found in inspected.items() if len(found) > 1]
    rows = {(key, found[0].drop.name): judged.rows(key) for key, found in inspected.items() if len(found) == 1}
    if several:
        of_days = judged.audit.frame.filter(within("invoice_date", as_days(several)))
        counted = of_days.groupBy("invoice_date", "source_file").agg(F.count("*").alias("landed"))
        rows |= {(str(row["invoice_date"]), row["source_file"]): row["landed"] for row in counted.collect()}
    return rows


def _frame(spark: Any, drops: list[Drop]) -> DataFrame:
    """One row a drop, spread so that every core has work and no task too much of it."""
    rows = [(drop.path, drop.size, drop.modified_ns, drop.day) for drop in drops]
    frame = spark.createDataFrame(rows, "path string, size bigint, modified_ns bigint, invoice_date date")
    tasks = max(2, sum(drop.size for drop in drops) // BYTES_PER_TASK)
    return frame.repartitionByRange(int(min(tasks, max(1, len(drops)))), "invoice_date") if len(drops) > 1 else frame
