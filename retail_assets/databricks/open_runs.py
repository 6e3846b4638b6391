"""Which remote runs may still be going: written into Dagster's storage before anything of a run is made, taken out when
it is known to have ended. Whoever comes next, in whatever process, finds there what a host that died has left behind.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dagster import DagsterInstance

_KEY = "retail_assets/databricks/open_runs"


@dataclass(frozen=True)
class OpenRun:
    """A remote run whose end nobody has seen. `run_id` is 0 until the workspace has told it."""

    token: str
    """The idempotency token: the same request with it names this run."""
    dagster_run_id: str
    step_key: str
    attempt: int
    submission: int
    """Which submission of this attempt it is, from 0."""
    work: str
    """What it does: the same for the same code, settings, partitions and inputs."""
    span: tuple[str, str] | None
    """The first and last of its partitions."""
    directory: str
    """Where it is staged."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """What is, perhaps, submitted; empty while it is being staged."""
    run_id: int = 0
    settled: bool = False
    """Whether its end was seen: kept so that its token is not used again."""

    def overlaps(self, span: tuple[str, str] | None) -> bool:
        """Whether it makes any of these partitions; keys of one asset are in their order as texts."""
        return self.span is None or span is None or (self.span[0] <= span[1] and span[0] <= self.span[1])


def token(dagster_run_id: str, step_key: str, attempt: int, submission: int) -> str:
    """The idempotency token of a submission: 64 characters, the most that Databricks takes."""
    return hashlib.sha256(f"{dagster_run_id}\n{step_key}\n{attempt}\n{submission}".encode()).hexdigest()


class OpenRuns:
    """Those of one table (or step) in one workspace, in the instance's storage. A table has one writer at a time, by
    its pool, and so has its list."""

    def __init__(self, instance: DagsterInstance, host: str, what: str) -> None:
        self._storage = instance.daemon_cursor_storage
        self._key = f"{_KEY}/{host}/{what}"

    def all(self) -> list[OpenRun]:
        """In the order of their submission."""
        return [run for run in self._read() if not run.settled]

    def next_submission(self, dagster_run_id: str, step_key: str, attempt: int) -> int:
        """How many submissions of this attempt there were."""
        same = (dagster_run_id, step_key, attempt)
        known = [run.submission for run in self._read() if (run.dagster_run_id, run.step_key, run.attempt) == same]
        return max(known, default=-1) + 1

    def add(self, run: OpenRun) -> None:
        """Before the run is staged. Those that have ended are forgotten."""
        self._write([*self.all(), run])

    def requested(self, token: str, request: Mapping[str, Any]) -> OpenRun:
        """Before the run is submitted."""
        return self._change(token, request=request)

    def submitted(self, token: str, run_id: int) -> OpenRun:
        """Once the workspace has told the run's id."""
        return self._change(token, run_id=run_id)

    def settle(self, token: str) -> None:
        """Once the run is known to have ended, or never to have begun."""
        if any(run.token == token for run in self._read()):  # a stop may have come before it was written
            self._change(token, settled=True, request={})

    def _change(self, token: str, **changed: Any) -> OpenRun:
        runs = {run.token: run for run in self._read()}
        runs[token] = replace(runs[token], **changed)
        self._write(list(runs.values()))
        return runs[token]

    def _read(self) -> list[OpenRun]:
        kept = self._storage.get_cursor_values({self._key}).get(self._key)
        return [OpenRun(**{**run, "span": run["span"] and tuple(run["span"])}) for run in json.loads(kept or "[]")]

    def _write(self, runs: list[OpenRun]) -> None:
        self._storage.set_cursor_values({self._key: json.dumps([asdict(run) for run in runs])})
