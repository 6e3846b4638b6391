"""The step launcher: each table is made in a Databricks run of its own, and its events come back as if made here.

`dagster_databricks`' launcher does the outer part: it submits the run and describes the cluster. What is different:

- Files are staged in a directory per step, in DBFS or a volume, and removed when the step ends, however it ends.
- Before an event is stored, what it says of the past is looked up here (returned_events.py): the materialization that
  a check judged, and the versions of what was read.
- A poll that fails is not the end of a step; a remote process that dies is explained; a run nobody waits for any more
  is cancelled.

What the SDK itself tries again (429 and 503 with Retry-After, dropped connections, for up to five minutes) is not tried
again here; 500, 502 and 504 are.
"""

import gzip
import json
import pickle
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from dagster import (
    DagsterEvent,
    DagsterEventType,
    Failure,
    MetadataValue,
    RetryRequested,
)
from dagster._core.code_pointer import CustomPointer
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.definitions.step_launcher import StepRunRef
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import EngineEventData
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.external_step import PICKLED_STEP_RUN_REF_FILE_NAME, step_context_to_step_run_ref
from dagster._serdes import deserialize_value
from dagster._utils.warnings import disable_dagster_warnings
from dagster_databricks.databricks_pyspark_step_launcher import (
    CODE_ZIP_NAME,
    PICKLED_CONFIG_FILE_NAME,
    DatabricksPySparkStepLauncher,
)
from dagster_shared.serdes.errors import DeserializationError
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.errors.platform import (
    DeadlineExceeded,
    InternalError,
    PermissionDenied,
    TemporarilyUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.service.jobs import Run, RunLifeCycleState, RunResultState
from requests import RequestException

from retail_assets.databricks import remote_main
from retail_assets.databricks.remote_main import HIDDEN
from retail_assets.databricks.returned_events import as_made_here
from retail_assets.databricks.staging import LIBRARIES, StagingArea, package_zip, pinned, staging_area, step_directory
from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets.settings import project_root

if TYPE_CHECKING:
    from retail_assets.settings import Settings

MAIN_FILE = "main.py"
EVENTS_FILE = "events.gz"

TRIES = 5
"""How often a call is made that Databricks answers with 500, 502 or 504; the pauses double from one second."""

UNREACHABLE_SECONDS = 900.0
"""How long polls may fail one after another before a step is given up."""

READS_AFTER_END = 5
"""How often the events are read again when a run has ended and its last event is not to be seen yet."""

CANCEL_SECONDS = 20.0
"""How long to wait for a cancelled run to end, so that it does not write into a directory that is being removed."""

LEFTOVER_AGE = timedelta(days=1)

LOG_LINES = 40
"""Lines of the remote log that an error shows."""

_ENDED = {
    RunLifeCycleState.TERMINATED,
    RunLifeCycleState.SKIPPED,
    RunLifeCycleState.INTERNAL_ERROR,
}
_OUTCOMES = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY}


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
        return {
            name: MetadataValue.int(value) if isinstance(value, int) else MetadataValue.float(round(value, 3))
            for name, value in vars(self).items()
        }


@dataclass
class RemoteStep:
    """A step on its way: where its files lie, which run it is, and how much of it has come back."""

    context: StepExecutionContext
    directory: str
    account: Account = field(default_factory=Account)
    run_id: int = 0
    url: str = ""
    permitted: bool = False
    events_seen: int = 0
    finished: bool = False
    """Whether the step's last event has come back."""
    end_seen_at: float = 0.0
    """When a poll said that the run had ended, in seconds of the epoch."""

    @property
    def name(self) -> str:
        """The asset and its partitions, for people."""
        keys = self.context.get_output_asset_keys()
        what = ", ".join(sorted(".".join(key.path) for key in keys)) or self.context.step.key
        if not self.context.has_partitions:
            return what
        span = self.context.partition_key_range
        return f"{what} {span.start}" if span.start == span.end else f"{what} {span.start} to {span.end}"


