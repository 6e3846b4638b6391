"""Whether what was made again is another than before: by the hashes of rows that materializations tell.

Only of partitions that were made after something that reads them has this to be known, and of those only what they hold
now and what they held then.
"""

from bisect import bisect_left
from collections.abc import Collection

from dagster import AssetKey, DagsterInstance

from retail_assets.lakehouse.content import CONTENT_HASH
from retail_assets.operations.materializations import numbers_of_all, said

Read = tuple[str, int]
"""A partition, as it was when the materialization of this storage id read it."""


class Contents:
    """What partitions held, as far as it was asked for; a materialization never says anything else."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance
        self._hashes: dict[int, str | None] = {}

    def changed(self, table: AssetKey, reads: Collection[Read]) -> set[Read]:
        """Of what was read of a table, what holds other rows now, or may do so."""
        if not reads:
            return set()
        history = numbers_of_all(self._instance, table)
        then_and_now = {read: _then_and_now(history.get(read[0], []), read[1]) for read in reads}
        self._look_up({number for pair in then_and_now.values() if pair for number in pair})
        return {read for read, pair in then_and_now.items() if pair is None or not self._same(*pair)}

    def _same(self, then: int, now: int) -> bool:
        return self._hashes[then] is not None and self._hashes[then] == self._hashes[now]

    def _look_up(self, numbers: Collection[int]) -> None:
        unknown = set(numbers) - self._hashes.keys()
        told = said(self._instance, unknown, (CONTENT_HASH,))
        self._hashes |= {number: told.get(number, {}).get(CONTENT_HASH) for number in unknown}


def _then_and_now(numbers: list[int], since: int) -> tuple[int, int] | None:
    """Of a partition's materializations the last one before `since`, and the newest; None if there was none before."""
    before = bisect_left(numbers, since)
    return (numbers[before - 1], numbers[-1]) if before else None
