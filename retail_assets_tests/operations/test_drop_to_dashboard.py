"""The product by itself, with the real daemon: how soon a drop is on the dashboard, and what makes no run at all."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from retail_assets.generator.generate import generate
from retail_assets.operations.main_job import PROCESS_TAG
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.live import Live, running

pytestmark = pytest.mark.long

LAST_DAY = date(2011, 8, 20)
SECONDS = 30
"""From a drop's being put in place, complete, to the dashboard that shows it."""

SENSORS = ["following", "online_retail_arrivals"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Seven months, so that every table has partitions; all made but the newest day, which has not landed."""
    command = RetailCommand(tmp_path_factory.mktemp("live"))
    command.environment |= {"RETAIL_ONLINE_RETAIL_LAST_DAY": str(LAST_DAY)}
    generate(command.zone, lines=1500, days=215, last_day=LAST_DAY, seed=7)
    newest = sorted(command.zone.glob("*.csv"))[-1]
    newest.rename(command.directory / newest.name)
    made = command("run")
    assert made.returncode == 0, made.stderr
    with running(Live(command)) as started:
        started.wait_for_looks(SENSORS, 2)
        yield started


def page(live: Live) -> Path:
    return live.command.directory / "dashboards" / f"online_retail-{LAST_DAY:%Y-%m}.html"


def launched(live: Live) -> Counter[str]:
    """Job -> how many runs of it there were, without those that another made in its own process."""
    with live.instance() as instance:
        return Counter(run.job_name for run in instance.get_runs() if PROCESS_TAG not in run.tags)


def test_a_drop_is_on_the_dashboard_within_half_a_minute_and_by_one_run_of_the_queue(live: Live):
    before, queued = page(live).stat().st_mtime_ns, launched(live)
    [drop] = live.command.directory.glob("*.csv")
    shutil.copy(drop, live.command.zone)
    began = time.monotonic()
    while page(live).stat().st_mtime_ns == before:
        assert time.monotonic() - began < 10 * SECONDS
        time.sleep(0.1)
    seconds = time.monotonic() - began
    live.wait_until("its end", lambda: not live.at_work())
    print(f"{seconds:.1f} s from the drop to the dashboard")  # noqa: T201
    assert live.due() == set()
    assert launched(live) - queued == {"catch_up": 1}
    assert live.runs(DagsterRunStatus.FAILURE) == 0
    assert seconds <= SECONDS


def test_an_unchanged_delivery_makes_no_run(live: Live):
    before = launched(live)
    sorted(live.command.zone.glob("*.csv"))[-1].touch()
    live.wait_for_looks(SENSORS)
    assert launched(live) == before


def test_a_backfill_with_equal_results_makes_nothing_that_reads_it(live: Live):
    days = [f"2011-08-{day:02}" for day in (1, 2, 3)]
    made, metrics = live.made(), [key for key in live.graph.assets if key.path[-1] == "daily_metrics"]
    launched = live.ask(
        "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }",
        {"p": {"assetSelection": [{"path": key.path} for key in metrics], "partitionNames": days}},
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess"
    live.wait_until("the backfill", lambda: sum((live.made() - made).values()) >= len(days) and not live.at_work())
    live.wait_for_looks(SENSORS)
    assert live.made() - made == {("daily_metrics", day): 1 for day in days}
    assert live.due() == set()