class RetailStepLauncher(DatabricksPySparkStepLauncher):
    """Runs steps as Databricks runs; see the module.

    `staging` is `/Volumes/…` or `dbfs:/…`. `environment` is handed to the cluster as it is and must hold no secret;
    `secrets` name secrets by scope and key, which the cluster reads itself. `package` is the folder of the one package
    that is staged, `libraries` what it imports.
    """

    def __init__(
        self,
        *,
        host: str,
        credentials: Mapping[str, Any],
        run_config: Mapping[str, Any],
        staging: str,
        environment: Mapping[str, str],
        secrets: Sequence[Mapping[str, str]] = (),
        permissions: Mapping[str, Any] | None = None,
        poll_seconds: float = 5.0,
        timeout_seconds: int = 24 * 60 * 60,
        package: Path | None = None,
        libraries: Sequence[str] = LIBRARIES,
        lock: Path | None = None,
    ) -> None:
        self.package = package or project_root() / "retail_assets"
        named = pinned(libraries, lock or project_root() / "requirements" / "requirements.lock")
        with disable_dagster_warnings():  # that Pipes supersede step launchers is said in docs/databricks.md
            super().__init__(
                run_config={**run_config, "libraries": named, "install_default_libraries": False},
                permissions=permissions or {},
                databricks_host=host,
                secrets_to_env_variables=[dict(secret) for secret in secrets],
                staging_prefix=staging.removeprefix("dbfs:"),
                wait_for_logs=False,
                max_completion_wait_time_seconds=timeout_seconds,
                poll_interval_sec=poll_seconds,  # type: ignore[arg-type]  # floats are meant as well
                local_dagster_job_package_path=str(self.package.parent),
                env_variables=environment,
                **credentials,
            )
        self._staging_location = staging
        self._swept = False

    @cached_property
    def staging(self) -> StagingArea:
        """Where files are staged."""
        return staging_area(self._client, self._staging_location)

    @property
    def _client(self) -> Any:
        return self.databricks_runner.client.workspace_client

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[DagsterEvent]:
        """Makes the step remotely and yields its events, stored in this instance.

        Raises Failure, or RetryRequested where the asset has a retry policy, when the remote side cannot be reached or
        dies; a step that fails by itself says so in its events.
        """
        reference = remote_reference(step_context, self.package)
        run = step_context.dagster_run
        directory = step_directory(run.run_id, step_context.step.key, step_context.previous_attempt_count)
        step = RemoteStep(step_context, directory)
        # As before a local step: what is read is what there is when the step begins.
        step_context.fetch_external_input_asset_version_info()
        try:
            with self._explained(step):
                self._sweep(step)
                self._stage(step, reference)
                self._submit(step)
                yield from self._follow(step)
            yield _engine_event(step, f"What the run of {step.name} cost beyond its work.", step.account.metadata)
        finally:
            self._remove(step)

    # Staging ----------------------------------------------------------------------------------------------

    def _stage(self, step: RemoteStep, reference: StepRunRef) -> None:
        began = time.monotonic()
        files = {
            MAIN_FILE: Path(remote_main.__file__).read_bytes(),
            CODE_ZIP_NAME: self._code,
            PICKLED_STEP_RUN_REF_FILE_NAME: pickle.dumps(reference),
            PICKLED_CONFIG_FILE_NAME: pickle.dumps(self.create_remote_config()),
        }
        for name, content in files.items():
            _patiently(self.staging.write, f"{step.directory}/{name}", content)
        step.account.staged_bytes = sum(map(len, files.values()))
        step.account.staging_seconds = time.monotonic() - began
        step.context.log.info(
            f"Staged {step.account.staged_bytes:,} bytes ({len(self._code):,} of them code) in "
            f"{self.staging.uri(step.directory)}, {step.account.staging_seconds:.1f} s."
        )

    @cached_property
    def _code(self) -> bytes:
        return package_zip(self.package)

    def _sweep(self, step: RemoteStep) -> None:
        """Once per launcher, which is once per run."""
        if self._swept:
            return
        self._swept = True
        # A step may take as long as its time limit, and its files are still in use.
        age = LEFTOVER_AGE + timedelta(seconds=self.databricks_runner.max_wait_time_sec)
        try:
            removed = _patiently(self.staging.sweep, age)
        except DatabricksError as error:
            step.context.log.warning(f"Leftovers of earlier steps could not be swept. {self._shown(str(error))}")
            return
        if removed:
            step.context.log.info(f"Removed what {len(removed)} earlier steps had left staged.")

    def _remove(self, step: RemoteStep) -> None:
        try:
            _patiently(self.staging.remove, step.directory)
        except Exception as error:
            where = self.staging.uri(step.directory)
            step.context.log.warning(f"{where} could not be removed; a later run will. {self._shown(str(error))}")

    # The run ----------------------------------------------------------------------------------------------

    def _submit(self, step: RemoteStep) -> None:
        began = time.monotonic()
        file = {name: f"{step.directory}/{name}" for name in _STAGED}
        task = {
            "spark_python_task": {
                "python_file": self.staging.uri(file[MAIN_FILE]),
                "parameters": [
                    self.staging.local_path(file[name])
                    for name in (PICKLED_STEP_RUN_REF_FILE_NAME, PICKLED_CONFIG_FILE_NAME, CODE_ZIP_NAME)
                ],
            }
        }
        request = {
            **self.run_config,
            "run_name": f"retail {step.name}",
            # For when nobody waits any more; who waits gives up a little earlier, and says so.
            "timeout_seconds": self.databricks_runner.max_wait_time_sec + 60,
            # An answer may be lost on its way: asked again, Databricks names the same run instead of starting another.
            "idempotency_token": uuid4().hex,
        }
        step.run_id = _patiently(self.databricks_runner.submit_run, request, task)
        step.account.submit_seconds = time.monotonic() - began

    def _follow(self, step: RemoteStep) -> Iterator[DagsterEvent]:
        """Yields the events as they come back until the run has ended; cancels it when that is not to be awaited."""
        log, began = step.context.log, time.monotonic()
        answered, run = began, None
        try:
            while True:
                events: Sequence[EventLogEntry] = []
                with raise_execution_interrupts():
                    try:
                        step.account.polls += 1
                        run = self._poll(step)
                        if _ended(run):
                            step.end_seen_at = time.time()
                        events = self._new_events(step)
                        answered = time.monotonic()
                    except (DatabricksError, RequestException, TimeoutError) as error:
                        if not _transient(error) or time.monotonic() - answered > UNREACHABLE_SECONDS:
                            raise
                        log.warning(f"A poll of Databricks run {step.run_id} failed. {self._shown(str(error))}")
                if run and not step.url:
                    step.url = run.run_page_url or "no page"
                    link = {"databricks_run": MetadataValue.url(step.url)}
                    yield _engine_event(step, f"Databricks run {step.run_id} makes {step.name}.", link)
                yield from self._take(step, events)
                if run and _ended(run):
                    break
                if time.monotonic() - began > self.databricks_runner.max_wait_time_sec:
                    self._fail_for_time(step, run)
                with raise_execution_interrupts():
                    # Once the step's last event is here, the run's end is a matter of moments.
                    time.sleep(min(self._poll_seconds, 1.0) if step.finished else self._poll_seconds)
            step.account.wait_seconds = time.monotonic() - began
            self._account_for(step, run)
            yield from self._take_last(step)
        except BaseException:
            if run is None or not _ended(run):
                self._cancel(step)
            raise
        stdout, stderr = self._printed(step)
        sys.stdout.write(stdout)
        sys.stderr.write(stderr)
        if run.state is None or run.state.result_state != RunResultState.SUCCESS or not step.finished:
            self._fail_or_warn(step, run, stdout, stderr)

    def _poll(self, step: RemoteStep) -> Run:
        run: Run = self._client.jobs.get_run(step.run_id)
        if not step.permitted and "job_permissions" in self.permissions:
            access = self._format_permissions(self.permissions["job_permissions"])
            self._client.permissions.update("jobs", str(run.job_id), access_control_list=access)
        step.permitted = True
        return run

    @property
    def _poll_seconds(self) -> float:
        return self.databricks_runner.poll_interval_sec

    def _take_last(self, step: RemoteStep) -> Iterator[DagsterEvent]:
        """The events that were written last; a file may be seen a little later than it was written."""
        for _ in range(READS_AFTER_END):
            with raise_execution_interrupts():
                events = _patiently(self._new_events, step)
            yield from self._take(step, events)
            if step.finished:
                return
            with raise_execution_interrupts():
                time.sleep(min(self._poll_seconds, 1.0))

    def _cancel(self, step: RemoteStep) -> None:
        """Cancels the run and waits a little for its end. An error is told, not raised: there is one already."""
        try:
            _patiently(self._client.jobs.cancel_run, step.run_id)
            step.context.log.info(f"Cancelled Databricks run {step.run_id}.")
            until = time.monotonic() + CANCEL_SECONDS
            while time.monotonic() < until and not _ended(self._client.jobs.get_run(step.run_id)):
                time.sleep(min(self._poll_seconds, 1.0))
        except Exception as error:
            step.context.log.error(
                f"Databricks run {step.run_id} could not be cancelled and may go on until its time limit: "
                f"{step.url}. {self._shown(str(error))}"
            )

    def _account_for(self, step: RemoteStep, run: Run) -> None:
        account = step.account
        account.remote_setup_seconds = (run.setup_duration or 0) / 1000
        account.remote_execution_seconds = (run.execution_duration or 0) / 1000
        if run.end_time:  # two clocks: a small difference may come out below zero
            account.noticed_after_seconds = max(0.0, step.end_seen_at - run.end_time / 1000)

    # Events -----------------------------------------------------------------------------------------------

    def _new_events(self, step: RemoteStep) -> list[EventLogEntry]:
        """What the remote side has told since the last call. A file that is being written tells nothing yet."""
        content = self.staging.read(f"{step.directory}/{EVENTS_FILE}")
        if not content:
            return []
        try:
            lines = gzip.decompress(content).decode().split("\n")[:-1]
            events = [deserialize_value(line, EventLogEntry) for line in lines[step.events_seen :]]
        except (EOFError, OSError, zlib.error, UnicodeDecodeError, json.JSONDecodeError, DeserializationError):
            return []
        step.events_seen = max(step.events_seen, len(lines))
        return events

    def _take(self, step: RemoteStep, events: Sequence[EventLogEntry]) -> Iterator[DagsterEvent]:
        """Stores the events in this instance, in their order and in few transactions, and yields Dagster's own."""
        instance = step.context.instance
        with stored_together(instance):
            for event in as_made_here(step.context, events):
                instance.handle_new_event(event)
                if event.is_dagster_event:
                    step.finished |= event.get_dagster_event().event_type in _OUTCOMES
                    yield event.get_dagster_event()

    # Errors -----------------------------------------------------------------------------------------------

    @contextmanager
    def _explained(self, step: RemoteStep) -> Iterator[None]:
        """Says of what Databricks refuses what it was and, of a login, what to do."""
        try:
            yield
        except (Unauthenticated, PermissionDenied) as error:
            about = f" Databricks run {step.run_id} may go on until its time limit: {step.url}" if step.run_id else ""
            raise Failure(
                f"Databricks at {self.databricks_host} refused the request: {self._shown(str(error))} If the token or "
                "the client's secret has expired, make a new one and set it where this process is started "
                "(docs/databricks.md, Authentication); if it holds, its owner lacks a permission for the cluster, the "
                f"jobs or {self._staging_location}.{about}",
                metadata=self._metadata(step),
                allow_retries=False,
            ) from None
        except (DatabricksError, RequestException, TimeoutError) as error:
            description = f"Databricks could not be used for {step.name}: {self._shown(str(error))}"
            self._fail(step, description, passing=_transient(error))

    def _fail(
        self, step: RemoteStep, description: str, metadata: Mapping[str, Any] | None = None, passing: bool = True
    ) -> NoReturn:
        """Raises Failure; RetryRequested if it may pass and the asset's retry policy allows another attempt."""
        failure = Failure(description, metadata={**self._metadata(step), **(metadata or {})}, allow_retries=passing)
        policy = step.context.op_retry_policy
        if policy is None or not passing:
            raise failure
        delay = policy.calculate_delay(step.context.previous_attempt_count + 1)
        raise RetryRequested(max_retries=policy.max_retries, seconds_to_wait=delay) from failure

    def _fail_for_time(self, step: RemoteStep, run: Run | None) -> NoReturn:
        state = run.state.life_cycle_state if run and run.state else None
        self._fail(
            step,
            f"Databricks run {step.run_id} of {step.name} took longer than {self.databricks_runner.max_wait_time_sec} "
            f"s and was cancelled; it was {state.value if state else 'in an unknown state'}. Raise "
            f"RETAIL_DATABRICKS_TIMEOUT_SECONDS, or see what it waited for: {step.url}",
        )

    def _fail_or_warn(self, step: RemoteStep, run: Run, stdout: str, stderr: str) -> None:
        state = run.state
        life_cycle = state.life_cycle_state.value if state and state.life_cycle_state else "?"
        result = state.result_state.value if state and state.result_state else "no result"
        message = self._shown((state.state_message if state else "") or "").strip()
        if step.finished:
            step.context.log.warning(
                f"Databricks run {step.run_id} ended {life_cycle}, {result}, after the step had ended: {message}"
            )
            return
        error, trace, logs = self._output(run)
        end = "\n".join(text for text in (_end(logs or stdout), _end("" if logs else stderr), _end(trace)) if text)
        self._fail(
            step,
            f"Databricks run {step.run_id} of {step.name} ended ({life_cycle}, {result}) before the step did."
            + "".join(f"\n{text}" for text in dict.fromkeys((message, error)) if text)
            + f"\n{step.url}"
            + (f"\nThe end of its log:\n{end}" if end else "\nIt left no log."),
            {
                "life_cycle_state": life_cycle,
                "result_state": result,
                "state_message": message,
                "log_end": MetadataValue.text(end),
            },
        )

    def _output(self, run: Run) -> tuple[str, str, str]:
        """Error, stack trace and log, as Databricks keeps them for the run's task."""
        task_run = run.tasks[0].run_id if run.tasks else run.run_id
        try:
            output = _patiently(self._client.jobs.get_run_output, task_run)
        except Exception as error:  # of a run that never started there is none
            return f"(its output could not be read: {self._shown(str(error))})", "", ""
        return tuple(self._shown(text or "") for text in (output.error, output.error_trace, output.logs))  # type: ignore[return-value]

    def _printed(self, step: RemoteStep) -> tuple[str, str]:
        """What the remote process handed back of its stdout and stderr."""
        printed = []
        for name in ("stdout", "stderr"):
            try:
                content = _patiently(self.staging.read, f"{step.directory}/{name}")
            except Exception as error:
                step.context.log.warning(f"The remote {name} could not be read. {self._shown(str(error))}")
                content = None
            printed.append(self._shown((content or b"").decode(errors="replace")))
        return printed[0], printed[1]

    def _metadata(self, step: RemoteStep) -> dict[str, Any]:
        if not step.run_id:
            return {}
        return {"databricks_run_id": str(step.run_id), "databricks_run": MetadataValue.url(step.url)}

    def _shown(self, text: str) -> str:
        """The text without any of the host's own credentials."""
        config = self._client.config
        for attribute in config.attributes():
            value = getattr(config, attribute.name) if attribute.sensitive else None
            if value:
                text = text.replace(str(value), HIDDEN)
        return text


