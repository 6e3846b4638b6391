"""Lands history: splits files of many days into one drop a day, every line as it was written."""

import csv
import fcntl
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from retail_assets.landing.calendar import keep_calendar, last_day_of
from retail_assets.landing.drop_lines import Block, Header
from retail_assets.landing.drop_reader import DropRefused, inspect, opened
from retail_assets.landing.drops import MANIFEST, LandingZone, day_of
from retail_assets.landing.layout import SourceLayout
from retail_assets.partitions.calendar import Calendar, current_day

PLAUSIBLE_FROM = date(1970, 1, 1)
"""A year before this, or after the next, is a slip of the pen: as a drop it would stretch the calendar to it."""

BYTES_IN_MEMORY = 64 * 1024 * 1024
_FORMATS = (".csv", ".csv.gz", ".xlsx")

# A date or a timestamp: ISO, or two numbers and a year, of which only the file tells which number is the month. What
# follows the date counts, too: a row with a time that silver cannot read would land, to end in quarantine.
_ISO = re.compile(r" *(\d{4}-\d{2}-\d{2})(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?(?: ?(?:Z|UTC|[+-]\d{2}:\d{2}))?)?)? *")
_WRITTEN = re.compile(r" *(\d{1,2})([/.])(\d{1,2})\2(\d{4})(?: \d{1,2}:\d{2}(?::\d{2})?)? *")

Progress = Callable[[str, int], None]
"""Called now and then with the name of the file being read and the rows landed so far, of all files."""


@dataclass(frozen=True)
class Landed:
    """What became of the files: `rows` in all, of which `malformed` are no rows of their file's table and `undated`
    have no date that can be read. Both lie, as written, in the drop of the nearest dated row before them. `replaced`
    are the days that an earlier landing had given other drops, which are gone."""

    rows: int
    malformed: int
    undated: int
    drops: list[str]
    replaced: list[date]
    first_day: date
    last_day: date
    calendar: Calendar


def land(
    files: Sequence[str | Path],
    zone: LandingZone,
    layout: SourceLayout,
    progress: Progress | None = None,
    today: date | None = None,
) -> Landed:
    """Split the files into drops `<source>_YYYY-MM-DD.csv`, replacing the days' drops of earlier landings.

    Files may be CSV (.csv, .csv.gz) or workbooks (.xlsx, every sheet that has the columns), one day or many, in any
    order; rows of a day add up over the files. Values keep the text of the source. Dates are ISO, or day and month in
    either order before the year, with slashes or dots; a time may follow, on the 24-hour clock. Files that differ in
    their columns or the order of these give a day more than one drop (`…_2.csv`). The same files give the same bytes,
    and a drop that would not change is left alone. Nothing is put in place before every file has been split, each drop
    then by a rename; a landing that was killed is repeated by landing again. The calendar is kept: closed with the last
    day landed, open if that is recent. Holds at most BYTES_IN_MEMORY and a block of rows, and a workbook's largest
    sheet.

    Raises DropRefused, naming the file and the remedy, for a file that is no such table, in which no date can be read
    or the order of day and month cannot be told, and for a zone that holds generated data; then nothing has changed.
    """
    today = today or current_day()
    directory = UPath(zone.directory(layout.name))
    if (directory / MANIFEST).exists():
        raise DropRefused(
            str(directory), "holds generated data", "Run `make clean` first, or set RETAIL_LANDING to another place."
        )
    # The order of the files decides the order of rows in a drop: it must not depend on how they were named.
    paths = sorted({Path(file).expanduser().resolve() for file in files}, key=lambda path: (path.name, str(path)))
    for path in paths:
        _must_be_landable(path, directory)
    with _staging(directory) as staging:
        tables = [table for path in paths for table in _tables(path, layout, staging.directory)]
        headers = [inspect(table.path, layout) for table in tables]
        for table, header in zip(tables, headers, strict=True):
            _split(table, header, layout, staging, today, progress)
        if not staging.days:
            raise DropRefused(", ".join(path.name for path in paths), "no rows to land", "Name files that have some.")
        drops, replaced = staging.publish(directory, layout.name)
        first_day, last_day = min(staging.days), max(staging.days)
        calendar = keep_calendar(zone.root, layout.name, first_day, last_day_of(last_day, today))
        return Landed(staging.rows, staging.malformed, staging.undated, drops, replaced, first_day, last_day, calendar)


def _must_be_landable(path: Path, directory: UPath) -> None:
    if not path.exists():
        raise DropRefused(str(path), "is not there", "Check the name of the file.")
    if path.is_dir():
        raise DropRefused(str(path), "is a directory", "Name the files in it.")
    if not path.name.lower().endswith(_FORMATS):
        raise DropRefused(str(path), f"is none of {', '.join(_FORMATS)}", "Unpack an archive, save another as CSV.")
    if _is_local(directory) and path.is_relative_to(Path(directory.path).resolve()):
        raise DropRefused(str(path), "lies in the landing zone already", "There is nothing to do.")


