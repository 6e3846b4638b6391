"""Delta tables by name: created from a frame's own schema, replaced partition by partition, read pruned.

Knows neither Dagster nor any table. Every write replaces exactly the partitions it is given, in one commit: done
twice, or killed and done again, it leaves the same table. Delta on a local file system is not safe for concurrent
writers of one table, which is why runs write through a pool of one.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import types as T

from retail_assets.partitions.keys import as_sql, within

REQUIRED = "required"
"""Metadata of a frame's column: whether the table that is created for it has it NOT NULL."""

LOG_RETENTION = "delta.logRetentionDuration"
"""The property that says how long commits stay in a table's log."""

REMEMBERED_FOR = "interval 3650 days"
"""How long the log of a table keeps its commits that say where rows are from. A commit takes a few kilobytes."""


class WriteRefused(Exception):
    """A write that would have damaged the table; nothing was written. The message says what to do."""


@dataclass(frozen=True)
class Commit:
    """What one write did: rows and files written, bytes, and how long it took.

    Files and bytes are those of Delta's own commit, and None of an append: others may have appended at the same time.
    """

    version: int
    rows: int
    files: int | None
    bytes: int | None
    seconds: float
    table_rows: int


@dataclass(frozen=True)
class Replacement:
    """A write: the rows that take the place of a table's partitions `keys`, what is to be remembered of where they are
    from, and how many they are, where that is known."""

    name: Sequence[str]
    frame: DataFrame
    partition: str
    keys: Sequence[date]
    provenance: Mapping[str, Any]
    count: int | None


Written = tuple[int, Mapping[str, Any], int]
"""The version that a write made, Delta's metrics of it, and how many rows the table has now."""


