"""What `retail run` finds in the landing zone: of each source the days whose drops changed, and what is left alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dagster import AssetKey, DagsterInstance

from retail_assets.landing.drops import Look, settled
from retail_assets.operations.arrival import Arrived, Inbox, ingested, missing_drops
from retail_assets.operations.binding import Places
from retail_assets.operations.planning import Landed
from retail_assets.settings import Settings
from retail_assets.sources.source import Source


@dataclass(frozen=True)
class Arrivals:
    """For the planner: what changed in the landing zone. For people: what lies there and is left alone, and why. For
    the main job: where it works."""

    landed: Mapping[AssetKey, Landed]
    notices: list[str]
    places: Places


def arrivals(
    settings: Settings, instance: DagsterInstance, sources: Iterable[Source], before: Look | None = None
) -> Arrivals:
    """Looks at the landing zone once, after a look `before` if there was one. Drops still being written, or outside the
    calendar, are left alone, and named."""
    inboxes = [inbox for source in sources for inbox in source.inboxes(settings)]
    found = [_arrived(inbox, instance, before) for inbox in inboxes]
    landed = {inbox.table: of for inbox, (of, _) in zip(inboxes, found, strict=True)}

    def missing() -> list[str]:
        return [name for inbox in inboxes for name in missing_drops(instance, inbox)]

    places = replace(Places.of(settings), missing_drops=missing)
    return Arrivals(landed, [notice for _, notices in found for notice in notices], places)


def _arrived(inbox: Inbox, instance: DagsterInstance, before: Look | None) -> tuple[Landed, list[str]]:
    drops, moving = settled(inbox.zone.drops(inbox.source), before=before)
    notices = [str(oddity) for oddity in inbox.zone.oddities(inbox.source)]
    notices += [f"{drop.path} is still being written: left for the next run." for drop in moving]
    notices += inbox.notices(drops)
    by_day, held_back = inbox.by_day(drops), set(inbox.by_day(moving))
    arrived = Arrived({day: found for day, found in by_day.items() if day not in held_back}, held_back)
    return arrived.landed(lambda made: ingested(instance, made)), notices
