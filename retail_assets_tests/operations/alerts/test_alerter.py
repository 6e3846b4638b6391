"""Real Dagster runs on the product's own storage, told to real servers: what is told, when, to whom, and how often."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DailyPartitionsDefinition,
    SkipReason,
    build_sensor_context,
    materialize,
)
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets.operations.alerts.events import RETRY_PATIENCE_SECONDS, AssetGraph
from retail_assets.operations.alerts.problems import Timing
from retail_assets.operations.alerts.sensor import STANDING_SECONDS, AlertNotDelivered, alert_sensors
from retail_assets.operations.alerts.settings import Channel, Mail, Route
from retail_assets_tests.operations.alerts import shop
from retail_assets_tests.operations.alerts.listening import Listening, settings, webhook
from retail_assets_tests.operations.alerts.servers import Endpoint, http_endpoint, mail_server, wait_for

SALES, TAKINGS, REPORT = "shop/sales", "shop/takings", "shop/report"
GRAPH = AssetGraph.of(shop.ASSETS)
SQLITE = """
event_log_storage:
  module: retail_assets.lakehouse.event_log
  class: OpenSqliteEventLogStorage
  config: {}
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
telemetry:
  enabled: false
"""


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    for planted in shop.FAULTS.values():
        planted.clear()


def new_home(path: Path) -> Path:
    path.mkdir()
    (path / "dagster.yaml").write_text(SQLITE)
    return path


@contextmanager
def opened(home: Path) -> Iterator[DagsterInstance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))  # the event log takes its place from there
        instance = DagsterInstance.from_config(str(home))
    with instance:
        yield instance


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_home(tmp_path_factory.mktemp("alerter") / "home")


@pytest.fixture(scope="module")
def instance(home: Path) -> Iterator[DagsterInstance]:
    """One storage for all: every listener has a ledger of its own, which starts at the newest event."""
    with opened(home) as instance:
        yield instance


@pytest.fixture
def own_home(tmp_path: Path) -> Path:
    """For tests that restart the storage, empty it, or look at all that ever failed in it."""
    return new_home(tmp_path / "home")


@pytest.fixture
def own_instance(own_home: Path) -> Iterator[DagsterInstance]:
    with opened(own_home) as instance:
        yield instance


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with http_endpoint() as opened:
        yield opened


class Listener(Listening):
    """A channel's alerter on an instance, over the shop's graph."""

    def __init__(self, instance: DagsterInstance, endpoint: Endpoint, name: str = "", **options: Any) -> None:
        super().__init__(instance, endpoint, GRAPH, name, **options)


def make(instance: DagsterInstance, *days: str, tables: list[str] | None = None, **tags: str) -> Any:
    """A run over a day, or over a range."""
    span = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    return materialize(
        shop.ASSETS,
        instance=instance,
        selection=[AssetKey(table.split("/")) for table in tables or [SALES]],
        partition_key=days[0] if len(days) == 1 else None,
        tags=tags | (span if len(days) > 1 else {}),
        resources={"io_manager": shop.Nowhere()},
        raise_on_error=False,
    )


# What is told --------------------------------------------------------------------------------------------------------


def test_what_failed_before_the_channel_was_set_up_is_history(instance, endpoint):
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}
    make(instance, "2011-01-04")
    listener = Listener(instance, endpoint)
    assert listener.tick() == []


def test_a_refused_partition_is_one_failure_of_its_check_and_its_recovery_is_told(instance, endpoint):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-05"}
    run = make(instance, "2011-01-04", "2011-01-06", tables=[SALES, TAKINGS])
    assert not run.success
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-05"])]
    (item,) = endpoint.messages[-1]["items"]
    assert item["facts"] == {"details": "failed rows: 2, rows: 5"}, "sample keys stay in the UI"
    assert item["blocks"] == [REPORT, TAKINGS]
    assert (item["groups"], item["owners"]) == (["bronze"], ["team:data-engineering"])
    assert item["links"] == {
        "asset": "http://ui/assets/shop/sales?view=checks&checkDetail=contract",
        "run": f"http://ui/runs/{run.run_id}",
        "runbook": "docs/runbook.md#check-failed",
    }
    make(instance, "2011-01-05")
    assert listener.tick() == []
    shop.FAULTS[shop.REFUSED_DAYS] = set()
    make(instance, "2011-01-05")
    assert listener.tick() == [("recovered", "check", SALES, ["2011-01-05"])]
    assert listener.tick(later=10 * STANDING_SECONDS) == []


def test_a_warning_says_what_was_observed_against_which_bounds_and_blocks_nothing(instance, endpoint):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.WARNED_DAYS] = {"2011-01-04"}
    assert make(instance, "2011-01-04").success
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-04"])]
    (item,) = endpoint.messages[-1]["items"]
    assert item["severity"] == "WARN"
    assert item["facts"] == {
        "observed": "12", "lower": "90", "upper": "410", "explanation": "too few", "family": "volume",
    }  # fmt: skip
    assert item["blocks"] == []
    assert item["links"]["runbook"] == "docs/runbook.md#check-family-volume"
    shop.FAULTS[shop.WARNED_DAYS] = set()
    make(instance, "2011-01-04")
    assert listener.tick() == [("recovered", "check", SALES, ["2011-01-04"])]
    assert endpoint.messages[-1]["items"][0]["links"]["runbook"] == "docs/runbook.md#check-family-volume"


def test_a_failed_run_is_told_with_its_error_and_recovers_when_its_partitions_are_made(instance, endpoint):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.BROKEN] = {shop.BROKEN}
    make(instance, "2011-01-04", "2011-01-06", tables=[SALES, TAKINGS])
    assert listener.tick() == [("failed", "run", SALES, ["2011-01-04...2011-01-06"])]
    (item,) = endpoint.messages[-1]["items"]
    assert item["facts"] == {"details": "ValueError: the till is locked"}
    assert item["blocks"] == [REPORT, TAKINGS]
    shop.FAULTS[shop.BROKEN] = set()
    make(instance, "2011-01-04", "2011-01-05")
    assert listener.tick() == [], "one day is still missing"
    make(instance, "2011-01-06")
    assert listener.tick() == [("recovered", "run", SALES, ["2011-01-04...2011-01-06"])]


def graph_of_days(first: str, end: str) -> AssetGraph:
    """The shop's, after its calendar was changed to these days."""
    days = DailyPartitionsDefinition(first, end_date=end)
    return replace(GRAPH, partitions=dict.fromkeys(GRAPH.partitions, days))


