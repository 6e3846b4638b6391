"""How a step ends that did not end by itself: what is told, and whether it may be tried again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from dagster import Failure, MetadataValue, RetryRequested

from retail_assets.databricks.remote_runs import RemoteRun
from retail_assets.databricks.remote_step import RemoteStep
from retail_assets.databricks.returned_files import ReturnedFiles, Word
from retail_assets.databricks.verdicts import CANCELLED, ITS_OWN_END, VERDICTS, may_pass
from retail_assets.databricks.workspace_api import Refused, WorkspaceError

LOG_LINES = 40
"""Lines of the remote log that an error shows."""


def fail(step: RemoteStep, description: str, passing: bool, metadata: Mapping[str, Any] | None = None) -> NoReturn:
    """Raises Failure; RetryRequested if it may pass and the asset's retry policy allows another attempt."""
    failure = Failure(description, metadata={**step.metadata, **(metadata or {})}, allow_retries=passing)
    policy = step.context.op_retry_policy
    if policy is None or not passing:
        raise failure
    delay = policy.calculate_delay(step.context.previous_attempt_count + 1)
    raise RetryRequested(max_retries=policy.max_retries, seconds_to_wait=delay) from failure


@contextmanager
def explained(step: RemoteStep, staging: str) -> Iterator[None]:
    """Says of what Databricks refuses what it was and, of a login, what to do."""
    try:
        yield
    except WorkspaceError as error:
        told = step.login.hide(str(error))
        about = f" Databricks run {step.run_id} may go on until its time limit: {step.url}" if step.run_id else ""
        if isinstance(error, Refused) and error.login:
            told = (
                f"Databricks at {step.login.host} refused the request: {told} If the token or the client's secret has "
                "expired, make a new one and set it where this process is started (docs/databricks.md, "
                "Authentication); if it holds, its owner lacks a permission for the cluster, the jobs or "
                f"{staging}.{about}"
            )
            fail(step, told, passing=False)
        fail(step, f"Databricks could not be used for {step.name}: {told}{about}", passing=error.passing)


def too_long(step: RemoteStep, run: RemoteRun | None, seconds: int) -> NoReturn:
    """A time limit is a verdict: the next try would take as long."""
    state = run.life_cycle if run else "in an unknown state"
    fail(
        step,
        f"Databricks run {step.run_id} of {step.name} took longer than {seconds} s and was cancelled; it was {state}. "
        f"Raise RETAIL_DATABRICKS_TIMEOUT_SECONDS, or see what it waited for: {step.url}",
        passing=False,
    )


def deleted(step: RemoteStep) -> NoReturn:
    """Somebody removed the run from the workspace, with what it told."""
    fail(
        step,
        f"Databricks run {step.run_id} of {step.name} is not there any more: it was deleted in Databricks. What it "
        "wrote may be stored; make the step again.",
        passing=False,
    )


def told_late(step: RemoteStep, run: RemoteRun) -> None:
    """A run that ended badly after its step had ended well: the step stands."""
    step.context.log.warning(
        f"Databricks run {step.run_id} ended {run.life_cycle}, {run.result or 'no result'}, after the step had ended: "
        f"{step.login.hide(run.message)}"
    )


def died(step: RemoteStep, run: RemoteRun, files: ReturnedFiles, stdout: str, stderr: str) -> NoReturn:
    """A run that ended before its step did, or that was cancelled when the step was to be tried again."""
    word = _word(step, files)
    error, trace, logs = _output(step, run)
    if word and not word.again:
        trace = word.trace
    end = "\n".join(text for text in (_end(logs or stdout), _end("" if logs else stderr), _end(trace)) if text)
    passing, why = _judged(run, word)
    message = step.login.hide(run.message).strip()
    fail(
        step,
        f"Databricks run {step.run_id} of {step.name} ended ({run.life_cycle}, {run.result or 'no result'}) before the "
        f"step did: {why}."
        + "".join(f"\n{text}" for text in dict.fromkeys((message, error)) if text)
        + f"\n{step.url}"
        + (f"\nThe end of its log:\n{end}" if end else "\nIt left no log."),
        passing,
        {
            "life_cycle_state": run.life_cycle,
            "result_state": run.result or "no result",
            "state_message": message,
            "termination_code": run.code or "none",
            "log_end": MetadataValue.text(end),
        },
    )


def _judged(run: RemoteRun, word: Word | None) -> tuple[bool, str]:
    """Whether it may be tried again, and why it ended."""
    if run.code == ITS_OWN_END:
        if word is None:
            return True, "its process died without a word, as when memory runs out or a machine is taken away"
        if word.again:
            return True, "its process died, and Databricks began the same task again, which did nothing"
        return False, "its code failed outside of the step"
    if run.code == "SUCCESS":
        return True, "it ended well, but its events are not to be had"
    told = VERDICTS.get(run.code)
    if run.code in CANCELLED or told:
        return False, told or run.code
    passing = may_pass(run.code, run.kind)
    return passing, f"{run.code or 'no code'} ({'may pass' if passing else 'a verdict'})"


def _word(step: RemoteStep, files: ReturnedFiles) -> Word | None:
    try:
        return files.word()
    except WorkspaceError as error:
        told = step.login.hide(str(error))
        step.context.log.warning(f"The last word of the remote process could not be read. {told}")
        return None


def _output(step: RemoteStep, run: RemoteRun) -> tuple[str, str, str]:
    try:
        error, trace, logs = step.runs.output(run.task_run_id)
    except WorkspaceError as failed:  # of a run that never started there is none
        return f"(its output could not be read: {step.login.hide(str(failed))})", "", ""
    return step.login.hide(error), step.login.hide(trace), step.login.hide(logs)


def _end(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-LOG_LINES:])
