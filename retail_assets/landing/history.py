"""Lands history: splits files of many days into one drop a day, every line as it was written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from upath import UPath

from retail_assets.landing.bring_back import KEPT_DAYS, forget_replaced
from retail_assets.landing.calendar import is_plausible, keep_calendar, kept_calendar, last_day_of
from retail_assets.landing.consent import NONE_GIVEN, Consent, listed
from retail_assets.landing.containers import Table
from retail_assets.landing.dates import Dates
from retail_assets.landing.drop_lines import Header
from retail_assets.landing.drop_reader import DropRefused, inspect, opened
from retail_assets.landing.drops import MANIFEST, LandingZone, ZoneRefused, day_of
from retail_assets.landing.exchange import Content, Exchange, exchange, sha256_of
from retail_assets.landing.far_dates import days_in, far_stretches
from retail_assets.landing.history_files import history_files, tables
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.placing import Lying, StagedDrop, place
from retail_assets.landing.staging import SetAside, Staging, staging
from retail_assets.partitions.calendar import Calendar, current_day

Progress = Callable[[str, int], None]
"""Called now and then with the name of the file being read and the rows landed so far, of all files."""

LooksUsable = Callable[[Table], None]
"""Called with each table before it is split; raises DropRefused for one that should not land."""


@dataclass(frozen=True)
class Landed:
    """What became of the files: `rows` in all, of which `malformed` are no rows of their file's table and `undated`
    have no date that can be read. Both lie, as written, in the drop of the nearest dated row before them. `replaced`
    are the days that had other drops before; these are kept under `landing`, its number (None if there are none).
    `left_out` says which sheets of workbooks have not landed, and why; `set_aside` which days were not believed, as
    they are far from all others: their rows lie in the drops of other days."""

    landing: str | None
    rows: int
    malformed: int
    undated: int
    drops: list[str]
    replaced: list[date]
    left_out: list[str]
    set_aside: list[SetAside]
    first_day: date
    last_day: date
    calendar: Calendar


def land(
    files: Sequence[str | Path],
    zone: LandingZone,
    layout: SourceLayout,
    progress: Progress | None = None,
    today: date | None = None,
    consent: Consent = NONE_GIVEN,
    keep_days: int = KEPT_DAYS,
    looks_usable: LooksUsable | None = None,
) -> Landed:
    """Split the files into drops `<source>_YYYY-MM-DD.csv`, replacing the days' drops of earlier landings.

    Files are read as the layout's dialect has it, one day or many, in any order: delimited text (.csv, .tsv, .txt, each
    perhaps gzipped), workbooks (.xlsx, every sheet that has the columns), Parquet, and zip archives of these. Rows of a
    day add up over the files. Values keep the text of the source. Dates are ISO, in one of the dialect's forms, or day
    and month in either order before the year, with slashes or dots. Files that differ in their columns or the order of
    these give a day more than one drop (`…_2.csv`). The same files give the same bytes, and a drop that would not
    change is left alone. The calendar is kept: closed with the last day landed, open if that is recent. Holds at most
    BYTES_IN_MEMORY and a block of rows, and a workbook's largest sheet.

    Whatever can be refused is refused before the first drop is put in place; what goes wrong then is undone. A landing
    that was killed leaves its mark, and is repeated by landing again. What is replaced is kept for `keep_days` days.

    Raises DropRefused, naming the file and the remedy, for a file that is no such table, in which no date can be read
    or the order of day and month cannot be told, for a zone that holds generated data or cannot be written to, and for
    what `consent` is not given to or `looks_usable` refuses; SettingError for a calendar that is spoilt. Then nothing
    has changed.
    """
    today = today or current_day()
    directory = UPath(zone.directory(layout.name))
    try:
        return _landed(files, zone, directory, layout, progress, today, consent, keep_days, looks_usable)
    except ZoneRefused as refusal:
        raise DropRefused(refusal.path, refusal.problem, refusal.remedy) from None
    except OSError as problem:
        place = problem.filename or directory
        reason = problem.strerror or str(problem)
        remedy = "Nothing was changed. Check RETAIL_LANDING, its permissions and the disk."
        raise DropRefused(str(place), f"cannot be worked with ({reason})", remedy) from problem


def _landed(
    files: Sequence[str | Path],
    zone: LandingZone,
    directory: UPath,
    layout: SourceLayout,
    progress: Progress | None,
    today: date,
    consent: Consent,
    keep_days: int,
    looks_usable: LooksUsable | None,
) -> Landed:
    if (directory / MANIFEST).exists():
        raise DropRefused(
            str(directory), "holds generated data", "Run `make clean` first, or set RETAIL_LANDING to another place."
        )
    given = history_files(files, directory)
    names = tuple(given.name(path) for path in given.paths)
    with staging(directory, layout.dialect) as staged:
        kept = kept_calendar(zone.root, layout.name)  # if it is spoilt, that is said before anything is changed
        found = tables(given, layout, staged.directory)
        headers = []
        for table in found.tables:
            with _named(table):
                headers.append(inspect(table.path, layout))
        for table, header in zip(found.tables, headers, strict=True):
            with _named(table):
                if looks_usable:
                    looks_usable(table)
                _split(table, header, layout, staged, today, progress)
        given.must_be_complete()
        if not staged.days:
            raise DropRefused(listed(names), "no rows to land", "Name files that have some.")
        far = far_stretches(staged.dated_rows, kept, listed(names), consent)
        set_aside = staged.set_aside(days_in(far, staged.days))
        placing = place(ready(staged), Lying(zone, layout), consent)
        first_day, last_day = min(staged.days), max(staged.days)
        done = Exchange.begin(directory, names, placing.put, placing.taken)
        calendar = exchange(
            directory,
            done,
            placing.staged,
            placing.unchanged,
            zone.marker,
            lambda: keep_calendar(zone.root, layout.name, first_day, last_day_of(last_day, today)),
        )
        forget_replaced(directory, keep_days)
        return Landed(
            done.landing if done.taken else None,
            staged.rows,
            staged.malformed,
            staged.undated,
            placing.names,
            [date.fromisoformat(day) for day in done.replaced],
            found.left_out,
            set_aside,
            first_day,
            last_day,
            calendar,
        )


def ready(staged: Staging) -> list[StagedDrop]:
    """The drops of a staging, each with what it holds."""
    return [
        StagedDrop(day, path, Content(str(day), rows, path.stat().st_size, sha256_of(path)))
        for day, path, rows in staged.drops()
    ]


@contextmanager
def _named(table: Table) -> Iterator[None]:
    """What is wrong with a table is said of the file that it came from, by the name that this has."""
    try:
        yield
    except DropRefused as refusal:
        if refusal.path != table.path:
            raise
        raise DropRefused(table.shown, refusal.problem, refusal.remedy) from None


def _split(
    table: Table, header: Header, layout: SourceLayout, staging: Staging, today: date, progress: Progress | None
) -> None:
    """Hand every row of a table to the staging, by its day."""
    dates = Dates(table, layout, today)
    position = header.columns.index(layout.date_column)
    shape = staging.shape(header)
    day, rows = 0, 0
    with opened(table.path, layout) as (_, blocks):
        for block in blocks:
            days = dates.days(block.columns[position])
            dated = days > 0
            if day == 0:
                day = int(days[dated.argmax()]) if dated.any() else dates.first()
            # Rows without a date go where the row before them goes; before the first, with the first.
            previous = np.maximum.accumulate(np.where(dated, np.arange(len(days)), -1))
            filled = np.where(previous >= 0, days[previous], day)
            day = int(filled[-1])
            staging.add(shape, block, filled, dated, table.name)
            malformed = len(block.malformed) - block.malformed.null_count
            staging.malformed += malformed
            staging.undated += int((~dated).sum()) - malformed
            rows += len(days)
            if progress:
                progress(table.name, staging.rows)
    named_day = day_of(table.name)
    if not rows and named_day:
        # A daily file without rows says that there were none.
        if not is_plausible(named_day, today):
            raise DropRefused(table.name, f"has the day {named_day} in its name, which cannot be", "Correct its name.")
        staging.add_day_without_rows(shape, named_day, table.name)
