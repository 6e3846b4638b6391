"""What follows what by itself: Dagster's own evaluation of the conditions, over a real event log."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    BackfillPolicy,
    DagsterEvent,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    SkipReason,
    build_schedule_context,
    evaluate_automation_conditions,
)
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.test_utils import create_run_for_test, freeze_time
from dagster._time import get_current_datetime

from retail_assets.definitions import build_definitions
from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG
from retail_assets.operations import automation
from retail_assets.operations.automation import closing
from retail_assets.operations.binding import Places
from retail_assets.operations.main_job_lock import alone
from retail_assets_tests.made_shop import BY_THE_WEEK
from retail_assets_tests.operations.homes import home_of
from retail_assets_tests.operations.test_planning import (
    DAILY,
    DAYS_AFTER,
    INGESTED,
    MONTHLY,
    SAME_DAY,
    Ledger,
    days,
    each,
    key,
    months,
)

RAW = key("raw_invoices")
CALENDAR = ("2010-01-28", "2010-04-20")
ALL_DAYS, ALL_MONTHS = days("2010-01-28", "2010-03-03"), months("2010-01-28", "2010-03-03")


class Following:
    """The daemon's looks at the conditions of a ledger's tables; what it asks for is only said to have been made."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.definitions = build_definitions(ledger.settings)
        self.cursor: AssetDaemonCursor | None = None
        self.now = get_current_datetime()

    def look(self, minutes: float = 0.5) -> dict[str, list[str]]:
        """What is asked for so many minutes after the look before."""
        self.now += timedelta(minutes=minutes)
        with freeze_time(self.now):
            found = evaluate_automation_conditions(self.definitions, self.ledger.instance, cursor=self.cursor)
        self.cursor = found.cursor
        requested = {table: found.get_requested_partitions(table) for table in self.ledger.graph.assets}
        return {table.path[-1]: sorted(map(str, keys)) for table, keys in requested.items() if keys}

    def make(self, requested: dict[str, list[str]], rows: str | None = None) -> None:
        self.ledger.make({key(table): partitions for table, partitions in requested.items()}, rows)

    def make_raw(self) -> None:
        due = self.ledger.due()
        self.ledger.make({RAW: due[RAW]} if RAW in due else {})

    def settle(self) -> dict[str, list[str]]:
        """Looks, and makes what is asked for, until nothing is; all of it."""
        asked: dict[str, list[str]] = {}
        while requested := self.look(minutes=11):
            self.make(requested)
            for table, partitions in requested.items():
                asked[table] = sorted([*asked.get(table, []), *partitions])
        return asked

    def begun(self, table: str, partition: str) -> DagsterRun:
        """A run that is to make the partition, and is under way."""
        job = self.definitions.resolve_implicit_global_asset_job_def().name
        asked = frozenset({key(table)})
        run = create_run_for_test(
            self.ledger.instance, job_name=job, asset_selection=asked, status=DagsterRunStatus.STARTED
        )
        what = AssetMaterializationPlannedData(key(table), partition=partition)
        planned = DagsterEvent.build_asset_materialization_planned_event(job, "__".join(key(table).path), what)
        self.ledger.instance.report_dagster_event(planned, run.run_id)
        return run

    def tried(self, table: str, partition: str) -> None:
        """A run that was to make the partition, and did not."""
        self.ledger.instance.report_run_failed(self.begun(table, partition))


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    """Three months, in which some days have drops; nothing is made yet, and the daemon had its first look."""
    ledger = Ledger(tmp_path, *CALENDAR)
    ledger.drop("2010-01-28", "2010-02-01", "2010-03-03")
    with ledger.instance:
        made = Following(ledger)
        assert made.look() == {}  # nothing was ingested
        yield made


def test_days_follow_their_bronze_at_once_and_months_follow_their_days(following):
    following.make_raw()
    first = following.look()
    assert first == each(DAILY[1:], ALL_DAYS)
    following.make(first)
    asked = following.settle()
    weekly = {name: asked.pop(name) for name in BY_THE_WEEK if name in asked}  # test_weeks.py says which of their weeks
    assert asked == each(MONTHLY, ALL_MONTHS)
    assert "demand_forecast" in weekly
    assert following.ledger.due() == {}


