"""Changing a calendar by hand: to one that is shorter, too, with the drops that lie outside it."""

from datetime import date

from upath import UPath

from retail_assets.landing.calendar import kept_calendar, write_calendar
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.exchange import Content, Exchange, exchange, unfinished
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.placing import Lying
from retail_assets.landing.staging import staging
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import SettingError


def drops_outside(zone: LandingZone, source: str, calendar: Calendar) -> list[str]:
    """The drops of days before the calendar's first or after its last, by day. Days still to come are none of them."""
    drops, _, _ = zone.listed(source)
    return [drop.name for drop in drops if not _within(drop.day, calendar)]


def change_calendar(zone: LandingZone, layout: SourceLayout, calendar: Calendar) -> Exchange:
    """Keep this calendar beside the drops, and take away those outside it; they are kept as what a landing replaces is.

    Raises DropRefused while a landing is under way, or was interrupted.
    """
    directory = UPath(zone.directory(layout.name))
    with staging(directory, layout.dialect):
        if interrupted := unfinished(directory):
            raise DropRefused(
                str(directory),
                f"the landing {interrupted.landing} was interrupted",
                f"Land its files again, or undo it first: retail bring-back {interrupted.landing}.",
            )
        lying, taken = Lying(zone, layout), dict[str, Content]()
        for drop in zone.listed(layout.name)[0]:
            if not _within(drop.day, calendar):
                taken |= lying.of_day(drop.day)
        done = Exchange.begin(directory, ("a shorter calendar",), {}, taken)
        exchange(directory, done, {}, {}, zone.marker, lambda: write_calendar(zone.root, layout.name, calendar))
        return done


def calendar_to_be(zone_root: str, source: str, first_day: date | None, last_day: date | str | None) -> Calendar:
    """The kept calendar with its first or last day replaced by those given; `open` for one without a last day.

    Raises SettingError if nothing is kept and not both days are given, or if the calendar would end before it begins.
    """
    try:
        kept = kept_calendar(zone_root, source)
    except SettingError:
        # What is spoilt is to be mended here.
        kept = None
    if kept is None and (first_day is None or last_day is None):
        raise SettingError(f"No calendar of {source} is kept that can be read: give both --first-day and --last-day.")
    first = first_day or (kept.first_day if kept else date.min)
    last = None if last_day == "open" else (last_day if isinstance(last_day, date) else kept.last_day if kept else None)
    if last and last < first:
        raise SettingError(f"The calendar of {source} would end on {last}, before it begins on {first}.")
    return Calendar(first, last)


def _within(day: date, calendar: Calendar) -> bool:
    return calendar.first_day <= day and (calendar.last_day is None or day <= calendar.last_day)
