"""Delta tables by name in a catalog: Unity Catalog on Databricks, Spark's own session catalog in rehearsal and tests.

Everything goes through SQL and the catalog: a table's files may be where nobody but the catalog can read them.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.delta_tables import Tables, Written, quoted
from retail_assets.lakehouse.provenance import PROVENANCE

_COMMITS_SEARCHED = 20
"""How far back a write is looked for: on Databricks its own compaction may have committed after it."""


class CommitLost(Exception):
    """A write that is not in the table's history."""


_APPEND_ATTEMPTS = 5
"""On Databricks one of two commits at once wins, and the other is made after it. On the local disk of the rehearsal,
whose clusters are processes, one may displace the other: then it is made again."""


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
        # Asked first: who may write tables need not be allowed to create schemas.
        if not self._spark.catalog.databaseExists(self.identifier(name[:-1])):
            self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.identifier(name[:-1])}")
        super()._create(name, schema, partition, directory, remembers)

    def _laid_out(self, partition: str, directory: str) -> str:
        return f"CLUSTER BY ({quoted(partition)})" if self._clustered else super()._laid_out(partition, directory)

    def _properties(self, partition: str, directory: str, remembers: bool) -> Mapping[str, str]:
        # Files that are not in directories are skipped by the partition column alone.
        return super()._properties(partition, "" if self._clustered else directory, remembers)

    def _write(self, name: Sequence[str], writer: DataFrameWriter, provenance: Mapping[str, Any]) -> Written:
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
                version, _, table_rows = self._write(name, writer, {})
            except CommitLost:
                if attempt == _APPEND_ATTEMPTS:
                    raise
            else:
                break
        return version, table_rows
