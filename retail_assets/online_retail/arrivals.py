"""Arrivals: which days' drops are new, changed or gone since their day was made, and what else lies there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

from retail_assets.lakehouse.asset_metadata import asset_key
from retail_assets.landing.calendar import calendar_of
from retail_assets.landing.drops import Drop, LandingZone, settled
from retail_assets.online_retail.raw_invoices import DROPS, RawInvoices, fingerprints
from retail_assets.online_retail.source import INVOICES
from retail_assets.settings import Settings


@dataclass(frozen=True)
class Arrivals:
    """For the planner: what changed in the landing zone. For people: what lies there and is left alone, and why."""

    landed: Mapping[AssetKey, Callable[[Mapping[str, int]], tuple[set[str], str | None]]]
    notices: list[str]


def arrivals(settings: Settings, instance: DagsterInstance) -> Arrivals:
    """Looks at the landing zone once. Drops still being written, or outside the calendar, are left alone, and named."""
    zone = LandingZone(settings.landing)
    calendar = calendar_of(settings, INVOICES.name)
    last_day = calendar.last_day or datetime.now(tz=UTC).date() - timedelta(days=1)
    drops, moving = settled(zone.drops(INVOICES.name))
    notices = [str(oddity) for oddity in zone.oddities(INVOICES.name)]
    notices += [f"{drop.path} is still being written: left for the next run." for drop in moving]
    outside = [drop for drop in drops if not calendar.first_day <= drop.day <= last_day]
    if outside:
        named = ", ".join(drop.name for drop in outside[:5]) + (" …" if len(outside) > 5 else "")
        notices.append(
            f"{len(outside)} drops lie outside the calendar, {calendar.first_day} to {last_day}, and are left alone: "
            f"{named}. If their dates are right, land them (retail land FILE…) or set "
            f"RETAIL_{INVOICES.name.upper()}_FIRST_DAY and _LAST_DAY; a day in the future waits until it is over."
        )
    unsettled = {drop.day for drop in moving if calendar.first_day <= drop.day <= last_day}
    by_day: dict[str, list[Drop]] = {}
    for drop in drops:
        if calendar.first_day <= drop.day <= last_day and drop.day not in unsettled:
            by_day.setdefault(drop.day.isoformat(), []).append(drop)
    held_back = {day.isoformat() for day in unsettled}
    return Arrivals({asset_key(RawInvoices): lambda made: _changed(by_day, held_back, made, instance)}, notices)


def _changed(
    by_day: Mapping[str, list[Drop]], held_back: set[str], made: Mapping[str, int], instance: DagsterInstance
) -> tuple[set[str], str | None]:
    """Days whose drops are not those they were made from, and the newest day that has landed or ever had."""
    known: dict[str, object] = {}
    if made:
        records = instance.fetch_materializations(
            AssetRecordsFilter(asset_key(RawInvoices), storage_ids=sorted(made.values())), limit=len(made)
        ).records
        for record in records:
            materialization = record.asset_materialization
            assert materialization is not None
            if DROPS in materialization.metadata:
                known[str(record.partition_key)] = materialization.metadata[DROPS].value
    changed = {day for day, seen in known.items() if seen != fingerprints(by_day.get(day, []))} - held_back
    # A newest drop that is gone leaves its day to be made anew, and what reads it, though nothing lies there now.
    # A new day whose drop is still being written must not be made as an empty one: it waits, and what follows it.
    waiting = min(held_back - set(made), default=None)
    days = [day for day in (*by_day, *made) if waiting is None or day < waiting]
    return changed, max(days, default=None)