class Tables(ABC):
    """Delta tables by name, (source, table). Kinds differ in where a table is and in how its log is read."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    @abstractmethod
    def place(self, name: Sequence[str]) -> str:
        """Where a table is, as people are told."""

    @abstractmethod
    def identifier(self, name: Sequence[str]) -> str:
        """The table in SQL, quoted."""

    @abstractmethod
    def exists(self, name: Sequence[str]) -> bool:
        """Whether the table has been created."""

    @abstractmethod
    def read(self, name: Sequence[str], version: int | None = None) -> DataFrame:
        """The table as it is, or as it was at an older version."""

    def read_partitions(
        self, name: Sequence[str], partition: str, keys: Sequence[date], version: int | None = None
    ) -> DataFrame:
        """The rows of the partitions `keys`, at least one."""
        return self.read(name, version).filter(within(partition, keys))

    @abstractmethod
    def newest(self, name: Sequence[str]) -> tuple[int, datetime]:
        """The newest version of a table that exists, and when it was committed (UTC)."""

    @abstractmethod
    def _schema(self, name: Sequence[str]) -> T.StructType:
        """The columns of a table that exists."""

    @abstractmethod
    def _write(self, name: Sequence[str], writer: DataFrameWriter, provenance: Mapping[str, Any]) -> Written:
        """Runs the write that has been prepared, its provenance in the commit's own metadata; the version it made,
        Delta's metrics of it, the table's rows."""

    def replace(
        self,
        name: Sequence[str],
        frame: DataFrame,
        partition: str,
        keys: Sequence[date],
        directory: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        count: int | None = None,
    ) -> Commit:
        """Replaces the partitions `keys` by the frame's rows, atomically; every other row stays as it is.

        New columns are added to the table. `provenance`, by partition, becomes part of the commit: see provenance.py.
        `count` is how many rows the frame has, where that is known: few are written in a quicker way.
        Raises WriteRefused for rows outside `keys`, for no keys at all, for NULL where the table must not have it, and
        for columns that went missing or changed their type.
        """
        if not keys:
            raise WriteRefused(f"{'.'.join(name)}: no partition to write was given, so nothing was written.")
        began = time.monotonic()
        if not self.exists(name):
            self._create(name, frame.schema, partition, directory or partition, remembers=bool(provenance))
        self._refuse_incompatible(name, frame.schema)
        write = Replacement(name, frame, partition, keys, provenance or {}, count)
        commit = self._replace_few(write) or self._replace_by_spark(write)
        return replace(commit, seconds=time.monotonic() - began)

    def _replace_few(self, write: Replacement) -> Commit | None:
        """The quicker way, where there is one for these rows; else None, and nothing was written."""
        return None

    def _replace_by_spark(self, write: Replacement) -> Commit:
        writer = (
            write.frame.write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", as_sql(write.partition, write.keys))
            .option("mergeSchema", "true")
        )
        try:
            version, metrics, table_rows = self._write(write.name, writer, write.provenance)
        except AnalysisException as error:
            if "NOT_NULL_CONSTRAINT_VIOLATED" in str(error):  # wrapped in a mismatch, too
                raise WriteRefused(has_null(write.name, str(error).strip().splitlines()[-1])) from error
            if "REPLACE_WHERE_MISMATCH" in str(error):
                raise WriteRefused(outside(write)) from error
            raise
        # A write of no rows has none of some metrics.
        return Commit(
            version=version,
            rows=int(metrics.get("numOutputRows", 0)) - int(metrics.get("numCopiedRows", 0)),
            files=int(metrics.get("numFiles", 0)),
            bytes=int(metrics.get("numOutputBytes", 0)),
            seconds=0.0,
            table_rows=table_rows,
        )

    def append(
        self,
        name: Sequence[str],
        schema: T.StructType,
        rows: Sequence[tuple[Any, ...]],
        partition: str,
        directory: str | None = None,
        replaced: str | None = None,
    ) -> Commit:
        """Adds rows to a log-like table, which is created for them; rows that meet the SQL condition `replaced` go.

        Unlike `replace` it may be called by several writers of one table at once.
        """
        began = time.monotonic()
        if not self.exists(name):
            self._create(name, schema, partition, directory or partition)
        version, table_rows = self._append(name, schema, rows, replaced)
        return Commit(version, len(rows), None, None, time.monotonic() - began, table_rows)

    @abstractmethod
    def _append(
        self, name: Sequence[str], schema: T.StructType, rows: Sequence[tuple[Any, ...]], replaced: str | None
    ) -> tuple[int, int]:
        """Appends rows to a table that exists; its version and its rows afterwards."""

    def _create(
        self, name: Sequence[str], schema: T.StructType, partition: str, directory: str, remembers: bool = False
    ) -> None:
        columns = ", ".join(
            f"{quoted(column.name)} {column.dataType.simpleString()}"
            f"{' NOT NULL' if column.metadata.get(REQUIRED) else ''}"
            f"{' COMMENT ' + literal(column.metadata['comment']) if 'comment' in column.metadata else ''}"
            for column in schema
        )
        properties = self._properties(partition, directory, remembers)
        listed = ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())
        self._spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.identifier(name)} ({columns}) USING DELTA "
            f"{self._laid_out(partition, directory)} TBLPROPERTIES ({listed})"
        )

    def _laid_out(self, partition: str, directory: str) -> str:
        """The clause by which a new table's files are laid out."""
        return f"PARTITIONED BY ({quoted(directory)})"

    def _properties(self, partition: str, directory: str, remembers: bool) -> Mapping[str, str]:
        """The properties of a new table: by what its files are skipped, and for how long its log is kept."""
        # Reads are pruned by partition; minima and maxima of the other columns would cost more than writing the rows.
        skipping = (
            {"delta.dataSkippingNumIndexedCols": "0"}
            if directory == partition
            else {"delta.dataSkippingStatsColumns": partition}
        )
        # Delta forgets commits after 30 days, unless it is told otherwise.
        return {**skipping, LOG_RETENTION: REMEMBERED_FOR} if remembers else skipping

    def _refuse_incompatible(self, name: Sequence[str], schema: T.StructType) -> None:
        """Columns may be added; what readers rely on may not go or change."""
        existing, wanted = self._schema(name), {field.name: field.dataType for field in schema}
        problems = [f"column {f.name} is missing" for f in existing if f.name not in wanted]
        problems += [
            f"column {f.name} would change from {f.dataType.simpleString()} to {wanted[f.name].simpleString()}"
            for f in existing
            if f.name in wanted and wanted[f.name].simpleString() != f.dataType.simpleString()
        ]
        if problems:
            raise WriteRefused(
                f"{'.'.join(name)} at {self.place(name)} cannot take these rows: {'; '.join(problems)}. Columns may "
                "be added; for any other change, move the old table away and materialize all partitions anew."
            )


def quoted(identifier: str) -> str:
    """A name in SQL."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def has_null(name: Sequence[str], told: str) -> str:
    """What a refused write says of NULL in a column that must not have it."""
    return (
        f"{'.'.join(name)}: some rows have NULL in a column that must not have it, so nothing was written. "
        f"Delta says: {told}"
    )


def outside(write: Replacement) -> str:
    """What a refused write says of rows of other partitions."""
    return (
        f"{'.'.join(write.name)}: some rows have a {write.partition} outside the partitions being written "
        f"({min(write.keys)} to {max(write.keys)}), so nothing was written. A transform must only return rows of its "
        f"own partitions: look at how it derives {write.partition}."
    )
