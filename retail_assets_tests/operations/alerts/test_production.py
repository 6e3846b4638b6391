"""The deployment of docs/production.md, really run: PostgreSQL, three services, an alert, its links, its recovery."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retail_assets.operations.alerts.messages import Links
from retail_assets.operations.alerts.problems import Kind
from retail_assets.project import project_root
from retail_assets_tests.operations.alerts.servers import (
    ALERTS,
    Endpoint,
    MailServer,
    http_endpoint,
    mail_server,
    wait_for,
)
from retail_assets_tests.operations.live import ask
from retail_assets_tests.operations.postgres import Postgres
from retail_assets_tests.workbench import HEADER, line

DEPLOY = project_root() / "deploy"
DAY, PATIENCE_SECONDS = "2011-01-04", 420


def services() -> dict[str, list[str]]:
    """Name -> command, as the Procfile has them."""
    lines = [row.partition(": ") for row in (DEPLOY / "Procfile").read_text().splitlines()]
    return {name: shlex.split(command) for name, _, command in lines}


def test_systemd_and_procfile_start_the_same_services():
    unit = (DEPLOY / "systemd" / "retail@.service").read_text()
    (start,) = [row.partition("=")[2] for row in unit.splitlines() if row.startswith("ExecStart=")]
    for name, (program, *arguments) in services().items():
        assert shlex.split(start.replace("%i", name)) == [f"/opt/retail/.venv/bin/{program}", *arguments]
    if shutil.which("systemd-analyze"):
        found = subprocess.run(
            ["systemd-analyze", "verify", str(DEPLOY / "systemd" / "retail@.service")], capture_output=True, text=True
        )
        assert "Unknown" not in found.stderr


def test_the_example_environment_names_what_the_settings_read():
    named = {row.partition("=")[0] for row in (DEPLOY / "retail.env.example").read_text().splitlines() if "=" in row}
    storage = set(_variables(DEPLOY / "dagster.yaml"))
    assert storage <= named
    text = (project_root() / "docs" / "production.md").read_text()
    assert all(variable.partition("RETAIL_POSTGRES")[2] in text for variable in storage)


def _variables(path: Path) -> Iterator[str]:
    for row in path.read_text().splitlines():
        if row.strip().startswith("env:"):
            yield row.partition("env:")[2].strip()


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


class Deployment:
    """The services over a landing zone, each with a log of its own."""

    def __init__(self, directory: Path, endpoint: Endpoint, mails: MailServer, database: Postgres) -> None:
        self.directory, self.zone = directory, directory / "landing" / "online_retail"
        self.zone.mkdir(parents=True)
        home = directory / "dagster"
        home.mkdir()
        shutil.copy(DEPLOY / "dagster.yaml", home / "dagster.yaml")
        (directory / "alerts.toml").write_text(ALERTS.format(port=mails.port))
        self.port = free_port()
        self.environment = os.environ | {
            **database.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DAGSTER_HOME": str(home),
            "RETAIL_LANDING": str(directory / "landing"),
            "RETAIL_LAKEHOUSE": str(directory / "lakehouse"),
            "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2011-01-01",
            "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-01-31",
            "RETAIL_SPARK_DRIVER_MEMORY": "2g",
            "RETAIL_LOG_FORMAT": "json",
            "RETAIL_CODE_SERVER_PORT": free_port(),
            "RETAIL_UI_URL": f"http://127.0.0.1:{self.port}",
            "RETAIL_ALERTS": str(directory / "alerts.toml"),
            "HOOK_URL": endpoint.url,
        }
        self.processes = {name: self.start(name, command) for name, command in services().items()}

    def start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        ports = {"webserver": self.port, "viewer": free_port()}
        options = ["--port", ports[name]] if name in ports else []
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *options],
                env=self.environment,
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
                # As the background jobs of a script do.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )

    def stop(self) -> None:
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            process.wait(timeout=60)

    def drop(self, header: str) -> None:
        rows = [header, line("500001", when=f"{DAY} 10:00:00"), ""]
        (self.zone / f"online_retail_{DAY}.csv").write_text("\n".join(rows))

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        return ask(self.port, query, variables)

    def make(self) -> None:
        """Launches the day's first table, as the UI does."""
        selection = [{"path": ["online_retail", "raw_invoices"]}]
        launched = self.ask(
            "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) "
            "{ __typename ... on PythonError { message } } }",
            {"p": {"assetSelection": selection, "partitionNames": [DAY]}},
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def log_lines(self, name: str) -> list[Any]:
        """What a service and the runs it started wrote for machines."""
        rows = (self.directory / f"{name}.log").read_text().splitlines()
        return [json.loads(row) for row in rows if row.startswith("{")]


@pytest.mark.long
def test_a_failure_in_production_is_told_with_links_that_open_and_so_is_its_recovery(tmp_path):
    database = Postgres()
    with http_endpoint() as endpoint, mail_server() as mails:
        deployment = Deployment(tmp_path, endpoint, mails, database)
        try:
            statuses = "query { instance { info daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"

            def healthy() -> bool:
                try:
                    daemons = deployment.ask(statuses)["instance"]["daemonHealth"]["allDaemonStatuses"]
                except (urllib.error.URLError, ConnectionError):  # the webserver is still starting
                    return False
                return all(daemon["healthy"] for daemon in daemons if daemon["required"])

            wait_for(healthy, PATIENCE_SECONDS)
            assert "PostgresEventLogStorage" in deployment.ask(statuses)["instance"]["info"]
            wait_for(
                lambda: ticked(deployment, "alerts_hook") and ticked(deployment, "alerts_office"), PATIENCE_SECONDS
            )

            deployment.drop(HEADER.replace("Price", "Prize"))
            deployment.make()
            wait_for(lambda: endpoint.requests and mails.mails, PATIENCE_SECONDS)
            (message,) = endpoint.messages
            (item,) = message["items"]
            assert (item["status"], item["kind"], item["partitions"]) == ("failed", "check", [DAY])
            assert (item["assets"], item["name"]) == (["online_retail/raw_invoices"], "drops_readable")
            assert "has no column for unit_price" in json.dumps(item["facts"])
            assert "online_retail/clean_transactions" in item["blocks"]
            assert mails.mails[0]["Subject"].strip() == message["title"]  # a long one begins on a line of its own
            run_id = item["links"]["run"].rpartition("/")[2]
            (failure,) = [each for each in deployment.log_lines("code") if each.get("event") == "STEP_FAILURE"]
            assert (failure["run_id"], failure["partition"]) == (run_id, DAY)
            assert all(deployment.log_lines(name) for name in ("webserver", "daemon"))
            open_links(item["links"], run_id, Links(deployment.environment["RETAIL_UI_URL"], ""))

            deployment.drop(HEADER)
            deployment.make()
            wait_for(lambda: len(endpoint.requests) == 2 and len(mails.mails) == 2, PATIENCE_SECONDS)
            (recovered,) = endpoint.messages[1]["items"]
            assert (recovered["status"], recovered["partitions"]) == ("recovered", [DAY])
            logs = "".join((tmp_path / f"{name}.log").read_text() for name in services())
            assert "supersecretpath" not in logs
        finally:
            deployment.stop()
            database.stop()


def ticked(deployment: Deployment, sensor: str) -> bool:
    found = deployment.ask(
        "query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { sensorState "
        "{ status ticks(limit: 1) { status } } } } }",
        {"s": {"repositoryName": "__repository__", "repositoryLocationName": "retail_assets", "sensorName": sensor}},
    )["sensorOrError"]
    return bool(found) and found["sensorState"]["ticks"] != []


def open_links(links: dict[str, str], run_id: str, others: Links) -> None:
    """In a browser: the page of the check, of the run, and of the table's failed partitions."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(links["asset"])
        page.get_by_text("drops_readable").first.wait_for(timeout=60_000)
        page.goto(links["run"])
        page.get_by_text(run_id[:8]).first.wait_for(timeout=60_000)
        page.get_by_text("STEP_FAILURE").first.wait_for(timeout=60_000)
        page.goto(others.asset("online_retail/raw_invoices", Kind.STILL_FAILED, ""))
        page.get_by_text(DAY).first.wait_for(timeout=60_000)
        browser.close()
