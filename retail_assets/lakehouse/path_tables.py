"""Delta tables by path, on a disk of this machine or in an object store.

Their log is read, and few rows are written, by the deltalake package: Spark takes a second or two and several jobs to
look into a log or to commit, whatever the size, and a step does both many times. What is large is written by Spark,
and so is what brings new columns. Both write the same tables, one version after the other.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import types as T

from retail_assets.lakehouse.delta_tables import (
    REQUIRED,
    Commit,
    Replacement,
    Tables,
    WriteRefused,
    Written,
    has_null,
    outside,
    quoted,
)
from retail_assets.lakehouse.provenance import PROVENANCE
from retail_assets.partitions.keys import as_sql, within

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

FEW_ROWS = 100_000
"""Up to so many rows are written without Spark, and are in this process's memory meanwhile."""

FEW_FILES = 1_000
"""Up to so many files are named to Spark one by one; more it finds by itself."""

COMMIT_TRIES = 50
COMMIT_PAUSE_SECONDS = 0.05
"""How often, and how long after another writer's commit, a commit to a table of several writers is tried again."""


class DeltaTables(Tables):
    """The tables under one root, each at `<root>/<source>/<table>`."""

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
        found = self._rows(name, version)
        return self._by_spark(name, version) if found is None else found

    def read_partitions(
        self, name: Sequence[str], partition: str, keys: Sequence[date], version: int | None = None
    ) -> DataFrame:
        """The rows of the partitions `keys`, at least one."""
        found = self._rows(name, version, partition, keys)
        return (self._by_spark(name, version) if found is None else found).filter(within(partition, keys))

    def newest(self, name: Sequence[str]) -> tuple[int, datetime]:
        """The newest version of a table that exists, and when it was committed (UTC)."""
        from deltalake import DeltaTable

        table = DeltaTable(self.place(name), without_files=True)
        return table.version(), datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC)

    def _by_spark(self, name: Sequence[str], version: int | None) -> DataFrame:
        reader = self._spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.place(name))

    def _rows(
        self, name: Sequence[str], version: int | None, partition: str = "", keys: Sequence[date] = ()
    ) -> DataFrame | None:
        """The rows of the files that may hold one of `keys`; None for a table that is for Delta's reader alone."""
        from deltalake import DeltaTable

        place = self.place(name)
        # In Spark's paths some characters stand for others.
        if "://" in place or set(place) & set("*?[]{}\\") or not self.exists(name):
            return None
        table = DeltaTable(place, version=version)
        if table.protocol().min_reader_version > 1:  # its files alone do not say what its rows are
            return None
        files = [unquote(action["path"]) for action in _added(table).to_pylist() if _may_hold(action, partition, keys)]
        schema = _schema_of(table)
        if not files:
            return self._spark.createDataFrame([], schema)
        if len(files) > FEW_FILES:
            return None
        reader = self._spark.read.schema(schema).option("basePath", place)
        return reader.parquet(*(str(Path(place, file)) for file in files)).select(*map(quoted, schema.names))

    def _schema(self, name: Sequence[str]) -> T.StructType:
        from deltalake import DeltaTable

        return _schema_of(DeltaTable(self.place(name), without_files=True))

    def _create(
        self, name: Sequence[str], schema: T.StructType, partition: str, directory: str, remembers: bool = False
    ) -> None:
        from deltalake import DeltaTable, Schema

        fields = [
            T.StructField(
                field.name,
                field.dataType,
                not field.metadata.get(REQUIRED),
                {key: value for key, value in field.metadata.items() if key == "comment"},
            )
            for field in schema
        ]
        schema_of_log = Schema.from_json(T.StructType(fields).json())
        properties = dict(self._properties(partition, directory, remembers))
        _after_others(
            lambda: DeltaTable.create(
                self.place(name), schema_of_log, mode="ignore", partition_by=[directory], configuration=properties
            )
        )

    def _replace_few(self, write: Replacement) -> Commit | None:
        from deltalake import CommitProperties, DeltaTable, write_deltalake

        # Spark 3.5, the oldest that is supported, does not hand rows over as Arrow's.
        if write.count is None or write.count > FEW_ROWS or not hasattr(write.frame, "toArrow"):
            return None
        place = self.place(write.name)
        before = DeltaTable(place)
        schema = _schema_of(before)
        if set(write.frame.columns) != set(schema.names) or before.protocol().min_writer_version > 2:
            return None
        rows = write.frame.select(*map(quoted, schema.names)).toArrow()
        _refuse(write, rows, schema)
        said = {"userMetadata": json.dumps({PROVENANCE: write.provenance})} if write.provenance else {}
        write_deltalake(
            place,
            rows,
            mode="overwrite",
            predicate=as_sql(write.partition, write.keys),
            commit_properties=CommitProperties(custom_metadata=said),
        )
        after = DeltaTable(place)
        known = set(_added(before)["path"].to_pylist())
        added = [action for action in _added(after).to_pylist() if action["path"] not in known]
        return Commit(
            version=after.version(),
            rows=rows.num_rows,
            files=len(added),
            bytes=sum(action["size_bytes"] for action in added),
            seconds=0.0,
            table_rows=_count(after),
        )

    def _write(self, name: Sequence[str], writer: DataFrameWriter, provenance: Mapping[str, Any]) -> Written:
        from deltalake import DeltaTable

        if provenance:
            writer = writer.option("userMetadata", json.dumps({PROVENANCE: provenance}))
        writer.save(self.place(name))
        table = DeltaTable(self.place(name))  # one writes at a time: the newest version is this write's
        return table.version(), table.history(1)[0].get("operationMetrics", {}), _count(table)

    def _append(
        self, name: Sequence[str], schema: T.StructType, rows: Sequence[tuple[Any, ...]], replaced: str | None
    ) -> tuple[int, int]:
        import pyarrow as pa
        from deltalake import DeltaTable, write_deltalake

        # Spark's commits to a local file system are not safe for several writers, which these are.
        place = self.place(name)
        stored = pa.schema(DeltaTable(place).schema().to_arrow())
        fields = [stored.field(column) for column in schema.names]
        columns = list(zip(*rows, strict=True)) or [()] * len(fields)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
        data = pa.table(arrays, pa.schema(fields))
        how: dict[str, Any] = {"mode": "append"} if replaced is None else {"mode": "overwrite", "predicate": replaced}
        _after_others(lambda: write_deltalake(place, data, **how))
        table = DeltaTable(place)
        return table.version(), _count(table)