@pytest.mark.parametrize(("first", "end"), [("2011-01-05", "2014-01-01"), ("2011-01-01", "2011-01-06")])
def test_a_range_of_which_the_calendar_has_a_part_recovers_when_that_part_is_made(instance, endpoint, first, end):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.BROKEN] = {shop.BROKEN}
    make(instance, "2011-01-03", "2011-01-08")
    assert listener.tick() == [("failed", "run", SALES, ["2011-01-03...2011-01-08"])]
    listener.alerter.graph = graph_of_days(first, end)
    assert listener.tick() == []
    shop.FAULTS[shop.BROKEN] = set()
    make(instance, "2011-01-05")
    if first < "2011-01-05":
        assert listener.tick() == [], "two days before it are still missing"
        make(instance, "2011-01-03", "2011-01-04")
    else:
        make(instance, "2011-01-06", "2011-01-08")
    assert listener.tick() == [("recovered", "run", SALES, ["2011-01-03...2011-01-08"])]


@pytest.mark.parametrize("days", [("2011-01-03", "2011-01-08"), ("2011-01-03",)], ids=["range", "day"])
def test_partitions_that_the_calendar_has_no_more_are_no_problem_any_more(instance, endpoint, days):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.BROKEN] = {shop.BROKEN}
    make(instance, *days)
    assert listener.tick() == [("failed", "run", SALES, ["...".join(days)])]
    listener.alerter.graph = graph_of_days("2011-02-01", "2014-01-01")
    assert listener.tick() == [("recovered", "run", SALES, ["...".join(days)])]


def test_a_run_that_died_over_days_that_the_calendar_has_no_more_is_told_and_done_with(instance, endpoint):
    listener = Listener(instance, endpoint)
    listener.alerter.graph = graph_of_days("2011-02-01", "2014-01-01")
    run = instance.create_run_for_job(
        job_def=shop_job(), asset_selection=frozenset([AssetKey(SALES.split("/"))]),
        tags={"dagster/asset_partition_range_start": "2011-01-03", "dagster/asset_partition_range_end": "2011-01-08"},
    )  # fmt: skip
    instance.report_run_failed(run, "Run worker stopped unexpectedly")
    told = listener.tick(later=RETRY_PATIENCE_SECONDS)
    assert told == [("failed and recovered", "run", SALES, ["2011-01-03...2011-01-08"])]


