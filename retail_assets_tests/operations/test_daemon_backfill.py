"""The UI with its daemon: a backfill of the whole graph, launched as the UI launches it, completes in bounded runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from retail_assets.operations.planning import Graph
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.live import Live, running
from retail_assets_tests.workbench import line

pytestmark = pytest.mark.long

DAYS = [f"2011-01-{day:02}" for day in range(4, 9)]
DAYS_PER_RUN = 3


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Webserver, daemon and code server over a landing zone with five drops; sensors have one look, and no other."""
    command = RetailCommand(tmp_path)
    command.environment |= {
        "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-01-31",
        "RETAIL_DAYS_PER_RUN": str(DAYS_PER_RUN),
        "RETAIL_TICK_SECONDS": "86400",
    }
    for number, day in enumerate(DAYS):
        command.drop(day, [line(f"50000{number}", when=f"{day} 10:00:00", customer=f"1308{number}")])
    with running(Live(command)) as started:
        yield started


def downstream(graph: Graph, days: list[str]) -> dict[AssetKey, set[str]]:
    """The days, and every partition that reads one of them, directly or not."""
    found: dict[AssetKey, set[str]] = {}
    for key in graph.assets:
        parents = list(graph.parents(key))
        found[key] = set() if parents else set(days)
        for parent in parents:
            read = graph.partitions(parent)
            for partition, span in graph.reads(key, parent).items():
                if found[parent].intersection(read[span]):
                    found[key].add(partition)
    return found


def test_a_backfill_of_the_whole_graph_launched_by_the_uis_own_api_completes(live: Live):
    graph = live.graph
    launched = live.ask(
        "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) "
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
        {"p": {"assetSelection": [{"path": key.path} for key in graph.assets], "partitionNames": DAYS}},
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def status() -> str:
        found = live.ask(
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) "
            "{ ... on PartitionBackfill { status } ... on PythonError { message } } }",
            {"id": launched["backfillId"]},
        )
        return str(found["partitionBackfillOrError"]["status"])

    live.wait_until("the end of the backfill", lambda: status() not in ("REQUESTED", "COMPLETING"))
    assert status() == "COMPLETED_SUCCESS"
    # Days later in the calendar read these days for their averages: Dagster makes them as well, and the month.
    expected = {(key.path[-1], partition) for key, found in downstream(graph, DAYS).items() for partition in found}
    assert ("daily_metrics", "2011-01-31") in expected
    assert ("customer_rfm", "2011-01-01") in expected
    assert set(live.made()) == expected
    with live.instance() as instance:
        tags = [run.tags for run in instance.get_runs()]
    spans = {(of.get(ASSET_PARTITION_RANGE_START_TAG, ""), of.get(ASSET_PARTITION_RANGE_END_TAG, "")) for of in tags}
    assert {("2011-01-04", "2011-01-06"), ("2011-01-07", "2011-01-08")} <= spans
    lengths = [int(last[-2:]) - int(first[-2:]) + 1 for first, last in spans if first]
    assert max(lengths) == DAYS_PER_RUN
