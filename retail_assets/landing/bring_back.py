"""What landings replaced: what is kept of it, how it is brought back, and when it goes."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from upath import UPath

from retail_assets.landing.calendar import keep_calendar, last_day_of
from retail_assets.landing.consent import listed
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.exchange import (
    RECORD,
    REPLACED,
    Content,
    Exchange,
    exchange,
    fetched,
    remove_tree,
    undo,
    unfinished,
)
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.placing import Lying
from retail_assets.landing.staging import staging
from retail_assets.partitions.cadence import WHOLE

KEPT_DAYS = 30
"""As long as the versions of tables: a month to notice a mistake."""


def landings(zone: LandingZone, source: str) -> list[Exchange]:
    """The landings that replaced drops which are still kept, and one that was interrupted; the newest first."""
    directory = UPath(zone.directory(source))
    records = [place / RECORD for place in _kept(directory)]
    found = [Exchange.read(record) for record in records if record.exists()]
    interrupted = unfinished(directory)
    known = {landing.landing for landing in found}
    if interrupted and interrupted.landing not in known:
        found.append(interrupted)
    return sorted(found, key=lambda landing: landing.landing, reverse=True)


def bring_back(
    zone: LandingZone, layout: SourceLayout, number: str, days: Collection[date] = (), today: date | None = None
) -> Exchange:
    """Put back what a landing replaced, of the given days or of all; what that replaces is kept in turn.

    A landing that was interrupted is undone as a whole: what it put in place goes. Returns what was put and taken.
    Raises DropRefused for a landing that is not known (any more), for days that it did not replace, and while another
    landing is under way.
    """
    directory = UPath(zone.directory(layout.name))
    with staging(directory, layout.dialect) as staged:
        interrupted = unfinished(directory)
        if interrupted and interrupted.landing == number:
            if days:
                raise DropRefused(str(directory), "an interrupted landing is undone as a whole", "Leave out the days.")
            undo(directory, interrupted)
            return Exchange(number, interrupted.begun, interrupted.files, interrupted.taken, interrupted.put)
        if interrupted:
            raise DropRefused(
                str(directory),
                f"the landing {interrupted.landing} was interrupted",
                f"Land its files again ({listed(interrupted.files)}), or undo it first.",
            )
        record = _record(directory, number)
        chosen = _chosen(record, days)
        put = {name: content for name, content in record.taken.items() if content.day in chosen}
        kept = directory / REPLACED / number
        files = {name: fetched(kept / name, staged.directory / f"kept-{at}") for at, name in enumerate(put)}
        return _exchanged(zone, layout, record, put, files, today)


def _exchanged(
    zone: LandingZone,
    layout: SourceLayout,
    record: Exchange,
    put: dict[str, Content],
    files: dict[str, Path],
    today: date | None,
) -> Exchange:
    lying, days = Lying(zone, layout), sorted({date.fromisoformat(content.day) for content in put.values()})
    before = {name: content for day in days for name, content in lying.of_day(day).items()}
    same = {name for name, content in put.items() if name in before and before[name].sha256 == content.sha256}
    taken = {
        name: content
        for name, content in before.items()
        if name not in same and (content.own or name in put or name in record.put)
    }
    directory = lying.directory
    put = {name: content for name, content in put.items() if name not in same}
    done = Exchange.begin(directory, (f"what landing {record.landing} replaced",), put, taken)
    # The calendar is that of the source, whichever of its tables these are; what is one whole has no days.
    source, dated = layout.name.partition("/")[0], [day for day in days if day != WHOLE]
    exchange(
        directory,
        done,
        files,
        {},
        zone.marker,
        lambda: dated and keep_calendar(zone.root, source, dated[0], last_day_of(dated[-1], today)),
    )
    return done


def forget_replaced(directory: UPath, days: int = KEPT_DAYS) -> None:
    """Remove what was replaced more than so many days ago."""
    oldest = f"{datetime.now(tz=UTC) - timedelta(days=days):%Y%m%d-%H%M%S}"
    for place in _kept(directory):
        if place.name < oldest:
            remove_tree(place)


def _kept(directory: UPath) -> list[UPath]:
    """Directories of what was replaced, by number."""
    place = directory / REPLACED
    return sorted((one for one in place.iterdir() if one.is_dir()), key=lambda one: one.name) if place.exists() else []


def _record(directory: UPath, number: str) -> Exchange:
    known = {place.name: place / RECORD for place in _kept(directory)}
    if number not in known or not known[number].exists():
        raise DropRefused(
            str(directory),
            f"no landing {number} is known whose replaced drops are kept",
            "retail landings lists those there are.",
        )
    return Exchange.read(known[number])


def _chosen(record: Exchange, days: Collection[date]) -> set[str]:
    wanted = {str(day) for day in days}
    if unknown := sorted(wanted - set(record.replaced)):
        raise DropRefused(
            f"landing {record.landing}",
            f"did not replace anything of {listed(unknown)}",
            f"It did of {listed(record.replaced)}.",
        )
    return wanted or set(record.replaced)
