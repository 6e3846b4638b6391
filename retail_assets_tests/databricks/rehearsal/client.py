"""A user of the rehearsal workspace: the real SDK, and a task submitted and waited for."""

import io
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import Library, PythonPyPiLibrary
from databricks.sdk.service.jobs import Run, SparkPythonTask, SubmitTask

from retail_assets.databricks.rehearsal.workspace import Workspace

ENDED = ("TERMINATED", "INTERNAL_ERROR", "SKIPPED")


@dataclass(frozen=True)
class Outcome:
    life_cycle: str
    result: str
    message: str
    logs: str
    error: str
    trace: str


class User:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.client = WorkspaceClient(host=workspace.host, token=workspace.token)

    def write(self, path: str, program: str) -> str:
        """Puts a program on DBFS; its address there."""
        with self.client.dbfs.open(path, write=True, overwrite=True) as file:
            file.write(textwrap.dedent(program).encode())
        return f"dbfs:{path}"

    def submit(self, file: str, parameters: Sequence[str] = (), packages: Sequence[str] = (), **submitted: Any) -> int:
        """Submits a task, on the warm cluster unless `new_cluster` says what other; the run's id."""
        where = {"new_cluster": submitted.pop("new_cluster", None)}
        if where["new_cluster"] is None:
            where["existing_cluster_id"] = self.workspace.cluster_id
        task = SubmitTask(
            task_key="task",
            spark_python_task=SparkPythonTask(python_file=file, parameters=list(parameters)),
            libraries=[Library(pypi=PythonPyPiLibrary(package=package)) for package in packages],
            **where,
        )
        run_id: int = self.client.jobs.submit(run_name="a test", tasks=[task], **submitted).bind()["run_id"]
        return run_id

    def until(self, run_id: int, *states: str) -> Run:
        """The run as soon as it is in one of these states."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            run = self.client.jobs.get_run(run_id)
            assert run.state is not None
            assert run.state.life_cycle_state is not None
            if run.state.life_cycle_state.value in states:
                return run
            time.sleep(0.02)
        raise AssertionError(f"{run_id} never became {states}: {run.state}")

    def outcome(self, run_id: int) -> Outcome:
        """How the run ends, with the output of its task."""
        run = self.until(run_id, *ENDED)
        assert run.state is not None
        assert run.state.life_cycle_state is not None
        assert run.state.result_state is not None
        assert run.tasks
        output = self.client.jobs.get_run_output(run.tasks[0].run_id or 0)
        return Outcome(
            run.state.life_cycle_state.value,
            run.state.result_state.value,
            run.state.state_message or "",
            output.logs or "",
            output.error or "",
            output.error_trace or "",
        )

    def run(self, program: str, *parameters: str, **submitted: Any) -> Outcome:
        return self.outcome(self.submit(self.write("/programs/main.py", program), parameters, **submitted))

    def upload(self, path: str, content: bytes, overwrite: bool | None = None) -> None:
        self.client.files.upload(path, io.BytesIO(content), overwrite=overwrite)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """A request that the SDK's own methods would not send."""
        return self.client.api_client.do("POST", path, body=body)
