"""Looks at files of which nothing is known yet: their encoding, their delimiter, their header, and rows of text."""

import csv
import gzip
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from retail_assets.landing.containers import FORMATS, LINES, cell_tables, kind_of
from retail_assets.landing.dialect import PUBLISHED
from retail_assets.landing.drop_reader import DELIMITERS, MOST_LINES_BEFORE, DropRefused
from retail_assets.shops.headers import column_of

HEAD_BYTES = 4 * 1024 * 1024
MOST_ROWS = 5_000
HEADERS_KNOWN = 3
"""So many known headers make a line below the first one the header."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_NOT_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


@dataclass(frozen=True)
class Look:
    """What a file shows of itself. `delimiter` is None of tables of cells, which have none."""

    name: str
    encoding: str
    delimiter: str | None
    quote: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def values(self, header: str) -> list[str]:
        """What stands under a header, empty texts included."""
        at = self.header.index(header)
        return [row[at] for row in self.rows]


def look(path: Path) -> Look:
    """The first table of a file. Raises DropRefused for a file in which none can be seen."""
    kind = kind_of(path.name)
    if kind is None:
        raise DropRefused(str(path), f"is none of {', '.join(FORMATS)}", "Unpack it, or save it as CSV.")
    try:
        if kind in (".xlsx", ".parquet"):
            return _of_cells(path)
        if kind == ".zip":
            return _of_archive(path)
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            head = gzip.GzipFile(fileobj=file).read(HEAD_BYTES) if packed else file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise DropRefused(str(path), "is not there", "Check the name of the file.") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as problem:
        raise DropRefused(str(path), f"cannot be read ({problem})", "Check it, or save it again.") from None
    return _of_lines(path.name, head, whole=len(head) < HEAD_BYTES)


def _of_archive(path: Path) -> Look:
    with zipfile.ZipFile(path) as archive, TemporaryDirectory() as scratch:
        for member in archive.infolist():
            hidden = any(part.startswith((".", "__")) for part in PurePosixPath(member.filename).parts)
            kind = kind_of(member.filename)
            if not member.is_dir() and not hidden and kind and kind != ".zip":
                place = Path(scratch) / f"member{kind}"
                place.write_bytes(archive.read(member))
                return look(place)
    raise DropRefused(str(path), "has no table in it", f"Pack files of {', '.join(LINES)} into it.")


def _of_cells(path: Path) -> Look:
    for table in cell_tables(path):
        rows = [tuple(row) for row in islice(table.rows(PUBLISHED), MOST_ROWS + 1)]
        if len(rows) > 1:
            return _looked(path.name, "utf-8", None, '"', rows)
    raise DropRefused(str(path), "has no rows", "Name a file that has some.")


def _of_lines(name: str, head: bytes, whole: bool) -> Look:
    encoding = _encoding(head, whole)
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    if not whole:
        text = text[: text.rfind("\n") + 1]
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    declared = lines[0][4:5] if lines and lines[0].lower().startswith("sep=") and len(lines[0]) == 5 else None
    lines = lines[1:] if declared else lines
    if len(lines) < 2:
        raise DropRefused(name, "has no rows under a header", "Name a file that has some.")
    lines = lines[_before_header(lines) :]
    delimiter = declared or max(DELIMITERS, key=lambda sign: _fits(lines, sign))
    quote = "'" if all(re.fullmatch(r"'.*'", cell.strip()) for cell in lines[0].split(delimiter)) else '"'
    signs = csv.reader(_kept(lines), delimiter=delimiter, quotechar=quote)
    return _looked(name, encoding, delimiter, quote, [tuple(row) for row in islice(signs, MOST_ROWS + 1)])


def _before_header(lines: Sequence[str]) -> int:
    """How many lines of a report's head stand before the first that has most of the headers of one; 0 if none has."""

    def known(line: str) -> int:
        return max(sum(column_of(cell.strip("\"' ")) is not None for cell in line.split(sign)) for sign in DELIMITERS)

    found = [known(line) for line in lines[: MOST_LINES_BEFORE + 1]]
    return 0 if found[0] >= HEADERS_KNOWN or max(found) < HEADERS_KNOWN else found.index(max(found))


def _kept(lines: Sequence[str]) -> Iterator[str]:
    return (f"{line}\n" for line in lines)


def _looked(name: str, encoding: str, delimiter: str | None, quote: str, rows: list[tuple[str, ...]]) -> Look:
    header = tuple(cell.strip() or f"column_{number}" for number, cell in enumerate(rows[0], start=1))
    whole = [row for row in rows[1:] if len(row) == len(header) and row != rows[0]]
    if not whole:
        raise DropRefused(name, "has no rows as wide as its header", "Check its delimiter and its quotes.")
    return Look(name, encoding, delimiter, quote, header, whole)


def _encoding(head: bytes, whole: bool) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if (nuls := head[:1000].count(0)) > len(head[:1000]) // 4:
        even = head[:1000:2].count(0)
        return "utf-16-be" if even > nuls // 2 else "utf-16-le"
    try:
        (head if whole else head[: head.rfind(b"\n") + 1]).decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1" if _NOT_IN_CP1252 & set(head) else "cp1252"
    return "utf-8"


def _fits(lines: Sequence[str], sign: str) -> tuple[int, int, int]:
    """How many headers are known, how many of the first rows are as wide as the header, and how wide it is."""
    rows = [row for row in islice(csv.reader(_kept(lines), delimiter=sign), 200) if row]
    width = len(rows[0])
    known = sum(column_of(header) is not None for header in rows[0])
    widths = Counter(map(len, rows))
    return (known, widths[width] if width > 1 else 0, width)