def test_what_is_made_while_the_daemon_looks_is_not_asked_for(following, monkeypatch):
    following.make_raw()
    table, day, planned = "quarantined_invoices", "2010-02-01", automation.Plan
    assert day in following.look()[table]
    following.begun(table, day)
    following.ledger.make({RAW: [day]})  # by the same run: its plan is older than what it reads

    def made_meanwhile(*arguments):
        plan = planned(*arguments)
        following.make({table: [day]})
        return plan

    monkeypatch.setattr(automation, "Plan", made_meanwhile)
    assert day not in following.look().get(table, [])


def test_what_the_main_job_made_is_not_asked_for(following):
    following.ledger.make_all()
    assert following.settle() == {}


def test_a_look_without_a_cursor_asks_for_what_is_due_and_for_no_more(following):
    following.ledger.make_all()
    following.ledger.make({RAW: ["2010-02-01"]})
    following.cursor = None
    assert following.look() == each(SAME_DAY[1:], ["2010-02-01"]) | each(
        [*DAYS_AFTER], days("2010-02-01", "2010-03-03")
    )


def test_a_corrected_day_asks_for_its_months_snapshots_and_the_later_ones_and_nothing_else(following):
    following.ledger.make_all()
    following.ledger.drop("2010-02-01", content="corrected")
    expected = following.ledger.due()
    following.make_raw()
    asked = following.settle()
    assert asked["customer_month_activity"] == ["2010-02-01"]
    assert asked["customer_rfm"] == ["2010-02-01", "2010-03-01"]
    assert asked == {table.path[-1]: keys for table, keys in expected.items() if table != RAW}


def test_what_was_made_again_and_is_as_it_was_asks_for_nothing(following):
    following.ledger.make_all("rows")
    following.make({"daily_metrics": days("2010-02-01", "2010-02-03")}, "rows")
    assert following.settle() == {}
    following.make({"daily_metrics": ["2010-02-02"]}, "other rows")
    assert list(following.look(minutes=11)) == ["dashboard"]


