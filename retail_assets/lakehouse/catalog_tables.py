"""Delta tables by name in a catalog: Unity Catalog on Databricks, Spark's own session catalog in rehearsal and tests.

Everything goes through SQL and the catalog: a table's files may be where nobody but the catalog can read them.
"""

import json
import time
import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.delta_tables import Commit, Replacement, Staged, Tables, quoted
from retail_assets.lakehouse.engines.engine import is_client
from retail_assets.lakehouse.provenance import PROVENANCE
from retail_assets.partitions.keys import as_sql, within

Written = tuple[int, Mapping[str, Any], int]
"""The version that a write made, Delta's metrics of it, and how many rows the table has now."""

SCRATCH = "_staged_"
"""What the name of a table begins with in which rows wait to be published."""

_COMMITS_SEARCHED = 20
"""How far back a write is looked for: on Databricks its own compaction may have committed after it."""


class CommitLost(OSError):
    """A write that is not in the table's history; made again, it may be."""


_APPEND_ATTEMPTS = 5
"""On Databricks one of two commits at once wins, and the other is made after it. On the local disk of the rehearsal,
whose clusters are processes, one may displace the other: then it is made again."""

_CREATE_ATTEMPTS = 5
_BEING_CREATED = ("NON_EMPTY_LOCATION", "ALREADY_EXISTS", "DELTA_PROTOCOL_CHANGED", "DELTA_METADATA_CHANGED")
"""Of what Spark says while another creates the same table: next time it is there."""


def keeps_rows(spark: SparkSession) -> bool:
    """Whether the session keeps rows that it is asked to keep: one of Spark Connect may be serverless compute's, which
    refuses to."""
    return not is_client(spark)


class CatalogTables(Tables):
    """The tables of one catalog, each `<catalog>.<source>.<table>`; a schema is created when first written to.

    `clustered`: new tables are laid out by liquid clustering on their partition column, not in directories. A table
    that exists stays as it is.
    """

    def __init__(self, spark: SparkSession, catalog: str, clustered: bool = False) -> None:
        super().__init__(spark)
        self._catalog, self._clustered = catalog, clustered

    def place(self, name: Sequence[str]) -> str:
        """Its three-level name."""
        return ".".join([self._catalog, *name])

    def identifier(self, name: Sequence[str]) -> str:
        """Its three-level name, quoted."""
        return ".".join(quoted(part) for part in [self._catalog, *name])

    def exists(self, name: Sequence[str]) -> bool:
        """Whether the table has been created."""
        return self._spark.catalog.tableExists(self.identifier(name))

    def read(self, name: Sequence[str], version: int | None = None) -> DataFrame:
        """The table as it is, or as it was at an older version."""
        if version is None:
            return self._spark.read.table(self.identifier(name))
        return self._spark.read.option("versionAsOf", version).table(self.identifier(name))

    def newest(self, name: Sequence[str]) -> tuple[int, datetime]:
        """The newest version of a table that exists, and when it was committed (UTC)."""
        history = self._spark.sql(f"DESCRIBE HISTORY {self.identifier(name)} LIMIT 1")
        ((version, seconds),) = history.select("version", F.col("timestamp").cast("double")).collect()
        return version, datetime.fromtimestamp(seconds, UTC)

    def _schema(self, name: Sequence[str]) -> T.StructType:
        return self._spark.read.table(self.identifier(name)).schema

    def _create(
        self, name: Sequence[str], schema: T.StructType, partition: str, directory: str, remembers: bool = False
    ) -> None:
        self.create_schema(name)
        for attempt in range(1, _CREATE_ATTEMPTS + 1):
            try:
                super()._create(name, schema, partition, directory, remembers)
            except Exception as error:  # Delta's own reach Python as Java's, as Connect's, or as an analysis'
                # Two tables of a source that are made for the first time at once both create the results of checks.
                if attempt == _CREATE_ATTEMPTS or not any(word in str(error) for word in _BEING_CREATED):
                    raise
                time.sleep(attempt)
            else:
                break

    def create_schema(self, name: Sequence[str]) -> None:
        """The table's schema, unless it is there: who may write tables need not be allowed to create schemas."""
        if not self._spark.catalog.databaseExists(self.identifier(name[:-1])):
            self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.identifier(name[:-1])}")

    def _laid_out(self, partition: str, directory: str) -> str:
        return f"CLUSTER BY ({quoted(partition)})" if self._clustered else super()._laid_out(partition, directory)

    def _properties(self, partition: str, directory: str, remembers: bool) -> Mapping[str, str]:
        # Files that are not in directories are skipped by the partition column alone.
        return super()._properties(partition, "" if self._clustered else directory, remembers)

    def _stage(self, into: Replacement, frame: DataFrame) -> Staged:
        return (_Persisted if keeps_rows(self._spark) else _Written)(self, into, frame)

    def scratch(self, into: Replacement) -> str:
        """Where rows wait between audit and publishing, quoted: one place for these partitions of this table, so that
        whoever makes them again also clears away what a run that was killed has left there."""
        first, last = min(into.keys), max(into.keys)
        return self.identifier([*into.name[:-1], f"{SCRATCH}{into.name[-1]}_{first:%Y%m%d}_{last:%Y%m%d}"])

    def keep(self, into: Replacement, frame: DataFrame) -> DataFrame:
        """The rows, written to their scratch table."""
        self.create_schema(into.name)
        frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true").saveAsTable(self.scratch(into))
        return self._spark.read.table(self.scratch(into))

    def drop_scratch(self, into: Replacement) -> None:
        """Lets go of the rows that were kept."""
        self._spark.sql(f"DROP TABLE IF EXISTS {self.scratch(into)}")

    def write(self, name: Sequence[str], writer: DataFrameWriter, provenance: Mapping[str, Any]) -> Written:
        """Runs the write that has been prepared, its provenance in the commit's own metadata; the version it made,
        Delta's metrics of it, the table's rows."""
        mark = json.dumps({"retail_assets": str(uuid.uuid4()), PROVENANCE: provenance})
        writer.option("userMetadata", mark).saveAsTable(self.identifier(name))
        history = self._spark.sql(f"DESCRIBE HISTORY {self.identifier(name)} LIMIT {_COMMITS_SEARCHED}")
        commits = history.filter(history.userMetadata == mark).select("version", "operationMetrics").collect()
        if not commits:
            raise CommitLost(f"{self.place(name)}: another writer's commit has taken the place of this one.")
        (commit,) = commits
        # Delta counts rows from its log, without reading any.
        return commit.version, commit.operationMetrics, self.read(name, commit.version).count()

    def _append(
        self, name: Sequence[str], schema: T.StructType, rows: Sequence[tuple[Any, ...]], replaced: str | None
    ) -> tuple[int, int]:
        if not rows and replaced is None:  # Delta makes no commit of nothing
            return self.newest(name)[0], self.read(name).count()
        writer = self._spark.createDataFrame(list(rows), schema).write.format("delta").mode("append")
        if replaced is not None:
            writer = writer.mode("overwrite").option("replaceWhere", replaced)
        for attempt in range(1, _APPEND_ATTEMPTS + 1):
            try:
                version, _, table_rows = self.write(name, writer, {})
            except CommitLost:
                if attempt == _APPEND_ATTEMPTS:
                    raise
            else:
                break
        return version, table_rows