@dataclass(frozen=True)
class _Table:
    """A CSV file to split, and the name by which its owner knows it."""

    path: str
    name: str


def _tables(path: Path, layout: SourceLayout, scratch: Path) -> list[_Table]:
    if path.suffix.lower() != ".xlsx":
        return [_Table(str(path), path.name)]
    from python_calamine import CalamineError, CalamineWorkbook

    tables, refusals = [], []
    try:
        workbook = CalamineWorkbook.from_path(path)
        for number, name in enumerate(workbook.sheet_names):
            written = scratch / f"{path.name}.{number}.csv"
            with written.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(_cells(workbook.get_sheet_by_name(name).iter_rows()))
            try:
                inspect(str(written), layout)
            except DropRefused as refusal:
                refusals.append(f"{name!r} {refusal.problem}")
            else:
                tables.append(_Table(str(written), f"{path.name} ({name})"))
    except CalamineError as problem:
        raise DropRefused(
            str(path), f"is no workbook that can be read ({problem})", "Save it as .xlsx again."
        ) from None
    if not tables:
        raise DropRefused(str(path), f"has no sheet with the columns: {'; '.join(refusals)}", "Correct their headers.")
    return tables


def _cells(rows: Iterable[list[Any]]) -> Iterator[list[str]]:
    """The text of a sheet's cells, as it is published in CSV: ISO dates, whole numbers without decimals."""

    def text(value: Any) -> str:
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, datetime) and value.time() == time():
            return value.date().isoformat()
        return str(value)

    for row in rows:
        cells = [text(value) for value in row]
        if any(cells):
            yield cells


def _split(
    table: _Table, header: Header, layout: SourceLayout, staging: "_Staging", today: date, progress: Progress | None
) -> None:
    """Hand every row of a table to the staging, by its day."""
    dates = _Dates(table, layout, today)
    position = header.columns.index(layout.date_column)
    shape = staging.shape(header)
    day, rows = 0, 0
    with opened(table.path, layout) as (_, blocks):
        for block in blocks:
            days = dates.days(block.columns[position])
            dated = days > 0
            if day == 0 and not dated.any():
                found = next((text.as_py() for text in block.columns[position] if text.is_valid), "")
                raise DropRefused(
                    table.name,
                    f"has no date that can be read in the column {layout.date_column}, but {found!r}",
                    "Write dates as 2010-12-01 or 2010-12-01 08:26:00.",
                )
            # Rows without a date go where the row before them goes; before the first, with the first.
            previous = np.maximum.accumulate(np.where(dated, np.arange(len(days)), -1))
            filled = np.where(previous >= 0, days[previous], day or days[dated.argmax()])
            day = int(filled[-1])
            staging.add(shape, block, filled)
            malformed = len(block.malformed) - block.malformed.null_count
            staging.malformed += malformed
            staging.undated += int((~dated).sum()) - malformed
            staging.rows += len(days)
            rows += len(days)
            if progress:
                progress(table.name, staging.rows)
    named_day = day_of(table.name)
    if not rows and named_day:
        # A daily file without rows says that there were none.
        staging.append(shape, named_day.toordinal(), b"")


class _Dates:
    """The days of one file's dates, as ordinals; 0 for what is no date."""

    def __init__(self, table: _Table, layout: SourceLayout, today: date) -> None:
        self._table, self._layout = table, layout
        self._plausible = range(PLAUSIBLE_FROM.toordinal(), date(today.year + 2, 1, 1).toordinal())
        self._month_first: bool | None = None

    def days(self, texts: pa.Array) -> np.ndarray:
        encoded = pc.dictionary_encode(texts)
        # One more at the end, for NULL: index -1.
        found = np.array([self._ordinal(text) for text in encoded.dictionary.to_pylist()] + [0], np.int64)
        return found[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]

    def _ordinal(self, text: str) -> int:
        if iso := _ISO.fullmatch(text):
            return self._day(*(int(number) for number in iso[1].split("-")))
        if not (written := _WRITTEN.fullmatch(text)):
            return 0
        first, second, year = int(written[1]), int(written[3]), int(written[4])
        if first == second:
            return self._day(year, first, second)
        if self._month_first is None:
            self._month_first = self._is_month_first()
        as_told, other_way = (first, second), (second, first)
        month, day = as_told if self._month_first else other_way
        ordinal = self._day(year, month, day)
        if not ordinal and self._day(year, day, month):
            raise DropRefused(
                self._table.name,
                f"has dates with the day first and with the month first, such as {text!r}",
                "Write its dates as 2010-12-01.",
            )
        return ordinal

    def _day(self, year: int, month: int, day: int) -> int:
        try:
            ordinal = date(year, month, day).toordinal()
        except ValueError:
            return 0
        return ordinal if ordinal in self._plausible else 0

    def _is_month_first(self) -> bool:
        """Told by the first date of the file in which one of the two numbers cannot be a month."""
        text = ""
        with opened(self._table.path, self._layout) as (header, blocks):
            position = header.columns.index(self._layout.date_column)
            for block in blocks:
                for text in pc.unique(block.columns[position].drop_null()).to_pylist():
                    if written := _WRITTEN.fullmatch(text):
                        first, second, year = int(written[1]), int(written[3]), int(written[4])
                        if bool(self._day(year, first, second)) != bool(self._day(year, second, first)):
                            return bool(self._day(year, first, second))
        raise DropRefused(
            self._table.name,
            f"does not tell whether its dates, such as {text!r}, have the month first or the day",
            "Land it together with more days in one file, or write its dates as 2010-12-01.",
        )


