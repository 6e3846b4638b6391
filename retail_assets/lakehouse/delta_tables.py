"""Delta tables by name: created from a frame's own schema, replaced partition by partition, read pruned.

Knows neither Dagster nor any table. Every write replaces exactly the partitions it is given, in one commit: done
twice, or killed and done again, it leaves the same table. Delta on a local file system is not safe for concurrent
writers of one table, which is why runs write through a pool of one.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from retail_assets.partitions.keys import DIRECTORY, PARTITION, within

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


class Staged(ABC):
    """Rows on their way into a table's partitions: computed and written once, audited where they lie, then published or
    taken back."""

    frame: DataFrame
    """The rows, as often as they are asked for."""

    @abstractmethod
    def publish(self, keys: Sequence[date] | None = None, provenance: Mapping[str, Any] | None = None) -> Commit:
        """Replaces the partitions by the rows, atomically; every other row of the table stays as it is.

        `keys`: only these of the partitions that the rows were staged for. `provenance`, by partition, becomes part of
        the commit: see provenance.py. Raises WriteRefused for rows of partitions that they were not staged for, for
        NULL where the table must not have it, and for columns that went missing or changed their type.
        """

    @abstractmethod
    def take_back(self) -> None:
        """Lets go of what was not published."""


@dataclass(frozen=True)
class Replacement:
    """Which partitions `keys` of which table get new rows, of which columns, and by which column the table's files are
    laid out if it has to be created."""

    name: Sequence[str]
    partition: str
    keys: Sequence[date]
    directory: str
    schema: T.StructType

    def outside(self) -> WriteRefused:
        """What is said of rows of other partitions."""
        return WriteRefused(
            f"{'.'.join(self.name)}: some rows have a {self.partition} outside the partitions being written "
            f"({min(self.keys)} to {max(self.keys)}), so nothing was written. A transform must only return rows of its "
            f"own partitions: look at how it derives {self.partition}."
        )

    def has_null(self, told: str) -> WriteRefused:
        """What is said of NULL in a column that must not have it."""
        return WriteRefused(
            f"{'.'.join(self.name)}: some rows have NULL in a column that must not have it, so nothing was written. "
            f"Delta says: {told}"
        )


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

    def stage(
        self,
        name: Sequence[str],
        frame: DataFrame,
        layout: Mapping[str, str],
        keys: Sequence[date],
        schema: T.StructType | None = None,
    ) -> AbstractContextManager[Staged]:
        """Rows that are to replace the partitions `keys`. What is not published when the block ends is taken back.

        `layout` says by PARTITION and DIRECTORY which columns hold the partition and lay out the files. `schema`: the
        frame's columns, where their metadata says more than the frame's own (REQUIRED, and comments). Raises
        WriteRefused for no keys at all.
        """
        if not keys:
            raise WriteRefused(f"{'.'.join(name)}: no partition to write was given, so nothing was written.")
        partition = layout[PARTITION]
        into = Replacement(name, partition, keys, layout.get(DIRECTORY, partition), schema or frame.schema)
        return _let_go(self._stage(into, frame))

    @abstractmethod
    def _stage(self, into: Replacement, frame: DataFrame) -> Staged:
        """Computes the rows and keeps them until they are published or taken back."""

    def replace(
        self,
        name: Sequence[str],
        frame: DataFrame,
        layout: Mapping[str, str],
        keys: Sequence[date],
        provenance: Mapping[str, Any] | None = None,
        schema: T.StructType | None = None,
    ) -> Commit:
        """Stages the rows and publishes them. New columns are added to the table."""
        with self.stage(name, frame, layout, keys, schema) as staged:
            return staged.publish(provenance=provenance)

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

    def prepare(self, into: Replacement, remembers: bool = False) -> None:
        """Creates the table if there is none, and refuses columns that it cannot take. `remembers`: whether its log
        says where rows are from."""
        if not self.exists(into.name):
            self._create(into.name, into.schema, into.partition, into.directory, remembers)
        self._refuse_incompatible(into.name, into.schema)

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


@contextmanager
def _let_go(staged: Staged) -> Iterator[Staged]:
    try:
        yield staged
    finally:
        staged.take_back()


def quoted(identifier: str) -> str:
    """A name in SQL."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
