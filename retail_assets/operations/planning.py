"""What is due: which partitions of which tables the main job has to make.

A partition is due if it was never made or is no longer there, if the drops it was made from changed, or if anything it
reads has other rows than when it was made. So a corrected drop brings along its day and what depends on it, and nothing
else; whatever was interrupted is due again; and what was made again, and is as it was, brings along nothing.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import chain

from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterEventType,
    DagsterInstance,
    TimeWindowPartitionMapping,
    TimeWindowPartitionsDefinition,
)

from retail_assets.lakehouse.table import DUE, HISTORY
from retail_assets.operations.contents import Contents, Read
from retail_assets.operations.materializations import Made, newest_materializations
from retail_assets.operations.stored import Gone, Stored
from retail_assets.partitions.cadence import NEWEST, NEWEST_ORIGIN, ORIGINS, WEEKS_OF_ORIGINS, WHOLE, is_origin, monday
from retail_assets.partitions.keys import PARTITION

Partition = tuple[AssetKey, str]

Landed = Callable[[Mapping[str, int]], tuple[set[str], str | None]]
"""What is asked about a table that reads the landing zone: given the storage id of each partition's newest
materialization, the partitions whose drops changed since, and the newest landed day."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; by default whatever is landed and missing or out of date."""

    first_day: date | None = None
    last_day: date | None = None
    tables: frozenset[AssetKey] | None = None
    everything: bool = False
    newest_month_only: bool = False
    left_alone: "LeftAlone | None" = None

    def wants(self, table: AssetKey) -> bool:
        """Whether the table was asked for."""
        return self.tables is None or table in self.tables

    def covers(self, partition: str, cadence: "Cadence") -> bool:
        """Whether the partition lies between the days that were asked for; a month or week does with any of its
        days."""
        day, first = date.fromisoformat(partition), self.first_day
        if first is not None and day < cadence.begins(first):
            return False
        return self.last_day is None or day <= self.last_day

    def leaves_alone(self, graph: "Graph", past: "Past", due: Mapping[AssetKey, Sequence[str]]) -> set[Partition]:
        """Of what is due, what is not to be made now, and with it what reads that."""
        return self.left_alone(graph, past, due) if self.left_alone else set()


class Cadence(StrEnum):
    """Of what length a table's partitions are."""

    DAY = "0 0 * * *"
    WEEK = "0 0 * * 1"
    SNAPSHOT = ""
    """A month; or all there is."""

    def begins(self, day: date) -> date:
        """The first day of the partition that the day lies in."""
        first = {Cadence.DAY: day, Cadence.WEEK: monday(day), Cadence.SNAPSHOT: day.replace(day=1)}
        return first[self]

    def is_over(self, partition: str, newest: str) -> bool:
        """Whether nothing more is to come of the partition where the newest landed day is this one. Days are over once
        they landed; of months the running one is made, too; of weeks it is not."""
        if self is not Cadence.WEEK or newest in ("", _NO_END):
            return partition <= newest
        return date.fromisoformat(partition) + timedelta(days=6) <= date.fromisoformat(newest)


_CADENCES = {cadence.value: cadence for cadence in Cadence}


def cadence_of(graph: "Graph", key: AssetKey) -> Cadence:
    """Of what length the table's partitions are."""
    return _CADENCES.get(graph.partitions_def(key).cron_schedule, Cadence.SNAPSHOT)


