"""What the arrival sensor asks for at a tick, and what it remembers. Pure: no landing zone, no event log, no clock.

A day is asked for if its drops are not those that it was made from, and are complete. Drops of other names, sizes or
times may still hold, to the byte, what was ingested: the days of which this has to be looked up are told by
`to_compare`, and what was found is part of the look that `decide` decides by.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from retail_assets.operations.arrival import Ingested, newest_landed, state

RUNS_AT_ONCE = 20
"""Runs of the sensor that wait or go on at a time: a queue that people can still read."""

COMPARED_AT_ONCE = 200
"""Days a tick whose drops are read to see whether they hold what was ingested; the rest waits for the next tick."""

_NOTHING = state([])


@dataclass(frozen=True)
class Rules:
    """How the drops of one table are asked for. `marked`: a drop that is listed is complete. `gaps`: the days of a run
    need not follow each other."""

    table: str
    days_per_run: int
    marked: bool = False
    runs_at_once: int = RUNS_AT_ONCE
    compared_at_once: int = COMPARED_AT_ONCE
    gaps: bool = False


@dataclass(frozen=True)
class Memory:
    """What the sensor keeps from tick to tick.

    `mark` stands for the landing zone and the table as they were when nothing was left to do; `seen` is the state of
    the drops of days that differ, at the last look; `requested` are the days asked for and not made since, by run key,
    each with the state it was asked for in; `unchanged` is the state of days that hold what was ingested under other
    names, and `changed` that of days that do not: neither is read again; `after` is the run that was the sensor's
    newest when this memory began, "" if there was none.
    """

    mark: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    requested: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unchanged: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None

    @staticmethod
    def read(cursor: str | None) -> "Memory":
        """From a cursor; an empty memory from none, or from one that is not ours."""
        try:
            return Memory(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            return Memory()

    def cursor(self) -> str:
        """To be read again at the next tick."""
        return json.dumps(vars(self), separators=(",", ":"))

    def without(self, lost: Collection[str]) -> "Memory":
        """Without requests that never became a run: they are made again, even if nothing else has changed."""
        if not lost:
            return self
        left = {key: states for key, states in self.requested.items() if key not in lost}
        return replace(self, mark="", requested=left)


@dataclass(frozen=True)
class Look:
    """The landing zone, the table and the runs of the sensor as they are at one tick.

    `states`: of the drops of each day that has some; `partitions`: the days that the table can have, in order;
    `under_way`: the first and the last day of each run, by its id; `newest`: the storage id of the table's newest
    materialization; `gone`: the days that the table no longer has, with the materialization by which it had them;
    `contents`: what is in the drops
    of the days that were compared, None where that cannot be read; `held_back`: days of which more is on its way.
    """

    states: Mapping[str, str]
    partitions: Sequence[str]
    under_way: Mapping[str, tuple[str, str]]
    newest: int = 0
    gone: Mapping[str, int] = field(default_factory=dict)
    contents: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    held_back: Collection[str] = frozenset()

    @property
    def mark(self) -> str:
        """Changes when anything does that was seen before drops were compared."""
        days = [f"{day} {found}" for day, found in sorted(self.states.items())]
        return state(
            [
                *days,
                *sorted(self.under_way),
                *sorted(self.held_back),
                str(self.newest),
                *self.partitions[:1],
                *map(str, self.gone.items()),
            ]
        )

    def state(self, day: str) -> str:
        """Of the day's drops."""
        return self.states.get(day, _NOTHING)

    def asked_for(self, day: str) -> str:
        """What a run for the day would be asked to bring: other drops, or once more what is gone."""
        return f"{self.state(day)} for {self.gone[day]}" if day in self.gone else self.state(day)

    def is_under_way(self, day: str) -> bool:
        """Whether a run of the sensor is to make the day, or is making it."""
        return any(first <= day <= last for first, last in self.under_way.values())


@dataclass(frozen=True)
class Known:
    """The days that the table has, and what those that say so were made from."""

    made: Collection[str]
    ingested: Mapping[str, Ingested]


@dataclass(frozen=True)
class Asked:
    """A run to ask for, over days in their order. A run of this key is never made twice."""

    key: str
    days: Sequence[str]


def to_compare(memory: Memory, look: Look, known: Known, rules: Rules) -> list[str]:
    """The days whose drops are to be read at this tick, to see whether they hold what was ingested.

    What was found of a day is remembered for as long as its drops stay as they are, so that every tick reads others:
    days that cannot be made do not keep those behind them from being looked at.
    """
    differing = _differing(look, known)
    complete = _complete(memory, differing, rules) - set(look.held_back)
    judged = {**_still(memory.unchanged, differing), **_still(memory.changed, differing)}
    days = [day for day in differing if day in known.ingested and day in complete and day not in judged]
    return days[: rules.compared_at_once]