def _after_others(commit: Callable[[], object]) -> None:
    """Commits anew, on the newest version, where another writer has committed meanwhile: one of them always can."""
    from deltalake.exceptions import CommitFailedError

    for _ in range(COMMIT_TRIES - 1):
        try:
            commit()
        except CommitFailedError:
            time.sleep(COMMIT_PAUSE_SECONDS)
        else:
            return
    commit()


def _schema_of(table: "DeltaTable") -> T.StructType:
    return T.StructType.fromJson(json.loads(table.schema().to_json()))  # the log keeps it in Spark's form


def _added(table: "DeltaTable") -> "pa.Table":
    """The files that the table is made of, each with its path, size, rows, and where known its smallest and largest
    values."""
    import pyarrow as pa

    return pa.table(table.get_add_actions(flatten=True))


def _count(table: "DeltaTable") -> int:
    import pyarrow.compute as pc

    return int(pc.sum(_added(table)["num_records"]).as_py() or 0)


def _may_hold(action: Mapping[str, Any], partition: str, keys: Sequence[date]) -> bool:
    """Whether a file may have rows of one of these partitions, by what the log says of it; any, if none are named."""
    if not keys:
        return True
    of_all = action.get(f"partition.{partition}")
    first, last = action.get(f"min.{partition}", of_all), action.get(f"max.{partition}", of_all)
    return first is None or last is None or (first <= max(keys) and last >= min(keys))


def _refuse(write: Replacement, rows: "pa.Table", schema: T.StructType) -> None:
    """Raises WriteRefused as Spark's writer would: for NULL where there must be none, for rows of other partitions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for field in schema:
        if not field.nullable and rows[field.name].null_count:
            raise WriteRefused(has_null(write.name, f"NOT NULL constraint violated for column: {field.name}"))
    of_these = pc.is_in(rows[write.partition], pa.array(sorted(set(write.keys)), pa.date32()))
    if not pc.all(of_these, min_count=0).as_py():
        raise WriteRefused(outside(write))
