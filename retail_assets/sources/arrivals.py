"""What `retail run` finds in the landing zone: of each source the days whose drops changed, and what is left alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dagster import AssetKey, DagsterInstance

from retail_assets.landing.drops import LandingUnderWay, Look, settled
from retail_assets.operations.arrival import Arrived, Inbox, ingested, missing_drops
from retail_assets.operations.binding import Places
from retail_assets.operations.planning import Landed, as_it_was_made
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
    calendar, are left alone, and named; so is a source that is being landed, as only a part of it may lie there.

    Raises LandingUnderWay if that is so of all of them, and ZoneRefused for a directory that cannot be listed.
    """
    landed: dict[AssetKey, Landed] = {}
    notices: list[str] = []
    looked_at: list[Inbox] = []
    refused: list[LandingUnderWay] = []
    for inboxes in [source.inboxes(settings) for source in sources]:
        try:
            found = {inbox.table: _arrived(inbox, instance, before) for inbox in inboxes}
        except LandingUnderWay as refusal:
            refused.append(refusal)
            landed |= {inbox.table: as_it_was_made(()) for inbox in inboxes}
            continue
        looked_at += inboxes
        landed |= {table: of for table, (of, _) in found.items()}
        notices += [notice for _, told in found.values() for notice in told]
    if refused and not looked_at:
        raise refused[0]

    def missing() -> list[str]:
        return [name for inbox in looked_at for name in missing_drops(instance, inbox)]

    places = replace(Places.of(settings), missing_drops=missing)
    return Arrivals(landed, [*(f"Left for the next run. {refusal}" for refusal in refused), *notices], places)


def _arrived(inbox: Inbox, instance: DagsterInstance, before: Look | None) -> tuple[Landed, list[str]]:
    drops, moving = settled(inbox.zone.drops(inbox.source), before=before)
    notices = [str(oddity) for oddity in inbox.zone.oddities(inbox.source)]
    notices += [f"{drop.path} is still being written: left for the next run." for drop in moving if not drop.held_back]
    if held_back_days := sorted({str(drop.day) for drop in moving if drop.held_back}):
        told = ", ".join(held_back_days[:5]) + (" …" if len(held_back_days) > 5 else "")
        notices.append(f"Events of {told} are still coming in, or the day is open: left for a later run.")
    notices += inbox.notices(drops)
    by_day, held_back = inbox.by_day(drops), set(inbox.by_day(moving))
    arrived = Arrived({day: found for day, found in by_day.items() if day not in held_back}, held_back)
    return arrived.landed(lambda made: ingested(instance, made)), notices
