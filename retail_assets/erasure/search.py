"""The proof: every stored byte is searched for a person's ids, whatever they are stored in.

Compressed bytes are searched as what they hold: Parquet by its texts, gzip and zip unpacked, SQLite by its texts and
blobs, JSON by its texts. An id is found where it stands by itself, also with the `.0` that spreadsheets give to a
number; the digits of a longer number are none, and a number that JSON, a column of numbers or MLflow holds as a figure
is no id.
"""

import gzip
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PIECE = 16 * 1024 * 1024
_OVERLAP = 4096
"""Bytes of a piece that are searched again with the next: no id is longer."""

SQLITE, PARQUET, GZIP, ZIP = b"SQLite format 3\0", b"PAR1", b"\x1f\x8b", b"PK\x03\x04"

KEYED = frozenset({"invoice_no", "stock_code", "quantity", "invoice_ts", "unit_price"})
"""Columns of numbers, codes and dates, which are none's name."""

FIGURES = frozenset({"params", "latest_metrics", "metrics", "logged_model_params"})
"""Tables of MLflow in which a text that is a number is a figure."""


_JSON_IN_PAGE = re.compile(r"(?<=<script type=\"application/json\")[^>]*>(.*?)(?=</script>)", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """Where an id was left: the file, and what in it."""

    path: Path
    where: str

    def __str__(self) -> str:
        return f"{self.path} ({self.where})" if self.where else str(self.path)


class Ids:
    """Ids, and the texts that they stand by themselves in."""

    def __init__(self, ids: Collection[str], of_customers: Collection[str] = ()) -> None:
        """`of_customers`: ids that count in columns of customers only."""
        self.whole = frozenset(ids) | frozenset(of_customers)
        listed = "|".join(re.escape(one) for one in sorted(ids, key=len, reverse=True)) or r"(?!)"
        self.pattern = re.compile(rf"(?<![0-9A-Za-z])(?<![0-9]\.)(?:{listed})(?:\.0+)?(?![0-9A-Za-z])(?!\.[0-9])")
        self.in_bytes = re.compile(self.pattern.pattern.encode())

    def within(self, text: str) -> bool:
        """Whether one of them stands in it."""
        return self.pattern.search(text) is not None

    def without(self, text: str, instead: str) -> str:
        """The text with something else in their place."""
        return self.pattern.sub(instead, text)


def search(places: Iterable[Path], ids: Ids) -> Iterator[Found]:
    """Every file below the places (or a place that is a file) in which an id stands."""
    for place in places:
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for path in files:
            if path.is_file() and not path.is_symlink():
                yield from (Found(path, where) for where in dict.fromkeys(left_in(path, ids)))


def left_in(path: Path, ids: Ids) -> Iterator[str]:
    """What of a file has one of the ids: a column, a table, a member of an archive; "" for the file as such."""
    with path.open("rb") as file:
        head = file.read(16)
        if ids.in_bytes.search(path.name.encode()):
            yield "its name"
        if head.startswith(PARQUET):
            yield from _in_parquet(path, ids)
        elif head.startswith(SQLITE):
            yield from _in_sqlite(path, ids)
        elif head.startswith(ZIP) and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    with archive.open(member) as stream:
                        if _in_stream(stream, ids):
                            yield member
        elif head.startswith(GZIP):
            with gzip.open(path) as stream:
                if _in_stream(stream, ids):
                    yield ""
        else:
            file.seek(0)
            if _in_stream(file, ids) and not _figures_alone(path, ids):
                yield ""


def _in_stream(stream: Any, ids: Ids) -> bool:
    kept = b""
    while piece := stream.read(_PIECE):
        if ids.in_bytes.search(kept + piece):
            return True
        kept = piece[-_OVERLAP:]
    return False


def _figures_alone(path: Path, ids: Ids) -> bool:
    """Whether all that looks like an id in a file of JSON, as a whole or by the line, is a number."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    if path.suffix == ".html":  # a page's figures are JSON within it
        figures = _JSON_IN_PAGE.findall(text)
        return not ids.within(_JSON_IN_PAGE.sub("", text)) and all(is_figure(told, ids) for told in figures)
    found = [line for line in text.splitlines() if ids.within(line)]
    return all(is_figure(line, ids) for line in found) or is_figure(text, ids)


def is_figure(text: str, ids: Ids) -> bool:
    """Whether what looks like an id in a text that is JSON is a number, not a part of its texts."""
    try:
        told = json.loads(text)
    except ValueError:
        return False
    return not isinstance(told, (int, float)) and not any(map(ids.within, _texts(told)))


def _texts(told: Any) -> Iterator[str]:
    if isinstance(told, str):
        yield told
        if told[:1] in "[{":  # JSON within JSON, as Dagster and Delta write it
            try:
                yield from _texts(json.loads(told))
            except ValueError:
                return
    elif isinstance(told, dict):
        for key, value in told.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(told, (list, tuple)):
        for value in told:
            yield from _texts(value)


def _in_parquet(path: Path, ids: Ids) -> Iterator[str]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        for name, column in zip(table.column_names, table.columns, strict=True):
            told = () if name in KEYED else _distinct_texts(column)
            if any(text in ids.whole if name.startswith("customer") else ids.within(text) for text in told):
                yield f"column {name}"
    kept = file.schema_arrow.metadata or {}
    if any(ids.in_bytes.search(value) for value in kept.values()):
        yield "its metadata"


def _distinct_texts(column: Any) -> Iterator[str]:
    """The texts of an Arrow column, also in lists, maps and structs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _distinct_texts(column.cast(kind.value_type))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield from (text for text in pc.unique(column).to_pylist() if text)
    elif pa.types.is_binary(kind):
        yield from (value.decode("utf-8", "replace") for value in pc.unique(column).to_pylist() if value)
    elif pa.types.is_nested(kind):
        yield from _texts(column.to_pylist())


def _in_sqlite(path: Path, ids: Ids) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as database:
        for table, columns in sqlite_columns(database).items():
            for row in database.execute(f"SELECT {', '.join(quoted(name) for name in columns)} FROM {quoted(table)}"):
                for name, value in zip(columns, row, strict=True):
                    if in_cell(table, value, ids):
                        yield f"{table}.{name}"


def quoted(name: str) -> str:
    """An identifier of SQLite."""
    return '"' + name.replace('"', '""') + '"'


def sqlite_columns(database: sqlite3.Connection) -> dict[str, list[str]]:
    """Table -> its columns."""
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {table: [row[1] for row in database.execute(f"PRAGMA table_info({quoted(table)})")] for table in tables}


def in_cell(table: str, value: Any, ids: Ids) -> bool:
    """Whether an id stands in a value of a table of SQLite."""
    if isinstance(value, bytes):
        with suppress(zlib.error):
            value = zlib.decompress(value)  # as Dagster keeps plans
        return ids.in_bytes.search(value) is not None
    if not isinstance(value, str) or not ids.within(value):
        return False
    if table in FIGURES and re.fullmatch(r"[0-9.]+", value):
        return False
    return not is_figure(value, ids)
