"""What bronze tables share: the drops of their partitions, looked at before they are read, and read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from dagster import MetadataValue
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import WARN, Evidence, Verdict, check
from retail_assets.lakehouse.contracts import Contract, Count, Moment, Text, TextMap, column, partition_column
from retail_assets.lakehouse.judging import Judged
from retail_assets.lakehouse.table import Built
from retail_assets.landing.drop_reader import DropRefused, content_hash, unknown_columns
from retail_assets.landing.drop_rows import drop_rows
from retail_assets.landing.drops import Drop
from retail_assets.landing.layout import SourceLayout
from retail_assets.operations.arrival import CONTENTS, DROPS, fingerprints
from retail_assets.partitions.keys import as_days, within

BYTES_PER_TASK = 32 * 1024 * 1024


class LandedRows(Contract):
    """What a bronze table keeps beside the columns of the files, which all are texts."""

    extra_columns: TextMap = column(
        "Values of columns that the published layout does not have, by header", nullable=True
    )
    malformed_line: Text = column(
        "The line as landed, where it is no row of the file's table; else NULL", nullable=True
    )
    line_number: Count = column("Line of the file at which the row starts, where known", nullable=True, ge=1)
    source_file: Text = column("Name of the drop")
    ingested_at: Moment = column("When the row was read into the lakehouse", unit="UTC", of_the_writing=True)


def as_landed(description: str) -> Any:
    """A column of the files."""
    return column(f"{description}, as landed", nullable=True)


def sound(raw: DataFrame) -> DataFrame:
    """The landed rows without the lines that are none."""
    return raw.filter(F.col("malformed_line").isNull())


def layout_of(contract: type[LandedRows], name: str) -> SourceLayout:
    """The layout of files whose headers are the names of a bronze table's columns."""
    beside = {*LandedRows.to_schema().columns, partition_column(contract)}
    columns = [column for column in contract.to_schema().columns if column not in beside]
    return SourceLayout(name, {column: (column,) for column in columns}, date_column="")


@check("Every drop can be read and has the columns it must have")
def drops_readable(partition: Evidence) -> Verdict:
    """The first drop that cannot be read is named, with what to do about it."""
    problem = partition.found("refused")
    if problem is None:
        return Verdict(True, 0, upper=0)
    return Verdict(False, 1, upper=0, explanation=f"1 drop cannot be read: {problem}")


@check(
    "No unknown columns, no content twice under two names, no malformed lines; files and events of a day agree",
    measures={"malformed_lines": lambda: F.count("malformed_line")},
    severity=WARN,
)
def drops_as_expected(partition: Evidence) -> Verdict:
    """What was noted of the drops while they were read, and lines that are no rows."""
    notes = list(partition.found("notes") or [])
    if malformed := partition.total("malformed_lines"):
        notes.append(f"{malformed} malformed lines, kept in malformed_line")
    told = f"{len(notes)} to look at: {'; '.join(notes)}" if notes else ""
    return Verdict.within(len(notes), told, upper=0, metadata={"notes": notes} if notes else {})


@dataclass(frozen=True)
class InspectedDrop:
    """A drop that can be read, the hash of what is in it, and the name of another drop of its partition that holds the
    same and is read instead."""

    drop: Drop
    content: str
    same_as: str | None = None
    compared: bool = False
    """Whether the day's other rows are the truth, and it is only compared with them."""

    @property
    def is_read(self) -> bool:
        """Whether its rows become the table's."""
        return self.same_as is None and not self.compared


