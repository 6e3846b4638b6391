"""What is stored is looked at, not remembered: partitions that Dagster's event log says were made, and that their table
does not have.

A table may be moved away, or be put back from a backup that is older than the event log. So a partition counts as made
only if the table's own log has the version that the event names, and has not gone back behind it since. The look costs
one read of each table's log, and none where neither the table nor the event log has changed since the look before.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster import AssetKey

from retail_assets.operations.materializations import Made

CLOCKS_APART = timedelta(minutes=1)
"""A version was committed before Dagster was told of it; by clocks that may differ by so much."""

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
    """A table's log: its newest version, when each commit that is still known was made, and to which version the table
    was put back by which."""

    version: int
    committed: Mapping[int, datetime]
    put_back: Mapping[int, int]


class Stored:
    """The tables under one root, a directory or an object store's URI; with what was found at the last look. Without a
    root, as in a catalog, what was made counts as there."""

    def __init__(self, root: str | None) -> None:
        self._root = root.rstrip("/") if root else None
        self._seen: dict[AssetKey, tuple[object, Gone | None]] = {}

    def gone(self, made: Mapping[AssetKey, Mapping[str, Made]]) -> list[Gone]:
        """What was made, by the event log, and is not there. Raises TableUnreadable."""
        if self._root is None:
            return []
        told = {key: _versions(partitions) for key, partitions in made.items()}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(lambda each: self._look(*each), told.items()))
        return [gone for gone in found if gone]

    def _look(self, key: AssetKey, told: Mapping[str, Made]) -> Gone | None:
        place = "/".join([self._root or "", *key.path])
        newest = max((made.storage_id for made in told.values()), default=0)
        if not newest:
            return None
        state = _state(place)
        if state is None or self._seen.get(key, (None,))[0] != (newest, state):
            self._seen[key] = (newest, state), _not_there(key, place, told)
        return self._seen[key][1]


def _versions(partitions: Mapping[str, Made]) -> dict[str, Made]:
    """Of what was made, what names the version that it made; others may have reported something else, or by hand."""
    return {partition: made for partition, made in partitions.items() if (made.version or "").isdigit()}


def _state(place: str) -> object | None:
    """Differs when the log of a table in a directory has changed; None where that cannot be told at a glance."""
    try:
        found = Path(place, "_delta_log").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _not_there(key: AssetKey, place: str, told: Mapping[str, Made]) -> Gone | None:
    log = _read_log(place)
    if log is None:
        return Gone(key, sorted(told), f"there is no table at {place}", table_is_gone=True)
    found = sorted(partition for partition, made in told.items() if not _holds(log, int(made.version or 0), made))
    if not found:
        return None
    newest = max(int(told[partition].version or 0) for partition in found)
    return Gone(key, found, f"{place} is at version {log.version}, and not what versions up to {newest} made of it")


def _holds(log: _Log, version: int, made: Made) -> bool:
    """Whether the table is at the version that was told, or at a later one that came out of it."""
    if version > log.version or any(by > version > to for by, to in log.put_back.items()):
        return False
    committed = log.committed.get(version)  # a log forgets its oldest commits
    return committed is None or made.told_at is None or committed <= made.told_at + CLOCKS_APART


def _read_log(place: str) -> _Log | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(place)
        commits = table.history()
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
    return _Log(table.version(), committed, put_back)


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
