"""What is due: which partitions of which tables the main job has to make, and in which runs.

A partition is due if it was never made, if the drops it was made from changed, or if anything it reads was made after
it. So a corrected drop brings along its day and what depends on it, and nothing else; and whatever was interrupted is
due again.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterEventType,
    DagsterInstance,
    TimeWindowPartitionMapping,
    TimeWindowPartitionsDefinition,
)

Partition = tuple[AssetKey, str]


@dataclass(frozen=True)
class PlannedRun:
    """One Dagster run: tables, in order, over a range of consecutive partitions of one cadence."""

    keys: tuple[AssetKey, ...]
    first: str
    last: str
    partitions: tuple[str, ...]

    def __str__(self) -> str:
        span = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return f"{span} ({len(self.partitions)} partition{'s' if len(self.partitions) > 1 else ''})"


@dataclass(frozen=True)
class Request:
    """What the user asked for; by default whatever is landed and missing or out of date."""

    first_day: date | None = None
    last_day: date | None = None
    tables: frozenset[AssetKey] | None = None
    everything: bool = False
    newest_month_only: bool = False


class Graph:
    """The tables of the lakehouse in the order of the data, and the partitions that each reads."""

    def __init__(self, assets: Sequence[AssetsDefinition]) -> None:
        # An asset that other tables' steps write has nothing that could be due.
        by_key = {asset.key: asset for asset in assets if asset.is_executable}
        self.assets = {key: by_key[key] for key in _in_order(by_key)}
        self._partitions = {key: list(self.partitions_def(key).get_partition_keys()) for key in self.assets}

    def partitions_def(self, key: AssetKey) -> TimeWindowPartitionsDefinition:
        """How the table is partitioned."""
        found = self.assets[key].partitions_def
        assert isinstance(found, TimeWindowPartitionsDefinition)
        return found

    def partitions(self, key: AssetKey) -> Sequence[str]:
        """All partition keys of the table, in order of time."""
        return self._partitions[key]

    def parents(self, key: AssetKey) -> Iterable[AssetKey]:
        """The tables that this one reads."""
        return (parent for parent in self.assets[key].asset_deps[key] if parent in self.assets)

    def reads(self, key: AssetKey, parent: AssetKey) -> dict[str, slice]:
        """Partition of the table -> the span of the parent's partitions that it reads.

        Partition keys are ISO dates, so spans are found by bisection; asking Dagster's mapping for each of thousands of
        partitions would take seconds.
        """
        mapping = self.assets[key].get_partition_mapping(parent)
        assert isinstance(mapping, TimeWindowPartitionMapping)
        own, theirs = self.partitions(key), self.partitions(parent)
        found = {}
        for i, partition in enumerate(own):
            first, after = i + mapping.start_offset, i + mapping.end_offset + 1
            # Before the table's own first partition the calendar starts for what it reads, too, or lies near.
            begin = bisect_left(theirs, own[first]) if first >= 0 else 0
            found[partition] = slice(begin, bisect_left(theirs, own[after]) if after < len(own) else len(theirs))
        return found


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


def due_partitions(
    graph: Graph,
    instance: DagsterInstance,
    request: Request,
    landed: Mapping[AssetKey, Callable[[Mapping[str, int]], tuple[set[str], str | None]]],
) -> dict[AssetKey, list[str]]:
    """Table -> its due partitions, in order of time.

    `landed` says for each table that reads the landing zone which of its partitions changed there since they were made
    (given the storage id of each partition's newest materialization) and the newest landed day; what lies after that
    day is not due, as nothing has landed for it.
    """
    due: dict[AssetKey, list[str]] = {}
    newest: dict[AssetKey, str] = {}
    made: dict[AssetKey, Mapping[str, int]] = {}
    for key in graph.assets:
        made[key] = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION
        )
        parents = list(graph.parents(key))
        if key in landed:
            changed, horizon = landed[key](made[key])
        else:
            changed = set()
            for parent in parents:
                fresh = {**made[parent], **dict.fromkeys(due[parent], math.inf)}
                changed |= _reading(graph, key, parent, fresh, made[key])
            horizon = min((newest[parent] for parent in parents), default=None)
        if horizon is None:
            due[key], newest[key] = [], ""
            continue
        newest[key] = horizon
        within = [p for p in graph.partitions(key) if p <= horizon and _requested(p, request, graph, key)]
        if request.everything and (request.tables is None or key in request.tables):
            due[key] = within
        else:
            due[key] = [p for p in within if p not in made[key] or p in changed]
        if request.tables is not None and key not in request.tables:
            due[key] = []
    if request.newest_month_only:
        wanted = _newest_months(graph, newest)
        due = {key: [p for p in partitions if p in wanted[key]] for key, partitions in due.items()}
    return {key: partitions for key, partitions in due.items() if partitions}


def _reading(
    graph: Graph, key: AssetKey, parent: AssetKey, fresh: Mapping[str, float], own: Mapping[str, int]
) -> set[str]:
    """Partitions of a table that read one of the parent's made after them (`fresh`: partition -> storage id)."""
    if not fresh or max(fresh.values()) < min(own.values(), default=math.inf):
        return set()
    stored = [fresh.get(partition, -1) for partition in graph.partitions(parent)]
    return {p for p, span in graph.reads(key, parent).items() if p in own and max(stored[span], default=-1) > own[p]}


def _newest_months(graph: Graph, newest: Mapping[AssetKey, str]) -> dict[AssetKey, set[str]]:
    """The partitions that the newest monthly snapshot of every table hangs on: every day, and of each monthly table the
    newest month and whatever later tables read of it."""
    wanted: dict[AssetKey, set[str]] = {key: set() for key in graph.assets}
    for key in reversed(list(graph.assets)):
        made = [p for p in graph.partitions(key) if p <= newest[key]]
        wanted[key] |= set(made[-1:] if _is_monthly(graph, key) else made)
        for parent in graph.parents(key):
            for partition, span in graph.reads(key, parent).items():
                if partition in wanted[key]:
                    wanted[parent] |= set(graph.partitions(parent)[span])
    return wanted


def _is_monthly(graph: Graph, key: AssetKey) -> bool:
    keys = graph.partitions(key)
    return len(keys) < 2 or (date.fromisoformat(keys[1]) - date.fromisoformat(keys[0])).days > 1


def _requested(partition: str, request: Request, graph: Graph, key: AssetKey) -> bool:
    day = date.fromisoformat(partition)
    if request.first_day is not None:
        first = request.first_day.replace(day=1) if _is_monthly(graph, key) else request.first_day
        if day < first:
            return False
    return request.last_day is None or day <= request.last_day


def without_blocked(
    graph: Graph, due: Mapping[AssetKey, Sequence[str]], failed: set[Partition]
) -> tuple[dict[AssetKey, list[str]], set[Partition]]:
    """What can still be made after failures, and what cannot: the failed partitions and all that read them."""
    blocked = set(failed)
    left = {}
    for key in graph.assets:
        for parent in graph.parents(key):
            bad = [(parent, p) in blocked for p in graph.partitions(parent)]
            if any(bad):
                blocked |= {(key, p) for p, span in graph.reads(key, parent).items() if any(bad[span])}
        left[key] = [p for p in due.get(key, []) if (key, p) not in blocked]
    waiting = {(key, p) for key, partitions in due.items() for p in partitions if (key, p) in blocked}
    return {key: partitions for key, partitions in left.items() if partitions}, waiting - failed


def next_run(graph: Graph, due: Mapping[AssetKey, Sequence[str]]) -> PlannedRun | None:
    """The first run to make: the first due table's first range of consecutive due partitions, and every further table
    that is due for exactly this range and can be made in the same run."""
    for key in graph.assets:
        if key not in due:
            continue
        together = [k for k in graph.assets if due.get(k) == due[key] and graph.partitions(k) == graph.partitions(key)]
        ready: list[AssetKey] = []
        for candidate in together:
            if all(parent in ready or parent not in due for parent in graph.parents(candidate)):
                ready.append(candidate)
        span = _consecutive(graph.partitions(key), due[key])
        return PlannedRun(tuple(ready), span[0], span[-1], tuple(span))
    return None


def _consecutive(all_partitions: Sequence[str], due: Sequence[str]) -> list[str]:
    """The first of the due partitions and those that follow it without a gap."""
    position = {partition: i for i, partition in enumerate(all_partitions)}
    span = [due[0]]
    for partition in due[1:]:
        if position[partition] != position[span[-1]] + 1:
            break
        span.append(partition)
    return span