class _Staging:
    """Drops under construction, in a directory of their own; held in memory up to BYTES_IN_MEMORY."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.days: set[date] = set()
        self.rows = self.malformed = self.undated = 0
        self._headers: list[bytes] = []
        self._shapes: dict[Any, int] = {}
        self._held: dict[tuple[int, int], list[bytes]] = {}
        self._bytes = 0

    def shape(self, header: Header) -> int:
        """The number of the header's columns and delimiter: lines can only share a file with lines of the same."""
        names = tuple(column or name for column, name in zip(header.columns, header.headers, strict=True))
        shape = self._shapes.setdefault((names, header.delimiter), len(self._shapes))
        if shape == len(self._headers):
            line = io.StringIO()
            csv.writer(line, delimiter=header.delimiter, lineterminator="\n").writerow(header.headers)
            self._headers.append(line.getvalue().encode())
        return shape

    def add(self, shape: int, block: Block, days: np.ndarray) -> None:
        """The rows of a block, each under its day (an ordinal)."""
        # Rows of a day mostly follow one another: cut where the day changes.
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(days)) + 1])
        starts = [*block.starts[cuts].tolist(), len(block.data)]
        for day, start, end in zip(days[cuts].tolist(), starts[:-1], starts[1:], strict=True):
            self.append(shape, day, block.data[start:end])

    def append(self, shape: int, day: int, lines: bytes) -> None:
        if lines and not lines.endswith(b"\n"):
            lines += b"\n"
        self.days.add(date.fromordinal(day))
        self._held.setdefault((day, shape), []).append(lines)
        self._bytes += len(lines)
        if self._bytes > BYTES_IN_MEMORY:
            self.flush()

    def flush(self) -> None:
        for (day, shape), lines in self._held.items():
            file = self.directory / f"{date.fromordinal(day)}.{shape}"
            with file.open("ab") as drop:
                if not drop.tell():
                    drop.write(self._headers[shape])
                drop.writelines(lines)
        self._held.clear()
        self._bytes = 0

    def publish(self, directory: UPath, source: str) -> tuple[list[str], list[date]]:
        """Put the drops in place, one by one, those of earlier landings of their days away; their names, and the days
        that had others."""
        self.flush()
        drops, replaced = [], set()
        for day in sorted(self.days):
            earlier = {drop.name for drop in directory.glob(f"{source}_{day}_*.csv")}
            staged = [self.directory / f"{day}.{shape}" for shape in range(len(self._headers))]
            for number, drop in enumerate((drop for drop in staged if drop.exists()), start=1):
                name = f"{source}_{day}{f'_{number}' if number > 1 else ''}.csv"
                if _put(drop, directory / name):
                    replaced.add(day)
                drops.append(name)
            for name in earlier.difference(drops):
                (directory / name).unlink()
                replaced.add(day)
        return drops, sorted(replaced)


def _put(staged: Path, target: UPath) -> bool:
    """By one rename, or one upload; a drop that would not change keeps its time of modification. Whether it took the
    place of another."""
    existed = target.exists()
    if existed and target.stat().st_size == staged.stat().st_size and target.read_bytes() == staged.read_bytes():
        return False
    if _is_local(target):
        staged.replace(str(target))
    else:
        target.fs.put_file(str(staged), target.path)
    return existed


def _is_local(path: UPath) -> bool:
    return path.protocol in ("", "file", "local")


@contextmanager
def _staging(directory: UPath) -> Iterator[_Staging]:
    """A clean place for drops under construction: beside the drops, so that a rename is all it takes to publish one.

    Raises DropRefused if another landing is under way there.
    """
    if not _is_local(directory):
        with tempfile.TemporaryDirectory() as scratch:
            yield _Staging(Path(scratch))
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
            yield _Staging(scratch_directory)
        finally:
            shutil.rmtree(scratch_directory, ignore_errors=True)
    finally:
        os.close(lock)