def test_a_job_that_makes_no_asset_fails_and_recovers(instance, endpoint):
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.BROKEN] = {shop.BROKEN}
    shop.stocktaking.execute_in_process(instance=instance, raise_on_error=False)
    assert listener.tick() == [("failed", "run", "stocktaking, step count_the_till", [])]
    shop.FAULTS[shop.BROKEN] = set()
    shop.stocktaking.execute_in_process(instance=instance)
    assert listener.tick() == [("recovered", "run", "stocktaking, step count_the_till", [])]


def test_a_run_that_died_without_a_word_is_told_with_what_it_had_not_made(instance, endpoint):
    listener = Listener(instance, endpoint)
    run = instance.create_run_for_job(
        job_def=shop_job(), asset_selection=frozenset([AssetKey(["shop", "sales"]), AssetKey(["shop", "takings"])]),
        tags={"dagster/partition": "2011-01-04"},
    )  # fmt: skip
    instance.report_run_failed(run, "Run worker stopped unexpectedly")
    assert listener.tick(later=10) == [], "Dagster may yet retry it"
    told = listener.tick(later=RETRY_PATIENCE_SECONDS)
    assert told == [("failed", "run", f"{SALES}+{TAKINGS}", ["2011-01-04"])]
    assert "Run worker stopped unexpectedly" in endpoint.messages[-1]["items"][0]["facts"]["details"]
    make(instance, "2011-01-04", tables=[SALES, TAKINGS])
    assert listener.tick() == [("recovered", "run", f"{SALES}+{TAKINGS}", ["2011-01-04"])]


def shop_job() -> Any:
    from dagster import Definitions

    return Definitions(assets=shop.ASSETS).resolve_implicit_global_asset_job_def()


def test_a_run_that_is_retried_speaks_through_its_retry_or_for_itself_if_none_comes(instance, endpoint):
    listener = Listener(instance, endpoint)
    selection = frozenset([AssetKey(["shop", "sales"])])
    runs = [
        instance.create_run_for_job(
            job_def=shop_job(), asset_selection=selection, tags={"dagster/partition": day, WILL_RETRY_TAG: "true"}
        )
        for day in ("2011-01-04", "2011-01-05")
    ]
    for run in runs:
        instance.report_run_failed(run)
        instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
    assert listener.tick(later=10) == []
    instance.add_run_tags(runs[0].run_id, {AUTO_RETRY_RUN_ID_TAG: "the retry"})
    assert listener.tick(later=RETRY_PATIENCE_SECONDS) == [("failed", "run", SALES, ["2011-01-05"])]


def test_missed_freshness_is_told_and_its_recovery(instance, endpoint):
    listener = Listener(instance, endpoint)

    def becomes(state: FreshnessState, before: FreshnessState) -> None:
        change = FreshnessStateChange(
            key=AssetKey(["shop", "report"]), new_state=state, previous_state=before,
            state_change_timestamp=time.time(),
        )  # fmt: skip
        instance._report_runless_asset_event(change)

    becomes(FreshnessState.UNKNOWN, FreshnessState.UNKNOWN)
    assert listener.tick() == []
    becomes(FreshnessState.WARN, FreshnessState.PASS)
    assert listener.tick() == [("failed", "freshness", REPORT, [])]
    assert endpoint.messages[-1]["severity"] == "WARN"
    becomes(FreshnessState.FAIL, FreshnessState.WARN)
    assert listener.tick() == [("failed", "freshness", REPORT, [])]
    assert endpoint.messages[-1]["title"] == f"ERROR: {REPORT}: freshness missed"
    becomes(FreshnessState.PASS, FreshnessState.FAIL)
    assert listener.tick() == [("recovered", "freshness", REPORT, [])]


