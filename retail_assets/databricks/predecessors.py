"""What is there already when a step begins, and what becomes of a run that nobody waits for any more.

No attempt begins before the one before it is known to have ended: two of them would write the same partitions. That
holds over processes: what a host left behind when it died stands in Dagster's storage (open_runs.py).
"""

from dagster import DagsterRunStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from retail_assets.databricks.open_runs import OpenRun
from retail_assets.databricks.remote_step import RemoteStep
from retail_assets.databricks.workspace_api import Refused

CANCEL_SECONDS = 20.0
"""How long a stop waits for the end of the run that it cancelled. Whoever comes next waits for as long as it takes."""

STOP_PATIENCE = 60.0
"""For how long the calls of a stop are tried again."""


def settle_earlier(step: RemoteStep, poll_seconds: float) -> OpenRun | None:
    """Sees to what may still run of this table; returns the run to be followed instead of a new one, if there is one.

    A run that does the same work is taken over. Others of these partitions, and those whose Dagster run has ended, are
    cancelled, and their end is awaited, however long it takes. What a living Dagster run makes of other partitions is
    left alone: how many of them there may be is for the table's pool to say.
    """
    adopted: OpenRun | None = None
    for found in step.open_runs.all():
        if not _is_ours(step, found):
            continue
        earlier = _learned(step, found)
        run = step.runs.find(earlier.run_id) if earlier.run_id else None
        again = (earlier.dagster_run_id, earlier.attempt) == (step.context.run_id, step.context.previous_attempt_count)
        if run and earlier.work == step.work and adopted is None and (again or not run.ended):
            adopted = earlier
            continue
        if run and not run.ended:
            step.context.log.warning(
                f"Databricks run {run.run_id}, of Dagster run {earlier.dagster_run_id}, still makes {step.what} and "
                f"does other work than this step: it is cancelled, and its end is awaited. {run.page}"
            )
            step.runs.await_end(run.run_id, poll_seconds, cancel=True)
        forget(step, earlier)
    return adopted


def _is_ours(step: RemoteStep, earlier: OpenRun) -> bool:
    if earlier.dagster_run_id == step.context.run_id or earlier.overlaps(step.span):
        return True
    owner = step.context.instance.get_run_by_id(earlier.dagster_run_id)
    return owner is None or owner.status in (*FINISHED_STATUSES, DagsterRunStatus.CANCELING)


def _learned(step: RemoteStep, open_run: OpenRun) -> OpenRun:
    """With the id of a run that was submitted, perhaps, by a process that died before it heard; 0 if there is none."""
    if open_run.run_id or not open_run.request:
        return open_run
    try:
        return step.open_runs.submitted(open_run.token, step.runs.submit(open_run.request))
    except Refused as error:
        if error.passing or error.login:
            raise
        return open_run  # what is refused now was not accepted then, or has been deleted since


def let_go(step: RemoteStep, poll_seconds: float) -> None:
    """Cancels the run of a step that is not waited for any more. Errors are told, not raised: there is one already.

    If its end is not seen soon it stays among the open runs.
    """
    remote = step.remote
    if remote is None:
        return
    if step.ended:
        forget(step, remote)
        return
    log = step.context.log
    try:
        with step.staging.api.in_a_hurry(STOP_PATIENCE):
            run_id = _learned(step, remote).run_id
            if run_id:
                step.runs.cancel(run_id)
                log.info(f"Cancelled Databricks run {run_id}.")
        if not run_id or step.runs.await_end(run_id, min(poll_seconds, 1.0), CANCEL_SECONDS):
            forget(step, remote)
        else:
            log.warning(f"Databricks run {run_id} is still ending. Whoever makes {step.what} next waits for its end.")
    except Exception as error:
        log.error(
            f"Databricks run {step.run_id or 'without a known id'} of {step.name} could not be cancelled and may go on "
            f"until its time limit; whoever makes {step.what} next looks for it. {step.url} "
            f"{step.login.hide(str(error))}"
        )


def forget(step: RemoteStep, ended: OpenRun) -> None:
    """Of a run that has ended: removes what it was staged with, and takes it from the open runs."""
    try:
        with step.staging.api.in_a_hurry(STOP_PATIENCE):
            step.staging.remove(ended.directory)
    except Exception as error:
        where = step.staging.uri(ended.directory)
        step.context.log.warning(f"{where} could not be removed; a later run will. {step.login.hide(str(error))}")
    step.open_runs.settle(ended.token)