class Graph:
    """The tables of the lakehouse in the order of the data, and the partitions that each reads."""

    def __init__(self, assets: Sequence[AssetsDefinition]) -> None:
        # An asset that other tables' steps write has nothing that could be due.
        by_key = {asset.key: asset for asset in assets if asset.is_executable and asset.keys}
        self.assets = {key: by_key[key] for key in _in_order(by_key)}
        # Many tables share a calendar and a cadence; its thousands of days are worked out once.
        every = {definition: definition.get_partition_keys() for definition in map(self.partitions_def, self.assets)}
        self._partitions = {key: every[self.partitions_def(key)] for key in self.assets}
        self._reads: dict[tuple[AssetKey, AssetKey], dict[str, slice]] = {}

    @cached_property
    def roots(self) -> list[AssetKey]:
        """The tables that read nothing of the lakehouse."""
        return [key for key in self.assets if not any(self.parents(key))]

    def partitions_def(self, key: AssetKey) -> TimeWindowPartitionsDefinition:
        """How the table is partitioned."""
        found = self.assets[key].partitions_def
        assert isinstance(found, TimeWindowPartitionsDefinition)
        return found

    @property
    def columns(self) -> dict[AssetKey, str]:
        """Table -> the column that holds its partition, where it says so."""
        said = {key: asset.metadata_by_key[key].get(PARTITION) for key, asset in self.assets.items()}
        return {key: column for key, column in said.items() if column}

    def partitions(self, key: AssetKey) -> Sequence[str]:
        """All partition keys of the table, in order of time."""
        return self._partitions[key]

    def parents(self, key: AssetKey) -> Iterable[AssetKey]:
        """The tables that this one reads."""
        return (parent for parent in self.assets[key].asset_deps[key] if parent in self.assets)

    def reads(self, key: AssetKey, parent: AssetKey) -> Mapping[str, slice]:
        """Partition of the table -> the span of the parent's partitions that it reads.

        Partition keys are ISO dates, so spans are found by bisection; asking Dagster's mapping for each of thousands of
        partitions would take seconds.
        """
        if (key, parent) not in self._reads:
            self._reads[key, parent] = self._spans(key, parent)
        return self._reads[key, parent]

    def _spans(self, key: AssetKey, parent: AssetKey) -> dict[str, slice]:
        mapping = self.assets[key].get_partition_mapping(parent)
        assert isinstance(mapping, TimeWindowPartitionMapping)
        own, theirs = self.partitions(key), self.partitions(parent)
        if cadence_of(self, key) is Cadence.WEEK:
            return {p: _of_weeks(p, mapping, theirs, cadence_of(self, parent)) for p in own}
        found = {}
        for i, partition in enumerate(own):
            first, after = i + mapping.start_offset, i + mapping.end_offset + 1
            # Before the table's own first partition the calendar starts for what it reads, too, or lies near.
            begin = bisect_left(theirs, own[first]) if first >= 0 else 0
            found[partition] = slice(begin, bisect_left(theirs, own[after]) if after < len(own) else len(theirs))
        return found

    def needs(self, key: AssetKey, parent: AssetKey) -> Mapping[str, slice]:
        """Of what `reads` tells, what must have been made: of a table's history, read as far as it was made, the same
        partition only."""
        reads = self.reads(key, parent)
        if parent.to_user_string() not in self.assets[key].metadata_by_key[key].get(HISTORY, ()):
            return reads
        theirs = self.partitions(parent)
        return {p: slice(max(span.start, bisect_left(theirs, p)), span.stop) for p, span in reads.items()}


def _of_weeks(week: str, mapping: TimeWindowPartitionMapping, theirs: Sequence[str], cadence: Cadence) -> slice:
    """Which partitions of another table a week reads: those with any day of the weeks that are mapped to it."""
    monday = date.fromisoformat(week)
    first, after = (monday + timedelta(weeks=weeks) for weeks in (mapping.start_offset, mapping.end_offset + 1))
    begin = bisect_left(theirs, str(cadence.begins(first)))
    return slice(begin, max(begin, bisect_left(theirs, str(after))))


def _in_order(assets: Mapping[AssetKey, AssetsDefinition]) -> list[AssetKey]:
    """Every table after what it reads; otherwise as they are declared."""
    order: list[AssetKey] = []

    def visit(key: AssetKey) -> None:
        if key in assets and key not in order:
            for parent in sorted(assets[key].asset_deps[key]):
                visit(parent)
            order.append(key)

    for key in assets:
        visit(key)
    return order


LeftAlone = Callable[["Graph", "Past", Mapping[AssetKey, Sequence[str]]], set[Partition]]
"""What, of all that is due by what is known of the past, is not to be made now."""

Changed = Callable[[AssetKey, Collection[Read]], Collection[Read]]
"""Of what was read of a table, and was made again since, what holds other rows now."""


def all_of_it(table: AssetKey, reads: Collection[Read]) -> Collection[Read]:
    """Whatever was made again counts as changed."""
    return reads


@dataclass(frozen=True)
class Past:
    """What was made, by the event log; what of it is gone; and how it is told that a partition holds other rows."""

    made: Mapping[AssetKey, Mapping[str, Made]]
    gone: Sequence[Gone] = ()
    changed: Changed = all_of_it

    @cached_property
    def storage_ids(self) -> dict[AssetKey, dict[str, int]]:
        """Table -> partition -> when it was made."""
        return {key: {p: found.storage_id for p, found in made.items()} for key, made in self.made.items()}

    def missing(self, key: AssetKey) -> set[str]:
        """The table's partitions that are gone."""
        return {partition for gone in self.gone if gone.key == key for partition in gone.partitions}


