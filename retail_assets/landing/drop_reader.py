"""Reads drops: opens a file, finds its header and its rows. Runs on the driver and in Spark's workers.

Every data line of a file becomes part of exactly one row: a good one, or a malformed one that keeps the line as landed.
A file is read in blocks of whole lines; `drop_lines` makes rows of them.
"""

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from retail_assets.landing.decoding import Stream, decoded
from retail_assets.landing.drop_lines import BLANK, BYTE_ORDER_MARK, LONGEST_LINE, Block, Header, parsed
from retail_assets.landing.drops import is_events, state_of
from retail_assets.landing.layout import SourceLayout

if TYPE_CHECKING:
    from retail_assets.streaming.event_days import EventDay

BLOCK_BYTES = 8 * 1024 * 1024
_HEAD_BYTES = 64 * 1024
_LONGEST_HEAD = 1024 * 1024
MOST_LINES_BEFORE = 20
"""So many lines of a report's head may stand before the header."""

_GZIP = b"\x1f\x8b"
DELIMITERS = ",;\t|"
"""Of which a file's own is one, where none is declared."""

_SEPARATOR = re.compile(rb'"?sep=(.)"?')
_LINE_END = re.compile(rb"\r\n?|\n")


class DropRefused(ValueError):
    """A file that cannot be read as a drop. `path` names it, `problem` says what is wrong, `remedy` what to do."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)
        self.path, self.problem, self.remedy = path, problem, remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.remedy}"


class ColumnsMissing(DropRefused):
    """A file whose header has not all columns; `missing` are those it lacks."""

    def __init__(self, path: str, problem: str, remedy: str, missing: Sequence[str]) -> None:
        super().__init__(path, problem, remedy)
        self.missing = missing


def shortened(text: str, most: int = 200) -> str:
    """Text of a file as a message shows it: no longer than people read."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def raw_schema(layout: SourceLayout) -> pa.Schema:
    """The layout's columns as strings; `extra_columns`, by header (NULL without any, and in malformed rows);
    `malformed_line` (NULL in good rows); `line_number`, from 1, at which the row starts; `source_file`, a name."""
    return pa.schema(
        [
            *((column, pa.string()) for column in layout.columns),
            ("extra_columns", pa.map_(pa.string(), pa.string())),
            ("malformed_line", pa.string()),
            ("line_number", pa.int64()),
            ("source_file", pa.string()),
        ]
    )


def inspect(path: str, layout: SourceLayout) -> Header:
    """The header of a drop; reads no more than its head.

    Raises DropRefused for a file that cannot be read, is empty, is no text, lacks a column (ColumnsMissing), or has one
    twice. A gzip that breaks off later is only found by reading it: see `content_hash`.
    """
    with opened(path, layout) as (header, _):
        return header


def unknown_columns(path: str, layout: SourceLayout) -> Sequence[str]:
    """The headers of a drop that stand for none of the layout's columns; of events, the fields. Raises as `inspect`."""
    return _events(path).unknown_fields() if is_events(path) else inspect(path, layout).extra_columns


def _events(path: str) -> "EventDay":
    from retail_assets.streaming.event_days import EventDay

    return EventDay.of(path)


