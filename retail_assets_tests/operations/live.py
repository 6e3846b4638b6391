"""The product as it runs by itself: webserver, daemon and code server as one process group, seen through Dagster's own
storage and the webserver's own interface."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

from dagster import AssetRecordsFilter, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

from retail_assets.definitions import build_definitions
from retail_assets.operations.planning import Graph, Request, due_partitions
from retail_assets.settings import Settings
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import known_sources
from retail_assets_tests.operations.command import RetailCommand, kill
from retail_assets_tests.operations.homes import opened

PATIENCE_SECONDS = 1800
"""How long something that the daemon is to do by itself may take on a machine that does much else besides."""

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

Made = Counter[tuple[str, str]]
"""(table, partition) -> how often it was made."""


class Live:
    """`retail ui` over a landing zone and a lakehouse of its own."""

    def __init__(self, command: RetailCommand) -> None:
        self.command = command
        self.settings = Settings.read(command.environment)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts webserver, daemon and code server."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process = self.command.start("ui", "--port", str(self.port))

    def kill(self) -> None:
        """SIGKILL for all of it."""
        if self._process:
            kill(self._process)
            self._process = None

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """Dagster's storage as it is now."""
        with opened(self.command.home) as instance:
            yield instance

    @cached_property
    def graph(self) -> Graph:
        """The tables."""
        return Graph(list(build_definitions(self.settings).resolve_asset_graph().assets_defs))

    def due(self) -> set[tuple[str, str]]:
        """What `retail run` would make now."""
        with self.instance() as instance:
            landed = arrivals(self.settings, instance, known_sources(self.settings).values()).landed
            due = due_partitions(self.graph, instance, Request(), landed)
        return {(key.path[-1], partition) for key, partitions in due.items() for partition in partitions}

    def at_work(self) -> bool:
        """Whether a run or a backfill is under way."""
        with self.instance() as instance:
            backfills = instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
            return bool(backfills or instance.get_runs(RunsFilter(statuses=UNFINISHED)))

    def made(self) -> Made:
        """What was ever made, and how often."""
        found: Made = Counter()
        with self.instance() as instance:
            for key in self.graph.assets:
                cursor = None
                while True:
                    page = instance.fetch_materializations(AssetRecordsFilter(key), limit=1000, cursor=cursor)
                    found.update((key.path[-1], str(record.partition_key)) for record in page.records)
                    cursor = page.cursor
                    if not page.has_more:
                        break
        return found

    def runs(self, *statuses: DagsterRunStatus) -> int:
        """How many runs there were, of these statuses if any are given."""
        with self.instance() as instance:
            return instance.get_runs_count(RunsFilter(statuses=list(statuses)))

    def ticks(self) -> dict[str, float]:
        """Sensor -> when it last had a look."""
        with self.instance() as instance:
            sensors = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        return {
            sensor.instigator_name: sensor.instigator_data.last_tick_timestamp or 0.0
            for sensor in sensors
            if isinstance(sensor.instigator_data, SensorInstigatorData)
        }

    def wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        """Waits for something that happens by itself."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come; see {self.command.directory / 'command.log'}"
            assert self._process is not None
            assert self._process.poll() is None, (self.command.directory / "command.log").read_text()[-3000:]
            time.sleep(3)

    def wait_for_looks(self, sensors: list[str], count: int = 3) -> None:
        """Waits until each of the sensors had so many more looks."""
        for _ in range(count):
            before = {sensor: self.ticks().get(sensor, 0.0) for sensor in sensors}
            self.wait_until("another look", partial(self._all_looked_since, before))

    def _all_looked_since(self, before: dict[str, float]) -> bool:
        ticks = self.ticks()
        return all(ticks.get(sensor, 0.0) > moment for sensor, moment in before.items())

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The data of a GraphQL answer; waits while the webserver is still starting."""
        answer: Any = None

        def answered() -> bool:
            nonlocal answer
            try:
                answer = ask(self.port, query, variables)
            except (urllib.error.URLError, ConnectionError):
                return False
            return True

        self.wait_until("the webserver's answer", answered)
        return answer


def ask(port: int | str, query: str, variables: dict[str, Any] | None = None) -> Any:
    """The data of the webserver's GraphQL answer."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    address = f"http://127.0.0.1:{port}/graphql"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


@contextmanager
def running(live: Live) -> Iterator[Live]:
    """Started, and killed at the end."""
    live.start()
    try:
        live.ask("{ version }")
        yield live
    finally:
        live.kill()
