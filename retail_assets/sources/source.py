"""A source: whose data it is, which tables it has, and where each of what it delivers arrives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table, terms_of
from retail_assets.landing.calendar import calendar_of
from retail_assets.landing.drops import LandingZone
from retail_assets.operations.arrival import Inbox
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import Settings
from retail_assets.sources.landings import How
from retail_assets.streaming.event_zone import zone_of
from retail_assets.streaming.landed_events import build as landed_events


@dataclass(frozen=True)
class Source:
    """One source of data.

    `owner` is what its tables are handed as `source`: name, currency, and what only its own tables ask about.
    `arrives`: table that ingests -> the directory below the landing zone's root in which its drops lie. `id_columns`:
    of these, people read pseudonyms where there is a key. `lands`: lands files of it, and says what became of them.
    `makes`: writes files like its own into a directory, for rehearsals.
    """

    owner: Any
    declared: Sequence[Table]
    declared_results: ResultsTable
    arrives: Mapping[str, str]
    id_columns: frozenset[str]
    lands: Callable[[Sequence[Path], LandingZone, How], list[str]]
    makes: Callable[[Path], Sequence[Path]] | None = None

    @property
    def name(self) -> str:
        """What its tables are called by, and its directory in the landing zone."""
        return str(self.owner.name)

    @property
    def terms(self) -> str | None:
        """Under which its data may be used, where that must be told."""
        return terms_of(self.owner)

    @cached_property
    def tables(self) -> list[Table]:
        """Its tables, in the order of the data."""
        return [table.of(self.owner) for table in self.declared]

    @cached_property
    def results(self) -> ResultsTable:
        """The table that all of them write the results of their checks to."""
        return self.declared_results.of(self.owner)

    @property
    def stored(self) -> list[Table | ResultsTable]:
        """Everything of this source that lies in the lakehouse."""
        return [*self.events, *self.tables, self.results]

    @property
    def events(self) -> list[ResultsTable]:
        """The table of its events, where it has some."""
        layout = getattr(self.owner, "layout", None)
        return [landed_events.of(self.owner)] if layout is not None and layout.events else []

    def until(self, last_day: date | None) -> Self:
        """The source with a calendar that ends there."""
        return replace(self, owner=replace(self.owner, last_day=last_day))

    def calendar(self, settings: Settings) -> Calendar:
        """Its days, as the landing zone or the environment states them. Raises SettingError."""
        return calendar_of(settings, self.name)

    def inboxes(self, settings: Settings) -> list[Inbox]:
        """Where its drops arrive, and the tables that ingest them."""
        zone, calendar = zone_of(settings, [self.owner]), self.calendar(settings)
        keys = {table.key.path[-1]: table.key for table in self.tables}
        return [Inbox(directory, keys[table], zone, calendar) for table, directory in self.arrives.items()]

    def has_landed(self, settings: Settings) -> bool:
        """Whether there is a drop of it, or one on its way. Raises ZoneRefused for a zone that cannot be listed."""
        listed = map(zone_of(settings, [self.owner]).listed, self.arrives.values())
        return any(drops or under_way for drops, _, under_way in listed)
