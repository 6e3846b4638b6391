"""Runs of a code server start from a process that has loaded what they need, and are processes of their own."""

import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.server import DagsterApiServer

from retail_assets.definitions import defs


def test_dagsters_code_server_still_starts_runs_as_warm_runs_takes_for_granted():
    assert 'self._mp_ctx = multiprocessing.get_context("spawn")' in inspect.getsource(DagsterApiServer.__init__)
    assert "self._mp_ctx.Process(" in inspect.getsource(DagsterApiServer.StartRun)


def test_what_runs_are_forked_from_has_no_thread_of_its_own():
    program = (
        "import json, sys, threading; import retail_assets.operations.run_libraries; "
        "print(json.dumps([threading.active_count(), 'retail_assets.definitions' in sys.modules]))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == [1, False]


def test_a_run_of_the_code_server_is_forked_from_the_warm_process(tmp_path: Path):
    home, socket = tmp_path / "home", str(tmp_path / "code.sock")
    home.mkdir()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "RETAIL_LANDING": str(tmp_path / "landing"),
        "RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse"),
    }
    command = [sys.executable, "-m", "dagster", "api", "grpc", "--socket", socket, "-m", "retail_assets.definitions"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            client = DagsterGrpcClient(socket=socket)
            _patiently(lambda: Path(socket).exists() and client.ping("there?"))
            with DagsterInstance.from_config(str(home)) as instance:
                job = defs.resolve_job_def("maintenance")
                place = GrpcServerCodeLocationOrigin(host="localhost", socket=socket)
                origin = RemoteRepositoryOrigin(place, "__repository__").get_job_origin("maintenance")
                run = instance.create_run_for_job(job_def=job, remote_job_origin=origin)
                DefaultRunLauncher.launch_run_from_grpc_client(instance, run, client)

                def status() -> DagsterRunStatus:
                    found = instance.get_run_by_id(run.run_id)
                    assert found is not None
                    return found.status

                _patiently(lambda: status() in FINISHED_STATUSES)
                assert status() == DagsterRunStatus.SUCCESS
            processes = [" ".join(child.cmdline()) for child in psutil.Process(server.pid).children(recursive=True)]
            assert any("forkserver" in command and "run_libraries" in command for command in processes)
            assert not any("spawn_main" in command for command in processes)
        finally:
            server.terminate()


def _patiently(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.1)
