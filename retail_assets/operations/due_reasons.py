"""Why what is due is due: in words, by table, with the partitions that each reason is of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dagster import AssetKey, DagsterEventType, DagsterInstance

from retail_assets.operations.planning import Graph, Past, tried

NEVER_MADE = "not made yet"
LANDED = "landed, not ingested yet"
CORRECTED = "its drop was corrected since it was ingested"
TAKEN_AWAY = "its drop was taken away since it was ingested"
FAILED = "a run tried it, and it failed"
ASKED_FOR = "asked for, though nothing has changed"


@dataclass(frozen=True)
class Due:
    """Partitions of a table that are due for one reason, in order."""

    table: str
    why: str
    partitions: Sequence[str]


@dataclass(frozen=True)
class Why:
    """What there is to know of what is due. `dropped`: table that ingests -> the days of which a drop lies there."""

    graph: Graph
    instance: DagsterInstance
    past: Past
    due: Mapping[AssetKey, Sequence[str]]
    dropped: Mapping[AssetKey, Collection[str]]

    def reasons(self) -> list[Due]:
        """In the order of the data; of each table the reasons in the order of their first partitions."""
        found: list[Due] = []
        for key, partitions in self.due.items():
            by_reason: dict[str, list[str]] = {}
            failed = self._failed(key, partitions)
            for partition in partitions:
                by_reason.setdefault(self._of(key, partition, failed), []).append(partition)
            found += [Due(".".join(key.path), why, of) for why, of in by_reason.items()]
        return found

    def _of(self, key: AssetKey, partition: str, failed: Collection[str]) -> str:
        gone = next((gone.why for gone in self.past.gone if gone.key == key and partition in gone.partitions), None)
        if gone:
            return f"made once, and no longer there: {gone}"
        made = self.past.storage_ids[key].get(partition)
        if key in self.dropped:
            there = partition in self.dropped[key]
            new = LANDED if there else NEVER_MADE
            return FAILED if partition in failed else new if made is None else CORRECTED if there else TAKEN_AWAY
        waits_for, again = self._read(key, partition, made)
        if waits_for:
            return f"it reads {', '.join(waits_for)}, due as well"
        if partition in failed:
            return FAILED
        if made is None:
            return NEVER_MADE
        return f"it reads {', '.join(again)}, which has other rows now" if again else ASKED_FOR

    def _read(self, key: AssetKey, partition: str, made: int | None) -> tuple[list[str], list[str]]:
        """What it reads that is due, too, and what was made again since it was `made`."""
        due, again = [], []
        for parent in self.graph.parents(key):
            read = self.graph.partitions(parent)[self.graph.reads(key, parent)[partition]]
            stored = self.past.storage_ids[parent]
            if not self._due[parent].isdisjoint(read):
                due.append(parent.path[-1])
            elif made is not None and max((stored.get(each, -1) for each in read), default=-1) > made:
                again.append(parent.path[-1])
        return due, again

    @cached_property
    def _due(self) -> dict[AssetKey, frozenset[str]]:
        return {key: frozenset(self.due.get(key, ())) for key in self.graph.assets}

    def _failed(self, key: AssetKey, partitions: Sequence[str]) -> set[str]:
        if key not in self.dropped:
            return tried(self.graph, self.instance, self.past, key, partitions) - self._fresh(key, partitions)
        planned = self.instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        )
        made = self.past.storage_ids[key]
        return {partition for partition in partitions if planned.get(partition, -1) > made.get(partition, -1)}

    def _fresh(self, key: AssetKey, partitions: Sequence[str]) -> set[str]:
        """What was made after it was last planned: it is due for another reason."""
        planned = self.instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        )
        made = self.past.storage_ids[key]
        return {partition for partition in partitions if made.get(partition, -1) > planned.get(partition, -1)}