def decide(memory: Memory, look: Look, known: Known, rules: Rules) -> tuple[Memory, list[Asked]]:
    """The memory after the tick, and the runs to ask for."""
    differing = _differing(look, known)
    complete = _complete(memory, differing, rules) - set(look.held_back)
    unchanged, changed = _judged(memory, look, known, differing)
    arrived = {day for day in complete if day in changed or day not in known.ingested}
    waiting = differing.keys() - arrived - unchanged.keys()

    due = _due(look, known, arrived, waiting)
    requested = _still_open(memory, look, {*due, *waiting})
    asked = {day: found for days in requested.values() for day, found in days.items()}
    fresh = [day for day in due if asked.get(day) != look.asked_for(day) and not look.is_under_way(day)]
    runs = _together(fresh, look.partitions, rules)
    now = [_asking(days, memory, look, rules) for days in runs[: max(0, rules.runs_at_once - len(look.under_way))]]
    nothing_left = not waiting and len(now) == len(runs)
    after = replace(
        memory,
        mark=look.mark if nothing_left else "",
        seen=differing,
        requested={**requested, **{run.key: {day: look.asked_for(day) for day in run.days} for run in now}},
        unchanged=unchanged,
        changed=changed,
    )
    return after, now


def _judged(
    memory: Memory, look: Look, known: Known, differing: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The differing days that hold what was ingested, and those that do not, as far as they were ever compared."""
    same = {day for day, found in look.contents.items() if known.ingested[day].holds(found)}
    now = {day: differing[day] for day in look.contents}
    unchanged = {**_still(memory.unchanged, differing), **{day: found for day, found in now.items() if day in same}}
    changed = {**_still(memory.changed, differing), **{day: found for day, found in now.items() if day not in same}}
    return unchanged, changed


def _differing(look: Look, known: Known) -> dict[str, str]:
    """The days whose drops are not those that they were made from, in order, with the drops' state. A day that was made
    by hand, without a word of drops, is taken as it is; so is one that the calendar no longer has."""
    found = {}
    for day in look.partitions:
        before = known.ingested.get(day)
        if before.state != look.state(day) if before else day in look.states and day not in known.made:
            found[day] = look.state(day)
    return found


def _complete(memory: Memory, differing: Mapping[str, str], rules: Rules) -> set[str]:
    """The differing days whose drops are no longer being written, as far as can be told."""
    return {day for day, found in differing.items() if rules.marked or memory.seen.get(day) == found}


def _still(remembered: Mapping[str, str], differing: Mapping[str, str]) -> dict[str, str]:
    """What is remembered of days whose drops are as they were then."""
    return {day: found for day, found in remembered.items() if differing.get(day) == found}


def _due(look: Look, known: Known, arrived: Collection[str], waiting: Collection[str]) -> list[str]:
    """The days to make, in order: those with new or changed drops, and those never made or gone, up to the newest."""
    newest = newest_landed({*look.states, *known.made}, set(waiting) - set(known.made))
    current = set(known.made) - set(look.gone) - set(arrived)
    return [day for day in look.partitions if day <= newest and day not in current]


def _still_open(memory: Memory, look: Look, days: Collection[str]) -> dict[str, dict[str, str]]:
    """Of what was asked for, the days that are not made yet and that the same would be asked of again."""
    left = {
        key: {day: found for day, found in states.items() if day in days and look.asked_for(day) == found}
        for key, states in memory.requested.items()
    }
    return {key: states for key, states in left.items() if states}


def _together(days: Iterable[str], partitions: Sequence[str], rules: Rules) -> list[list[str]]:
    """Days that one run can make, no more than it may."""
    position = {partition: i for i, partition in enumerate(partitions)}
    runs: list[list[str]] = []
    for day in days:
        follows = bool(runs) and (rules.gaps or position[day] == position[runs[-1][-1]] + 1)
        if follows and len(runs[-1]) < rules.days_per_run:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _asking(days: Sequence[str], memory: Memory, look: Look, rules: Rules) -> Asked:
    told = [memory.after, look.newest, *((day, look.asked_for(day)) for day in days)]
    digest = hashlib.sha256(repr(told).encode()).hexdigest()[:12]
    return Asked(f"{rules.table} {days[0]}..{days[-1]} {digest}", days)
