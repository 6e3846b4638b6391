"""One-time runs of a workspace: submitted, asked after and cancelled, in the words of its Jobs API."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from retail_assets.databricks.workspace_api import Refused, WorkspaceApi, WorkspaceError

_RUNS = "/api/2.2/jobs/runs"
_ENDED = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}

_CODES = {"SUCCESS": "SUCCESS", "CANCELED": "USER_CANCELED", "TIMEDOUT": "CANCELED", "FAILED": "RUN_EXECUTION_ERROR"}
"""A result's code of termination, for where only the older form of a run's state is told."""

UNREACHABLE_SECONDS = 900.0
"""How long a run that is waited for may be out of reach before that is given up."""

CANCEL_AGAIN_SECONDS = 60.0

TOLD_SECONDS = 600.0
"""How often it is told that a run is still waited for."""


@dataclass(frozen=True)
class RemoteRun:
    """A run as the workspace tells it. `code` and `kind` are those of its termination, once it has ended."""

    run_id: int
    task_run_id: int
    """The run of its one task, which has its output."""
    page: str
    life_cycle: str
    result: str
    code: str
    kind: str
    message: str
    setup_seconds: float
    execution_seconds: float
    end_time: float
    """In seconds of the epoch by the workspace's clock; 0 while it goes on."""

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.life_cycle in _ENDED

    @staticmethod
    def read(answer: Mapping[str, Any]) -> "RemoteRun":
        """Of what runs/get answers."""
        state, status = answer.get("state") or {}, answer.get("status") or {}
        details = status.get("termination_details") or {}
        [task] = answer.get("tasks") or [answer]
        life_cycle, result = state.get("life_cycle_state") or status.get("state") or "?", state.get("result_state", "")
        code = _CODES.get(result, "") or ("INTERNAL_ERROR" if life_cycle == "INTERNAL_ERROR" else "")
        return RemoteRun(
            run_id=answer["run_id"],
            task_run_id=task["run_id"],
            page=answer.get("run_page_url") or "no page",
            life_cycle=life_cycle,
            result=result,
            code=details.get("code") or code,
            kind=details.get("type") or "",
            message=details.get("message") or state.get("state_message") or "",
            setup_seconds=(task.get("setup_duration") or 0) / 1000,
            execution_seconds=(task.get("execution_duration") or 0) / 1000,
            end_time=(answer.get("end_time") or 0) / 1000,
        )


class Outage:
    """Outlasts calls that fail one after another and may pass, for UNREACHABLE_SECONDS; `tell` hears of each."""

    def __init__(self, tell: Callable[[WorkspaceError], object]) -> None:
        self._tell = tell
        self._answered = time.monotonic()

    @contextmanager
    def outlasted(self) -> Iterator[None]:
        """Raises WorkspaceError for what does not pass, or not in time."""
        try:
            yield
            self._answered = time.monotonic()
        except WorkspaceError as error:
            if not error.passing or time.monotonic() - self._answered > UNREACHABLE_SECONDS:
                raise
            self._tell(error)


class RemoteRuns:
    """Raises WorkspaceError, all methods."""

    def __init__(self, api: WorkspaceApi) -> None:
        self._api = api

    def submit(self, request: Mapping[str, Any], patience: float | None = None) -> int:
        """The id of the run of this request. The same request again names the same run, by its idempotency token."""
        return int(self._api.call("POST", f"{_RUNS}/submit", request, patience=patience)["run_id"])

    def find(self, run_id: int, patience: float | None = None) -> RemoteRun | None:
        """The run as it is now; None if there is none, as when it was deleted."""
        try:
            return RemoteRun.read(self._api.call("GET", f"{_RUNS}/get", query={"run_id": run_id}, patience=patience))
        except Refused as error:
            if error.missing:
                return None
            raise

    def cancel(self, run_id: int, patience: float | None = None) -> None:
        """Asks for its end, which may take its time. A run that has ended, or is not there, is left as it is."""
        try:
            self._api.call("POST", f"{_RUNS}/cancel", {"run_id": run_id}, patience=patience)
        except Refused as error:
            if not error.missing:
                raise

    def await_end(self, run_id: int, poll_seconds: float, at_most: float = float("inf"), cancel: bool = False) -> bool:
        """Waits for the end of a run, and says whether it came. `cancel`: asks for it, again and again."""
        began = told = time.monotonic()
        cancelled = float("-inf")
        outage = Outage(lambda error: self._tell(f"The end of Databricks run {run_id} is not known yet. {error}"))
        while True:
            with outage.outlasted():
                run = self.find(run_id, patience=0)
                if run is None or run.ended:
                    return True
                if cancel and time.monotonic() - cancelled > CANCEL_AGAIN_SECONDS:
                    self.cancel(run_id)
                    cancelled = time.monotonic()
            if time.monotonic() - began > at_most:
                return False
            if time.monotonic() - told > TOLD_SECONDS:
                told = time.monotonic()
                self._tell(f"Databricks run {run_id} has not ended yet, after {told - began:.0f} s.")
            time.sleep(poll_seconds)

    def _tell(self, what: str) -> None:
        self._api.say(self._api.login.hide(what))

    def output(self, task_run_id: int) -> tuple[str, str, str]:
        """Error, stack trace and log of a task, as Databricks keeps them."""
        output = self._api.call("GET", f"{_RUNS}/get-output", query={"run_id": task_run_id})
        return output.get("error") or "", output.get("error_trace") or "", output.get("logs") or ""
