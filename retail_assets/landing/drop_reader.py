"""Reads drops: fast where a file is sound, line by line where it is not. Runs on the driver and in Spark's workers.

Every data line of a file becomes part of exactly one row: a good one, or a malformed one that keeps the line as landed.
A file is read in blocks of whole lines. pyarrow parses a block; where that shows anything but one sound row a line
(ragged or undecodable lines, broken quotes, fields over several lines, blank lines, NULs), Python parses it again.
"""

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from upath import UPath

from retail_assets.landing.drops import state_of
from retail_assets.landing.layout import SourceLayout

BLOCK_BYTES = 8 * 1024 * 1024
PART_BYTES = 64 * 1024
LONGEST_LINE = 512 * 1024 * 1024
"""Bytes. A line is held in memory as a whole; a file without line ends must not take all of it."""

LINES_IN_A_FIELD = 20
"""A quoted field may go over so many lines; a quote still open after that is a broken one."""

_HEAD_BYTES = 64 * 1024
_LONGEST_HEAD = 1024 * 1024
_GZIP = b"\x1f\x8b"
_DELIMITERS = ",;\t|"
_BLANK = b" \t\r\n\v\f"
# The default of 131,072 characters would refuse long fields. Lines are held to LONGEST_LINE before they get there.
csv.field_size_limit(LONGEST_LINE)


class DropRefused(ValueError):
    """A file that cannot be read as a drop. `path` names it, `problem` says what is wrong, `remedy` what to do."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)
        self.path, self.problem, self.remedy = path, problem, remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.remedy}"


@dataclass(frozen=True)
class Header:
    """The columns of one file: our names of those the layout knows, by position, and the headers of the others."""

    columns: tuple[str | None, ...]
    headers: tuple[str, ...]
    delimiter: str
    line: int
    lone_carriage_returns: bool
    compressed: bool

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Headers that the layout does not know, as written; `column_9` for the ninth if it is blank."""
        return tuple(header for header, column in zip(self.headers, self.columns, strict=True) if column is None)


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a file, and the bytes they came from.

    `columns` are the values as text in the file's own order, NULL where empty and in malformed rows; `malformed` is
    the line as landed, NULL in good rows; row i starts at byte `starts[i]` of `data`, in line `line_numbers[i]` of the
    file.
    """

    data: bytes
    columns: list[pa.Array]
    malformed: pa.Array
    starts: np.ndarray
    line_numbers: np.ndarray


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

    Raises DropRefused for a file that cannot be read, is empty, is no text in UTF-8 (or another that has ASCII in it),
    lacks a column, or has one twice. A gzip that breaks off later is only found by reading it: see `content_hash`.
    """
    with opened(path, layout) as (header, _):
        return header


