"""Where the invoices arrive, and what `retail run` finds there: which days' drops changed, and what is left alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dagster import AssetKey, DagsterInstance

from retail_assets.invoices.raw_invoices import RawInvoices
from retail_assets.lakehouse.asset_metadata import asset_key
from retail_assets.lakehouse.contracts import of_source
from retail_assets.landing.calendar import calendar_of
from retail_assets.landing.drops import LandingZone, Look, settled
from retail_assets.operations.arrival import Arrived, Inbox, ingested, missing_drops
from retail_assets.operations.binding import Places
from retail_assets.operations.planning import Landed
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import Settings
from retail_assets.sources.online_retail import INVOICES


@dataclass(frozen=True)
class Arrivals:
    """For the planner: what changed in the landing zone. For people: what lies there and is left alone, and why. For
    the main job: where it works."""

    landed: Mapping[AssetKey, Landed]
    notices: list[str]
    places: Places


def inbox(settings: Settings, calendar: Calendar) -> Inbox:
    """Where drops of invoices arrive, and the table that ingests them."""
    zone = LandingZone(settings.landing, settings.drop_marker)
    return Inbox(INVOICES.name, asset_key(of_source(RawInvoices, INVOICES.name)), zone, calendar)


def arrivals(settings: Settings, instance: DagsterInstance, before: Look | None = None) -> Arrivals:
    """Looks at the landing zone once, after a look `before` if there was one. Drops still being written, or outside the
    calendar, are left alone, and named."""
    invoices = inbox(settings, calendar_of(settings, INVOICES.name))
    drops, moving = settled(invoices.zone.drops(INVOICES.name), before=before)
    notices = [str(oddity) for oddity in invoices.zone.oddities(INVOICES.name)]
    notices += [f"{drop.path} is still being written: left for the next run." for drop in moving]
    notices += invoices.notices(drops)
    by_day, held_back = invoices.by_day(drops), set(invoices.by_day(moving))
    settled_days = {day: found for day, found in by_day.items() if day not in held_back}
    arrived = Arrived(settled_days, held_back)
    landed = arrived.landed(lambda made: ingested(instance, made))
    places = replace(Places.of(settings), missing_drops=lambda: missing_drops(instance, invoices))
    return Arrivals({invoices.table: landed}, notices, places)
