"""Automation conditions and freshness policies see what the launcher brought back as if it had been made here."""

import asyncio
from datetime import timedelta

import pytest
from dagster import AssetKey, evaluate_automation_conditions
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time
from dagster._daemon.freshness import FreshnessDaemon
from dagster._time import get_current_datetime

from retail_assets_tests.databricks.shop import Shop

pytestmark = pytest.mark.long

DAY = ("2011-01-03", "2011-01-03")


class Automation:
    """What the daemon does: it looks at the conditions again and again, and carries its cursor on."""

    def __init__(self, shop: Shop) -> None:
        shop.module = "shop_assets.automated"
        self.shop = shop
        self.cursor: AssetDaemonCursor | None = None

    def requested(self) -> dict[str, list[str]]:
        """The days that are requested now, of each asset with any."""
        with self.shop.loaded():
            from shop_assets.automated import defs

            found = evaluate_automation_conditions(defs, self.shop.instance, cursor=self.cursor)
            self.cursor = found.cursor
            requested = {name: found.get_requested_partitions(AssetKey(name)) for name in ("sales", "bulletin")}
            assert sum(map(len, requested.values())) == found.total_requested
            return {name: sorted(str(day) for day in days) for name, days in requested.items() if days}

    def freshness(self) -> FreshnessState:
        """The state of the drops as Dagster's freshness daemon has it after its next turn."""
        drops, context = AssetKey("drops"), LoadingContextForTest(self.shop.instance)
        with self.shop.loaded():
            from shop_assets.automated import defs

            node = defs.resolve_asset_graph().get(drops)
            asyncio.run(FreshnessDaemon()._evaluate_asset(context, node))
        return self.shop.instance.get_freshness_state_records([drops])[drops].freshness_state


@pytest.fixture
def automation(shop: Shop) -> Automation:
    return Automation(shop)


@pytest.mark.parametrize("span", [DAY, ("2011-01-03", "2011-01-05")], ids=["a day", "a range"])
def test_what_lands_is_requested_downstream_and_runs_remotely(automation: Automation, span: tuple[str, str]):
    shop, before = automation.shop, len(automation.shop.workspace.runs)
    days = [f"2011-01-{day:02}" for day in range(3, int(span[1][-2:]) + 1)]
    assert automation.requested() == {}

    assert shop.run("drops", days=span).is_success
    assert automation.requested() == {"sales": days}
    assert shop.run("sales", days=span).is_success
    assert automation.requested() == {"bulletin": days}
    assert shop.run("bulletin", days=span).is_success

    assert automation.requested() == {}
    what = span[0] if len(days) == 1 else " to ".join(span)
    assert [ran.run_name for ran in shop.workspace.runs[before:]] == [
        f"retail {step} {what}" for step in ("drops", "sales", "sales_balanced", "bulletin")
    ]
    assert shop.instance.get_materialized_partitions(AssetKey("bulletin")) == set(days)


def test_a_refused_day_asks_for_nothing_until_it_is_corrected(automation: Automation):
    shop = automation.shop
    assert automation.requested() == {}

    shop.settings["failing"] = {"complete": ["2011-01-03"]}
    assert shop.run("drops", days=("2011-01-03", "2011-01-04")).is_failure
    assert automation.requested() == {"sales": ["2011-01-04"]}

    shop.settings["failing"] = {}
    assert shop.run("drops", days=DAY).is_success
    assert automation.requested() == {"sales": ["2011-01-03"]}


def test_published_days_whose_blocking_check_fails_wait_until_it_passes(automation: Automation):
    shop = automation.shop
    assert shop.run("drops", days=DAY).is_success
    assert automation.requested() == {}  # a first look takes what there is as it is

    shop.settings["failing"] = {"balanced": ["2011-01-03"]}
    shop.run("sales", days=DAY)
    assert shop.newest("sales", DAY[0])
    assert shop.status("sales", "balanced", DAY[0]) == "failed"
    assert automation.requested() == {}

    shop.settings["failing"] = {}
    assert shop.run(days=DAY, checks=("sales:balanced",)).is_success
    assert shop.status("sales", "balanced", DAY[0]) == "passed"
    assert automation.requested() == {"bulletin": [DAY[0]]}


def test_freshness_counts_from_the_remote_materialization(automation: Automation):
    assert automation.freshness() == FreshnessState.UNKNOWN

    assert automation.shop.run("drops", days=DAY).is_success

    assert automation.freshness() == FreshnessState.PASS
    for hours, state in ((23, FreshnessState.PASS), (25, FreshnessState.WARN), (27, FreshnessState.FAIL)):
        with freeze_time(get_current_datetime() + timedelta(hours=hours)):
            assert automation.freshness() == state
    assert automation.shop.run("drops", days=DAY).is_success
    assert automation.freshness() == FreshnessState.PASS
