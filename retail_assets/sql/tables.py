"""The tables of a lakehouse as DuckDB reads them: of each version the files and columns that its Delta log names.

Nothing here knows a contract, or loads Dagster, Spark or pandera: a question from the prompt is answered within a
second. Names come from the directories, types, descriptions and layout from the logs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

SNAPSHOTS = "snapshot_month"
"""The column by which tables of monthly snapshots are laid out."""

CURRENT = "_current"
"""Ends the name of the view of a table's newest snapshot."""

_SCALARS = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "double": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
    "binary": "BLOB",
}


class NotReadable(Exception):
    """A table, or a version of it, that cannot be read here. The message says what to do."""


@dataclass(frozen=True)
class Column:
    """A column: its type in DuckDB, and what it means."""

    name: str
    kind: str
    description: str


@dataclass(frozen=True)
class Version:
    """A version of a table: its columns in order, the files that hold its rows, the column they are laid out by."""

    number: int
    columns: Sequence[Column]
    files: Sequence[str]
    directory: str | None

    @property
    def newest_snapshot(self) -> "Version | None":
        """The same with the files of the newest month only; None for a table that has no monthly snapshots."""
        if self.directory != SNAPSHOTS:
            return None
        newest = max((_value(file, SNAPSHOTS) for file in self.files), default="")
        files = [file for file in self.files if _value(file, SNAPSHOTS) == newest]
        return Version(self.number, self.columns, files, self.directory)

    def query(self) -> str:
        """Selects its rows. The first half has none: it says which columns there are, in the log's order and types,
        where the table has no file, or files from before a column was added."""
        shape = ", ".join(f"NULL::{column.kind} AS {quoted(column.name)}" for column in self.columns)
        rows = f"SELECT {shape} WHERE false"
        if self.files:
            files = ", ".join(map(literal, self.files))
            rows += f" UNION ALL BY NAME SELECT * FROM read_parquet([{files}], union_by_name = true, {self._layout()})"
        return f"SELECT {', '.join(quoted(column.name) for column in self.columns)} FROM ({rows})"

    def _layout(self) -> str:
        if self.directory is None:
            return "hive_partitioning = false"
        kind = next(column.kind for column in self.columns if column.name == self.directory)
        return f"hive_partitioning = true, hive_types = {{{quoted(self.directory)}: {kind}}}"


@dataclass(frozen=True)
class StoredTable:
    """A table that lies in the lakehouse."""

    source: str
    name: str
    place: Path

    @property
    def full_name(self) -> str:
        """As it is written in SQL."""
        return f"{self.source}.{self.name}"

    def version(self, wanted: int | datetime | None = None) -> Version:
        """As it is, or as it was at a version or a moment. Raises NotReadable."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            number = self._as_of(wanted) if isinstance(wanted, datetime) else wanted
            table = DeltaTable(str(self.place), version=number)
        except DeltaError as problem:
            raise NotReadable(
                f"{self.full_name} cannot be read{'' if wanted is None else f' as of {wanted}'}: "
                f"{str(problem).splitlines()[0]}. retail history {self.full_name} shows its versions."
            ) from None
        protocol = table.protocol()
        if protocol.min_reader_version > 1:
            raise NotReadable(
                f"{self.full_name} uses features of Delta that are not read here (reader version "
                f"{protocol.min_reader_version}: {', '.join(protocol.reader_features or []) or 'mapped columns'}). "
                "Read it with Spark, or rewrite it without them."
            )
        files = [unquote(file.removeprefix("file://")) if "://" in file else file for file in table.file_uris()]
        if number is not None and not all(Path(file).exists() for file in files):
            raise NotReadable(
                f"Version {number} of {self.full_name} can no longer be read: its files were removed, having been out "
                "of use for longer than RETAIL_RETENTION_DAYS. Take a later version."
            )
        partitioned = table.metadata().partition_columns
        return Version(table.version(), _columns(table.schema().to_json()), files, next(iter(partitioned), None))

    def _as_of(self, moment: datetime) -> int:
        """The version that readers saw at that moment."""
        from deltalake import DeltaTable

        commits = DeltaTable(str(self.place)).history()
        before = [int(commit["version"]) for commit in commits if commit["timestamp"] <= moment.timestamp() * 1000]
        if not before:
            first = datetime.fromtimestamp(min(commit["timestamp"] for commit in commits) / 1000, UTC)
            raise NotReadable(
                f"{self.full_name} has no version as old as {moment:%Y-%m-%d %H:%M:%S}: its log begins at "
                f"{first:%Y-%m-%d %H:%M:%S} (UTC)."
            )
        return max(before)


def tables_in(lakehouse: str) -> list[StoredTable]:
    """Every table that lies there, by source and name."""
    logs = sorted(Path(lakehouse).glob("*/*/_delta_log"))
    return [StoredTable(log.parent.parent.name, log.parent.name, log.parent) for log in logs]


def _columns(schema: str) -> list[Column]:
    return [
        Column(field["name"], duckdb_type(field["type"]), field["metadata"].get("comment", ""))
        for field in json.loads(schema)["fields"]
    ]


def duckdb_type(delta: str | Mapping[str, Any]) -> str:
    """The type in DuckDB of a type as Delta's log writes it."""
    if isinstance(delta, str):
        return _SCALARS.get(delta) or delta.upper()  # decimal(18,3) is the same in both
    if delta["type"] == "array":
        return f"{duckdb_type(delta['elementType'])}[]"
    if delta["type"] == "map":
        return f"MAP({duckdb_type(delta['keyType'])}, {duckdb_type(delta['valueType'])})"
    fields = ", ".join(f"{quoted(field['name'])} {duckdb_type(field['type'])}" for field in delta["fields"])
    return f"STRUCT({fields})"


def _value(file: str, column: str) -> str:
    """Of a column that is kept in paths: a file's value, as text; empty where the path names none."""
    named = [part.removeprefix(f"{column}=") for part in file.split("/") if part.startswith(f"{column}=")]
    return named[-1] if named and named[-1] != "__HIVE_DEFAULT_PARTITION__" else ""


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"
