"""What is wrong, and what a channel has been told of it. Pure: no clock, no network, no storage.

A problem opens with a failing observation, is told once, and closes with a passing one, which is told as well if the
problem was. Nothing leaves the ledger before it has been told: what a quiet night or a dead channel keeps back is said
later, even of problems that came and went meanwhile.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

SETTLED_AFTER_SECONDS = 60
"""PostgreSQL hands out event ids before it commits: an event may become visible after one with a higher id. An id is
passed for good only when it was met so long ago."""

LONGEST_GATHERING = 10
"""A burst that does not end is told after so many times the seconds of gathering."""

LASTING_FACTS = ("family",)
"""What is remembered of a problem that was told: its recovery is of the same entry of the runbook."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 30, 900


class Kind(StrEnum):
    """What sort of thing goes wrong."""

    CHECK = "check"
    RUN = "run"
    FRESHNESS = "freshness"
    STILL_FAILED = "still_failed"


class Severity(IntEnum):
    """How bad; ERROR is worse than WARN."""

    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Subject:
    """What can go wrong and recover, for one partition. `name` is the check's, or the job's of a run without assets."""

    kind: Kind
    assets: tuple[str, ...]
    """Keys such as myshop/raw_invoices; empty for a job that makes none."""
    name: str = ""
    partition: str | None = None
    """A key, or `first...last` for a range."""

    @property
    def topic(self) -> tuple[str, ...]:
        """The same for all partitions: what is said of them is said together."""
        return (self.kind.value, self.name, *self.assets)


