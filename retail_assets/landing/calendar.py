"""The calendar of a source, as the environment states it and as it is kept beside the drops."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise

from upath import UPath

from retail_assets.landing.drops import LandingZone, ZoneRefused
from retail_assets.partitions.calendar import Calendar, current_day
from retail_assets.partitions.months import months_later
from retail_assets.settings import SettingError, Settings

CALENDAR_FILE = "_calendar.json"

PLAUSIBLE_FROM = date(1970, 1, 1)
"""A year before this, or after the next, is a slip of the pen: it would stretch the calendar to it."""

LONGEST_GAP = 730
"""Days. A calendar is not stretched over more than these without a row, unless that is asked for: every one of them is
a partition of every table."""

OPEN_WITHIN = timedelta(days=35)
"""A history that reaches to within this of yesterday is taken for a living one: a month's delivery may be late."""

_OPEN = "open"


def is_plausible(day: date, today: date | None = None) -> bool:
    """Whether a day can be meant: from PLAUSIBLE_FROM to the end of next year."""
    return PLAUSIBLE_FROM <= day < date((today or current_day()).year + 2, 1, 1)


def calendar_of(settings: Settings, source: str) -> Calendar:
    """The calendar of a source as `read_calendar` finds it; on Databricks, where only the cluster sees the landing zone
    and definitions must load without network, both days have to be set. Raises SettingError."""
    if settings.deployment == "databricks":
        variables = [f"RETAIL_{source.upper()}_{which}_DAY" for which in ("FIRST", "LAST")]
        missing = [name for name in variables if not settings.calendars.get(name)]
        if missing:
            raise SettingError(
                f"{' and '.join(missing)} must be set with RETAIL_DEPLOYMENT=databricks: the calendar kept in the "
                f"landing zone {settings.landing} cannot be read while definitions load. Set {variables[0]} to a date "
                f"such as 2009-12-01 and {variables[1]} to a date or to {_OPEN!r}."
            )
    return read_calendar(settings.landing, source, settings.calendars)


def read_calendar(zone_root: str, source: str, environment: Mapping[str, str], today: date | None = None) -> Calendar:
    """The calendar that the environment sets, day by day, over the one kept beside the drops.

    RETAIL_<SOURCE>_FIRST_DAY is an ISO date, RETAIL_<SOURCE>_LAST_DAY an ISO date or `open`. Where nothing is kept,
    the calendar is open and starts with the first drop (of those before today); where nothing has landed, with the
    first day of last month. Raises SettingError, naming the variable or file, for what is no date or ends before it
    starts.
    """
    first_variable, last_variable = (f"RETAIL_{source.upper()}_{which}_DAY" for which in ("FIRST", "LAST"))
    first_set, last_set = environment.get(first_variable), environment.get(last_variable)
    kept = None if first_set and last_set else kept_calendar(zone_root, source)
    origin = " and ".join(name for name in (first_variable, last_variable) if environment.get(name))
    if first_set:
        first_day = _day(first_set, first_variable)
    else:
        first_day = kept.first_day if kept else _first_landed(zone_root, source, today or current_day())
    last_day = _last(last_set, last_variable) if last_set else (kept.last_day if kept else None)
    if last_day and last_day < first_day:
        raise SettingError(
            f"{origin}: the last day of {source}, {last_day}, is before its first, {first_day}. "
            f"Set {last_variable} to a later day or to {_OPEN!r}, or {first_variable} to an earlier one."
        )
    return Calendar(first_day, last_day)


def keep_calendar(zone_root: str, source: str, first_day: date, last_day: date | None) -> Calendar:
    """Write the calendar beside the drops, extended by what is kept there already: it only ever grows.

    None as the last day means open; an open calendar stays open. Raises SettingError if the kept one cannot be read.
    """
    kept = kept_calendar(zone_root, source)
    if kept:
        first_day = min(first_day, kept.first_day)
        last_day = max(last_day, kept.last_day) if last_day and kept.last_day else None
    calendar = Calendar(first_day, last_day)
    write_calendar(zone_root, source, calendar)
    return calendar


def write_calendar(zone_root: str, source: str, calendar: Calendar) -> None:
    """Write the calendar beside the drops, whatever is kept there."""
    path = _path(zone_root, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{CALENDAR_FILE}.part")
    last_day = calendar.last_day.isoformat() if calendar.last_day else _OPEN
    written = {"first_day": calendar.first_day.isoformat(), "last_day": last_day}
    unfinished.write_text(json.dumps(written) + "\n", encoding="utf-8")
    unfinished.fs.mv(unfinished.path, path.path)


def last_day_of(history_ends: date, today: date | None = None) -> date | None:
    """The calendar's last day for a history that ends on a day: that day, or None (open) if it is a recent one."""
    newest_day = (today or current_day()) - timedelta(days=1)
    return history_ends if history_ends < newest_day - OPEN_WITHIN else None


def kept_calendar(zone_root: str, source: str) -> Calendar | None:
    """What is kept beside the drops; None if nothing is. Raises SettingError for a file that cannot be gone by."""
    path = _path(zone_root, source)
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise SettingError(f"{path} cannot be read ({problem}). {_renewed(source)}") from problem
    if not isinstance(written, dict) or not all(
        isinstance(written.get(name), str) for name in ("first_day", "last_day")
    ):
        raise SettingError(f"{path} must hold first_day and last_day. {_renewed(source)}")
    try:
        first_day = _day(written["first_day"], f"first_day in {path}")
        last_day = _last(written["last_day"], f"last_day in {path}")
    except SettingError as problem:
        raise SettingError(f"{problem} {_renewed(source)}") from None
    if last_day and last_day < first_day:
        raise SettingError(f"{path}: last_day {last_day} is before first_day {first_day}. {_renewed(source)}")
    return Calendar(first_day, last_day)


def _renewed(source: str) -> str:
    return (
        f"Correct it by retail calendar --first-day DAY --last-day DAY; "
        f"RETAIL_{source.upper()}_FIRST_DAY and RETAIL_{source.upper()}_LAST_DAY override it."
    )


def _path(zone_root: str, source: str) -> UPath:
    return UPath(LandingZone(zone_root).directory(source)) / CALENDAR_FILE


def _first_landed(zone_root: str, source: str, today: date) -> date:
    try:
        drops, _, _ = LandingZone(zone_root).listed(source)
    except ZoneRefused as refusal:
        raise SettingError(str(refusal)) from None
    landed = sorted({drop.day for drop in drops if drop.day < today and is_plausible(drop.day, today)}, reverse=True)
    if not landed:
        return months_later(today, -1)
    # A drop years before the next one has a slip of the pen in its name: it does not start the calendar.
    apart = (after for after, before in pairwise(landed) if (after - before).days > LONGEST_GAP)
    return next(apart, landed[-1])


def _day(value: str, origin: str) -> date:
    try:
        day = date.fromisoformat(value.strip())
    except ValueError:
        raise SettingError(f"{origin}={value!r} is not a date such as 2010-12-01.") from None
    if not is_plausible(day):
        raise SettingError(
            f"{origin}={value!r} is no day of a shop: a calendar lies between {PLAUSIBLE_FROM} and the end of next "
            "year."
        )
    return day


def _last(value: str, origin: str) -> date | None:
    if value.strip().lower() == _OPEN:
        return None
    try:
        return _day(value, origin)
    except SettingError as problem:
        if "is not a date" not in str(problem):
            raise
        raise SettingError(f"{origin}={value!r} is neither a date such as 2011-12-09 nor {_OPEN!r}.") from None