class _Kept(Staged):
    """Rows between audit and publishing: what lies in a catalog, only the catalog may write."""

    def __init__(self, tables: CatalogTables, into: Replacement, frame: DataFrame) -> None:
        self._tables, self._into = tables, into
        self.frame = self._keep(frame)

    @abstractmethod
    def _keep(self, frame: DataFrame) -> DataFrame:
        """The rows, computed once, as often as they are asked for."""

    def publish(self, keys: Sequence[date] | None = None, provenance: Mapping[str, Any] | None = None) -> Commit:
        began, into = time.monotonic(), self._into
        self._tables.prepare(into, remembers=bool(provenance))
        frame = self.frame if keys is None else self.frame.filter(within(into.partition, keys))
        writer = (
            frame.write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", as_sql(into.partition, into.keys if keys is None else keys))
            .option("mergeSchema", "true")
        )
        try:
            version, metrics, table_rows = self._tables.write(into.name, writer, provenance or {})
        except AnalysisException as error:
            if "NOT_NULL_CONSTRAINT_VIOLATED" in str(error):  # wrapped in a mismatch, too
                raise into.has_null(str(error).strip().splitlines()[-1]) from error
            if "REPLACE_WHERE_MISMATCH" in str(error):
                raise into.outside() from error
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


class _Persisted(_Kept):
    """Kept by Spark's own session."""

    def _keep(self, frame: DataFrame) -> DataFrame:
        return frame.persist(StorageLevel.MEMORY_AND_DISK)

    def take_back(self) -> None:
        self.frame.unpersist()


class _Written(_Kept):
    """Kept in a table of their own, which nobody is granted."""

    def _keep(self, frame: DataFrame) -> DataFrame:
        return self._tables.keep(self._into, frame)

    def take_back(self) -> None:
        self._tables.drop_scratch(self._into)
