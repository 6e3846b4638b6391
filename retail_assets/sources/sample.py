"""A part of what a source has landed, or data like its: enough to try its tables somewhere else."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from retail_assets.landing.bring_back import KEPT_DAYS
from retail_assets.landing.calendar import keep_calendar
from retail_assets.landing.consent import NONE_GIVEN
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.partitions.cadence import WHOLE
from retail_assets.sources.landings import How
from retail_assets.sources.source import Source

NEWEST = 4
"""So many of the newest days, or months, that there are drops of; what has no history goes along whole."""


def copy_part(source: Source, zone: LandingZone, into: LandingZone) -> str:
    """Copies drops of both kinds, and keeps their calendar; says what was copied."""
    drops = {directory: zone.drops(directory) for directory in source.arrives.values()}
    days = sorted({drop.day for of in drops.values() for drop in of} - {WHOLE})[-NEWEST:]
    wanted = [(Path(into.directory(of)), drop) for of in drops for drop in drops[of] if drop.day in (*days, WHOLE)]
    for directory, drop in wanted:
        _copy(drop, directory)
    if wanted:
        keep_calendar(into.root, source.name, *((days[0], days[-1]) if days else (WHOLE, WHOLE)))
    return f"Took {len(wanted)} drops of {source.name} along" + (f", {days[0]} to {days[-1]}" if days else "")


def make_part(source: Source, into: LandingZone) -> str:
    """Lands files that are made like the source's; says so."""
    assert source.makes is not None
    with TemporaryDirectory() as scratch:
        files = source.makes(Path(scratch))
        for file in files:
            os.utime(file, (0, 0))  # nobody writes to them any more
        source.lands(files, into, How(lambda name, rows: None, NONE_GIVEN, KEPT_DAYS, False, Path(scratch)))
    return f"Nothing of {source.name} has landed here: made {len(files)} files like its own"


def _copy(drop: Drop, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy2(drop.path, directory / drop.name)
