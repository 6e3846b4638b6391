"""A version of a Delta table at a path, as its log tells it: columns, files, and what is known of each file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pyspark.sql import types as T

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class DataFile:
    """A file of a version: its path below the table's, and the partitions that it may hold rows of, as far as known."""

    path: str
    rows: int
    bytes: int
    directory: str | None
    """The value of the column by which the table is laid out."""
    first: date | None
    last: date | None

    def may_hold(self, keys: Sequence[date]) -> bool:
        """Whether rows of one of these partitions may be in it."""
        if self.first is None or self.last is None:
            return True
        return any(self.first <= key <= self.last for key in keys)

    def holds_only(self, keys: Sequence[date]) -> bool:
        """Whether all of its rows are certainly of these partitions."""
        if self.first is None or self.last is None:
            return False
        days = (self.last - self.first).days + 1
        return days <= len(keys) and sum(self.first <= key <= self.last for key in set(keys)) == days


class Snapshot:
    """One version of the table at `place`."""

    def __init__(self, place: str, version: int | None = None) -> None:
        from deltalake import DeltaTable

        self.place = place
        self.table: DeltaTable = DeltaTable(place, version=version)

    @property
    def version(self) -> int:
        """Its number."""
        return self.table.version()

    @cached_property
    def schema(self) -> T.StructType:
        """The columns; the log keeps them in Spark's own form."""
        return T.StructType.fromJson(json.loads(self.table.schema().to_json()))

    @cached_property
    def directory(self) -> str | None:
        """The column by which files are laid out, if any."""
        columns = self.table.metadata().partition_columns
        return columns[0] if columns else None

    @property
    def plain(self) -> bool:
        """Whether its files alone say what its rows are: no deletion vectors, no mapped columns."""
        return int(self.table.protocol().min_reader_version) == 1

    def files(self, partition: str = "") -> list[DataFile]:
        """The files it is made of, with what the log says of their values of the column `partition`."""
        import pyarrow as pa

        actions = pa.table(self.table.get_add_actions(flatten=True)).to_pylist()
        return [_file(action, partition, self.directory) for action in actions]


def _file(action: Mapping[str, Any], partition: str, directory: str | None) -> DataFile:
    of_all = action.get(f"partition.{partition}")
    laid_out = action.get(f"partition.{directory}")
    return DataFile(
        path=unquote(action["path"]),
        rows=action["num_records"] or 0,
        bytes=action["size_bytes"],
        directory=None if laid_out is None else str(laid_out),
        first=_day(action.get(f"min.{partition}", of_all)),
        last=_day(action.get(f"max.{partition}", of_all)),
    )


def _day(value: date | str | None) -> date | None:
    """The value; deltalake gives that of a partition as text where it knows no type of it."""
    return date.fromisoformat(value) if isinstance(value, str) else value
