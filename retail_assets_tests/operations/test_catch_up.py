"""The run of an arrival makes the days that it is asked for and what follows from them, and lets the others be."""

import threading
import time

import pytest
from dagster import DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.test_utils import create_run_for_test

from retail_assets.operations.arrival_decision import Asked
from retail_assets.operations.binding import Places
from retail_assets.operations.catch_up import JOB, asked_together, request
from retail_assets.operations.main_job import _origin
from retail_assets.operations.main_job_lock import alone
from retail_assets.operations.materializations import newest_materializations
from retail_assets_tests.made_shop import TABLES
from retail_assets_tests.operations.test_main_job import WITHOUT_DAY, bench, invoices
from retail_assets_tests.operations.test_planning import DAILY, each, key
from retail_assets_tests.workbench import Workbench

FIRST, BROKEN, CLOSED, LAST = "2011-01-28", "2011-01-29", "2011-01-30", "2011-01-31"


class Shop:
    """A lakehouse whose drops are asked for; with a gate, so that months are left to automation."""

    def __init__(self, workbench: Workbench) -> None:
        workbench.environment["RETAIL_SNAPSHOTS_CRON"] = "0 6 * * *"
        workbench.settings = workbench.settings.read(workbench.environment)
        self.bench, self.instance = workbench, workbench.instance

    def catch_up(self, *days: str) -> dict[str, list[str]]:
        """Table -> the partitions that a run made which was asked for these days."""
        before, asked = self._newest(), request(key("raw_invoices"), Asked("key", days))
        job = self.bench.definitions().resolve_job_def("catch_up")
        assert job.execute_in_process(asked.run_config, self.instance, tags=asked.tags).success
        return {
            table: sorted(day for day, number in made.items() if number != before[table].get(day))
            for table, made in self._newest().items()
            if made != before[table]
        }

    def _newest(self) -> dict[str, dict[str, int]]:
        found = newest_materializations(self.instance, [table.key for table in TABLES])
        return {table.path[-1]: {day: made.storage_id for day, made in days.items()} for table, days in found.items()}

    @property
    def failures(self) -> int:
        return self.instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))


@pytest.fixture(scope="module")
def shop(tmp_path_factory, spark) -> Shop:
    """One day has landed, and another in the middle of being written."""
    workbench = bench(tmp_path_factory.mktemp("catch_up") / "bench", spark, [FIRST])
    workbench.drop(LAST, invoices()[LAST][:1])
    return Shop(workbench)


def test_days_that_were_not_asked_for_are_let_be(shop):
    assert shop.catch_up(FIRST) == each(DAILY, [FIRST])


def test_a_day_that_fails_holds_up_no_other_and_is_not_tried_again_for_another(shop):
    shop.bench.drop(BROKEN, ["1,2,3"], header=WITHOUT_DAY)
    shop.bench.drop(LAST, invoices()[LAST])
    ingested = ["raw_invoices", "quarantined_invoices", "clean_transactions"]
    found = shop.catch_up(BROKEN, CLOSED, LAST)
    assert {table: found[table] for table in ingested} == each(ingested, [CLOSED, LAST])
    assert shop.failures == 1
    shop.bench.drop(FIRST, invoices()[FIRST][:3])
    assert shop.catch_up(FIRST)["clean_transactions"] == [FIRST]
    assert shop.failures == 1


def test_what_is_delivered_as_it_was_makes_nothing(shop):
    shop.bench.drop(FIRST, invoices()[FIRST][:3])
    assert shop.catch_up(FIRST) == {}


def test_of_other_directories_what_waits_first_is_made_with_it(shop):
    def run(table: str, *days: str, status: DagsterRunStatus = DagsterRunStatus.QUEUED) -> DagsterRun:
        config, origin = request(key(table), Asked("", days)).run_config, _origin().get_job_origin(JOB)
        return create_run_for_test(shop.instance, JOB, run_config=config, status=status, remote_job_origin=origin)

    first = run("orders", FIRST, status=DagsterRunStatus.STARTED)
    for table, day in (("orders", LAST), ("payments", FIRST), ("payments", LAST), ("reviews", LAST)):
        run(table, day)
    assert asked_together(first, shop.instance) == {
        f"online_retail/{table}": [day] for table, day in (("orders", FIRST), ("payments", FIRST), ("reviews", LAST))
    }
    for waiting in shop.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED])):
        shop.instance.delete_run(waiting.run_id)


def test_it_waits_for_another_main_job(shop):
    released = []

    def let_go_later() -> None:
        time.sleep(1)
        released.append(1)
        lock.__exit__(None, None, None)

    lock = alone(shop.instance, Places.of(shop.bench.settings))
    lock.__enter__()
    threading.Thread(target=let_go_later).start()
    shop.bench.drop(BROKEN, invoices()[BROKEN])
    assert shop.catch_up(BROKEN)["daily_metrics"][0] == BROKEN
    assert released == [1]