def content_hash(path: str) -> str:
    """Hash of a file's content, compressed or not: equal for files with the same bytes in them.

    Reads to the end, which is where a gzip says whether it is whole. Raises DropRefused for one that is not. Of events
    it is that of the messages that count.
    """
    if is_events(path):
        return _events(path).content_hash()
    digest = hashlib.sha256()
    with _refusing(path), UPath(path).open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        while piece := stream.read(BLOCK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def read_drop(
    path: str, layout: SourceLayout, size: int | None = None, modified_ns: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a drop, as `raw_schema`; every data line once, as (part of) a good row or as a malformed one.

    Values stay as they are written, spaces included; an empty field is NULL, "NA" and "null" are text. Lines that are
    blank, or the header once more, are no rows. Raises DropRefused as `inspect` does, for a truncated or corrupt gzip,
    for a line longer than LONGEST_LINE, and, if the listed `size` and `modified_ns` are given, for a file that is no
    longer the one listed, before reading or after; so rows are only to be trusted once the iterator has ended.
    """
    if is_events(path):
        yield from _events(path).rows(layout)
        return
    schema, name = raw_schema(layout), path.rpartition("/")[2]
    _must_be_as_listed(path, size, modified_ns)
    with opened(path, layout) as (header, blocks):
        for block in blocks:
            yield _batch(block, header, schema, name)
    _must_be_as_listed(path, size, modified_ns)


@contextmanager
def opened(path: str, layout: SourceLayout) -> Iterator[tuple[Header, Iterator[Block]]]:
    """The header of a file and its rows, block by block. Raises DropRefused, now or in the middle, as `read_drop`."""
    with ExitStack() as stack:
        with _refusing(path):
            file = stack.enter_context(UPath(path).open("rb"))
            magic = file.read(2)
            file.seek(0)
            if magic == _GZIP:
                packed: Any = gzip.GzipFile(fileobj=file)
            elif path.lower().endswith(".gz") and magic:
                raise DropRefused(path, "is named .gz but is no gzip file", "Compress it, or name it .csv.")
            else:
                packed = file
            stream = decoded(packed, layout.dialect.encoding)
            header, rest = _header(stream, path, layout)
        yield header, _blocks(stream, rest, header, path)


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turns what goes wrong in reading into a DropRefused that says what to do."""
    try:
        yield
    except FileNotFoundError as problem:
        raise DropRefused(path, "is not there (any more)", "Deliver it again.") from problem
    except IsADirectoryError as problem:
        raise DropRefused(path, "is a directory where a file should be", "Remove it or put a file there.") from problem
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DropRefused(
            path, f"is a truncated or corrupt gzip file ({problem})", "Deliver the whole file again."
        ) from problem
    except OSError as problem:
        raise DropRefused(
            path, f"cannot be read ({problem.strerror or problem})", "Check its permissions and the disk."
        ) from problem


def _must_be_as_listed(path: str, size: int | None, modified_ns: int | None) -> None:
    if size is None and modified_ns is None:
        return
    with _refusing(path):
        found_size, found_modified_ns = state_of(path)
    if (size is not None and size != found_size) or (modified_ns is not None and modified_ns != found_modified_ns):
        raise DropRefused(path, "is still being written", "Run again once it is complete.")


def _header(stream: Stream, path: str, layout: SourceLayout) -> tuple[Header, bytes]:
    """The header and what was read beyond it."""
    head = b""
    while piece := stream.read(_HEAD_BYTES):
        head += piece
        line, lines, rest = _first_line(head)
        # A line end at the very end may be the first half of a CRLF.
        if (line and rest) or len(head) > _LONGEST_HEAD:
            break
    if not head:
        raise DropRefused(path, "is empty", "Deliver it again; a day without rows has the header alone.")
    if head.startswith(b"PK\x03\x04"):
        raise DropRefused(path, "is a workbook or a zip archive, not CSV", "Land it with `retail land`.")
    if b"\0" in line:
        remedy = "Save it as CSV in UTF-8, or with a byte order mark, or declare its encoding."
        raise DropRefused(path, "is UTF-16 without a byte order mark, or binary", remedy)
    if not line:
        raise DropRefused(path, "has no header in its first lines", "Put the header in the first line.")
    # Files of old Macs end lines with a carriage return alone: their first line end is one.
    after = head[head.index(line) + len(line) :]
    lone = after[:1] == b"\r" and after[:2] != b"\r\n"
    dialect, delimiter = layout.dialect, layout.dialect.delimiter
    if says := _SEPARATOR.fullmatch(line):
        # Excel's own word on what follows.
        delimiter = says[1].decode()
        line, further, rest = _first_line(rest)
        lines += further
    try:
        columns, headers, delimiter = _columns(line, path, layout, delimiter)
    except ColumnsMissing as refusal:
        below = _header_below(stream, rest, path, layout)
        if below is None:
            raise refusal
        (columns, headers, delimiter), line, further, rest = below
        lines += further
    return Header(columns, headers, delimiter, dialect.quote, dialect.escape, lines, lone, line), rest


_Columns = tuple[tuple[str | None, ...], tuple[str, ...], str]


def _header_below(
    stream: Stream, rest: bytes, path: str, layout: SourceLayout
) -> tuple[_Columns, bytes, int, bytes] | None:
    """The header below the head of a report, such as its title and its period: the first line that has all columns;
    with it, its number from here and what follows it. None if none of the first MOST_LINES_BEFORE has."""
    while rest.count(b"\n") <= MOST_LINES_BEFORE and len(rest) < _LONGEST_HEAD and (piece := stream.read(_HEAD_BYTES)):
        rest += piece
    number = 0
    for _ in range(MOST_LINES_BEFORE):
        line, further, after = _first_line(rest)
        number += further
        try:
            return _columns(line, path, layout, layout.dialect.delimiter), line, number, after
        except ColumnsMissing:
            rest = after
    return None


def _first_line(head: bytes) -> tuple[bytes, int, bytes]:
    """The first line that is not blank, without its end; its number; and what follows it."""
    rest, number = head.removeprefix(BYTE_ORDER_MARK), 0
    while rest:
        end = _LINE_END.search(rest)
        line = rest[: end.end()] if end else rest
        rest, number = rest[len(line) :], number + 1
        if line.strip(BLANK):
            return line.rstrip(b"\r\n"), number, rest
    return b"", number, b""


def _columns(line: bytes, path: str, layout: SourceLayout, declared: str | None) -> _Columns:
    text = line.decode("utf-8", "backslashreplace")

    def split(delimiter: str) -> list[str]:
        if not layout.dialect.quote:
            return text.split(delimiter)
        return next(csv.reader([text], delimiter=delimiter, quotechar=layout.dialect.quote))

    def recognised(delimiter: str) -> int:
        return sum(layout.recognised(header) is not None for header in split(delimiter))

    # Undeclared, it is the one by which the header has the most of our columns; a comma if none has any.
    delimiter = declared or max(DELIMITERS, key=recognised)
    headers = tuple(header.strip() or f"column_{position}" for position, header in enumerate(split(delimiter), start=1))
    columns = layout.columns_of(headers)
    missing = layout.missing(headers)
    if missing:
        # A first line of which nothing is known may be a row, and this is mailed.
        shown = f"Its header is {shortened(text)!r}" if any(columns) else "Its first line names none of the columns"
        remedy = f"{shown}: add the column, or correct its name."
        raise ColumnsMissing(path, f"has no column for {', '.join(missing)}", remedy, missing)
    names = [column or header for column, header in zip(columns, headers, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DropRefused(path, f"has more than one column for {shortened(', '.join(twice))}", "Keep one of them.")
    return columns, headers, delimiter


def _blocks(stream: Stream, rest: bytes, header: Header, path: str) -> Iterator[Block]:
    first_line, finished = header.line + 1, False
    while not finished:
        pieces, length = [rest], len(rest)
        while True:
            with _refusing(path):
                piece = stream.read(BLOCK_BYTES)
            pieces.append(piece)
            length += len(piece)
            finished = not piece
            if finished or b"\n" in piece or (header.lone_carriage_returns and b"\r" in piece):
                break
            if length > LONGEST_LINE:
                raise DropRefused(
                    path, f"has a line of more than {LONGEST_LINE:,} bytes after line {first_line}", "Deliver it again."
                )
        data = b"".join(pieces)
        if header.lone_carriage_returns:
            data = data.replace(b"\r", b"\n")
        whole_lines = data if finished else data[: data.rfind(b"\n") + 1]
        consumed = 0
        for block, so_far in parsed(whole_lines, header, first_line, finished):
            consumed = so_far
            if len(block.malformed):
                yield block
        first_line += data.count(b"\n", 0, consumed)
        rest = data[consumed:]


def _batch(block: Block, header: Header, schema: pa.Schema, name: str) -> pa.RecordBatch:
    rows = len(block.malformed)
    by_name = dict(zip(header.columns, block.columns, strict=True))
    absent = pa.nulls(rows, pa.string())  # no file of this source has the column
    known = [by_name.get(column, absent) for column in schema.names[: schema.get_field_index("extra_columns")]]
    return pa.RecordBatch.from_arrays(
        [*known, _extra(block, header), block.malformed, pa.array(block.line_numbers), pa.repeat(name, rows)],
        schema=schema,
    )


def _extra(block: Block, header: Header) -> pa.Array:
    """The values of the unknown columns, as a map from header to value for each good row."""
    rows, headers = len(block.malformed), header.extra_columns
    if not headers:
        return pa.nulls(rows, pa.map_(pa.string(), pa.string()))
    columns: Iterable[pa.Array] = (
        values for values, column in zip(block.columns, header.columns, strict=True) if column is None
    )
    # From column by column to row by row.
    order = np.arange(rows * len(headers)).reshape(len(headers), rows).T.ravel()
    values = pa.concat_arrays(columns).take(pa.array(order))
    keys = pa.array(headers, pa.string()).take(pa.array(np.tile(np.arange(len(headers)), rows)))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * len(headers))
    return pc.if_else(pc.is_null(block.malformed), pa.MapArray.from_arrays(offsets, keys, values), None)
