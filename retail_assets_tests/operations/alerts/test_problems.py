"""The ledger of a channel: told once, never lost, recovery told, warnings held in quiet hours."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_assets.operations.alerts.problems import (
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    Kind,
    Ledger,
    Observation,
    Position,
    Problems,
    Severity,
    Subject,
    Timing,
)
from retail_assets.operations.alerts.settings import QuietHours

WARN, ERROR = Severity.WARN, Severity.ERROR
AT_ONCE = Timing(gather_seconds=0, further_seconds=0)


def check(partition: str = "2011-01-04", name: str = "contract") -> Subject:
    return Subject(Kind.CHECK, ("online_retail/raw_invoices",), name, partition)


def seen(subject: Subject, severity: Severity | None, at: float) -> Observation:
    return Observation(subject, severity, at, "run", facts={"observed": str(at)} if severity else {})


@dataclass
class Receiver:
    """A ledger, and someone at the other end who believes what is delivered."""

    timing: Timing = AT_ONCE
    ledger: Ledger = field(default_factory=Ledger)
    heard: list[tuple[str, Subject, Severity]] = field(default_factory=list)
    failing: set[Subject] = field(default_factory=set)

    def sees(self, *observations: Observation) -> None:
        self.ledger = self.ledger.observing(observations, lambda *_: True, max(each.at for each in observations))

    def tick(self, now: float, delivered: bool = True, kept: bool = True) -> list[tuple[str, Subject]]:
        """One tick: what is due is delivered, unless the channel is dead; the mark may be lost by a kill."""
        due = self.ledger.due(now, self.timing)
        if not due or not delivered:
            return []
        told = self._believe(due)
        if kept:
            self.ledger = Ledger.from_json(self.ledger.told(due, now).to_json())
        return told

    def _believe(self, due: Problems) -> list[tuple[str, Subject]]:
        told = []
        for subject, problem in due.items():
            word = "failed" if problem.recovered is None else "recovered" if problem.told else "both"
            told.append((word, subject))
            self.heard.append((word, subject, problem.severity))
            if word == "failed":
                self.failing.add(subject)
            else:
                self.failing.discard(subject)
        return told


def test_a_failure_is_told_once_and_so_is_its_recovery():
    receiver = Receiver()
    receiver.sees(seen(check(), ERROR, 10))
    assert receiver.tick(10) == [("failed", check())]
    receiver.sees(seen(check(), ERROR, 20), seen(check(), WARN, 30))
    assert receiver.tick(30) == []
    receiver.sees(seen(check(), None, 40))
    assert receiver.tick(40) == [("recovered", check())]
    receiver.sees(seen(check(), None, 50))
    assert receiver.tick(50) == []
    receiver.sees(seen(check(), ERROR, 60))
    assert receiver.tick(60) == [("failed", check())]


def test_what_was_well_all_along_says_nothing():
    receiver = Receiver()
    receiver.sees(seen(check(), None, 10))
    assert receiver.ledger == Ledger()


def test_a_warning_that_becomes_an_error_is_told_again_and_an_error_that_becomes_a_warning_is_not():
    receiver = Receiver()
    receiver.sees(seen(check(), WARN, 10))
    assert receiver.tick(10) == [("failed", check())]
    receiver.sees(seen(check(), ERROR, 20))
    assert receiver.tick(20) == [("failed", check())]
    assert [severity for _, _, severity in receiver.heard] == [WARN, ERROR]
    receiver.sees(seen(check(), WARN, 30))
    assert receiver.tick(30) == []


def test_an_error_that_eased_before_it_was_told_is_told_as_the_error_it_was():
    receiver = Receiver()
    receiver.sees(seen(check(), ERROR, 10), seen(check(), WARN, 20))
    receiver.tick(30)
    assert receiver.heard == [("failed", check(), ERROR)]


def test_what_came_and_went_while_the_channel_was_dead_is_still_told():
    receiver = Receiver()
    receiver.sees(seen(check(), ERROR, 10), seen(check("2011-01-05"), ERROR, 11))
    assert receiver.tick(10, delivered=False) == []
    receiver.sees(seen(check(), None, 20))
    assert set(receiver.tick(30)) == {("both", check()), ("failed", check("2011-01-05"))}
    assert list(receiver.ledger.problems) == [check("2011-01-05")]


def test_a_recovery_that_was_never_told_and_a_new_failure_leave_nothing_to_say():
    receiver = Receiver()
    receiver.sees(seen(check(), ERROR, 10))
    receiver.tick(10)
    receiver.sees(seen(check(), None, 20), seen(check(), ERROR, 30))
    assert receiver.tick(30) == []
    assert receiver.failing == {check()}


def test_since_is_the_first_failure_and_the_facts_are_the_newest_until_told():
    receiver = Receiver()
    receiver.sees(seen(check(), ERROR, 10), seen(check(), ERROR, 20))
    (problem,) = receiver.ledger.due(30, AT_ONCE).values()
    assert (problem.since, problem.facts) == (10, {"observed": "20"})
    receiver.tick(30)
    assert receiver.ledger.problems[check()].facts == {}


# Bursts --------------------------------------------------------------------------------------------------------------


def test_a_burst_waits_until_it_has_ended_and_is_one_message():
    receiver = Receiver(Timing(gather_seconds=20, further_seconds=0))
    for second in range(0, 60, 10):
        receiver.sees(seen(check(f"2011-01-{second + 1:02}"), ERROR, second))
        assert receiver.tick(second + 1) == []
    assert receiver.tick(69) == []
    assert len(receiver.tick(70)) == 6


def test_a_burst_without_an_end_is_told_in_time():
    receiver = Receiver(Timing(gather_seconds=20, further_seconds=0))
    told = []
    for second in range(0, 400, 10):
        receiver.sees(seen(check(str(second)), ERROR, second))
        told.append(len(receiver.tick(second)))
    assert [index * 10 for index, number in enumerate(told) if number] == [200]


def test_further_partitions_of_what_was_told_are_gathered_and_worse_or_other_ones_are_not():
    receiver = Receiver(Timing(gather_seconds=0, further_seconds=900))
    receiver.sees(seen(check("2011-01-04"), WARN, 0))
    assert len(receiver.tick(0)) == 1
    receiver.sees(seen(check("2011-01-05"), WARN, 60), seen(check("2011-01-06"), WARN, 120))
    assert receiver.tick(120) == []
    receiver.sees(seen(check("2011-01-07"), ERROR, 130), seen(check("2011-01-04", "other"), WARN, 140))
    assert receiver.tick(140) == [("failed", check("2011-01-07")), ("failed", check("2011-01-04", "other"))]
    assert receiver.tick(1039) == []
    assert receiver.tick(1040) == [("failed", check("2011-01-05")), ("failed", check("2011-01-06"))]


def test_recoveries_of_some_partitions_wait_for_the_others_and_the_last_one_releases_them():
    receiver = Receiver(Timing(gather_seconds=0, further_seconds=900))
    days = [check(f"2011-01-{day:02}") for day in range(4, 8)]
    receiver.sees(*[seen(day, ERROR, 0) for day in days])
    assert len(receiver.tick(0)) == 4
    receiver.sees(*[seen(day, None, 60) for day in days[:3]])
    assert receiver.tick(60) == []
    receiver.sees(seen(days[3], None, 70))
    assert len(receiver.tick(70)) == 4
    receiver.sees(seen(days[0], ERROR, 80))
    assert receiver.tick(80) == [("failed", days[0])]


# Quiet hours ---------------------------------------------------------------------------------------------------------


def test_warnings_wait_for_the_end_of_quiet_hours_and_errors_do_not():
    receiver = Receiver(replace(AT_ONCE, is_quiet=lambda now: now < 100))
    receiver.sees(seen(check("2011-01-04"), WARN, 10), seen(check("2011-01-05"), ERROR, 11))
    assert receiver.tick(20) == [("failed", check("2011-01-05"))]
    receiver.sees(seen(check("2011-01-06"), WARN, 30), seen(check("2011-01-06"), None, 40))
    receiver.sees(seen(check("2011-01-05"), None, 50))
    assert receiver.tick(60) == [("recovered", check("2011-01-05"))]
    assert receiver.tick(99) == []
    assert set(receiver.tick(100)) == {("failed", check("2011-01-04")), ("both", check("2011-01-06"))}


def test_a_held_warning_that_becomes_an_error_is_told_at_once():
    receiver = Receiver(replace(AT_ONCE, is_quiet=lambda now: True))
    receiver.sees(seen(check(), WARN, 10))
    assert receiver.tick(10) == []
    receiver.sees(seen(check(), ERROR, 20))
    assert receiver.tick(20) == [("failed", check())]


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-11-20 19:59", False),  # a Friday
        ("2026-11-20 20:00", True),
        ("2026-11-21 12:00", False),
        ("2026-11-22 12:00", True),  # a Sunday
        ("2026-11-23 07:59", True),
        ("2026-11-23 08:00", False),
        ("2026-07-01 19:30", False),
        ("2026-07-01 20:30", True),
    ],
)
def test_quiet_hours_are_of_the_zone_s_own_clock_and_may_pass_midnight(moment: str, quiet: bool):
    london = ZoneInfo("Europe/London")
    hours = QuietHours(time(20), time(8), london, frozenset({6}))
    assert hours(datetime.fromisoformat(moment).replace(tzinfo=london).timestamp()) is quiet


def test_quiet_hours_within_a_day():
    hours = QuietHours(time(12), time(13, 30), ZoneInfo("UTC"), frozenset())
    found = [hours(datetime(2026, 11, 20, hour, 29, tzinfo=UTC).timestamp()) for hour in (11, 12, 13, 14)]
    assert found == [False, True, True, False]


# A dead channel ------------------------------------------------------------------------------------------------------


def test_attempts_become_rarer_and_a_delivery_starts_anew():
    ledger, now, waits = Ledger(), 1000.0, []
    for _ in range(8):
        ledger = ledger.not_delivered(now)
        waits.append(ledger.next_try - now)
        now = ledger.next_try
    assert waits[:3] == [FIRST_RETRY_SECONDS, 2 * FIRST_RETRY_SECONDS, 4 * FIRST_RETRY_SECONDS]
    assert waits[-1] == LONGEST_RETRY_SECONDS
    assert (ledger.told({}, now).failures, ledger.told({}, now).next_try) == (0, 0)


# Positions -----------------------------------------------------------------------------------------------------------


def test_an_id_is_passed_for_good_only_after_it_settled_and_never_beyond_one_that_was_left():
    start = Position(10)
    first = start.after([11, 13], [], now=0, settle=60)
    assert (first.horizon, dict(first.met)) == (10, {11: 0, 13: 0})
    late = first.after([12], [], now=30, settle=60)
    assert (late.horizon, dict(late.met)) == (10, {11: 0, 12: 30, 13: 0})
    settled = late.after([], [], now=60, settle=60)
    assert (settled.horizon, dict(settled.met)) == (13, {})
    held = start.after([11, 13], [12], now=0, settle=0)
    assert (held.horizon, dict(held.met)) == (11, {13: 0})
    assert held.after([12], [], now=1, settle=0) == Position(13, {})


# Everything at once --------------------------------------------------------------------------------------------------

SUBJECTS = [check(f"2011-01-{day:02}", name) for day in (4, 5, 6) for name in ("contract", "accounting")]
STEPS = st.one_of(
    st.tuples(st.just("see"), st.sampled_from(SUBJECTS), st.sampled_from([None, WARN, ERROR]), st.integers(0, 400)),
    st.tuples(st.just("tick"), st.sampled_from(["works", "dead", "killed"]), st.just(None), st.integers(0, 400)),
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_nothing_is_lost_nothing_is_repeated_but_after_a_kill_and_all_is_known_in_the_end(steps):
    receiver = Receiver(Timing(gather_seconds=20, further_seconds=300, is_quiet=lambda now: int(now) % 5000 < 2000))
    now, kills = 0.0, 0
    actual: dict[Subject, Severity] = {}
    ever_failed: set[Subject] = set()
    for step, what, severity, seconds in steps:
        now += seconds
        if step == "see":
            receiver.sees(seen(what, severity, now))
            if severity is None:
                actual.pop(what, None)
            else:
                actual[what] = max(severity, actual.get(what, severity))
                ever_failed.add(what)
        else:
            told = receiver.tick(now, delivered=what != "dead", kept=what != "killed")
            kills += bool(told) and what == "killed"
        assert Ledger.from_json(receiver.ledger.to_json()) == receiver.ledger
    for _ in range(40):  # the channel works, and no night lasts for ever
        now += 300
        receiver.tick(now)
    assert receiver.failing == set(actual)
    assert {subject for _, subject, _ in receiver.heard} == ever_failed
    repeats = 0
    open_now: dict[Subject, Severity] = {}
    for word, subject, severity in receiver.heard:
        if word == "failed":
            repeats += open_now.get(subject) == severity
            open_now[subject] = severity
        else:
            repeats += word == "recovered" and subject not in open_now
            open_now.pop(subject, None)
    assert repeats <= kills * len(SUBJECTS)
    if not kills:
        assert repeats == 0
