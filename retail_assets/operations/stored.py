"""What is stored is looked at, not remembered: partitions that Dagster's event log says were made, and that their table
does not have.

A table may be moved away, be put back from a backup that is older than the event log, or have lost rows. So a partition
counts as made only if the table's own log has the version that the event names, and has not gone back behind it since,
and if files of the table may hold rows of it where it had some. The look costs one read of each table's log, and none
where neither the table nor the event log has changed since the look before.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from dagster import AssetKey, DagsterInstance

from retail_assets.lakehouse.snapshots import DataFile, Snapshot
from retail_assets.operations.materializations import Made, said

CLOCKS_APART = timedelta(minutes=1)
"""A version was committed before Dagster was told of it; by clocks that may differ by so much."""

ROWS = "dagster/partition_row_count"
"""Metadata of a materialization: how many rows the partition has."""

FEW_TABLES = 4
"""So many tables that are no longer there are not told of one by one."""

_AT_ONCE = 8
"""Logs read at a time: most of it is waiting, for a disk or for an object store."""


class TableUnreadable(Exception):
    """A table's log is there and cannot be read. The message names it and says what to do."""


@dataclass(frozen=True)
class Gone:
    """Partitions of a table that were made and are not there, in order, and why."""

    key: AssetKey
    partitions: Sequence[str]
    why: str
    table_is_gone: bool = False

    def __str__(self) -> str:
        first, last, count = self.partitions[0], self.partitions[-1], len(self.partitions)
        span = first if count == 1 else f"{first} … {last} ({count:,} partitions)"
        return f"{'.'.join(self.key.path)}: {span} was made once and is no longer there: {self.why}."


@dataclass(frozen=True)
class _Log:
    """A table's log: its newest version, when each commit that is still known was made, to which version the table was
    put back by which, and the files that it is made of, with their partitions."""

    version: int
    committed: Mapping[int, datetime]
    put_back: Mapping[int, int]
    files: Sequence[DataFile]


@dataclass(frozen=True)
class _Finding:
    """What a table's log says of what was made: what it does not have, and what no file of it holds, which may be as
    there were no rows."""

    gone: Gone | None = None
    empty: Mapping[str, Made] = field(default_factory=dict)


class Stored:
    """The tables under one root, a directory; with what was found at the last look. Without a root, as in a catalog,
    what was made counts as there."""

    def __init__(self, root: str | None) -> None:
        self._root = root.rstrip("/") if root else None
        self._seen: dict[AssetKey, tuple[object, list[Gone]]] = {}

    def gone(
        self,
        instance: DagsterInstance,
        made: Mapping[AssetKey, Mapping[str, Made]],
        columns: Mapping[AssetKey, str],
    ) -> list[Gone]:
        """What was made, by the event log, and is not there. `columns`: that which holds a table's partition.

        Raises TableUnreadable.
        """
        if self._root is None:
            return []
        told = {key: versions for key, partitions in made.items() if (versions := _versions(partitions))}
        states = {key: (_newest(told[key]), _state(self._place(key))) for key in told}
        new = [key for key in told if self._seen.get(key, (None,))[0] != states[key]]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(lambda key: _look(key, self._place(key), told[key], columns.get(key)), new))
        with_rows = _with_rows(instance, found)
        for key, finding in zip(new, found, strict=True):
            self._seen[key] = states[key], _all_gone(key, self._place(key), finding, with_rows)
        return list(chain.from_iterable(self._seen[key][1] for key in told))

    def _place(self, key: AssetKey) -> str:
        return "/".join([self._root or "", *key.path])


def _with_rows(instance: DagsterInstance, found: Sequence[_Finding]) -> set[int]:
    """The materializations, of those of which no file holds a row, that had some."""
    numbers = {each.storage_id for finding in found for each in finding.empty.values()}
    return {number for number, told in said(instance, numbers, (ROWS,)).items() if told.get(ROWS)}


def _all_gone(key: AssetKey, place: str, finding: _Finding, with_rows: Collection[int]) -> list[Gone]:
    lost = sorted(partition for partition, each in finding.empty.items() if each.storage_id in with_rows)
    without = Gone(key, lost, f"{place} has no rows of it any more") if lost else None
    return [gone for gone in (finding.gone, without) if gone]