def test_partitions_that_stay_failed_are_told_once_a_day_has_passed_and_when_they_are_made(own_instance, endpoint):
    instance = own_instance
    shop.FAULTS[shop.BROKEN] = {shop.BROKEN}
    make(instance, "2011-01-04", "2011-01-06")
    listener = Listener(instance, endpoint)
    assert listener.tick(later=23 * 3600) == []
    told = listener.tick(later=2 * 3600)
    assert told == [("failed", "still_failed", SALES, ["2011-01-04", "2011-01-05", "2011-01-06"])]
    assert listener.tick(later=24 * 3600) == []
    shop.FAULTS[shop.BROKEN] = set()
    make(instance, "2011-01-04", "2011-01-06")
    told = listener.tick(later=STANDING_SECONDS)
    assert told == [("recovered", "still_failed", SALES, ["2011-01-04", "2011-01-05", "2011-01-06"])]


# To whom -------------------------------------------------------------------------------------------------------------


def test_a_channel_hears_of_its_own_group_and_severity_only(instance, endpoint):
    bronze_errors = Route(("hook",), frozenset([shop_error()]), frozenset(), frozenset(["bronze"]), frozenset())
    listener = Listener(instance, endpoint, routes=(bronze_errors,))
    shop.FAULTS[shop.WARNED_DAYS], shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}, {"2011-01-05"}
    make(instance, "2011-01-04", "2011-01-05")
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-05"])]
    gold = Route(("hook",), frozenset(), frozenset(), frozenset(), frozenset(["team:analytics"]))
    other = Listener(instance, endpoint, routes=(gold,))
    make(instance, "2011-01-05")
    assert other.tick() == []


def shop_error() -> Any:
    from retail_assets.operations.alerts.problems import Severity

    return Severity.ERROR


def test_the_sensor_that_dagster_runs_tells_by_mail_and_says_so(instance):
    with mail_server() as server:
        target = Mail("127.0.0.1", server.port, "none", "retail@example.org", ("data@example.org",))
        (sensor,) = alert_sensors(settings([Channel("office", "email", target)]), "http://ui", shop.ASSETS)
        assert tick_of(sensor, instance).startswith("Nothing is due")
        shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}
        make(instance, "2011-01-04")
        assert tick_of(sensor, instance).startswith("Told 1 in one message: ERROR: shop/sales: check contract failed")
        (mail,) = server.mails
    assert mail["Subject"] == "ERROR: shop/sales: check contract failed for 2011-01-04"


def tick_of(sensor: Any, instance: DagsterInstance) -> str:
    data = sensor.evaluate_tick(build_sensor_context(instance=instance))
    return str(data.skip_message)


# Bursts, dead channels, kills ----------------------------------------------------------------------------------------


def test_a_thousand_failures_at_once_are_one_digest(instance, endpoint):
    listener = Listener(instance, endpoint, timing=Timing(gather_seconds=20, further_seconds=900))
    days = list(shop.DAYS.get_partition_keys()[:1000])
    report(instance, days, passed=False)
    assert listener.tick() == [], "more may come"
    assert listener.tick(later=25) == [("failed", "check", SALES, days)]
    assert endpoint.messages[-1]["items"][0]["partition_count"] == 1000
    assert len(endpoint.requests) == 1
    report(instance, days, passed=True)
    assert listener.tick(later=25) == [("recovered", "check", SALES, days)]
    assert listener.tick(later=25) == []


def report(instance: DagsterInstance, days: list[str], passed: bool) -> None:
    """Check evaluations as runs store them: four runs side by side."""
    with stored_together(instance):
        for number, day in enumerate(days):
            evaluation = AssetCheckEvaluation(
                asset_key=AssetKey(["shop", "sales"]), check_name="contract", passed=passed, partition=day,
                severity=AssetCheckSeverity.ERROR, blocking=True,
            )  # fmt: skip
            event = DagsterEvent(DagsterEventType.ASSET_CHECK_EVALUATION.value, "job", event_specific_data=evaluation)
            entry = EventLogEntry(None, 10, "", f"run-{number % 4}", time.time(), None, "job", event)
            instance.event_log_storage.store_event(entry)


