"""The UI with its daemon: a range backfill, launched as the UI launches it, completes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retail_assets.settings import project_root
from retail_assets_tests.workbench import HEADER, line

pytestmark = pytest.mark.long

DAYS = [f"2011-01-{day:02}" for day in range(4, 9)]
DAILY = ["raw_invoices", "quarantined_invoices", "clean_transactions", "daily_metrics"]
PATIENCE_SECONDS = 420


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a webserver with daemon and code server, over a landing zone with five drops."""
    zone = tmp_path / "landing" / "online_retail"
    zone.mkdir(parents=True)
    for number, day in enumerate(DAYS):
        rows = [HEADER, line(f"50000{number}", when=f"{day} 10:00:00"), ""]
        (zone / f"online_retail_{day}.csv").write_text("\n".join(rows))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "RETAIL_LANDING": str(tmp_path / "landing"),
        "RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse"),
        "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-01-31",
        "RETAIL_SPARK_DRIVER_MEMORY": "2g",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    with (tmp_path / "ui.log").open("wb") as log:
        ui = subprocess.Popen(
            [sys.executable, "-m", "retail_assets.cli", "ui", "--port", str(port)],
            env=environment,
            cwd=project_root(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}/graphql"
        finally:
            os.killpg(ui.pid, signal.SIGINT)
            ui.wait(timeout=60)


def ask(address: str, query: str, variables: dict[str, Any] | None = None) -> Any:
    """The data of a GraphQL answer; waits while the webserver is still starting."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the webserver did not answer"
            time.sleep(0.5)


def test_a_range_backfill_launched_by_the_uis_own_api_completes(address: str):
    launched = ask(
        address,
        "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) "
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
        {"p": {"assetSelection": [{"path": ["online_retail", name]} for name in DAILY], "partitionNames": DAYS}},
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    status, deadline = "REQUESTED", time.monotonic() + PATIENCE_SECONDS
    while status == "REQUESTED" and time.monotonic() < deadline:
        time.sleep(1)
        found = ask(
            address,
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) "
            "{ ... on PartitionBackfill { status } ... on PythonError { message } } }",
            {"id": launched["backfillId"]},
        )
        status = found["partitionBackfillOrError"]["status"]
    assert status == "COMPLETED_SUCCESS"
    # Days later in the calendar read these days for their averages: Dagster makes them as well.
    for name, days in {**dict.fromkeys(DAILY, len(DAYS)), "daily_metrics": 28}.items():
        node = ask(
            address,
            "query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) "
            "{ ... on AssetNode { partitionStats { numMaterialized } } } }",
            {"k": {"path": ["online_retail", name]}},
        )
        assert node["assetNodeOrError"]["partitionStats"]["numMaterialized"] == days, name
