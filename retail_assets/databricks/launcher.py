"""The step launcher: each table is made in a Databricks run of its own, and its events come back as if made here.

A step, from its beginning to its end:

- What may still run of the same table is looked for first, and followed, or cancelled and awaited (predecessors.py).
- Code, facts and the list of libraries are staged in a directory of the step, in DBFS or a volume.
- The run is written into Dagster's storage (open_runs.py), submitted with a token that follows from Dagster's run, step
  and attempt, and its id becomes an event, before anything waits for it.
- It is followed to its end (following.py), and every event is stored after what it says of the past was looked up here
  (returned_events.py).
- A run that ends before its step is judged by its code of termination (verdicts.py): verdicts are not tried again.

Every wait ends when the Dagster run is stopped, and the remote run is cancelled.
"""

import json
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import DagsterEvent, Failure
from dagster._core.code_pointer import CustomPointer
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.definitions.step_launcher import StepLauncher, StepRunRef
from dagster._core.errors import raise_execution_interrupts
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.external_step import step_context_to_step_run_ref

from retail_assets.databricks import remote_main
from retail_assets.databricks.code_zip import package_zip
from retail_assets.databricks.compute import Compute
from retail_assets.databricks.ends import explained
from retail_assets.databricks.following import Following
from retail_assets.databricks.libraries import CARRIED, LIBRARIES, as_libraries, pins
from retail_assets.databricks.open_runs import OpenRun, token
from retail_assets.databricks.predecessors import forget, let_go, settle_earlier
from retail_assets.databricks.remote_runs import RemoteRuns
from retail_assets.databricks.remote_step import RemoteStep, work_of
from retail_assets.databricks.staging import StagingArea, staging_area, step_directory
from retail_assets.databricks.workspace_api import Login, WorkspaceApi, WorkspaceError
from retail_assets.project import PACKAGE, project_file

if TYPE_CHECKING:
    from retail_assets.settings import Settings

MAIN_FILE, REFERENCE_FILE, CONFIG_FILE, CODE_FILE = "main.py", "step_run_ref.pkl", "config.json", "code.zip"

LEFTOVER_AGE = timedelta(days=1)