def test_a_dead_channel_loses_nothing_and_holds_up_no_other(instance, endpoint):
    with http_endpoint() as other:
        dead, alive = Listener(instance, endpoint), Listener(instance, other)
        endpoint.answers = [500, -1, 503]
        shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}
        make(instance, "2011-01-04")
        with pytest.raises(
            AlertNotDelivered, match=r"'hook' did not take the message \(the server answered 500"
        ) as error:
            dead.tick()
        assert "supersecretpath" not in str(error.value)
        assert error.value.__cause__ is None
        assert error.value.__context__ is None
        assert alive.tick() == [("failed", "check", SALES, ["2011-01-04"])]
        assert dead.tick() == [], "it is not asked again at once"
        make(instance, "2011-01-05")
        shop.FAULTS[shop.REFUSED_DAYS] = set()
        make(instance, "2011-01-04")
        assert alive.tick() == [("recovered", "check", SALES, ["2011-01-04"])]
        for wait, said in ((31, "did not answer in time"), (61, "answered 503")):
            with pytest.raises(AlertNotDelivered, match=said):
                dead.tick(later=wait)
        assert dead.tick(later=121) == [("failed and recovered", "check", SALES, ["2011-01-04"])]
        assert dead.tick(later=31) == []


def test_the_ledger_survives_a_restart_of_everything(own_home, endpoint):
    with opened(own_home) as first:
        listener = Listener(first, endpoint, "retail_alerts/hook")
        shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}
        make(first, "2011-01-04")
        assert len(listener.tick()) == 1
        make(first, "2011-01-05", "2011-01-06")
    with opened(own_home) as second:
        again = Listener(second, endpoint, "retail_alerts/hook")
        assert again.tick() == []
        shop.FAULTS[shop.REFUSED_DAYS] = set()
        make(second, "2011-01-04")
        assert again.tick() == [("recovered", "check", SALES, ["2011-01-04"])]


KILLED = """
import sys
from dagster import DagsterInstance
from retail_assets.operations.alerts.delivery import deliver
from retail_assets.operations.alerts.messages import Links
from retail_assets.operations.alerts.sensor import Alerter
from retail_assets_tests.operations.alerts.listening import settings, webhook
from retail_assets_tests.operations.alerts.test_alerter import GRAPH

channel = webhook(sys.argv[2])
alerter = Alerter(channel, settings([channel]), Links("http://ui", "docs/runbook.md"), GRAPH)
with DagsterInstance.from_config(sys.argv[1]) as instance:
    print(alerter.tick(instance, float(sys.argv[3])), flush=True)
"""


def test_killed_between_sending_and_marking_it_repeats_the_same_message_once(instance, home, endpoint):
    listener = Listener(instance, endpoint, "retail_alerts/hook")
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04", "2011-01-05"}
    make(instance, "2011-01-04", "2011-01-06")

    ticking: list[subprocess.Popen[str]] = []
    endpoint.taken_and_then = lambda: ticking[0].send_signal(signal.SIGKILL)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(home), endpoint.url, str(time.time())]
    ticking.append(
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "DAGSTER_HOME": str(home)})
    )
    assert ticking[0].communicate(timeout=60)[0] == ""
    assert ticking[0].returncode == -signal.SIGKILL
    wait_for(lambda: len(endpoint.requests) == 1)
    endpoint.taken_and_then = None
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-04", "2011-01-05"])]
    assert listener.tick() == []
    first, second = endpoint.messages
    assert first == second


def test_told_problems_of_what_left_the_graph_are_forgotten_and_an_emptied_log_starts_anew(own_instance, endpoint):
    instance = own_instance
    listener = Listener(instance, endpoint)
    shop.FAULTS[shop.REFUSED_DAYS] = {"2011-01-04"}
    make(instance, "2011-01-04")
    assert len(listener.tick()) == 1
    listener.alerter.graph = AssetGraph.of([shop.takings])
    assert listener.tick(later=STANDING_SECONDS) == []
    listener.alerter.graph = GRAPH
    instance.event_log_storage.wipe()
    listener.tick()
    make(instance, "2011-01-04")
    assert listener.tick() == [("failed", "check", SALES, ["2011-01-04"])]


def test_the_sensor_skips_and_requests_no_run(instance):
    with http_endpoint() as quiet:
        (sensor,) = alert_sensors(settings([webhook(quiet.url)]), "http://ui", shop.ASSETS)
        assert isinstance(sensor(build_sensor_context(instance=instance)), SkipReason)
