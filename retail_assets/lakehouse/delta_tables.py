"""Delta tables by name: created from a frame's own schema, replaced partition by partition, read pruned.

Knows neither Dagster nor any table. Every write replaces exactly the partitions it is given, in one commit: done
twice, or killed and done again, it leaves the same table. Delta on a local file system is not safe for concurrent
writers of one table, which is why runs write through a pool of one.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.provenance import PROVENANCE

REQUIRED = "required"
"""Metadata of a frame's column: whether the table that is created for it has it NOT NULL."""


REMEMBERED_FOR = "interval 3650 days"
"""How long the log of a table keeps its commits that say where rows are from. A commit takes a few kilobytes."""


class WriteRefused(Exception):
    """A write that would have damaged the table; nothing was written. The message says what to do."""


@dataclass(frozen=True)
class Commit:
    """What one write did, from Delta's own commit: rows and files written, bytes, and how long it took."""

    version: int
    rows: int
    files: int
    bytes: int
    seconds: float
    table_rows: int


Written = tuple[int, Mapping[str, Any], int]
"""The version that a write made, Delta's metrics of it, and how many rows the table has now."""


def within(partition: str, keys: Sequence[date]) -> Column:
    """The condition that a row belongs to one of these partitions; a plain range where they are consecutive days."""
    first, last = min(keys), max(keys)
    if len(set(keys)) == (last - first).days + 1:
        return (F.col(partition) >= F.lit(first)) & (F.col(partition) < F.lit(last + timedelta(days=1)))
    return F.col(partition).isin([F.lit(key) for key in sorted(set(keys))])


def _as_sql(partition: str, keys: Sequence[date]) -> str:
    first, last = min(keys), max(keys)
    if len(set(keys)) == (last - first).days + 1:
        return f"{partition} >= DATE'{first}' AND {partition} < DATE'{last + timedelta(days=1)}'"
    listed = ", ".join(f"DATE'{key}'" for key in sorted(set(keys)))
    return f"{partition} IN ({listed})"


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
    ) -> Commit:
        """Replaces the partitions `keys` by the frame's rows, atomically; every other row stays as it is.

        New columns are added to the table. `provenance`, by partition, becomes part of the commit: see provenance.py.
        Raises WriteRefused for rows outside `keys`, for no keys at all, for NULL where the table must not have it, and
        for columns that went missing or changed their type.
        """
        if not keys:
            raise WriteRefused(f"{'.'.join(name)}: no partition to write was given, so nothing was written.")
        began = time.monotonic()
        if not self.exists(name):
            self._create(name, frame.schema, partition, directory or partition, remembers=bool(provenance))
        self._refuse_incompatible(name, frame.schema)
        writer = (
            frame.write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", _as_sql(partition, keys))
            .option("mergeSchema", "true")
        )
        try:
            version, metrics, table_rows = self._write(name, writer, provenance or {})
        except AnalysisException as error:
            if "NOT_NULL_CONSTRAINT_VIOLATED" in str(error):  # wrapped in a mismatch, too
                raise WriteRefused(
                    f"{'.'.join(name)}: some rows have NULL in a column that must not have it, so nothing was written. "
                    f"Delta says: {str(error).strip().splitlines()[-1]}"
                ) from error
            if "REPLACE_WHERE_MISMATCH" in str(error):
                raise WriteRefused(_outside(name, partition, keys)) from error
            raise
        # A write of no rows has none of some metrics.
        return Commit(
            version=version,
            rows=int(metrics.get("numOutputRows", 0)) - int(metrics.get("numCopiedRows", 0)),
            files=int(metrics.get("numFiles", 0)),
            bytes=int(metrics.get("numOutputBytes", 0)),
            seconds=time.monotonic() - began,
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
        return Commit(version, len(rows), 1, 0, time.monotonic() - began, table_rows)

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
        laid_out, properties = self._layout(partition, directory)
        if remembers:  # Delta forgets commits after 30 days, unless it is told otherwise
            properties = {**properties, "delta.logRetentionDuration": REMEMBERED_FOR}
        listed = ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())
        self._spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.identifier(name)} ({columns}) USING DELTA {laid_out} "
            f"TBLPROPERTIES ({listed})"
        )

    def _layout(self, partition: str, directory: str) -> tuple[str, Mapping[str, str]]:
        """The clause and the properties by which a new table's files are laid out and skipped."""
        # Reads are pruned by partition; minima and maxima of the other columns would cost more than writing the rows.
        skipping = (
            {"delta.dataSkippingNumIndexedCols": "0"}
            if directory == partition
            else {"delta.dataSkippingStatsColumns": partition}
        )
        return f"PARTITIONED BY ({quoted(directory)})", skipping

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