def _versions(partitions: Mapping[str, Made]) -> dict[str, Made]:
    """Of what was made, what names the version that it made; others may have reported something else, or by hand."""
    return {partition: made for partition, made in partitions.items() if (made.version or "").isdigit()}


def _newest(told: Mapping[str, Made]) -> int:
    return max(made.storage_id for made in told.values())


def _state(place: str) -> object:
    """Differs when the log of a table has changed."""
    try:
        found = Path(place, "_delta_log").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _look(key: AssetKey, place: str, told: Mapping[str, Made], column: str | None) -> _Finding:
    log = _read_log(place, column)
    if log is None:
        return _Finding(Gone(key, sorted(told), f"there is no table at {place}", table_is_gone=True))
    gone = sorted(partition for partition, made in told.items() if not _holds(log, int(made.version or 0), made))
    left = [partition for partition in told if partition not in set(gone)]
    empty = {partition: told[partition] for partition in _in_no_file(log.files, left)} if column else {}
    if not gone:
        return _Finding(None, empty)
    newest = max(int(told[partition].version or 0) for partition in gone)
    why = f"{place} is at version {log.version}, and not what versions up to {newest} made of it"
    return _Finding(Gone(key, gone, why), empty)


def _holds(log: _Log, version: int, made: Made) -> bool:
    """Whether the table is at the version that was told, or at a later one that came out of it."""
    if version > log.version or any(by > version > to for by, to in log.put_back.items()):
        return False
    committed = log.committed.get(version)  # a log forgets its oldest commits
    return committed is None or made.told_at is None or committed <= made.told_at + CLOCKS_APART


def _in_no_file(files: Sequence[DataFile], partitions: Collection[str]) -> list[str]:
    """The partitions of which no file can hold rows."""
    spans = sorted((file.first, file.last) for file in files if file.first is not None and file.last is not None)
    if len(spans) < len(files):  # of a file it is not known what it holds
        return []
    firsts, lasts = [first for first, _ in spans], list(accumulate((last for _, last in spans), max))

    def held(day: date) -> bool:
        begun = bisect_right(firsts, day)
        return begun > 0 and lasts[begun - 1] >= day

    return [partition for partition in partitions if not held(date.fromisoformat(partition))]


def _read_log(place: str, column: str | None) -> _Log | None:
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        snapshot = Snapshot(place)
        commits, files = snapshot.table.history(), snapshot.files(column) if column else []
    except TableNotFoundError:
        return None
    except DeltaError as problem:
        raise TableUnreadable(
            f"The log of the table at {place} cannot be read: {str(problem).splitlines()[0]}. Put back a whole copy of "
            "the table, or move it away, and what it held is made again."
        ) from problem
    committed = {commit["version"]: _moment(commit["timestamp"]) for commit in commits if "timestamp" in commit}
    put_back = {
        commit["version"]: _put_back_to(commit.get("operationParameters", {}), committed)
        for commit in commits
        if commit.get("operation") == "RESTORE"
    }
    return _Log(snapshot.version, committed, put_back, files)


def _put_back_to(parameters: Mapping[str, Any], committed: Mapping[int, datetime]) -> int:
    """The version that a RESTORE put the table back to; -1, before all, where that is not known."""
    version, milliseconds = parameters.get("version"), str(parameters.get("datetime", ""))
    if version is not None:
        return int(version)
    if not milliseconds.isdigit():  # Spark's RESTORE … TO TIMESTAMP names the moment in words of a session's time zone
        return -1
    return max((number for number, at in committed.items() if at <= _moment(int(milliseconds))), default=-1)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)


def told(gone: Sequence[Gone], lakehouse: str) -> list[str]:
    """What people are told of what is gone: a line a table; or one, where most that was made is no longer there."""
    tables = [each for each in gone if each.table_is_gone]
    if len(tables) < FEW_TABLES:
        return [f"{each} It is made again." for each in gone]
    partitions = sum(len(each.partitions) for each in tables)
    return [
        f"{len(tables)} tables with {partitions:,} partitions were made once and are no longer in {lakehouse}. They "
        "are made again. If the lakehouse was moved, stop this, and set RETAIL_LAKEHOUSE to where it is now.",
        *[f"{each} It is made again." for each in gone if not each.table_is_gone],
    ]
