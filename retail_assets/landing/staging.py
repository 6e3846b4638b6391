"""Drops under construction, and how they get to their place."""

import csv
import fcntl
import io
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from upath import UPath

from retail_assets.landing.dialect import Dialect
from retail_assets.landing.drop_lines import BYTE_ORDER_MARK, Block, Header, csv_signs, opens_quote
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.exchange import is_local

BYTES_IN_MEMORY = 64 * 1024 * 1024


@dataclass(frozen=True)
class SetAside:
    """Rows whose day is not believed: they lie in the drop of another, `target`. `name` and `line` are the table and
    the line of the first of them."""

    day: date
    rows: int
    name: str
    line: int
    target: date


class Staging:
    """Drops under construction, in a directory of their own; held in memory up to BYTES_IN_MEMORY."""

    def __init__(self, directory: Path, dialect: Dialect) -> None:
        self.directory = directory
        self._dialect = dialect
        # The drops are UTF-8, and say so where that is not what their readers expect.
        self._mark = b"" if dialect.is_utf8 else BYTE_ORDER_MARK
        self.days: set[date] = set()
        self.rows = self.malformed = self.undated = 0
        self._headers: list[bytes] = []
        self._shapes: dict[Any, int] = {}
        self._held: dict[tuple[int, int], list[bytes]] = {}
        self._rows: Counter[tuple[int, int]] = Counter()
        self._dated: Counter[int] = Counter()
        self._open: set[tuple[int, int]] = set()
        self._first: dict[int, tuple[str, int]] = {}
        self._order: dict[int, int] = {}
        self._bytes = 0

    def shape(self, header: Header) -> int:
        """The number of the header's columns and delimiter: lines can only share a file with lines of the same."""
        names = tuple(column or name for column, name in zip(header.columns, header.headers, strict=True))
        shape = self._shapes.setdefault((names, header.delimiter), len(self._shapes))
        if shape == len(self._headers):
            line = io.StringIO()
            csv.writer(line, **csv_signs(header, header.delimiter), lineterminator="\n").writerow(header.headers)
            self._headers.append(line.getvalue().encode())
        return shape

    def add(self, shape: int, block: Block, days: np.ndarray, dated: np.ndarray, name: str) -> None:
        """The rows of a block of the table of that name, each under its day (an ordinal), which the `dated` ones say
        themselves."""
        # Rows of a day mostly follow one another: cut where the day changes.
        firsts = np.concatenate([[0], np.flatnonzero(np.diff(days)) + 1, [len(days)]]).tolist()
        starts = [*block.starts.tolist(), len(block.data)]
        sound = block.malformed.null_count == len(block.malformed)
        for first, beyond in pairwise(firsts):
            day = int(days[first])
            if day not in self._order:
                self._order[day] = len(self._order)
                self._first.setdefault(day, (name, int(block.line_numbers[first])))
            self._append(shape, day, block.data[starts[first] : starts[beyond]], beyond - first)
            self._dated[day] += int(dated[first:beyond].sum())
            if not sound and self._is_open(block.malformed[first:beyond]):
                self._open.add((day, shape))
        self.rows += len(days)

    def add_day_without_rows(self, shape: int, day: date, name: str) -> None:
        """A drop of the header alone, unless there are rows of the day, too."""
        self._first.setdefault(day.toordinal(), (name, 1))
        self._append(shape, day.toordinal(), b"", 0)

    def _append(self, shape: int, day: int, lines: bytes, rows: int) -> None:
        if lines and not lines.endswith(b"\n"):
            lines += b"\n"
        held = self._held.setdefault((day, shape), [])
        if lines and (day, shape) in self._open:
            # Lines that did not follow each other where they came from must not be read as one row.
            held.append(self._headers[shape])
            self._open.discard((day, shape))
        held.append(lines)
        self.days.add(date.fromordinal(day))
        self._rows[day, shape] += rows
        self._bytes += len(lines)
        if self._bytes > BYTES_IN_MEMORY:
            self.flush()

    def flush(self) -> None:
        """Write what is held to the drops' files."""
        for (day, shape), lines in self._held.items():
            file = self.directory / f"{date.fromordinal(day)}.{shape}"
            with file.open("ab") as drop:
                if not drop.tell():
                    drop.write(self._mark + self._headers[shape])
                drop.writelines(lines)
        self._held.clear()
        self._bytes = 0

    def _is_open(self, malformed: pa.Array) -> bool:
        """Whether a quote of the malformed rows at the end may be open: what follows could be read as their part."""
        for line in reversed(malformed.to_pylist()):
            if line is None:
                return False
            if opens_quote(line.encode("utf-8", "surrogatepass"), self._dialect):
                return True
        return False

    @property
    def dated_rows(self) -> dict[date, int]:
        """Day -> the rows that say so themselves."""
        return {day: self._dated[day.toordinal()] for day in self.days}

    def set_aside(self, far: Collection[date]) -> list[SetAside]:
        """Put the rows of these days into the drops of the others: of the day that came before them where they were
        read, or of the one after. The rows of days that have none are none."""
        self.flush()
        moved = []
        for day in sorted(far):
            as_read = list(self._order)
            at = self._order.get(day.toordinal(), 0)
            others = [date.fromordinal(one) for one in (*reversed(as_read[:at]), *as_read[at:])]
            target = next((one for one in others if one not in far), min(self.days.difference(far)))
            rows = sum(self._move(day, target, shape) for shape in range(len(self._headers)))
            self.days.discard(day)
            name, line = self._first[day.toordinal()]
            moved.append(SetAside(day, rows, name, line, target))
        return moved

    def _move(self, day: date, target: date, shape: int) -> int:
        source, rows = self.directory / f"{day}.{shape}", self._rows.pop((day.toordinal(), shape), 0)
        if source.exists() and rows:
            before, after = (day.toordinal(), shape), (target.toordinal(), shape)
            with source.open("rb") as lines, (self.directory / f"{target}.{shape}").open("ab") as drop:
                if drop.tell() and after not in self._open:
                    lines.seek(len(self._mark + self._headers[shape]))
                shutil.copyfileobj(lines, drop)
            self._open = self._open - {before, after} | ({after} if before in self._open else set())
            self._rows[after] += rows
        source.unlink(missing_ok=True)
        return rows

    def drops(self) -> Iterator[tuple[date, Path, int]]:
        """Every drop that is ready: its day, the file and the rows in it; by day, those of a day in a fixed order."""
        self.flush()
        for day in sorted(self.days):
            for shape in range(len(self._headers)):
                file = self.directory / f"{day}.{shape}"
                if file.exists():
                    yield day, file, self._rows[day.toordinal(), shape]


@contextmanager
def staging(directory: UPath, dialect: Dialect) -> Iterator[Staging]:
    """A clean place for drops under construction, written in the dialect: beside the drops, so that a rename is all it
    takes to publish one.

    Raises DropRefused if another landing is under way there.
    """
    if not is_local(directory):
        with tempfile.TemporaryDirectory() as scratch:
            yield Staging(Path(scratch), dialect)
        return
    drops = Path(directory.path)
    drops.mkdir(parents=True, exist_ok=True)
    lock = os.open(drops, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DropRefused(str(drops), "another landing is under way", "Land again when it has ended.") from None
        scratch_directory = drops / ".landing"
        # What a landing that was killed left behind.
        shutil.rmtree(scratch_directory, ignore_errors=True)
        scratch_directory.mkdir()
        try:
            yield Staging(scratch_directory, dialect)
        finally:
            shutil.rmtree(scratch_directory, ignore_errors=True)
    finally:
        os.close(lock)