def content_hash(path: str) -> str:
    """Hash of a file's content, compressed or not: equal for files with the same bytes in them.

    Reads to the end, which is where a gzip says whether it is whole. Raises DropRefused for one that is not.
    """
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
    blank are no rows. Raises DropRefused as `inspect` does, for a truncated or corrupt gzip, for a line longer than
    LONGEST_LINE, and, if the listed `size` and `modified_ns` are given, for a file that is no longer the one listed,
    before reading or after; so rows are only to be trusted once the iterator has ended.
    """
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
                stream: Any = gzip.GzipFile(fileobj=file)
            elif path.lower().endswith(".gz") and magic:
                raise DropRefused(path, "is named .gz but is no gzip file", "Compress it, or name it .csv.")
            else:
                stream = file
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


def _header(stream: Any, path: str, layout: SourceLayout) -> tuple[Header, bytes]:
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
        raise DropRefused(path, "is a workbook or a zip archive, not CSV", "Land workbooks with `retail land`.")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in line:
        raise DropRefused(path, "is UTF-16, UTF-32 or binary, not UTF-8", "Save it as CSV in UTF-8.")
    if not line:
        raise DropRefused(path, "has no header in its first lines", "Put the header in the first line.")
    # Files of old Macs end lines with a carriage return alone: their first line end is one.
    after = head[head.index(line) + len(line) :]
    lone = after[:1] == b"\r" and after[:2] != b"\r\n"
    columns, headers, delimiter = _columns(line, path, layout)
    return Header(columns, headers, delimiter, lines, lone, isinstance(stream, gzip.GzipFile)), rest


def _first_line(head: bytes) -> tuple[bytes, int, bytes]:
    """The first line that is not blank, without its end; its number; and what follows it."""
    rest, number = head.removeprefix(b"\xef\xbb\xbf"), 0
    while rest:
        line = rest.splitlines(keepends=True)[0] if len(rest) < 4096 else rest[: _line_end(rest)]
        rest, number = rest[len(line) :], number + 1
        if line.strip(_BLANK):
            return line.rstrip(b"\r\n"), number, rest
    return b"", number, b""


def _line_end(text: bytes) -> int:
    """Where the first line of the text ends, its line end included."""
    return len(text[: min(i for i in (text.find(b"\n"), text.find(b"\r"), len(text)) if i >= 0)]) + 1


def _columns(line: bytes, path: str, layout: SourceLayout) -> tuple[tuple[str | None, ...], tuple[str, ...], str]:
    text = line.decode("utf-8", "backslashreplace")

    def split(delimiter: str) -> list[str]:
        return next(csv.reader([text], delimiter=delimiter))

    # The delimiter is the one by which the header has the most of our columns; a comma if none has any.
    delimiter = max(_DELIMITERS, key=lambda one: sum(layout.recognised(header) is not None for header in split(one)))
    headers = tuple(header.strip() or f"column_{position}" for position, header in enumerate(split(delimiter), start=1))
    columns = tuple(layout.recognised(header) for header in headers)
    missing = [f"{column} ({' or '.join(names)})" for column, names in layout.columns.items() if column not in columns]
    if missing:
        raise DropRefused(
            path,
            f"has no column for {', '.join(missing)}",
            f"Its header is {text[:200]!r}: add the column, or correct its name.",
        )
    names = [column or header for column, header in zip(columns, headers, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DropRefused(path, f"has more than one column for {', '.join(twice)}", "Keep one of them.")
    return columns, headers, delimiter


def _blocks(stream: Any, rest: bytes, header: Header, path: str) -> Iterator[Block]:
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
        for block, so_far in _parsed(whole_lines, header, first_line, finished):
            consumed = so_far
            if len(block.malformed):
                yield block
        first_line += data.count(b"\n", 0, consumed)
        rest = data[consumed:]


def _parsed(data: bytes, header: Header, first_line: int, at_end: bool) -> Iterator[tuple[Block, int]]:
    """The rows of whole lines, and how many bytes these take so far: a field may go on in lines still to come."""
    columns = _all_sound(data, header)
    if columns is not None:
        yield _sound_block(data, columns, first_line), len(data)
        return
    # A line that is not sound costs its neighbours the fast way, not all of the file.
    position, width = 0, PART_BYTES
    while position < len(data):
        end = data.find(b"\n", position + width) + 1 or len(data)
        part = data[position:end]
        columns = _all_sound(part, header)
        if columns is not None:
            block, consumed = _sound_block(part, columns, first_line), len(part)
        else:
            block, consumed = _line_by_line(part, header, first_line, at_end and end == len(data))
        if not consumed and end == len(data):
            return
        width = PART_BYTES if consumed else 2 * len(part)
        position += consumed
        first_line += part.count(b"\n", 0, consumed)
        yield block, position


def _sound_block(data: bytes, columns: list[pa.Array], first_line: int) -> Block:
    rows = len(columns[0])
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    starts = np.concatenate([[0], ends + 1])[:rows].astype(np.int64)
    numbers = np.arange(first_line, first_line + rows, dtype=np.int64)
    return Block(data, columns, pa.nulls(rows, pa.string()), starts, numbers)


def _all_sound(data: bytes, header: Header) -> list[pa.Array] | None:
    """The columns, if every line is one sound row; else None.

    pyarrow counts rows, not lines. With as many rows as lines, and neither a lone carriage return (a line end to
    pyarrow) nor a line whose quotes do not close in it, each row is one line.
    """
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if not data or b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
        return None
    if b'"' in data and not _quotes_are_sound(data, header):
        return None
    names = [str(position) for position in range(len(header.columns))]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
            pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=False),
            pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=[""],
                strings_can_be_null=True,
                check_utf8=True,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != lines:
        return None
    return [column.combine_chunks() for column in table.columns]


def _quotes_are_sound(data: bytes, header: Header) -> bool:
    """Whether every line that has quotes is a row by itself."""
    position = data.find(b'"')
    while position >= 0:
        start, end = data.rfind(b"\n", 0, position) + 1, data.find(b"\n", position)
        end = end if end >= 0 else len(data)
        if _fields(data[start:end], header) is None:
            return False
        position = data.find(b'"', end)
    return True


def _fields(line: bytes, header: Header) -> list[str] | None:
    """The fields of a sound row, without its line end; None if it is none."""
    if b"\0" in line:
        return None
    line = line.removesuffix(b"\r")
    try:
        text = line.decode("utf-8")
        if '"' not in text and "\r" not in text:
            fields = text.split(header.delimiter)
        else:
            fields = next(csv.reader([text], delimiter=header.delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    return fields if len(fields) == len(header.columns) else None


def _line_by_line(data: bytes, header: Header, first_line: int, at_end: bool) -> tuple[Block, int]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    nothing: list[str] = [""] * len(header.columns)
    rows, malformed, starts, numbers = [], [], [], []
    index = start = 0
    while index < len(lines):
        used = 1
        if lines[index].strip(_BLANK):
            fields = _fields(lines[index], header)
            if fields is None and lines[index].count(b'"') % 2:
                used, fields = _over_several_lines(lines, index, header)
                if used == 0 and not at_end:
                    break
                used = used or 1
            rows.append(nothing if fields is None else fields)
            malformed.append(_as_landed(lines[index]) if fields is None else None)
            starts.append(start)
            numbers.append(first_line + index)
        for line in lines[index : index + used]:
            start += len(line) + 1
        index += used
    columns = [
        pa.array([value or None for value in values], pa.string())
        for values in (zip(*rows, strict=True) if rows else nothing)
    ]
    block = Block(
        data[:start], columns, pa.array(malformed, pa.string()), np.array(starts, np.int64), np.array(numbers, np.int64)
    )
    return block, min(start, len(data))


def _over_several_lines(lines: list[bytes], index: int, header: Header) -> tuple[int, list[str] | None]:
    """How many lines the row takes whose quote is open at the end of its first, and its fields.

    (1, None) if the quote is broken; (0, None) if that cannot be told without the lines to come. The quotes of a row
    are even in number where it ends. A broken quote must not swallow the rows after it: a line that is a row by itself
    is not taken for a part of a field. The line that ends the field may look like one (`6",…` in the first column):
    it is taken for one only if the first line, but for its quote, has all its fields as well.
    """
    for last in range(index + 1, min(index + LINES_IN_A_FIELD, len(lines))):
        ends = lines[last].count(b'"') % 2 == 1
        whole_first = lines[index].count(header.delimiter.encode()) + 1 >= len(header.columns)
        if (whole_first or not ends) and _fields(lines[last], header) is not None:
            return 1, None
        if ends:
            fields = _fields(b"\n".join(lines[index : last + 1]), header)
            return (last + 1 - index, fields) if fields else (1, None)
    return (0, None) if index + LINES_IN_A_FIELD > len(lines) else (1, None)


def _as_landed(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _batch(block: Block, header: Header, schema: pa.Schema, name: str) -> pa.RecordBatch:
    rows = len(block.malformed)
    by_name = dict(zip(header.columns, block.columns, strict=True))
    known = [by_name[column] for column in schema.names[: schema.get_field_index("extra_columns")]]
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
