"""Makes rows of a file's lines: fast where lines are sound, line by line where they are not.

pyarrow parses a block of whole lines; where that shows anything but one sound row a line (ragged or undecodable lines,
broken quotes, fields over several lines, blank lines, NULs), Python parses it again.
"""

import csv
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv

PART_BYTES = 64 * 1024
LONGEST_LINE = 512 * 1024 * 1024
"""Bytes. A line is held in memory as a whole; a file without line ends must not take all of it."""

LINES_IN_A_FIELD = 32_767
FIELD_BYTES = 1024 * 1024
"""A quoted field may go over so many lines and so many bytes of them: a cell of a workbook holds 32,767 characters. A
quote still open after that is a broken one."""

BLANK = b" \t\r\n\v\f"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# The default of 131,072 characters would refuse long fields. Lines are held to LONGEST_LINE before they get there.
csv.field_size_limit(LONGEST_LINE)


@dataclass(frozen=True)
class Header:
    """The columns of one file: our names of those the layout knows, by position, and the headers of the others; and the
    signs that its lines are made of, `quote` and `escape` as a `Dialect`'s. `text` is the line as written, without its
    end."""

    columns: tuple[str | None, ...]
    headers: tuple[str, ...]
    delimiter: str
    quote: str
    escape: str | None
    line: int
    lone_carriage_returns: bool
    text: bytes

    def is_repeated_by(self, line: bytes) -> bool:
        """Whether a line, without its line feed, is the header once more, as between exports that were put together. It
        is no row, and no part of one: no field may go on over it."""
        return line.removesuffix(b"\r").removeprefix(BYTE_ORDER_MARK) == self.text

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


def parsed(data: bytes, header: Header, first_line: int, at_end: bool) -> Iterator[tuple[Block, int]]:
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
    if not data or b"\0" in data or data.count(b"\r") != data.count(b"\r\n") or header.text in data:
        return None
    if header.escape:
        return None  # pyarrow and Python differ in what else may be escaped
    if header.quote and header.quote.encode() in data and not _quotes_are_sound(data, header):
        return None
    names = [str(position) for position in range(len(header.columns))]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
            pyarrow.csv.ParseOptions(
                delimiter=header.delimiter, quote_char=header.quote or False, newlines_in_values=False
            ),
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
    quote = header.quote.encode()
    position = data.find(quote)
    while position >= 0:
        start, end = data.rfind(b"\n", 0, position) + 1, data.find(b"\n", position)
        end = end if end >= 0 else len(data)
        if _fields(data[start:end], header) is None:
            return False
        position = data.find(quote, end)
    return True


def _fields(line: bytes, header: Header) -> list[str] | None:
    """The fields of a sound row, without its line end; None if it is none."""
    if b"\0" in line:
        return None
    line = line.removesuffix(b"\r")
    try:
        text = line.decode("utf-8")
        if any(sign and sign in text for sign in (header.quote, header.escape, "\r")):
            fields = next(csv.reader([text], **csv_signs(header, header.delimiter), strict=True))
            if header.escape and not _of_whole_fields(header).fullmatch(text):
                return None
        else:
            fields = text.split(header.delimiter)
    except (UnicodeDecodeError, csv.Error):
        return None
    return fields if len(fields) == len(header.columns) else None


@functools.lru_cache
def _of_whole_fields(header: Header) -> re.Pattern[str]:
    """A row with escapes in which nothing follows a quote that closes. Python's csv module is strict about that only
    where quotes are doubled, and would take the end of one row and the beginning of another for a row."""
    delimiter, quote, escape = map(re.escape, (header.delimiter, header.quote, header.escape or ""))
    plain = f"(?:[^{delimiter}{escape}]|{escape}.)*"
    field = f"(?:{quote}(?:[^{quote}{escape}]|{escape}.)*{quote}|(?!{quote}){plain})" if quote else plain
    return re.compile(f"{field}(?:{delimiter}{field})*", re.DOTALL)


class Signs(Protocol):
    """What has quotes and escapes: a header, or a dialect."""

    @property
    def quote(self) -> str:
        """What encloses fields, or ""."""

    @property
    def escape(self) -> str | None:
        """What goes before a quote within a field; None if it is doubled."""


def csv_signs(signs: Signs, delimiter: str) -> dict[str, Any]:
    """The signs of a file's lines as Python's csv module wants to know them."""
    quoting = {"quotechar": signs.quote} if signs.quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    return {"delimiter": delimiter, **quoting, "escapechar": signs.escape, "doublequote": signs.escape is None}


def opens_quote(line: bytes, signs: Signs) -> bool:
    """Whether a quote is open at the end of a line if none was at its beginning: they are odd in number."""
    if signs.escape:
        line = re.sub(re.escape(signs.escape.encode()) + b".", b"", line)
    return bool(signs.quote) and line.count(signs.quote.encode()) % 2 == 1


def _line_by_line(data: bytes, header: Header, first_line: int, at_end: bool) -> tuple[Block, int]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    nothing: list[str] = [""] * len(header.columns)
    rows: list[list[str]] = []
    malformed, starts, numbers = [], [], []
    index = start = 0
    while index < len(lines):
        used = 1
        repeated = header.is_repeated_by(lines[index])
        if repeated and rows:
            break  # a block has no such line between its rows: whoever copies these bytes must not copy it
        if lines[index].strip(BLANK) and not repeated:
            fields = _fields(lines[index], header)
            if fields is None and opens_quote(lines[index], header):
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
    it is taken for one only if the first line, but for its quote, has all its fields as well. What a sound field cannot
    hold, therefore: a line that has as many fields as a row, in the middle of it, or at its end where the row's first
    line has as many as well.
    """
    length = 0
    for last in range(index + 1, min(index + LINES_IN_A_FIELD, len(lines))):
        length += len(lines[last])
        if length > FIELD_BYTES or header.is_repeated_by(lines[last]):
            return 1, None
        ends = opens_quote(lines[last], header)
        whole_first = lines[index].count(header.delimiter.encode()) + 1 >= len(header.columns)
        if (whole_first or not ends) and _fields(lines[last], header) is not None:
            return 1, None
        if ends:
            fields = _fields(b"\n".join(lines[index : last + 1]), header)
            return (last + 1 - index, fields) if fields else (1, None)
    return (0, None) if index + LINES_IN_A_FIELD > len(lines) else (1, None)


def _as_landed(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
