"""One-time runs of one task: their states, their process, their output; /api/2.2/jobs/runs."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from databricks.sdk.service.jobs import JobsAPI

from retail_assets.databricks.rehearsal.clusters import Cluster, Clusters, Task
from retail_assets.databricks.rehearsal.environment import LibraryError
from retail_assets.databricks.rehearsal.rest import Request, Route, does_not_exist, invalid
from retail_assets.databricks.rehearsal.run import ENDED, Ran, Run
from retail_assets.databricks.rehearsal.signatures import check_body, read_query

INSTALLATION_FAILED = """Library installation failed for library due to user error. Error messages:
Library installation attempted on the driver node of cluster {cluster} and failed. Please refer to the following error \
message to fix the library or contact Databricks support. Error code: DRIVER_LIBRARY_INSTALLATION_FAILURE. \
Error message: org.apache.spark.SparkException: pip install exited with code 1. {reason}"""

DIED = """The Python process exited with {how}.
The last 10 KB of the process's stderr and stdout can be found below. See driver logs for full logs.
---------------------------------------------------------------------------
Last messages on stderr and stdout:
{last}"""


class Runs:
    """`local` gives the file here for a path on DBFS or a volume; `secrets` are those that `dbutils` hands out."""

    def __init__(
        self,
        directory: Path,
        clusters: Clusters,
        local: Callable[[str], Path],
        secrets: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.host = ""
        self.cancel_seconds = 0.0
        self.not_to_be_had: set[str] = set()
        self._directory = directory
        self._clusters = clusters
        self._local = local
        self._secrets = secrets
        self._runs: dict[int, Run] = {}
        self._tokens: dict[str, int] = {}
        self._numbers = itertools.count(700_001, 10)
        self._lock = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)

    def routes(self) -> list[Route]:
        # The SDK speaks 2.2; 2.1 has the same shapes for one task.
        jobs = "/api/2[.][12]/jobs/runs"
        return [
            Route("POST", f"{jobs}/submit", self._submit),
            Route("GET", f"{jobs}/get", self._get),
            Route("GET", f"{jobs}/get-output", self._get_output),
            Route("POST", f"{jobs}/cancel", self._cancel),
        ]

    def ended(self) -> list[Ran]:
        """What ran where, of the runs that have ended, in the order of their end."""
        runs = [run for run in list(self._runs.values()) if run.done.is_set()]
        return [run.ran() for run in sorted(runs, key=lambda run: run.ended)]

    def ids(self) -> list[int]:
        """Of all runs that were submitted."""
        return list(self._runs)

    def knows_job(self, job_id: str) -> bool:
        return any(str(run.job_id) == job_id for run in self._runs.values())

    def stop(self) -> None:
        """Ends every task that still runs, and waits for it."""
        for run in list(self._runs.values()):
            self._end_early(run)
        for run in list(self._runs.values()):
            run.done.wait(30)

    def _submit(self, request: Request) -> dict[str, Any]:
        body = request.json()
        check_body(JobsAPI.submit, body)
        token = body.get("idempotency_token")
        if token is not None and len(token) > 64:
            raise invalid("The idempotency token must have at most 64 characters")
        with self._lock:
            if token in self._tokens:
                return {"run_id": self._tokens[token]}
            run = Run(next(self._numbers), body, self._cluster_for(body), self.host, self._directory)
            self._runs[run.run_id] = run
            if token is not None:
                self._tokens[token] = run.run_id
        threading.Thread(target=self._follow, args=(run,), name=f"run-{run.run_id}", daemon=True).start()
        return {"run_id": run.run_id}

    def _cluster_for(self, body: Mapping[str, Any]) -> Cluster:
        tasks = body.get("tasks") or []
        if len(tasks) != 1:
            raise invalid(f"The rehearsal runs one task per run, and {len(tasks)} were submitted")
        task = tasks[0]
        if "spark_python_task" not in task:
            raise invalid(f"Task {task['task_key']}: the rehearsal runs a spark_python_task, and there is none")
        file = task["spark_python_task"]["python_file"]
        if not file.startswith(("dbfs:/", "/Volumes/")):
            raise invalid(f"python_file must be on dbfs:/ or on /Volumes/: {file}")
        if len({"existing_cluster_id", "new_cluster", "environment_key"} & set(task)) != 1:
            raise invalid(f"Task {task['task_key']} needs one of existing_cluster_id, new_cluster and environment_key")
        if "environment_key" in task:
            return self._serverless_for(task, body.get("environments") or [])
        if "existing_cluster_id" in task:
            return self._clusters.find(task["existing_cluster_id"])
        spec = task["new_cluster"]
        if "spark_version" not in spec:
            raise invalid("Missing required field: new_cluster.spark_version")
        if "num_workers" not in spec and "autoscale" not in spec and not spec.get("is_single_node"):
            raise invalid("new_cluster needs num_workers or autoscale")
        if not {"node_type_id", "instance_pool_id", "policy_id"} & set(spec):
            raise invalid("new_cluster needs a node_type_id or an instance_pool_id")
        return self._clusters.make({**spec, "cluster_source": "JOB"})

    def _serverless_for(self, task: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> Cluster:
        specifications = [one["spec"] for one in environments if one["environment_key"] == task["environment_key"]]
        if len(specifications) != 1 or "environment_version" not in specifications[0]:
            raise invalid(f"Task {task['task_key']}: no environment {task['environment_key']} with its version")
        if task.get("libraries"):
            raise invalid("Libraries field is not supported for serverless task, specify them in the environment.")
        if not task["spark_python_task"]["python_file"].startswith("/Volumes/"):
            raise invalid("Serverless compute sees no DBFS: python_file must be on /Volumes/")
        return self._clusters.serverless(specifications[0].get("dependencies", []))

    def _follow(self, run: Run) -> None:
        """A run from its submission to its end, in a thread of its own."""
        try:
            self._execute(run)
        except LibraryError as error:
            run.error = INSTALLATION_FAILED.format(cluster=run.cluster.cluster_id, reason=error)
            run.end("INTERNAL_ERROR", "FAILED", run.error)
        except Exception as error:
            run.end("INTERNAL_ERROR", "FAILED", f"Unexpected failure of the rehearsal's cluster: {error}")
        finally:
            if "existing_cluster_id" not in run.task:
                run.cluster.stop()

    def _execute(self, run: Run) -> None:
        task = run.task["spark_python_task"]
        run.cluster.start()
        run.cluster.install(self._listed([*run.cluster.brought, *run.task.get("libraries", [])]))
        name = f"run-{run.run_id}"
        file, parameters = task["python_file"], task.get("parameters", [])
        if not self._local(file).is_file():
            return run.end("INTERNAL_ERROR", "FAILED", f"Cannot read the python file {file}. Please check driver logs.")
        seen = "/dbfs/" + file.removeprefix("dbfs:").lstrip("/") if file.startswith("dbfs:") else file
        order = Task(name, seen, parameters, run.logs, run.result, self._secrets)
        with run.lock:
            if not run.cancelled.is_set():
                run.process = run.cluster.run(order)
                run.life_cycle, run.began = "RUNNING", time.time()
        if run.process is None:
            return run.end("TERMINATED", "CANCELED", "Run cancelled.")
        try:
            code = run.process.wait(_timeout(run))
            with run.lock:
                if run.again and not run.cancelled.is_set():
                    run.process = run.cluster.run(order)
            code = run.process.wait(_timeout(run))
        except subprocess.TimeoutExpired:
            self._kill(run)
            return run.end("TERMINATED", "TIMEDOUT", f"Run timed out after {_timeout(run)} seconds.")
        if run.cancelled.is_set():
            self._kill(run)
            return run.end("TERMINATED", "CANCELED", "Run cancelled.")
        return self._conclude(run, code)

    def _listed(self, libraries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The libraries with those that files of requirements list. Raises LibraryError for a file that is missing."""
        listed: list[Mapping[str, Any]] = []
        for library in libraries:
            if "requirements" not in library:
                listed.append(library)
                continue
            file = self._local(library["requirements"])
            if not library["requirements"].startswith("/Volumes/") or not file.is_file():
                raise LibraryError(f"ERROR: Could not open requirements file: {library['requirements']}")
            listed += [{"pypi": {"package": line}} for line in file.read_text().splitlines() if line]
        for name in self.not_to_be_had:
            if any(str(library.get("pypi", {}).get("package")).startswith(f"{name}==") for library in listed):
                raise LibraryError(f"ERROR: No matching distribution found for {name}")
        return listed

    def _conclude(self, run: Run, code: int) -> None:
        outcome = json.loads(run.result.read_text()) if run.result.exists() else None
        if outcome and outcome["code"] == 0:
            return run.end("TERMINATED", "SUCCESS", "")
        if outcome:
            run.error, run.trace = outcome["error"], outcome["error_trace"]
        else:
            how = f"exit code {code}" if code >= 0 else f"exit code {128 - code} ({signal.Signals(-code).name})"
            last = run.logs.read_bytes()[-10 * 1024 :].decode(errors="replace")
            run.error = DIED.format(how=how, last=last)
        return run.end("TERMINATED", "FAILED", "Workload failed, see run output for details")

    def _kill(self, run: Run) -> None:
        """Ends the task's process with all it started, and its Spark jobs."""
        assert run.process is not None
        _end_process(run.process)
        run.process.wait()
        run.cluster.cancel(f"run-{run.run_id}")

    def _end_early(self, run: Run, seconds: float = 0.0) -> None:
        with run.lock:
            if run.life_cycle in ENDED or run.cancelled.is_set():
                return
            run.cancelled.set()
            if run.process is not None:
                run.life_cycle = "TERMINATING"
                if seconds:
                    threading.Timer(seconds, _end_process, [run.process]).start()
                else:
                    _end_process(run.process)

    def _find(self, run_id: int) -> Run:
        run = self._runs.get(run_id) or self._runs.get(run_id - 1)
        if run is None:
            raise does_not_exist(f"Run {run_id} does not exist.")
        return run

    def _get(self, request: Request) -> dict[str, Any]:
        return self._find(read_query(JobsAPI.get_run, request.query)["run_id"]).described()

    def _get_output(self, request: Request) -> dict[str, Any]:
        run_id = read_query(JobsAPI.get_run_output, request.query)["run_id"]
        run = self._find(run_id)
        if run_id == run.run_id:
            raise invalid(
                "Retrieving the output of runs with multiple tasks is not supported. "
                "Please retrieve the output of each individual task run instead."
            )
        return run.output()

    def _cancel(self, request: Request) -> dict[str, Any]:
        body = request.json()
        check_body(JobsAPI.cancel_run, body)
        self.cancel(body["run_id"])
        return {}

    def cancel(self, run_id: int) -> None:
        """Asks for the end of a run."""
        self._end_early(self._find(run_id), self.cancel_seconds)

    def begin_again(self, run_id: int) -> None:
        """Ends the process of a run's task, and begins the task again in the same run."""
        run = self._find(run_id)
        with run.lock:
            assert run.process is not None
            run.again = True
            _end_process(run.process)


def _end_process(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _timeout(run: Run) -> float | None:
    """The shorter of the run's and the task's limits; zero is none."""
    limits = [limit for limit in (run.body.get("timeout_seconds"), run.task.get("timeout_seconds")) if limit]
    return min(limits) if limits else None