class DeltaTables(Tables):
    """The tables under one root, each at `<root>/<source>/<table>`. Their log is read without asking Spark."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        super().__init__(spark)
        self._root = root.rstrip("/")

    def place(self, name: Sequence[str]) -> str:
        """Its path."""
        return "/".join([self._root, *name])

    def identifier(self, name: Sequence[str]) -> str:
        """The path as a table."""
        return f"delta.{quoted(self.place(name))}"

    def exists(self, name: Sequence[str]) -> bool:
        """Whether the table has been created."""
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.place(name))

    def read(self, name: Sequence[str], version: int | None = None) -> DataFrame:
        """The table as it is, or as it was at an older version."""
        reader = self._spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.place(name))

    def newest(self, name: Sequence[str]) -> tuple[int, datetime]:
        """The newest version of a table that exists, and when it was committed (UTC)."""
        from deltalake import DeltaTable

        table = DeltaTable(self.place(name), without_files=True)
        return table.version(), datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC)

    def _schema(self, name: Sequence[str]) -> T.StructType:
        from deltalake import DeltaTable

        # The table's own log keeps the schema in Spark's form.
        stored = json.loads(DeltaTable(self.place(name), without_files=True).schema().to_json())
        return T.StructType.fromJson(stored)

    def _write(self, name: Sequence[str], writer: DataFrameWriter, provenance: Mapping[str, Any]) -> Written:
        import pyarrow as pa
        import pyarrow.compute as pc
        from deltalake import DeltaTable

        if provenance:
            writer = writer.option("userMetadata", json.dumps({PROVENANCE: provenance}))
        writer.save(self.place(name))
        # By the deltalake package: asking Spark would be two more jobs for every write. One writes at a time.
        table = DeltaTable(self.place(name))
        counts = pa.table(table.get_add_actions(flatten=True))["num_records"]
        return table.version(), table.history(1)[0].get("operationMetrics", {}), pc.sum(counts).as_py() or 0

    def _append(
        self, name: Sequence[str], schema: T.StructType, rows: Sequence[tuple[Any, ...]], replaced: str | None
    ) -> tuple[int, int]:
        import pyarrow as pa
        import pyarrow.compute as pc
        from deltalake import DeltaTable, write_deltalake

        # By the deltalake package: a write by Spark would cost every step a second, and Spark's commits to a local file
        # system are not safe for several writers, which these are.
        place = self.place(name)
        stored = pa.schema(DeltaTable(place).schema().to_arrow())
        fields = [stored.field(column) for column in schema.names]
        columns = list(zip(*rows, strict=True)) or [()] * len(fields)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
        data = pa.table(arrays, pa.schema(fields))
        if replaced is None:
            write_deltalake(place, data, mode="append")
        else:
            write_deltalake(place, data, mode="overwrite", predicate=replaced)
        table = DeltaTable(place)
        counts = pa.table(table.get_add_actions(flatten=True))["num_records"]
        return table.version(), pc.sum(counts).as_py() or 0


def quoted(identifier: str) -> str:
    """A name in SQL."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _outside(name: Sequence[str], partition: str, keys: Sequence[date]) -> str:
    return (
        f"{'.'.join(name)}: some rows have a {partition} outside the partitions being written "
        f"({min(keys)} to {max(keys)}), so nothing was written. A transform must only return rows of its own "
        f"partitions: look at how it derives {partition}."
    )
