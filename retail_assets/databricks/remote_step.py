"""A step on its way: what it makes, where its files lie, which remote run it is, and how much of it has come back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEvent, DagsterEventType, MetadataValue
from dagster._core.events import EngineEventData
from dagster._core.execution.context.system import StepExecutionContext

from retail_assets.databricks.open_runs import OpenRun, OpenRuns
from retail_assets.databricks.remote_runs import RemoteRuns
from retail_assets.databricks.staging import StagingArea
from retail_assets.databricks.workspace_api import Login


@dataclass
class Account:
    """What a step cost beyond its work, in seconds and bytes; kept with the step's events."""

    staged_bytes: int = 0
    staging_seconds: float = 0.0
    submit_seconds: float = 0.0
    wait_seconds: float = 0.0
    remote_setup_seconds: float = 0.0
    remote_execution_seconds: float = 0.0
    noticed_after_seconds: float = 0.0
    """From the end of the run to the poll that saw it: the poll interval's share."""
    polls: int = 0

    @property
    def metadata(self) -> dict[str, MetadataValue]:
        """As an event shows it."""
        return {
            name: MetadataValue.int(value) if isinstance(value, int) else MetadataValue.float(round(value, 3))
            for name, value in vars(self).items()
        }


@dataclass
class RemoteStep:
    """See the module. `remote` is the run that makes it, from the moment before it is submitted."""

    context: StepExecutionContext
    login: Login
    runs: RemoteRuns
    staging: StagingArea
    work: str
    open_runs: OpenRuns = field(init=False)
    remote: OpenRun | None = None
    adopted: bool = False
    """Whether the run was there already."""
    ended: bool = False
    """Whether the end of the run was seen."""
    url: str = ""
    finished: bool = False
    """Whether the step's last event has come back."""
    account: Account = field(default_factory=Account)

    def __post_init__(self) -> None:
        self.open_runs = OpenRuns(self.context.instance, self.login.host, self.what)

    @property
    def what(self) -> str:
        """The asset that it makes, or the step where it makes none."""
        keys = self.context.get_output_asset_keys()
        return ", ".join(sorted(".".join(key.path) for key in keys)) or self.context.step.key

    @property
    def span(self) -> tuple[str, str] | None:
        """The first and the last of its partitions."""
        if not self.context.has_partitions:
            return None
        span = self.context.partition_key_range
        return span.start, span.end

    @property
    def name(self) -> str:
        """The asset and its partitions, for people."""
        if self.span is None:
            return self.what
        first, last = self.span
        return f"{self.what} {first}" if first == last else f"{self.what} {first} to {last}"

    @property
    def run_id(self) -> int:
        """The remote run's id; 0 while it is not known."""
        return self.remote.run_id if self.remote else 0

    def file(self, name: str) -> str:
        """A staged file, as the staging area names it."""
        assert self.remote is not None, "staged before it is submitted"
        return f"{self.remote.directory}/{name}"

    @property
    def metadata(self) -> dict[str, Any]:
        """What a failure says of the remote run."""
        if not self.run_id:
            return {}
        page = {"databricks_run": MetadataValue.url(self.url)} if self.url else {}
        return {"databricks_run_id": str(self.run_id), **page}

    def event(self, message: str, metadata: Mapping[str, Any]) -> DagsterEvent:
        """An event of this step, stored when this returns."""
        data = EngineEventData(metadata=metadata)
        return DagsterEvent.from_step(DagsterEventType.ENGINE_EVENT, self.context, data, message)


def work_of(context: StepExecutionContext, code: bytes, given: Mapping[str, Any]) -> str:
    """A name for what the step does: the same name means that another run of it would make the same rows.

    `given` is all that the cluster is told beside the code. The inputs are told apart by their newest materializations.
    """
    read = context.input_asset_records or {}
    partitions = context.partition_key_range if context.has_partitions else None
    described = {
        "step": context.step.key,
        "partitions": partitions and [partitions.start, partitions.end],
        "outputs": sorted(output.name for output in context.step.step_outputs),
        "config": {name: context.run_config.get(name) for name in ("ops", "resources")},
        "inputs": sorted((key.to_user_string(), one.storage_id) for key, one in read.items() if one),
        "code": hashlib.sha256(code).hexdigest(),
        "given": given,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()