def looked_back(
    graph: Graph, instance: DagsterInstance, stored: Stored | None, contents: Contents | None = None
) -> Past:
    """What the event log says, held against what is `stored`, where that can be looked at from here. `contents` keeps
    what was looked up, from one look back to the next."""
    every = newest_materializations(instance, graph.assets)
    # A calendar may have become shorter.
    made = {key: {p: every[key][p] for p in graph.partitions(key) if p in every[key]} for key in graph.assets}
    gone = stored.gone(instance, made, graph.columns) if stored else ()
    return Past(made, gone, (contents or Contents(instance)).changed)


def due_partitions(
    graph: Graph,
    instance: DagsterInstance,
    request: Request,
    landed: Mapping[AssetKey, Landed],
    stored: Stored | None = None,
) -> dict[AssetKey, list[str]]:
    """Table -> its due partitions, in order of time.

    `landed` says for each table that reads the landing zone which of its partitions changed there since they were made
    (given the storage id of each partition's newest materialization) and the newest landed day; what lies after that
    day is not due, as nothing has landed for it. Where tables are `stored`, what is no longer there is due as well.
    """
    past = looked_back(graph, instance, stored)
    return what_is_due(graph, past, arrivals_since(past, landed), request)


def arrivals_since(past: Past, landed: Mapping[AssetKey, Landed]) -> dict[AssetKey, tuple[set[str], str | None]]:
    """Table -> the partitions whose drops changed since they were made, and the newest landed day."""
    return {key: changed(past.storage_ids[key]) for key, changed in landed.items() if key in past.made}


def what_is_due(
    graph: Graph,
    past: Past,
    arrived: Mapping[AssetKey, tuple[set[str], str | None]],
    request: Request,
) -> dict[AssetKey, list[str]]:
    """Table -> its due partitions, in order of time; by what is known of the `past`, and by what `arrived` (table ->
    the partitions that changed in the landing zone, and the newest landed day)."""
    newest = _newest(graph, arrived)
    # What is not asked for is not about to be made: nothing that reads it waits for it.
    wanted = _newest_months(graph, newest) if request.newest_month_only else None
    due: dict[AssetKey, list[str]] = {}
    coming: dict[AssetKey, set[str]] = {}
    for key in graph.assets:
        changed = arrived[key][0] if key in arrived else _outdated(graph, key, past, coming)
        current = set() if request.everything else past.made[key].keys() - changed
        there = current - past.missing(key)
        asked = _asked_for(graph, key, request, newest[key], past.made[key].keys())
        due[key] = [p for p in asked if p not in there and (wanted is None or p in wanted[key])]
        # What is gone comes back as it was. Whether what reads it is due is known once it is made.
        coming[key] = set(due[key]) - current
    return {key: partitions for key, partitions in due.items() if partitions}


_NO_END = str(date.max)
"""Up to where a table can be made that reads only what has no history."""


def as_it_was_made(under_way: Collection[str]) -> Landed:
    """Of a table that reads nothing of the lakehouse: it is as it was last made; what is about to be made, is due.

    Of days in between that were never made, the planner says the same: they failed, and what reads them waits.
    """
    return lambda made: (set(under_way), max({*made, *under_way}, default=None))


def _newest(graph: Graph, arrived: Mapping[AssetKey, tuple[set[str], str | None]]) -> dict[AssetKey, str]:
    """Up to where each table can be made, from the newest landed day on; empty where nothing has landed."""
    newest: dict[AssetKey, str] = {}
    for key in graph.assets:
        newest[key] = (arrived[key][1] if key in arrived else _upstream(graph, key, newest)) or ""
        if newest[key] and graph.partitions(key) == [str(WHOLE)]:
            newest[key] = _NO_END
    return newest


def _upstream(graph: Graph, key: AssetKey, newest: Mapping[AssetKey, str]) -> str | None:
    """Up to where all that the table reads can be there."""
    return min((newest[parent] for parent in graph.parents(key)), default=None)