class RetailStepLauncher(StepLauncher):
    """Runs steps as Databricks runs; see the module.

    `credentials` are those of the SDK's Config, `run_fields` what every run's request says beside its task. `staging`
    is `/Volumes/…` or `dbfs:/…`. `environment` is handed to the cluster as it is and must hold no secret; `secrets`
    name secrets by scope and key, which the cluster reads itself. `package` is the folder of the one package that is
    staged, `libraries` what it imports, `carried` the libraries that travel with its code, and `besides` other files
    that do, by their path in the package.
    """

    def __init__(
        self,
        *,
        host: str,
        credentials: Mapping[str, Any],
        compute: Compute,
        staging: str,
        environment: Mapping[str, str],
        run_fields: Mapping[str, Any] | None = None,
        secrets: Sequence[Mapping[str, str]] = (),
        poll_seconds: float = 5.0,
        timeout_seconds: int = 24 * 60 * 60,
        package: Path | None = None,
        libraries: Sequence[str] = LIBRARIES,
        carried: Sequence[str] = CARRIED,
        besides: Mapping[str, Path] | None = None,
        lock: Path | None = None,
    ) -> None:
        self.package = package or PACKAGE
        self._login = Login(host, credentials)
        self._compute = compute
        self._staging_location = staging
        self._config = {"environment": dict(environment), "secrets": [dict(secret) for secret in secrets]}
        self._run_fields = dict(run_fields or {})
        self._poll_seconds = poll_seconds
        self._timeout_seconds = timeout_seconds
        self._carried, self._besides = carried, dict(besides or {})
        self._named, self._lock = libraries, lock or project_file("requirements/requirements.lock")
        self._swept = False

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[DagsterEvent]:
        """Makes the step remotely and yields its events, stored in this instance.

        Raises Failure, or RetryRequested where the asset has a retry policy, when the remote side cannot be reached or
        dies; a step that fails by itself says so in its events.
        """
        reference = remote_reference(step_context, self.package)
        # As before a local step: what is read is what there is when the step begins.
        step_context.fetch_external_input_asset_version_info()
        step = self._step(step_context)
        with explained(step, self._staging_location):
            with raise_execution_interrupts():
                earlier = settle_earlier(step, self._poll_seconds)
            try:
                with raise_execution_interrupts():
                    if earlier:
                        step.remote, step.adopted = earlier, True
                    else:
                        self._sweep(step)
                        self._submit(step, reference)
                yield _announced(step)
                yield from Following(step, self._poll_seconds, self._timeout_seconds).events()
            except BaseException:
                let_go(step, self._poll_seconds)
                raise
            assert step.remote is not None
            forget(step, step.remote)
        yield step.event(f"What the run of {step.name} cost beyond its work.", step.account.metadata)

    def _step(self, context: StepExecutionContext) -> RemoteStep:
        api = WorkspaceApi(self._login, say=context.log.warning)
        given = {
            **self._config,
            "compute": [self._compute.task_fields([]), self._compute.run_fields([])],
            "run": self._run_fields,
            "libraries": self._pins,
        }
        return RemoteStep(
            context=context,
            login=self._login,
            runs=RemoteRuns(api),
            staging=staging_area(api, self._staging_location),
            work=work_of(context, self._code, given),
        )

    def _sweep(self, step: RemoteStep) -> None:
        """Once per launcher, which is once per run."""
        if self._swept:
            return
        self._swept = True
        # A step may take as long as its time limit, and its files are still in use.
        age = LEFTOVER_AGE + timedelta(seconds=self._timeout_seconds)
        try:
            removed = step.staging.sweep(age)
        except WorkspaceError as error:
            told = self._login.hide(str(error))
            step.context.log.warning(f"Leftovers of earlier steps could not be swept. {told}")
            return
        if removed:
            step.context.log.info(f"Removed what {len(removed)} earlier steps had left staged.")

    def _submit(self, step: RemoteStep, reference: StepRunRef) -> None:
        """Stages the step and submits its run, which is among the open runs before there is anything of it."""
        run_id, key, attempt = step.context.run_id, step.context.step.key, step.context.previous_attempt_count
        submission = step.open_runs.next_submission(run_id, key, attempt)
        step.remote = OpenRun(
            token=token(run_id, key, attempt, submission),
            dagster_run_id=run_id,
            step_key=key,
            attempt=attempt,
            submission=submission,
            work=step.work,
            span=step.span,
            directory=step_directory(run_id, key, attempt),
        )
        step.open_runs.add(step.remote)
        self._stage(step, reference)
        request = {
            "run_name": f"retail {step.name}",
            # For when nobody waits any more; who waits gives up a little earlier, and says so.
            "timeout_seconds": self._timeout_seconds + 60,
            # An answer may be lost on its way: asked again, Databricks names the same run instead of starting another.
            "idempotency_token": step.remote.token,
            "tasks": [self._task(step, self._libraries(step.staging))],
            **self._compute.run_fields(self._pins),
            **self._run_fields,
        }
        step.remote = step.open_runs.requested(step.remote.token, request)
        began = time.monotonic()
        step.remote = step.open_runs.submitted(step.remote.token, step.runs.submit(request))
        step.account.submit_seconds = time.monotonic() - began

    def _stage(self, step: RemoteStep, reference: StepRunRef) -> None:
        began = time.monotonic()
        files = {
            MAIN_FILE: Path(remote_main.__file__).read_bytes(),
            CODE_FILE: self._code,
            REFERENCE_FILE: pickle.dumps(reference),
            CONFIG_FILE: json.dumps(self._config).encode(),
        }
        for name, content in files.items():
            step.staging.write(step.file(name), content)
        account, (where, _) = step.account, step.staging.uri(step.file(MAIN_FILE)).rsplit("/", 1)
        account.staged_bytes = sum(map(len, files.values()))
        account.staging_seconds = time.monotonic() - began
        step.context.log.info(
            f"Staged {account.staged_bytes:,} bytes ({len(self._code):,} of them code) in {where}, "
            f"{account.staging_seconds:.1f} s."
        )

    @cached_property
    def _pins(self) -> list[str]:
        return pins(self._named, self._lock)

    @cached_property
    def _code(self) -> bytes:
        return package_zip(self.package, self._carried, self._besides)

    def _libraries(self, staging: StagingArea) -> list[dict[str, Any]]:
        """The libraries as a task names them. In a volume they are a file named after what it says, and stay there: a
        cluster takes another name for other libraries, and would install them anew."""
        if not (staging.holds_requirements and self._compute.installs_files):
            return as_libraries(self._pins, None)
        content = "".join(f"{pin}\n" for pin in self._pins).encode()
        name = f"libraries/{sha256(content).hexdigest()[:16]}.txt"
        if staging.read(name) != content:
            staging.write(name, content)
        return as_libraries(self._pins, staging.uri(name))

    def _task(self, step: RemoteStep, libraries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        parameters = [step.file(name) for name in (REFERENCE_FILE, CONFIG_FILE, CODE_FILE)]
        return {
            "task_key": "step",
            "spark_python_task": {
                "python_file": step.staging.uri(step.file(MAIN_FILE)),
                "parameters": [step.staging.local_path(name) for name in parameters],
            },
            **self._compute.task_fields(libraries),
        }


def make_launcher(settings: "Settings", besides: Mapping[str, Path]) -> RetailStepLauncher:
    """The launcher that the settings describe. `besides`: files that travel in the package, by their path there."""
    databricks = settings.databricks
    assert databricks is not None, "made on the host of the databricks deployment only"
    return RetailStepLauncher(
        host=databricks.host,
        credentials=databricks.credentials.client_arguments,
        compute=databricks.compute,
        staging=databricks.staging,
        environment={**settings.remote_environment, **databricks.compute.falls_back},
        run_fields=databricks.run_fields,
        secrets=databricks.secrets,
        poll_seconds=databricks.poll_seconds,
        timeout_seconds=databricks.timeout_seconds,
        besides=besides,
    )


def remote_reference(context: StepExecutionContext, package: Path) -> StepRunRef:
    """What the cluster needs to know of the step, with its definitions found by module in what is staged.

    Raises Failure for a job that only this process knows.
    """
    if not isinstance(context.job, ReconstructableJob):
        raise Failure(
            f"Step {context.step.key} cannot be made on Databricks: its job exists only in this process "
            f"({type(context.job).__name__}), and the cluster has to build it anew. Start the run from a workspace's "
            "code location (UI, daemon, dagster job launch), or give execute_job a reconstructable job.",
            allow_retries=False,
        )
    reference = step_context_to_step_run_ref(context, str(package.parent))
    job = reference.recon_job
    pointer = job.repository.pointer
    # The host's working directory means nothing there, and on the same machine it would be the wrong code.
    if isinstance(pointer, CustomPointer):
        pointer = pointer._replace(reconstructor_pointer=pointer.reconstructor_pointer._replace(working_directory=None))
    else:
        pointer = pointer._replace(working_directory=None)  # type: ignore[attr-defined]
    job = job._replace(repository=job.repository._replace(pointer=pointer))
    run = reference.dagster_run
    if run.asset_check_selection is not None:
        # The job is cut to its selection already; cut again by assets alone, it would forget the checks.
        run = run._replace(asset_selection=None)
    return reference._replace(recon_job=job, dagster_run=run)


def _announced(step: RemoteStep) -> DagsterEvent:
    """The remote run's id, in the Dagster run's log before anything waits for it."""
    assert step.remote is not None
    metadata = {"databricks_run_id": str(step.run_id), "idempotency_token": step.remote.token}
    taken_over = ""
    if step.adopted:
        taken_over = (
            f" It was begun by Dagster run {step.remote.dagster_run_id}, does the same work, and is taken over: what "
            "it stores names that run."
        )
    return step.event(f"Databricks run {step.run_id} makes {step.name}.{taken_over}", metadata)
