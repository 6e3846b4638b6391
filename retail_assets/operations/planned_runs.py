"""The runs that make what is due, each over as many tables and partitions as can be made together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dagster import AssetKey

from retail_assets.operations.planning import Graph, Partition


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


def without_blocked(
    graph: Graph, due: Mapping[AssetKey, Sequence[str]], failed: set[Partition]
) -> tuple[dict[AssetKey, list[str]], set[Partition]]:
    """What can still be made after failures, and what cannot: the failed partitions and all that read them."""
    blocked = _blocked_by(graph, failed)
    left = {key: [p for p in due.get(key, []) if (key, p) not in blocked] for key in graph.assets}
    waiting = {(key, p) for key, partitions in due.items() for p in partitions if (key, p) in blocked}
    return {key: partitions for key, partitions in left.items() if partitions}, waiting - failed


def _blocked_by(graph: Graph, failed: set[Partition]) -> set[Partition]:
    """The failed partitions, and all that need them."""
    blocked = set(failed)
    for key in graph.assets:
        for parent in graph.parents(key):
            bad = [(parent, p) in blocked for p in graph.partitions(parent)]
            if any(bad):
                blocked |= {(key, p) for p, span in graph.needs(key, parent).items() if any(bad[span])}
    return blocked


def next_run(graph: Graph, due: Mapping[AssetKey, Sequence[str]]) -> PlannedRun | None:
    """The first run to make: the first due table's first range of consecutive due partitions, and every further table
    that is due for exactly this range and can be made in the same run."""
    first = next((key for key in graph.assets if key in due), None)
    if first is None:
        return None
    span = _consecutive(graph.partitions(first), due[first])
    return PlannedRun(tuple(_together(graph, due, first)), span[0], span[-1], tuple(span))


def _together(graph: Graph, due: Mapping[AssetKey, Sequence[str]], first: AssetKey) -> list[AssetKey]:
    """The tables, in order, that are due for exactly what the first one is, and wait for nothing but each other."""
    ready: list[AssetKey] = []
    for key in graph.assets:
        alike = due.get(key) == due[first] and graph.partitions(key) == graph.partitions(first)
        if alike and all(parent in ready or parent not in due for parent in graph.parents(key)):
            ready.append(key)
    return ready


def _consecutive(all_partitions: Sequence[str], due: Sequence[str]) -> list[str]:
    """The first of the due partitions and those that follow it without a gap."""
    position = {partition: i for i, partition in enumerate(all_partitions)}
    span = [due[0]]
    for partition in due[1:]:
        if position[partition] != position[span[-1]] + 1:
            break
        span.append(partition)
    return span
