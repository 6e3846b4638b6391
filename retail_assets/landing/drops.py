"""The landing zone: which drops lie there, and what lies there that is none."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from upath import UPath

MANIFEST = "_generated.json"
"""Where this lies beside the drops, they were made by `retail generate`, which counted what it put in."""

MARK = "_landing_under_way.json"
"""While this lies beside the drops, `retail land` is putting them in place, or was killed over it."""

EVENTS = "events:"
"""Begins the path of a drop that is no file: a day's events (streaming/event_days.py)."""

YOUNG_SECONDS = 5.0
"""A file modified more recently than this may still be written to."""

_DAY = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_EXTENSION = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
# Hidden files, downloads under way, and our own calendar and manifest.
_IGNORED = re.compile(r"^[._]|\.(part|tmp|crdownload)$", re.IGNORECASE)
_CHECK_IT = "Check RETAIL_LANDING and the permissions of this directory."
_NAME_IT = "name it …YYYY-MM-DD….csv or …YYYY-MM-DD….csv.gz, with the one day whose rows it holds"


class ZoneRefused(Exception):
    """A landing zone that cannot be gone by as it is: the message names it, what is wrong, and what to do."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)
        self.path, self.problem, self.remedy = path, problem, remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.remedy}"


class LandingUnderWay(ZoneRefused):
    """Only a part of what is being landed may lie there: its days must not be made of that."""


@dataclass(frozen=True)
class Drop:
    """A file with the rows of one day. Several drops of a day add up. `size` is in bytes."""

    day: date
    path: str
    name: str
    size: int
    modified_ns: int
    held_back: bool = False
    """Whether more of it is on its way: it is not to be read yet."""

    @property
    def can_move(self) -> bool:
        """Whether it may still be written to."""
        return True

    @property
    def fingerprint(self) -> str:
        """Differs when the file was replaced or changed; told without reading it."""
        return f"{self.name}:{self.size}:{self.modified_ns}"


@dataclass(frozen=True)
class Oddity:
    """Something in the landing zone that is no drop and will not be read."""

    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}: {self.remedy}."


@dataclass(frozen=True)
class LandingZone:
    """The drops of all sources: `<root>/<source>/…YYYY-MM-DD….csv[.gz]`, on a disk or in an object store.

    With a `marker`, such as .done, a drop is one only once a file of its name and the marker lies beside it.
    """

    root: str
    marker: str | None = None

    def directory(self, source: str) -> str:
        """Where the source's drops lie."""
        return f"{self.root.rstrip('/')}/{source}"

    def drops(self, source: str) -> list[Drop]:
        """Every drop of the source, by day and name, days in the future included: from one listing, nothing is read.

        Raises LandingUnderWay while `retail land` is putting drops in place, or was killed over it, and ZoneRefused for
        a directory that cannot be listed.
        """
        drops, _, under_way = self.listed(source)
        if under_way:
            directory = self.directory(source)
            raise LandingUnderWay(
                directory,
                f"a landing is under way, or was interrupted: {_told(UPath(directory) / MARK)}",
                "Wait for it to end; if it was interrupted, land the same files again, or undo it: retail bring-back.",
            )
        return drops

    def oddities(self, source: str) -> list[Oddity]:
        """What lies in the source's directory without being a drop, by path; hidden and unfinished files are fine."""
        return self.listed(source)[1]

    def listed(self, source: str) -> tuple[list[Drop], list[Oddity], bool]:
        """What lies there while a landing may be under way: drops, oddities, and whether one is."""
        entries = list(self._entries(source))
        drops = sorted((found for found in entries if isinstance(found, Drop)), key=lambda drop: (drop.day, drop.name))
        oddities = sorted((found for found in entries if isinstance(found, Oddity)), key=lambda oddity: oddity.path)
        return drops, oddities, MARK in entries

    def directories(self) -> list[str]:
        """The directories below the root in which drops may lie: of sources, and of what each of them delivers."""
        root = UPath(self.root)
        try:
            if not root.exists():
                return []
            first = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
            return [
                *first,
                *(f"{name}/{entry.name}" for name in first for entry in (root / name).iterdir() if entry.is_dir()),
            ]
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise ZoneRefused(self.root, f"cannot be listed ({reason})", _CHECK_IT) from problem

    def newest_day(self, source: str, not_after: date | None = None) -> date | None:
        """The day of the newest drop, of those not later than `not_after`; None if nothing has landed."""
        there = (drop for drop in self.drops(source) if not drop.held_back)
        return max((drop.day for drop in there if not_after is None or drop.day <= not_after), default=None)

    def _entries(self, source: str) -> Iterator[Drop | Oddity | str]:
        """Drops, oddities, and the name of the mark."""
        directory = UPath(self.directory(source))
        directory.fs.invalidate_cache(directory.path)
        try:
            listing = directory.fs.ls(directory.path, detail=True)
        except FileNotFoundError:
            return
        except OSError as problem:
            # Not an empty zone: days whose drops are gone are made anew, without rows.
            reason = problem.strerror or str(problem)
            raise ZoneRefused(str(directory), f"cannot be listed ({reason})", _CHECK_IT) from problem
        if any(entry["type"] == "file" and _is_itself(directory, entry) for entry in listing):
            yield Oddity(str(directory), "is a file where a directory should be", "put the drops in a directory there")
            return
        names = {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in listing}
        if MARK in names:
            yield MARK
        for name, entry in names.items():
            # Some object stores list the directory among its files.
            if _is_itself(directory, entry) or _IGNORED.search(name) or (self.marker and name.endswith(self.marker)):
                continue
            found = _classified(directory, name, entry)
            if self.marker and isinstance(found, Drop) and name + self.marker not in names:
                remedy = f"put {name}{self.marker} beside it once it is"
                found = Oddity(found.path, "is not said to be complete", remedy)
            yield found


