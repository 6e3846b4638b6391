"""Lands history: splits files of many days into one drop a day, every line as it was written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from upath import UPath

from retail_assets.landing.calendar import keep_calendar, last_day_of
from retail_assets.landing.dates import Dates
from retail_assets.landing.drop_lines import Header
from retail_assets.landing.drop_reader import DropRefused, inspect, opened
from retail_assets.landing.drops import MANIFEST, LandingZone, day_of
from retail_assets.landing.history_files import Table, must_be_landable, tables
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.staging import Staging, staging
from retail_assets.partitions.calendar import Calendar, current_day

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
        must_be_landable(path, directory)
    with staging(directory) as staged:
        found = [table for path in paths for table in tables(path, layout, staged.directory)]
        headers = [inspect(table.path, layout) for table in found]
        for table, header in zip(found, headers, strict=True):
            _split(table, header, layout, staged, today, progress)
        if not staged.days:
            raise DropRefused(", ".join(path.name for path in paths), "no rows to land", "Name files that have some.")
        drops, replaced = staged.publish(directory, layout.name)
        first_day, last_day = min(staged.days), max(staged.days)
        calendar = keep_calendar(zone.root, layout.name, first_day, last_day_of(last_day, today))
        return Landed(
            staged.rows,
            staged.malformed,
            staged.undated,
            drops,
            replaced,
            first_day,
            last_day,
            calendar,
        )


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
