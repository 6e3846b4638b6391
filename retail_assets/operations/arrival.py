"""Arrival: which days' drops are new, changed or gone since their day was ingested. Knows no source.

What was ingested is told by the table itself: every materialization of a day carries the fingerprints of the drops it
was made from and the hashes of their content. `retail run` and the arrival sensor both ask here.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from dagster import AssetKey, DagsterInstance

from retail_assets.landing.drop_reader import DropRefused, content_hash
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.operations.materializations import newest_materializations, said
from retail_assets.operations.planning import Landed
from retail_assets.partitions.cadence import WHOLE
from retail_assets.partitions.calendar import Calendar

DROPS = "drops"
"""Metadata: the fingerprints of the drops a partition was made from; they tell a corrected drop from a known one."""

CONTENTS = "drop_contents"
"""Metadata: the hashes of what was in these drops; they tell a drop that was only renamed from a corrected one."""


def fingerprints(drops: Collection[Drop]) -> list[str]:
    """What identifies the content of a day's drops, without reading them."""
    return [drop.fingerprint for drop in drops]


def state(found: Collection[str]) -> str:
    """The fingerprints of a day in one short text; of no drop, too."""
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Inbox:
    """Where a source's drops arrive, the table that ingests them, and the days that this table can have."""

    source: str
    table: AssetKey
    zone: LandingZone
    calendar: Calendar

    def by_day(self, drops: Collection[Drop]) -> dict[str, list[Drop]]:
        """The drops within the calendar, by day."""
        found: dict[str, list[Drop]] = {}
        for drop in drops:
            if self._is_read(drop):
                found.setdefault(drop.day.isoformat(), []).append(drop)
        return found

    def _is_read(self, drop: Drop) -> bool:
        return drop.day == WHOLE or self.calendar.includes(drop.day)

    def notices(self, drops: Collection[Drop]) -> list[str]:
        """What people should know of drops that are left alone."""
        outside = [drop for drop in drops if not self._is_read(drop)]
        if not outside:
            return []
        named = ", ".join(drop.name for drop in outside[:5]) + (" …" if len(outside) > 5 else "")
        return [
            f"{len(outside)} drops lie outside the calendar, {self.calendar.first_day} to {self.calendar.newest_day}, "
            f"and are left alone: {named}. If their dates are right, land them (retail land FILE…) or set "
            f"RETAIL_{self.source.upper()}_FIRST_DAY and _LAST_DAY; a day in the future waits until it is over."
        ]


@dataclass(frozen=True)
class Ingested:
    """What a day was last made from: the fingerprints and the content hashes of its drops."""

    fingerprints: list[str]
    contents: list[str]

    @property
    def state(self) -> str:
        """Of the day's fingerprints."""
        return state(self.fingerprints)

    def holds(self, found: Sequence[str] | None) -> bool:
        """Whether these contents of a day's drops, None if they cannot be read, are what was ingested, to the byte."""
        return bool(self.contents) and found == self.contents


def ingested(instance: DagsterInstance, made: Mapping[str, int]) -> dict[str, Ingested]:
    """Day -> what it was made from, as its newest materialization says; days of which none says so are left out.

    `made` are the days' materializations by storage id.
    """
    told = said(instance, made.values(), (DROPS, CONTENTS))
    found = {day: told.get(number, {}) for day, number in made.items()}
    return {day: Ingested(of[DROPS], of.get(CONTENTS, [])) for day, of in found.items() if DROPS in of}


def missing_drops(instance: DagsterInstance, inbox: Inbox) -> list[str]:
    """The names of the drops that the table was made from and that do not lie in the landing zone, of the same size."""
    newest = newest_materializations(instance, [inbox.table])[inbox.table]
    made_from = ingested(instance, {day: found.storage_id for day, found in newest.items()})
    there = {(drop.name, str(drop.size)) for drop in inbox.zone.drops(inbox.source)}
    names = [tuple(of.rsplit(":", 2)[:2]) for found in made_from.values() for of in found.fingerprints]
    return sorted(name for name, size in names if (name, size) not in there)


@dataclass(frozen=True)
class Arrived:
    """The drops of a source by day, as they lie there now. `held_back` are days that must not be made yet, as a drop of
    theirs is still being written."""

    by_day: Mapping[str, list[Drop]]
    held_back: Collection[str] = frozenset()

    def landed(self, known: Callable[[Mapping[str, int]], Mapping[str, Ingested]]) -> Landed:
        """What the planner asks about the table that ingests these drops; `known` is what it ingested, by day."""
        compared: dict[tuple[str, str], bool] = {}  # drops are read once, however often the job plans anew

        def holds(day: str, before: Ingested) -> bool:
            if (day, before.state) not in compared:
                compared[day, before.state] = before.holds(contents(self.by_day.get(day, [])))
            return compared[day, before.state]

        def changed(made: Mapping[str, int]) -> tuple[set[str], str | None]:
            differing = {
                day: before
                for day, before in known(made).items()
                if day not in self.held_back and before.fingerprints != fingerprints(self.by_day.get(day, []))
            }
            newest = newest_landed({*self.by_day, *made}, set(self.held_back) - set(made))
            return {day for day, before in differing.items() if not holds(day, before)}, newest

        return changed


def newest_landed(days: Collection[str], waiting: Collection[str]) -> str:
    """The newest of the days that have drops or were made; "" if there is none.

    A newest drop that is gone leaves its day to be made anew, and what reads it, though nothing lies there now. A new
    day whose drop is still being written must not be made as an empty one: it is `waiting`, and what follows it waits.
    """
    first_waiting = min(waiting, default=None)
    return max((day for day in days if first_waiting is None or day < first_waiting), default="")


def contents(drops: Collection[Drop]) -> list[str] | None:
    """The hashes of what is in a day's drops, each once; None if one of them cannot be read."""
    try:
        return sorted({content_hash(drop.path) for drop in drops})
    except DropRefused:
        return None
