"""A tracking server that is down, from the start or in the middle: the model's step fails by name, what it reads is
published, and once the server is up again the next run goes on from there. Real servers of MLflow."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from retail_assets.analytics.segment_engines import segment
from retail_assets.customers import segment_model
from retail_assets.operations.main_job import Summary
from retail_assets_tests.operations.test_main_job import CORE, bench, made
from retail_assets_tests.workbench import Workbench

MODELS = ["segment_model", "segment_champion"]
DOWN, UP, IN_THE_MIDDLE = "4", "60", "20"
"""Seconds that the server may take: where it cannot answer, where it is to, and where it begins and then cannot."""
FEBRUARY = ("2011-02-01", "2011-02-28")


class Server:
    """An MLflow tracking server on a free port of this machine."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.directory, self.uri = directory, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store = f"sqlite:///{self.directory / 'server.db'}"
        at = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        kept = ["--backend-store-uri", store, "--artifacts-destination", str(self.directory / "artifacts")]
        program = [sys.executable, "-m", "mlflow", "server", *at, *kept]
        self.process = subprocess.Popen(
            program, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while True:
            assert self.process.poll() is None, "the server ended by itself"
            try:
                with urlopen(f"{self.uri}/health", timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(0.3)

    def send(self, what: signal.Signals) -> None:
        if self.process:
            os.killpg(self.process.pid, what)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        if self.process:
            self.process.wait()
        self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def workbench(tmp_path: Path, spark: object, server: Server) -> Workbench:
    workbench = bench(tmp_path / "shop", spark)
    workbench.environment["MLFLOW_TRACKING_URI"] = server.uri
    return patient(workbench, DOWN)


def patient(workbench: Workbench, seconds: str) -> Workbench:
    os.environ.pop("MLFLOW_HTTP_REQUEST_TIMEOUT", None)  # of the same process, which took it from the setting
    workbench.environment["RETAIL_MLFLOW_SECONDS"] = seconds
    workbench.settings = workbench.settings.read(workbench.environment)
    return workbench


def failure_of(summary: Summary) -> str:
    (failure,) = summary.failures
    assert "segment_model" not in published(summary)
    return failure


def published(summary: Summary) -> set[str]:
    return {table for table, partitions in made(summary).items() if partitions}


@pytest.mark.long
@pytest.mark.usefixtures("mlflows_own_environment")
def test_the_server_is_down_from_the_start_and_again_in_the_middle(workbench, server, monkeypatch):
    began = time.monotonic()
    summary = workbench.run(CORE + MODELS, last="2011-01-31")
    assert time.monotonic() - began < 60
    told = failure_of(summary)
    assert told.startswith(f"MLflow at {server.uri} ")
    assert "segment_model was not made; the tables before it are, and stay" in told
    assert published(summary) == set(CORE)
    assert {key.path[-1] for key, _ in summary.waiting} == {"segment_champion"}

    server.start()
    summary = patient(workbench, UP).run(CORE + MODELS, last="2011-01-31")
    assert (summary.failures, published(summary)) == ([], set(MODELS))

    # In the middle of the next month's model, first frozen, then dead.
    fit, gone_at = segment, list[float]()
    patient(workbench, IN_THE_MIDDLE)
    for what in (signal.SIGSTOP, signal.SIGKILL):
        server.send(signal.SIGCONT)

        def fitted_meanwhile(*given, what=what):
            server.send(what)
            gone_at.append(time.monotonic())
            return fit(*given)

        monkeypatch.setattr(segment_model, "segment", fitted_meanwhile)
        gone_at.clear()
        summary = workbench.run(CORE + MODELS, *FEBRUARY)
        assert time.monotonic() - gone_at[0] < 60
        assert failure_of(summary).startswith(f"MLflow at {server.uri} ")
    monkeypatch.setattr(segment_model, "segment", fit)

    server.kill()
    server.start()
    summary = patient(workbench, UP).run(CORE + MODELS, *FEBRUARY)
    assert (summary.failures, published(summary)) == ([], set(MODELS))
    client = MlflowClient(server.uri, server.uri)
    name = segment_model.MODEL.format("online_retail")
    assert client.get_model_version_by_alias(name, "month-2011-02")
    assert workbench.run(CORE + MODELS).tables == {}
