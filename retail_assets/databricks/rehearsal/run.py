"""One submitted run of one task: its states, and how the Jobs API words them."""

import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retail_assets.databricks.rehearsal.clusters import Cluster

KEPT_OUTPUT = 5 * 1024**2
ENDED = ("TERMINATED", "INTERNAL_ERROR", "SKIPPED")


@dataclass(frozen=True)
class Ran:
    """What ran where, and how it ended. `seconds`: the task's own process; `setup_seconds`: cluster and libraries;
    `began` and `ended` of the process, in seconds of the epoch."""

    run_id: int
    run_name: str
    cluster_id: str
    python_file: str
    result_state: str
    setup_seconds: float
    seconds: float
    began: float
    ended: float


class Run:
    """One submitted run. `run_id` is the run's, `run_id + 1` its task's, as a run of tasks has both."""

    def __init__(self, run_id: int, body: Mapping[str, Any], cluster: Cluster, host: str, directory: Path) -> None:
        self.run_id, self.task_run_id, self.job_id = run_id, run_id + 1, run_id + 2
        self.body = body
        self.task: Mapping[str, Any] = body["tasks"][0]
        self.cluster = cluster
        self.page = f"{host}/?o=0#job/{self.job_id}/run/{run_id}"
        self.logs = directory / f"{run_id}.log"
        self.result = directory / f"{run_id}.json"
        self.life_cycle, self.result_state, self.message = "PENDING", "", ""
        self.error, self.trace = "", ""
        self.started = self.began = self.ended = time.time()
        self.process: subprocess.Popen[bytes] | None = None
        self.again = False
        self.cancelled = threading.Event()
        self.done = threading.Event()
        self.lock = threading.Lock()

    def end(self, life_cycle: str, result_state: str, message: str) -> None:
        with self.lock:
            self.ended = time.time()
            self.began = self.ended if self.process is None else self.began
            self.life_cycle, self.result_state, self.message = life_cycle, result_state, message
        self.done.set()

    def state(self) -> dict[str, Any]:
        with self.lock:
            state = {"life_cycle_state": self.life_cycle, "state_message": self.message}
            state["user_cancelled_or_timedout"] = self.result_state in ("CANCELED", "TIMEDOUT")  # type: ignore[assignment]
            return state | ({"result_state": self.result_state} if self.result_state else {})

    def status(self) -> dict[str, Any]:
        """The newer form of the state, with a code and type of termination."""
        if self.life_cycle not in ENDED:
            return {"state": {"TERMINATING": "TERMINATING", "PENDING": "PENDING"}.get(self.life_cycle, "RUNNING")}
        code, kind = {
            "SUCCESS": ("SUCCESS", "SUCCESS"),
            "CANCELED": ("USER_CANCELED", "SUCCESS"),
            "TIMEDOUT": ("CANCELED", "CLIENT_ERROR"),
        }.get(self.result_state, ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"))
        if self.life_cycle == "INTERNAL_ERROR":
            installation = ("LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR")
            code, kind = installation if self.error else ("INTERNAL_ERROR", "INTERNAL_ERROR")
        return {"state": "TERMINATED", "termination_details": {"code": code, "type": kind, "message": self.message}}

    def described(self) -> dict[str, Any]:
        """As runs/get answers it."""
        ended = self.life_cycle in ENDED
        times = {
            "start_time": _milliseconds(self.started),
            "setup_duration": _milliseconds(self.began - self.started),
            "execution_duration": _milliseconds(self.ended - self.began) if ended else 0,
            "cleanup_duration": 0,
            "end_time": _milliseconds(self.ended) if ended else 0,
        }
        common = {"state": self.state(), "status": self.status(), "run_page_url": self.page, **times}
        kinds = ("existing_cluster_id", "new_cluster", "environment_key")
        where = {name: self.task[name] for name in kinds if name in self.task}
        task = {
            "run_id": self.task_run_id,
            "task_key": self.task["task_key"],
            "spark_python_task": self.task["spark_python_task"],
            "libraries": self.task.get("libraries", []),
            "attempt_number": 0,
            **where,
            **common,
        }
        if self.life_cycle != "PENDING" or "existing_cluster_id" in self.task:
            task["cluster_instance"] = {"cluster_id": self.cluster.cluster_id, "spark_context_id": str(self.job_id)}
        return {
            "job_id": self.job_id,
            "run_id": self.run_id,
            "number_in_job": self.run_id,
            "original_attempt_run_id": self.run_id,
            "run_name": self.body.get("run_name") or "Untitled",
            "run_type": "SUBMIT_RUN",
            "format": "MULTI_TASK",
            "creator_user_name": "rehearsal@example.com",
            "tasks": [task],
            **common,
        }

    def ran(self) -> Ran:
        return Ran(
            self.run_id,
            str(self.body.get("run_name") or "Untitled"),
            self.cluster.cluster_id,
            self.task["spark_python_task"]["python_file"],
            self.result_state,
            self.began - self.started,
            self.ended - self.began,
            self.began,
            self.ended,
        )

    def output(self) -> dict[str, Any]:
        """As runs/get-output answers it, for the task's run."""
        text = self.logs.read_bytes() if self.logs.exists() else b""
        metadata = self.described()["tasks"][0] | {"job_id": self.job_id, "run_name": self.described()["run_name"]}
        output = {"metadata": metadata, "logs": text[-KEPT_OUTPUT:].decode(errors="replace")}
        output["logs_truncated"] = len(text) > KEPT_OUTPUT
        errors = {"error": self.error, "error_trace": self.trace}
        return output | {name: text for name, text in errors.items() if text}


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