def _asked_for(graph: Graph, key: AssetKey, request: Request, newest: str, made: Collection[str]) -> list[str]:
    """The table's partitions up to the newest that there can be, as far as they were asked for. What was `made` is kept
    up to date, whether or not it would have been made by itself."""
    if not request.wants(key):
        return []
    cadence = cadence_of(graph, key)
    there = [p for p in graph.partitions(key) if cadence.is_over(p, newest)]
    asked = [p for p in there if request.covers(p, cadence)]
    by_itself = graph.assets[key].metadata_by_key[key].get(DUE)
    if by_itself is None:
        return asked
    # Whoever asks for a span of days wants the origins in it, however long ago.
    wanted = due_by_themselves(by_itself, there, request.first_day is not None) | set(made)
    return [p for p in asked if p in wanted]


def due_by_themselves(rules: Collection[str], weeks: Sequence[str], however_long_ago: bool = False) -> set[str]:
    """Of a table of weeks that are not all made without being asked for: those that are. `weeks`: that are over."""
    found = set(weeks[-1:]) if NEWEST in rules else set()
    near = weeks if however_long_ago else weeks[-WEEKS_OF_ORIGINS:]
    origins = [week for week in near if is_origin(date.fromisoformat(week))]
    found |= set(origins if ORIGINS in rules else origins[-1:] if NEWEST_ORIGIN in rules else ())
    return found


def _outdated(graph: Graph, key: AssetKey, past: Past, coming: Mapping[AssetKey, set[str]]) -> set[str]:
    """The partitions that read something that has other rows now, or is about to be made."""
    found: set[str] = set()
    for parent in graph.parents(key):
        late = _late(graph, key, parent, past, coming[parent])
        found |= late.keys() - {partition for partition, reads in late.items() if reads}
        changed = past.changed(parent, set(chain.from_iterable(late.values())))
        found |= {partition for partition, reads in late.items() if not reads.isdisjoint(changed)}
    return found


def _late(graph: Graph, key: AssetKey, parent: AssetKey, past: Past, coming: Collection[str]) -> dict[str, set[Read]]:
    """Partitions of a table that were made before some of the parent's that they read, each with what it read of these;
    with nothing where one of these is yet `coming`, and needs no closer look."""
    own, theirs = past.storage_ids[key], graph.partitions(parent)
    made = {**past.storage_ids[parent], **dict.fromkeys(coming, math.inf)}
    if not made or max(made.values()) < min(own.values(), default=math.inf):
        return {}
    stored = [made.get(partition, -1) for partition in theirs]
    newest = {p: max(stored[span], default=-1) for p, span in graph.reads(key, parent).items() if p in own}
    late = {p: graph.reads(key, parent)[p] for p, number in newest.items() if number > own[p]}
    return {
        p: set() if newest[p] == math.inf else _later(theirs[span], stored[span], own[p]) for p, span in late.items()
    }


def _later(partitions: Sequence[str], numbers: Sequence[float], own: int) -> set[Read]:
    return {(partition, own) for partition, number in zip(partitions, numbers, strict=True) if number > own}


def _newest_months(graph: Graph, newest: Mapping[AssetKey, str]) -> dict[AssetKey, set[str]]:
    """The partitions that the newest monthly snapshot of every table hangs on: every day, and of each monthly table the
    newest month and whatever later tables read of it."""
    wanted: dict[AssetKey, set[str]] = {key: set() for key in graph.assets}
    for key in reversed(list(graph.assets)):
        made = [p for p in graph.partitions(key) if cadence_of(graph, key).is_over(p, newest[key])]
        wanted[key] |= set(made if cadence_of(graph, key) is Cadence.DAY else made[-1:])
        for parent in graph.parents(key):
            needs, theirs = graph.needs(key, parent), graph.partitions(parent)
            wanted[parent].update(*(theirs[needs[p]] for p in wanted[key]))
    return wanted


def is_monthly(graph: Graph, key: AssetKey) -> bool:
    """Whether the table's partitions are months, or all there is."""
    return cadence_of(graph, key) is Cadence.SNAPSHOT


def tried(graph: Graph, instance: DagsterInstance, past: Past, key: AssetKey, due: Collection[str]) -> set[str]:
    """Due partitions of a table that a run was to make after everything that they read was made, and after they
    themselves were made that are no longer there."""
    gone = past.missing(key)
    planned = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    )
    since = {p: past.storage_ids[key][p] if p in gone else -1 for p in due}
    for parent in graph.parents(key):
        stored = [past.storage_ids[parent].get(p, -1) for p in graph.partitions(parent)]
        for partition, span in graph.reads(key, parent).items():
            if partition in since:
                since[partition] = max(since[partition], *stored[span], -1)
    return {partition for partition, number in since.items() if planned.get(partition, -1) > number}
