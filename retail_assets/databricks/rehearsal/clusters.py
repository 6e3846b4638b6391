"""Clusters: a Python of their own, a warm JVM, and the processes of tasks."""

import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from databricks.sdk.service.compute import ClustersAPI

from retail_assets.databricks.compute import DEDICATED, SERVERLESS, STANDARD
from retail_assets.databricks.rehearsal import cluster_driver, task_process
from retail_assets.databricks.rehearsal.environment import ClusterEnvironment
from retail_assets.databricks.rehearsal.rest import Request, Route, invalid
from retail_assets.databricks.rehearsal.signatures import read_query
from retail_assets.databricks.rehearsal.spark_driver import SparkDriver
from retail_assets.databricks.rehearsal.view import View

# The runtime that clusters say they have; `spark_version` of a new cluster is taken as it is asked for.
RUNTIME_VERSION = "17.3.x-scala2.13"


@dataclass(frozen=True)
class Task:
    """What a task's process needs. `file` is its path on the cluster; `logs` and `result` are paths here."""

    name: str
    file: str
    parameters: Sequence[str]
    logs: Path
    result: Path
    secrets: Mapping[str, Mapping[str, str]]


class Cluster:
    """Starts with its first task, and is kept until `stop`. `spark` makes its JVM, or None for one without Spark."""

    def __init__(
        self, directory: Path, view: View, spec: Mapping[str, Any], spark: Callable[["Cluster"], SparkDriver] | None
    ) -> None:
        self.cluster_id = f"{time.strftime('%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        self.spec = spec
        self.state = "TERMINATED" if spec.get("cluster_source") != "JOB" else "PENDING"
        self.directory = directory / self.cluster_id
        self.view = view
        self.home = self.directory / "home"
        self.home.mkdir(parents=True)
        self.environment = ClusterEnvironment(self.directory / "python")
        self.libraries: list[Mapping[str, object]] = []
        self.brought: list[Mapping[str, Any]] = []
        """Libraries that it is made with."""
        self.kind = STANDARD if spec.get("data_security_mode") == "USER_ISOLATION" else DEDICATED
        self._task, self._driver = (
            Path(shutil.copy(str(program.__file__), self.directory)) for program in (task_process, cluster_driver)
        )
        self._make_spark = spark
        self._spark: SparkDriver | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Waits until the cluster runs. Raises RuntimeError, with the JVM's last words, if it does not come up."""
        with self._lock:
            if self._make_spark and (self._spark is None or not self._spark.alive):
                self.state = "PENDING"
                self._spark = self._make_spark(self)
            self.state = "RUNNING"

    def stop(self) -> None:
        with self._lock:
            self.state = "TERMINATED"
            if self._spark:
                self._spark.stop()
                self._spark = None

    @property
    def spark(self) -> SparkDriver:
        self.start()
        if self._spark is None:
            raise RuntimeError("This workspace was made without Spark")
        return self._spark

    def install(self, libraries: Sequence[Mapping[str, object]]) -> None:
        """Raises LibraryError."""
        with self._lock:
            self.environment.install(libraries)
            self.libraries += [library for library in libraries if library not in self.libraries]

    def process_environment(self) -> dict[str, str]:
        """What a process on the cluster finds in its environment: nothing of the caller's but where Java is, and what
        linear algebra is told of this machine: other kernels add in another order, and models' last digits differ."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "JAVA_HOME") or name.startswith("OPENBLAS_")
        }
        return {
            **kept,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYSPARK_PYTHON": str(self.environment.python),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "DATABRICKS_RUNTIME_VERSION": str(self.spec.get("spark_version", RUNTIME_VERSION)).partition(".x")[0],
            **self.spec.get("spark_env_vars", {}),
        }

    def run(self, task: Task) -> "subprocess.Popen[bytes]":
        """Starts the task's process, in a session (and process group) of its own."""
        order = {
            "name": task.name,
            "file": task.file,
            "parameters": list(task.parameters),
            "result": str(task.result),
            "secrets": task.secrets,
            "gateway": self._spark and self._spark.gateway,
            "kind": self.kind,
        }
        with task.logs.open("wb") as logs:
            process = subprocess.Popen(
                self._command(self._task),
                stdin=subprocess.PIPE,
                stdout=logs,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=self.process_environment(),
                start_new_session=True,
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        return process

    def driver_command(self) -> list[str]:
        """What starts the cluster's driver."""
        return self._command(self._driver)

    def _command(self, program: Path) -> list[str]:
        return self.view.command([str(self.environment.python), "-I", "-u", str(program)])

    def cancel(self, name: str) -> None:
        """Ends the Spark jobs of a task whose process is gone."""
        if self._spark:
            self._spark.cancel(name)

    def described(self) -> dict[str, Any]:
        return {
            "cluster_id": self.cluster_id,
            "cluster_name": "rehearsal",
            "cluster_source": "UI",
            "state": self.state,
            "state_message": "",
            "spark_version": RUNTIME_VERSION,
            "data_security_mode": "SINGLE_USER",
            **self.spec,
        }


class Clusters:
    """The clusters of a workspace by id, and /api/2.1/clusters/get."""

    def __init__(self, directory: Path, view: View, spark: Callable[[Cluster], SparkDriver] | None) -> None:
        self._directory = directory
        self._view = view
        self._spark = spark
        self._clusters: dict[str, Cluster] = {}
        self._serverless: dict[tuple[str, ...], Cluster] = {}
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [Route("GET", "/api/2.1/clusters/get", self._get)]

    def make(self, spec: Mapping[str, Any]) -> Cluster:
        cluster = Cluster(self._directory, self._view, spec, self._spark)
        self._clusters[cluster.cluster_id] = cluster
        return cluster

    def serverless(self, dependencies: Sequence[str]) -> Cluster:
        """Serverless compute with an environment of these libraries, kept warm for the next run that asks for it."""
        with self._lock:
            cluster = self._serverless.get(tuple(dependencies))
            if cluster is None:
                cluster = self._serverless[tuple(dependencies)] = self.make({"cluster_source": "JOB"})
                cluster.brought = [{"pypi": {"package": line}} for line in dependencies]
                cluster.kind = SERVERLESS
            return cluster

    def find(self, cluster_id: str) -> Cluster:
        """Raises ApiError for an id that there is not."""
        if cluster_id not in self._clusters:
            raise invalid(f"Cluster {cluster_id} does not exist")
        return self._clusters[cluster_id]

    def knows(self, cluster_id: str) -> bool:
        return cluster_id in self._clusters

    def stop(self) -> None:
        for cluster in self._clusters.values():
            cluster.stop()

    def _get(self, request: Request) -> dict[str, Any]:
        return self.find(read_query(ClustersAPI.get, request.query)["cluster_id"]).described()