def test_months_are_asked_for_at_most_once_between_two_ticks_of_the_gate(following):
    gated = replace(following.ledger.settings, snapshots_cron="*/10 * * * *")
    following.definitions = build_definitions(gated)
    following.ledger.make_all()
    following.now = following.now.replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
    following.look(minutes=0)
    asked = []
    for turn in range(1, 8):  # a drop of the running month every four minutes, up to minute 29
        following.ledger.drop("2010-03-03", content="x" * turn)
        following.make_raw()
        for _ in range(2):  # its day, and its month
            requested = following.look(minutes=2)
            following.make(requested)
        if "customer_month_activity" in requested:
            assert requested["customer_month_activity"] == ["2010-03-01"]
            asked.append(following.now.minute // 10)
    assert asked == [0, 1, 2]


def test_nothing_is_asked_for_while_something_that_it_reads_waits_to_be_made(following):
    following.make_raw()
    following.make({"quarantined_invoices": ALL_DAYS, "clean_transactions": [d for d in ALL_DAYS if d != "2010-02-01"]})
    following.tried("clean_transactions", "2010-02-01")
    requested = following.look(minutes=11)
    assert requested["customer_month_activity"] == ["2010-01-01", "2010-03-01"]
    assert requested["customer_rfm"] == ["2010-01-01"]
    assert requested["daily_metrics"] == days("2010-01-28", "2010-01-31")
    assert "clean_transactions" not in requested


def test_a_failure_is_not_asked_for_again_until_what_it_reads_was_made_anew(following):
    following.make_raw()
    assert "2010-01-28" in following.look()["quarantined_invoices"]
    following.tried("quarantined_invoices", "2010-01-28")
    assert "2010-01-28" not in following.look()["quarantined_invoices"]
    following.make({"raw_invoices": ["2010-01-28"]})
    assert "2010-01-28" in following.look()["quarantined_invoices"]


def test_nothing_is_asked_for_while_the_main_job_is_at_work(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with DagsterInstance.local_temp(str(home)) as instance:
        ledger = Ledger(tmp_path, *CALENDAR)
        ledger.instance = instance
        ledger.drop("2010-01-28")
        following = Following(ledger)
        following.make_raw()
        with alone(instance, Places.of(ledger.settings)):
            assert following.look() == {}
        assert following.look() == each(DAILY[1:], ["2010-01-28"])


def test_what_is_no_longer_stored_is_asked_for_once_and_then_quiet(following):
    following.ledger.make_all()
    assert following.look() == {}
    table, day = "daily_counts", "2010-02-01"  # which nothing reads
    told = AssetMaterialization(key(table), partition=day, tags={DATA_VERSION_TAG: "3"})  # and no table is there
    following.ledger.instance.report_runless_asset_event(told)
    assert following.look() == {table: [day]}
    following.tried(table, day)
    assert following.look(minutes=11) == {}
    following.make({table: [day]})
    assert following.settle() == {}


def test_nothing_is_asked_for_while_the_lakehouse_is_not_there(tmp_path):
    with home_of(tmp_path / "home") as instance:
        ledger = Ledger(tmp_path, *CALENDAR)
        ledger.instance, places = instance, Places.of(ledger.settings)
        ledger.drop("2010-01-28")
        following = Following(ledger)
        following.make_raw()
        with alone(instance, places):
            pass
        (tmp_path / "lakehouse").rename(tmp_path / "away")
        assert following.look() == {}
        closed = closing(ledger.graph, instance, date(2010, 1, 31), places)
        assert "is not there" in str(closed.skip_message if isinstance(closed, SkipReason) else closed)
        (tmp_path / "away").rename(tmp_path / "lakehouse")
        assert following.look() == each(DAILY[1:], ["2010-01-28"])


def test_every_table_that_reads_another_follows_it_and_every_backfill_is_bounded(following):
    for asset in following.ledger.graph.assets.values():
        (spec,) = asset.specs
        assert (spec.automation_condition is not None) == bool(list(asset.asset_deps[asset.key])), asset.key
        monthly = "Monthly" in type(asset.partitions_def).__name__
        assert asset.backfill_policy == BackfillPolicy.multi_run(24 if monthly else 366), asset.key


# The end of a month ---------------------------------------------------------------------------------------------------


def test_the_month_that_has_ended_is_closed_by_one_run_and_then_current(following):
    ledger = following.ledger
    ledger.make({table: keys for table, keys in ledger.due().items() if table.path[-1] in DAILY})
    ledger.make({key(table): ["2010-01-01"] for table in MONTHLY})
    request = closing(ledger.graph, ledger.instance, date(2010, 2, 28), Places.of(ledger.settings))
    assert isinstance(request, RunRequest)
    assert request.tags["dagster/partition"] == "2010-02-01"
    assert set(request.asset_selection or []) == {key(table) for table in MONTHLY}
    ledger.make({table: ["2010-02-01"] for table in request.asset_selection or []})
    done = closing(ledger.graph, ledger.instance, date(2010, 2, 28), Places.of(ledger.settings))
    assert isinstance(done, SkipReason)
    assert "current" in str(done.skip_message)


def test_a_month_is_not_closed_over_days_that_failed(following):
    ledger = following.ledger
    due = ledger.due()
    ledger.make({table: keys for table, keys in due.items() if table.path[-1] in INGESTED[:2]})
    ledger.make({key("clean_transactions"): [day for day in ALL_DAYS if day != "2010-02-01"]})
    waiting = closing(ledger.graph, ledger.instance, date(2010, 2, 28), Places.of(ledger.settings))
    assert isinstance(waiting, SkipReason)
    assert "customer_month_activity" in str(waiting.skip_message)


def test_the_schedule_looks_at_the_month_before_its_first(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        ledger = Ledger(tmp_path, *CALENDAR)
        ledger.instance = instance
        ledger.drop("2010-01-28", "2010-02-01")
        ledger.make({table: keys for table, keys in ledger.due().items() if table.path[-1] in DAILY})
        repository = build_definitions(ledger.settings).get_repository_def()
        with build_schedule_context(instance, datetime(2010, 2, 1, 6), repository_def=repository) as context:
            found = repository.get_schedule_def("month_end").evaluate_tick(context)
        assert found.run_requests is not None
        assert [request.tags["dagster/partition"] for request in found.run_requests] == ["2010-01-01"]
        assert AssetKey(["online_retail", "customer_rfm"]) in (found.run_requests[0].asset_selection or [])