@dataclass(frozen=True)
class Observation:
    """A subject was seen failing, or (severity None) well."""

    subject: Subject
    severity: Severity | None
    at: float
    run_id: str = ""
    event: int = 0
    """The storage id of Dagster's event; what was materialized later has a higher one."""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is known of a subject that failed, and what the channel has heard."""

    severity: Severity
    """The worst since it opened."""
    since: float
    changed: float
    """When there last was something new to tell."""
    run_id: str = ""
    event: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
    told: Severity | None = None
    recovered: float | None = None

    @property
    def to_tell(self) -> bool:
        """Whether the channel does not know it all yet."""
        return self.recovered is not None or self.told is None or self.severity > self.told


Problems = Mapping[Subject, Problem]


@dataclass(frozen=True)
class Position:
    """How far events of one type were read: all up to the horizon, and these above it."""

    horizon: int
    met: Mapping[int, float] = field(default_factory=dict)
    """Event id -> when it was met."""

    def after(self, read: Iterable[int], left: Iterable[int], now: float, settle: float) -> "Position":
        """The position once these events were read, and those were left for another time."""
        met = {**dict.fromkeys(read, now), **self.met}
        barrier = min(left, default=None)
        passed = [event for event, at in met.items() if now - at >= settle and (barrier is None or event < barrier)]
        horizon = max([self.horizon, *passed])
        return Position(horizon, {event: at for event, at in met.items() if event > horizon})


@dataclass(frozen=True)
class Timing:
    """When what there is to tell is told."""

    gather_seconds: float = 20
    """So long nothing new must have come before a burst counts as ended."""
    further_seconds: float = 900
    """Further partitions of what was told are told together, so long after it."""
    is_quiet: Callable[[float], bool] = lambda now: False
    """Whether warnings wait at that moment."""


@dataclass(frozen=True)
class Ledger:
    """All that one channel must remember between ticks."""

    positions: Mapping[str, Position] = field(default_factory=dict)
    problems: Problems = field(default_factory=dict)
    told_at: Mapping[tuple[str, ...], float] = field(default_factory=dict)
    """Topic -> when failures of it were last told, while any of them is open."""
    standing_at: float = 0
    """When the partitions that are still failed were last looked for."""
    failures: int = 0
    """Attempts at delivery since one worked."""
    next_try: float = 0

    def observing(
        self, observations: Sequence[Observation], wanted: Callable[[Subject, Severity], bool], now: float
    ) -> "Ledger":
        """The ledger after these observations; those of no interest to the channel open nothing."""
        problems = dict(self.problems)
        for observation in observations:
            known = problems.get(observation.subject)
            if known is None and (
                observation.severity is None or not wanted(observation.subject, observation.severity)
            ):
                continue
            after = _after(known, observation, min(observation.at, now))
            if after is None:
                del problems[observation.subject]
            else:
                problems[observation.subject] = after
        return replace(self, problems=problems)

    def due(self, now: float, timing: Timing) -> Problems:
        """What is to be told now, in one message."""
        quiet = timing.is_quiet(now)
        untold = {
            subject: problem
            for subject, problem in self.problems.items()
            if problem.to_tell and not (quiet and problem.severity is Severity.WARN)
        }
        still_open = {subject.topic for subject, problem in self.problems.items() if problem.recovered is None}
        worst_told: dict[tuple[str, ...], Severity] = {}
        for subject, problem in self.problems.items():
            if problem.told is not None:
                worst_told[subject.topic] = max(problem.told, worst_told.get(subject.topic, problem.told))

        def waits(subject: Subject, problem: Problem) -> bool:
            told = self.told_at.get(subject.topic)
            if told is None or now - told >= timing.further_seconds:
                return False
            if problem.recovered is not None and problem.told is not None:
                return subject.topic in still_open
            return problem.severity <= worst_told.get(subject.topic, Severity.WARN)

        ready = {subject: problem for subject, problem in untold.items() if not waits(subject, problem)}
        changes = [problem.changed for problem in ready.values()]
        return ready if changes and _settled(changes, now, timing.gather_seconds) else {}

    def told(self, due: Problems, now: float) -> "Ledger":
        """The ledger after what was due has been delivered."""
        problems = dict(self.problems)
        told_at = dict(self.told_at)
        for subject, problem in due.items():
            if problem.recovered is not None:
                del problems[subject]
            else:
                lasting = {name: fact for name, fact in problem.facts.items() if name in LASTING_FACTS}
                problems[subject] = replace(problem, told=problem.severity, facts=lasting)
                told_at[subject.topic] = now
        still_open = {subject.topic for subject in problems}
        return replace(
            self,
            problems=problems,
            told_at={topic: at for topic, at in told_at.items() if topic in still_open},
            failures=0,
            next_try=0,
        )

    def not_delivered(self, now: float) -> "Ledger":
        """The ledger after an attempt that failed: the next one waits, ever longer."""
        wait = min(FIRST_RETRY_SECONDS * 2 ** min(self.failures, 10), LONGEST_RETRY_SECONDS)
        return replace(self, failures=self.failures + 1, next_try=now + wait)

    def without(self, gone: Callable[[Subject], bool]) -> "Ledger":
        """The ledger without told problems of what is no longer part of the graph: nothing could close them."""
        return replace(
            self,
            problems={
                subject: problem for subject, problem in self.problems.items() if problem.to_tell or not gone(subject)
            },
        )

    def to_json(self) -> str:
        """As it is kept in Dagster's storage."""
        return json.dumps(
            {
                "positions": {
                    name: [position.horizon, [[event, at] for event, at in position.met.items()]]
                    for name, position in self.positions.items()
                },
                "problems": [
                    [
                        [subject.kind.value, list(subject.assets), subject.name, subject.partition],
                        {
                            "severity": problem.severity.value,
                            "since": problem.since,
                            "changed": problem.changed,
                            "run_id": problem.run_id,
                            "event": problem.event,
                            "facts": dict(problem.facts),
                            "told": problem.told and problem.told.value,
                            "recovered": problem.recovered,
                        },
                    ]
                    for subject, problem in self.problems.items()
                ],
                "told_at": [[list(topic), at] for topic, at in self.told_at.items()],
                "standing_at": self.standing_at,
                "failures": self.failures,
                "next_try": self.next_try,
            }
        )

    @staticmethod
    def from_json(text: str) -> "Ledger":
        """What `to_json` wrote."""
        kept: dict[str, Any] = json.loads(text)
        return Ledger(
            positions={
                name: Position(horizon, {int(event): at for event, at in met})
                for name, (horizon, met) in kept["positions"].items()
            },
            problems={
                Subject(Kind(kind), tuple(assets), name, partition): Problem(
                    **{
                        **problem,
                        "severity": Severity(problem["severity"]),
                        "told": Severity(problem["told"]) if problem["told"] else None,
                    }
                )
                for (kind, assets, name, partition), problem in kept["problems"]
            },
            told_at={tuple(topic): at for topic, at in kept["told_at"]},
            standing_at=kept["standing_at"],
            failures=kept["failures"],
            next_try=kept["next_try"],
        )


def _after(known: Problem | None, seen: Observation, at: float) -> Problem | None:
    """A problem after an observation of its subject; None if there is nothing (left) to remember."""
    if seen.severity is None:
        if known is None or known.recovered is not None:
            return known
        return replace(known, recovered=at, changed=at)
    if known is None:
        return Problem(seen.severity, at, at, seen.run_id, seen.event, seen.facts)
    worst = max(known.severity, seen.severity)
    again = replace(known, severity=worst, run_id=seen.run_id, event=max(known.event, seen.event), recovered=None)
    if not again.to_tell:
        return again
    news = worst > known.severity or known.recovered is not None
    return replace(again, facts=seen.facts, changed=at if news else known.changed)


def _settled(changes: Sequence[float], now: float, gather_seconds: float) -> bool:
    return now - max(changes) >= gather_seconds or now - min(changes) >= LONGEST_GATHERING * gather_seconds