_STAGED = (MAIN_FILE, CODE_ZIP_NAME, PICKLED_STEP_RUN_REF_FILE_NAME, PICKLED_CONFIG_FILE_NAME)


def make_launcher(settings: "Settings") -> RetailStepLauncher:
    """The launcher that the settings describe."""
    databricks = settings.databricks
    assert databricks is not None, "made on the host of the databricks deployment only"
    return RetailStepLauncher(
        host=databricks.host,
        credentials=databricks.credentials.launcher_arguments,
        run_config=databricks.run_config,
        staging=databricks.staging,
        environment=settings.remote_environment,
        secrets=databricks.secrets,
        permissions=databricks.permissions,
        poll_seconds=databricks.poll_seconds,
        timeout_seconds=databricks.timeout_seconds,
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


def _engine_event(step: RemoteStep, message: str, metadata: Mapping[str, Any]) -> DagsterEvent:
    return DagsterEvent.from_step(
        DagsterEventType.ENGINE_EVENT, step.context, EngineEventData(metadata=metadata), message
    )


def _ended(run: Run) -> bool:
    return run.state is not None and run.state.life_cycle_state in _ENDED


def _end(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-LOG_LINES:])


def _transient(error: Exception) -> bool:
    """Whether the same call may well succeed later."""
    if isinstance(error, DatabricksError):
        passing = (InternalError, TemporarilyUnavailable, TooManyRequests, DeadlineExceeded)
        # Of other answers than the documented ones, such as a proxy's 502, the SDK knows no kind.
        return isinstance(error, passing) or type(error) is DatabricksError
    return True


def _patiently(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls again after the errors that the SDK does not try again by itself; every call here may be repeated."""
    for pause in [2.0**n for n in range(TRIES - 1)]:
        try:
            return call(*arguments, **named)
        except DatabricksError as error:
            if not isinstance(error, InternalError | DeadlineExceeded) and type(error) is not DatabricksError:
                raise
            time.sleep(pause)
    return call(*arguments, **named)