def _is_itself(directory: UPath, entry: dict[str, Any]) -> bool:
    return bool(entry["name"].strip("/") == directory.fs._strip_protocol(directory.path).strip("/"))


def _classified(directory: UPath, name: str, entry: dict[str, Any]) -> Drop | Oddity:
    path = f"{directory}/{name}"
    if entry.get("islink"):
        # A listing describes the link; what counts is the file that it leads to.
        try:
            entry = directory.fs.info(entry["name"])
        except OSError:
            return Oddity(path, "is a link to a file that is not there", "put the file there, or remove the link")
    if entry["type"] == "directory":
        return Oddity(path, "is a directory where a file should be", "move its files up, or remove it")
    if entry["type"] != "file":
        return Oddity(path, "is not a regular file", "remove it")
    if not _EXTENSION.search(name):
        return Oddity(path, "is neither .csv nor .csv.gz", "land a workbook with `retail land`; remove what is no drop")
    written = set(_DAY.findall(name))
    if len(written) != 1:
        return Oddity(path, f"has {'no' if not written else 'more than one'} date in its name", _NAME_IT)
    day = day_of(name)
    if day is None:
        return Oddity(path, f"has an impossible date in its name, {written.pop()}", _NAME_IT)
    return Drop(day, path, name, int(entry["size"] or 0), _modified_ns(entry))


def _told(mark: UPath) -> str:
    """Whose landing a mark stands for, as it says itself; gone or spoilt marks say nothing."""
    try:
        told = json.loads(mark.read_text(encoding="utf-8"))
        return f"of {', '.join(told['files'][:3])}, begun {told['begun']} (its number is {told['landing']})"
    except (OSError, ValueError, LookupError, TypeError):
        return f"see {mark}"


def is_events(path: str) -> bool:
    """Whether the path of a drop leads to landed events, and not to a file."""
    return path.startswith(EVENTS)


def day_of(name: str) -> date | None:
    """The day that a file's name carries; None if there is no date, an impossible one, or more than one."""
    written = set(_DAY.findall(name))
    try:
        return date.fromisoformat(written.pop()) if len(written) == 1 else None
    except ValueError:
        return None


def state_of(path: str) -> tuple[int, int]:
    """Size in bytes and time of modification in nanoseconds, comparable with a Drop's. Raises OSError."""
    file = UPath(path)
    file.fs.invalidate_cache(str(file.parent.path))
    entry = file.fs.info(file.path)
    return int(entry["size"] or 0), _modified_ns(entry)


@dataclass(frozen=True)
class Look:
    """Drops as they were listed, and when (seconds of time.monotonic)."""

    drops: Sequence[Drop]
    at: float


def settled(drops: list[Drop], wait_seconds: float = 1.0, before: Look | None = None) -> tuple[list[Drop], list[Drop]]:
    """The drops that can be read, and those still being written: young, and changed or gone after the wait.

    Those held back count as still being written. Waits once, and only if a drop is younger than YOUNG_SECONDS; less by
    the time since a look `before`, if the young ones were then as they are now.
    """
    held_back = {drop.path for drop in drops if drop.held_back}
    can_move = [drop for drop in drops if drop.can_move and not drop.held_back]
    young = {drop.path for drop in can_move if time.time() - drop.modified_ns / 1e9 < YOUNG_SECONDS}
    if not young:
        return [drop for drop in drops if drop.path not in held_back], [d for d in drops if d.path in held_back]
    if before and {drop for drop in drops if drop.path in young} <= set(before.drops):
        wait_seconds -= time.monotonic() - before.at
    time.sleep(max(0.0, wait_seconds))
    moving = held_back | {drop.path for drop in drops if drop.path in young and not is_unchanged(drop)}
    return [drop for drop in drops if drop.path not in moving], [drop for drop in drops if drop.path in moving]


def is_unchanged(drop: Drop) -> bool:
    """Whether the file is still the one that was listed."""
    try:
        return state_of(drop.path) == (drop.size, drop.modified_ns)
    except OSError:
        return False


def _modified_ns(entry: dict[str, Any]) -> int:
    """When a file was last modified; file systems disagree on the name and the form of it (0 if they do not say)."""
    names = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
    moment = next((entry[name] for name in names if entry.get(name) is not None), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    # Microseconds are what a float of seconds since 1970 can hold: a listing and a later look must agree.
    return round(seconds * 1e6) * 1000