def landed(
    spark: SparkSession,
    drops: Mapping[str, list[Drop]],
    layout: SourceLayout,
    partition: str,
    foreseen: Callable[[str], bool] = lambda header: False,
    compared: Mapping[str, Sequence[Drop]] | None = None,
    differences: Mapping[str, str] | None = None,
) -> Built:
    """The rows of each partition's drops as landed, and when they were read (`ingested_at`); see `drop_rows`.

    A partition with a drop that cannot be read is refused, the others go on; both checks of this module tell of it.
    `drops` has every partition of the step by its key, which becomes the rows' value in the column `partition`. Headers
    that the layout lacks, but that are `foreseen`, are no surprise. Of the drops of a partition, those in `compared`
    are known and not read; how they differ from the others is told by `differences`.
    """
    refused: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    inspected: dict[str, list[InspectedDrop]] = {}
    for key, of_partition in drops.items():
        try:
            inspected[key], noted = _inspected(of_partition, layout, foreseen, (compared or {}).get(key, ()))
        except DropRefused as refusal:
            refused[key] = str(refusal)
        else:
            noted += [told] if (told := (differences or {}).get(key)) else []
            if noted:
                notes[key] = noted
    readable = [(key, found.drop) for key, all_found in inspected.items() for found in all_found if found.is_read]
    rows = drop_rows(drop_frame(spark, readable, partition), layout, partition)
    return Built(
        rows.withColumn("ingested_at", F.current_timestamp()),
        findings={"refused": refused, "notes": notes},
        metadata={
            key: {
                DROPS: MetadataValue.json(fingerprints(of_partition)),
                CONTENTS: MetadataValue.json(sorted({found.content for found in inspected.get(key, [])})),
            }
            for key, of_partition in drops.items()
        },
        provenance=_provenance(inspected, partition),
    )


def _inspected(
    drops: list[Drop], layout: SourceLayout, foreseen: Callable[[str], bool], compared: Sequence[Drop] = ()
) -> tuple[list[InspectedDrop], list[str]]:
    """The drops of one partition, each content to be read once, and what is noteworthy about them. Raises
    DropRefused."""
    notes: list[str] = []
    found: list[InspectedDrop] = []
    first: dict[str, str] = {}
    for drop in drops:
        extra = unknown_columns(drop.path, layout)
        unknown = [header for header in extra if not foreseen(header) and not layout.expects(header)]
        if unknown:
            notes.append(f"{drop.name}: unknown columns {', '.join(unknown)} (kept in extra_columns)")
        # Read to its end here: a gzip found broken only by a worker would take all other partitions along.
        content = content_hash(drop.path)
        same_as = first.get(content)
        if same_as:
            notes.append(f"{drop.name}: the same content as {same_as}, read once")
        else:
            first[content] = drop.name
        found.append(InspectedDrop(drop, content, same_as, drop in compared))
    return found, notes


def _provenance(inspected: Mapping[str, list[InspectedDrop]], partition: str) -> Callable[[Judged], Mapping[str, Any]]:
    """What each partition was made from, drop by drop, for the commit that writes its rows."""

    def of_partitions(judged: Judged) -> dict[str, Any]:
        rows = _rows_by_drop(judged, inspected, partition)
        return {
            key: [
                {
                    "path": found.drop.path,
                    "size": found.drop.size,
                    "content_hash": found.content,
                    "rows": rows.get((key, found.drop.name), 0) if found.is_read else 0,
                }
                for found in inspected.get(key, [])
            ]
            for key in judged.audit.keys
        }

    return of_partitions


def _rows_by_drop(
    judged: Judged, inspected: Mapping[str, list[InspectedDrop]], partition: str
) -> dict[tuple[str, str], int]:
    """(key, name) -> rows. Where a partition has one drop, its rows are the partition's: counted already."""
    several = [key for key, found in inspected.items() if len(found) > 1]
    rows = {(key, found[0].drop.name): judged.rows(key) for key, found in inspected.items() if len(found) == 1}
    if several:
        of_them = judged.audit.frame.filter(within(partition, as_days(several)))
        counted = of_them.groupBy(partition, "source_file").agg(F.count("*").alias("landed"))
        for row in counted.collect():
            # Of events, rows name the partition of the topic, too.
            drop = (str(row[partition]), row["source_file"].partition("/")[0])
            rows[drop] = rows.get(drop, 0) + row["landed"]
    return rows


def drop_frame(spark: SparkSession, drops: list[tuple[str, Drop]], partition: str) -> DataFrame:
    """One row a drop, for `drop_rows`, spread so that every core has work and no task too much of it."""
    rows = [(drop.path, drop.size, drop.modified_ns, date.fromisoformat(key)) for key, drop in drops]
    frame = spark.createDataFrame(rows, f"path string, size bigint, modified_ns bigint, {partition} date")
    tasks = max(2, sum(drop.size for _, drop in drops) // BYTES_PER_TASK)
    return frame.repartitionByRange(int(min(tasks, max(1, len(drops)))), partition) if len(drops) > 1 else frame
