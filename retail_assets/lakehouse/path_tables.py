"""Delta tables by path, on a disk of this machine.

The engine computes a step's rows and writes them once, as the Parquet files that will be the table's; everything else
is done to the table's log, by the deltalake package. No row passes through this process, and none through an engine's
own idea of how Delta is written, so that engines can take turns on a table.
"""

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.delta_tables import REQUIRED, Commit, Replacement, Staged, Tables, quoted
from retail_assets.lakehouse.engines.choice import engine_of
from retail_assets.lakehouse.engines.engine import Engine, plain
from retail_assets.lakehouse.provenance import PROVENANCE
from retail_assets.lakehouse.snapshots import DataFile, Snapshot
from retail_assets.partitions.keys import as_sql, within

if TYPE_CHECKING:
    from deltalake.transaction import AddAction, RemoveAction

STAGED = "_staged"
"""Below a table: rows that are not published yet. Readers of Delta, and its vacuum, pass over such names."""

NULL_DIRECTORY = "__HIVE_DEFAULT_PARTITION__"
"""What the directory of rows is called that have no value to be laid out by."""

COMMIT_TRIES = 50
COMMIT_PAUSE_SECONDS = 0.05
"""How often, and how long after another writer's commit, a commit to a table of several writers is tried again."""


class PathTables(Tables):
    """The tables under one root, each at `<root>/<source>/<table>`."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        super().__init__(spark)
        self._root = root.rstrip("/")

    @cached_property
    def engine(self) -> Engine:
        """What the session is of."""
        return engine_of(self._spark)

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
        return self.engine.read(Snapshot(self.place(name), version))

    def read_partitions(
        self, name: Sequence[str], partition: str, keys: Sequence[date], version: int | None = None
    ) -> DataFrame:
        """The rows of the partitions `keys`, at least one."""
        return self.engine.read(Snapshot(self.place(name), version), partition, keys)

    def newest(self, name: Sequence[str]) -> tuple[int, datetime]:
        """The newest version of a table that exists, and when it was committed (UTC)."""
        from deltalake import DeltaTable

        table = DeltaTable(self.place(name), without_files=True)
        return table.version(), datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC)

    def _schema(self, name: Sequence[str]) -> T.StructType:
        return Snapshot(self.place(name)).schema

    def _create(
        self, name: Sequence[str], schema: T.StructType, partition: str, directory: str, remembers: bool = False
    ) -> None:
        from deltalake import DeltaTable, Schema

        schema_of_log = Schema.from_json(T.StructType([_in_log(field) for field in schema]).json())
        properties = dict(self._properties(partition, directory, remembers))
        _after_others(
            lambda: DeltaTable.create(
                self.place(name), schema_of_log, mode="ignore", partition_by=[directory], configuration=properties
            )
        )

    def _stage(self, into: Replacement, frame: DataFrame) -> Staged:
        return _StagedFiles(self, into, frame)

    def _append(
        self, name: Sequence[str], schema: T.StructType, rows: Sequence[tuple[Any, ...]], replaced: str | None
    ) -> tuple[int, int]:
        import pyarrow as pa
        from deltalake import DeltaTable, write_deltalake

        place = self.place(name)
        stored = pa.schema(DeltaTable(place).schema().to_arrow())
        fields = [stored.field(column) for column in schema.names]
        columns = list(zip(*rows, strict=True)) or [()] * len(fields)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
        data = pa.table(arrays, pa.schema(fields))
        how: dict[str, Any] = {"mode": "append"} if replaced is None else {"mode": "overwrite", "predicate": replaced}
        _after_others(lambda: write_deltalake(place, data, **how))
        after = Snapshot(place)
        return after.version, sum(file.rows for file in after.files())


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


def _in_log(field: T.StructField) -> T.StructField:
    comment = {key: value for key, value in field.metadata.items() if key == "comment"}
    return T.StructField(field.name, field.dataType, not field.metadata.get(REQUIRED), comment)


class _StagedFiles(Staged):
    """Rows as Parquet files below their table, where only a commit is missing.

    A table has one writer at a time: what lies there when rows are staged was left by one that was killed.
    """

    def __init__(self, tables: PathTables, into: Replacement, frame: DataFrame) -> None:
        self._tables, self._into = tables, into
        self._place = Path(tables.place(into.name))
        self._directory = self._place / STAGED
        shutil.rmtree(self._directory, ignore_errors=True)
        self.frame = self._written(frame, "rows")

    def _written(self, frame: DataFrame, what: str) -> DataFrame:
        engine, directory = self._tables.engine, self._directory / what
        engine.stage(frame.select(*map(quoted, self._into.schema.names)), directory, self._into.directory)
        return engine.staged(directory, plain(self._into.schema))

    def publish(self, keys: Sequence[date] | None = None, provenance: Mapping[str, Any] | None = None) -> Commit:
        began, into = time.monotonic(), self._into
        self._tables.prepare(into, remembers=bool(provenance))
        before = self._columns_added(Snapshot(str(self._place)))
        what = "rows"
        if keys is not None:
            self._written(self.frame.filter(within(into.partition, keys)), what := "published")
        replaced = list(into.keys if keys is None else keys)
        files = [_ParquetFile(path, into) for path in sorted((self._directory / what).rglob("*.parquet"))]
        _refuse(into, before.schema, files)
        there = before.files(into.partition)
        gone, kept = self._replaced(before, there, replaced)
        self._commit(before, [*files, *kept], gone, replaced, sum(file.rows for file in files), provenance)
        rows = sum(file.rows for file in files)
        return Commit(
            version=before.version,
            rows=rows,
            files=len(files) + len(kept),
            bytes=sum(file.bytes for file in [*files, *kept]),
            seconds=time.monotonic() - began,
            table_rows=sum(f.rows for f in there) - sum(f.rows for f in gone) + rows + sum(f.rows for f in kept),
        )

    def take_back(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        for directory in (self._place, self._place.parent):  # of a table that was not made
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _columns_added(self, snapshot: Snapshot) -> Snapshot:
        """The table with the columns that the rows bring and it did not have."""
        from deltalake import Schema

        new = [field for field in self._into.schema if field.name not in snapshot.schema.names]
        if not new:
            return snapshot
        added = T.StructType([T.StructField(f.name, f.dataType, True, _in_log(f).metadata) for f in new])
        snapshot.table.alter.add_columns(Schema.from_json(added.json()).fields)
        return Snapshot(snapshot.place)

    def _replaced(
        self, before: Snapshot, there: Sequence[DataFile], keys: Sequence[date]
    ) -> tuple[list[DataFile], list["_ParquetFile"]]:
        """The files that go, and new ones with those of their rows that stay.

        Of a directory with a file of which some rows stay, all files are made anew as one: it is read whole anyway.
        """
        touched = [file for file in there if file.may_hold(keys)]
        mixed = {file.directory for file in touched if not file.holds_only(keys)}
        gone = [file for file in there if file.directory in mixed or file in touched]
        if not mixed:
            return gone, []
        into = self._into
        of_these = F.col(into.directory).cast("string").isin(*(value for value in mixed if value is not None))
        staying = self._tables.engine.read(before).filter(of_these & ~within(into.partition, keys))
        self._written(_with_columns(staying, into.schema), "kept")
        return gone, [_ParquetFile(path, into) for path in sorted((self._directory / "kept").rglob("*.parquet"))]

    def _commit(
        self,
        before: Snapshot,
        files: Sequence["_ParquetFile"],
        gone: Iterable[DataFile],
        keys: Sequence[date],
        rows: int,
        provenance: Mapping[str, Any] | None,
    ) -> None:
        """Moves the files into their places and commits them; `before` is the new version afterwards."""
        from deltalake import CommitProperties

        said: dict[str, Any] = {
            "operationParameters": {"mode": "Overwrite", "predicate": as_sql(self._into.partition, keys)},
            "operationMetrics": {"num_added_rows": rows},
        }
        if provenance:
            said["userMetadata"] = json.dumps({PROVENANCE: provenance})
        try:
            for file in files:
                file.move_below(self._place)
            actions: list[AddAction | RemoveAction] = [file.added() for file in files]
            actions += [_removed(file, self._into.directory) for file in gone]
            before.table.create_write_transaction(
                actions,
                mode="append",
                schema=before.table.schema(),
                partition_by=[self._into.directory],
                commit_properties=CommitProperties(custom_metadata=said),
            )
        except BaseException:
            for file in files:
                file.path.unlink(missing_ok=True)
            raise
        before.table.update_incremental()


def _with_columns(frame: DataFrame, schema: T.StructType) -> DataFrame:
    """The frame with the columns of the schema; those that it does not have are NULL."""
    have = set(frame.columns)
    return frame.select(
        [
            F.col(field.name) if field.name in have else F.lit(None).cast(field.dataType).alias(field.name)
            for field in schema
        ]
    )


class _ParquetFile:
    """A file that was written for a table, with what its footer says."""

    def __init__(self, path: Path, into: Replacement) -> None:
        import pyarrow.parquet as pq

        self.path, self._into = path, into
        footer = pq.read_metadata(path)
        self.rows, self.bytes = int(footer.num_rows), path.stat().st_size
        value = unquote(path.parent.name.removeprefix(f"{into.directory}="))
        self.directory = None if value == NULL_DIRECTORY else value
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        numbers = {name: number for number, name in enumerate(footer.schema.to_arrow_schema().names)}
        self._flat = {footer.schema.column(i).path: i for i in range(len(footer.schema))}
        self._groups = groups
        self.columns = set(numbers)

    def nulls(self, column: str) -> int:
        """Rows without a value of the column; of nested columns, which say nothing of it, 0."""
        if column == self._into.directory:
            return self.rows if self.directory is None else 0
        if column not in self._flat:
            return 0
        found = [group.column(self._flat[column]).statistics for group in self._groups]
        return sum(statistics.null_count for statistics in found if statistics and statistics.has_null_count)

    @property
    def bounds(self) -> tuple[date, date] | None:
        """The first and the last partition that it holds; None of no rows."""
        column = self._into.partition
        if column == self._into.directory:
            day = date.fromisoformat(self.directory) if self.directory else None
            return (day, day) if day and self.rows else None
        found = [group.column(self._flat[column]).statistics for group in self._groups]
        known = [statistics for statistics in found if statistics and statistics.has_min_max]
        if not known:
            return None
        return min(s.min for s in known), max(s.max for s in known)

    def partitions(self) -> set[date | None]:
        """The partitions that it holds rows of, read from the one column."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        column = self._into.partition
        if column == self._into.directory:
            return {date.fromisoformat(self.directory) if self.directory else None}
        return set(pc.unique(pq.ParquetFile(self.path).read([column])[column]).to_pylist())

    def move_below(self, place: Path) -> None:
        """Puts it where the table's files lie, under a name of its own."""
        directory = place / self.path.parent.name
        directory.mkdir(exist_ok=True)
        target = directory / f"part-{uuid.uuid4()}.parquet"
        self.path = self.path.rename(target)

    def added(self) -> "AddAction":
        """The entry by which a log knows it."""
        from deltalake.transaction import AddAction

        stats: dict[str, Any] = {"numRecords": self.rows}
        bounds, column = self.bounds, self._into.partition
        if bounds and column != self._into.directory:
            stats |= {"minValues": {column: str(bounds[0])}, "maxValues": {column: str(bounds[1])}}
            stats |= {"nullCount": {column: self.nulls(column)}}
        return AddAction(
            path=f"{self.path.parent.name}/{self.path.name}",
            size=self.bytes,
            partition_values={self._into.directory: self.directory},
            modification_time=int(self.path.stat().st_mtime * 1000),
            data_change=True,
            stats=json.dumps(stats),
        )


def _removed(file: DataFile, directory: str) -> "RemoveAction":
    from deltalake.transaction import RemoveAction

    return RemoveAction(
        path=file.path,
        data_change=True,
        deletion_timestamp=int(time.time() * 1000),
        size=file.bytes,
        partition_values={directory: file.directory},
    )


def _refuse(into: Replacement, schema: T.StructType, files: Sequence[_ParquetFile]) -> None:
    """Raises WriteRefused for NULL where the table must not have it, and for rows of other partitions."""
    keys = set(into.keys)
    consecutive = len(keys) == (max(keys) - min(keys)).days + 1
    for file in files:
        for field in schema:
            if not field.nullable and file.nulls(field.name):
                raise into.has_null(f"NOT NULL constraint violated for column: {field.name}")
        bounds = file.bounds
        if bounds and (bounds[0] < min(keys) or bounds[1] > max(keys)):
            raise into.outside()
        if not (consecutive and bounds) and file.rows and not file.partitions() <= keys:
            raise into.outside()
