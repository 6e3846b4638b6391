"""The main job: makes whatever is landed and missing or out of date, in one process with one Spark session.

It plans, makes the first run, and plans again, until nothing is due or only what a failure keeps from being made. Every
run is an ordinary Dagster run: the UI shows it, its materializations and its checks afterwards.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from dagster import (
    AssetCheckSeverity,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    RunsFilter,
)
from dagster._core.definitions.job_base import IJob, InMemoryJob
from dagster._core.events import RunFailureReason
from dagster._core.execution.api import execute_run_iterator
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
)
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_shared.error import SerializableErrorInfo

from retail_assets.operations.binding import NOWHERE, Places
from retail_assets.operations.contents import Contents
from retail_assets.operations.main_job_lock import alone
from retail_assets.operations.planned_runs import PlannedRun, next_run, without_blocked
from retail_assets.operations.planning import (
    Graph,
    Landed,
    Partition,
    Request,
    arrivals_since,
    looked_back,
    what_is_due,
)
from retail_assets.operations.stored import Stored, told
from retail_assets.project import project_file

PROCESS_TAG = ".dagster/retail_process"  # the UI hides what begins so
"""On every run of the main job: the process that makes it, so that a run whose process died can be told."""


@dataclass
class TableSummary:
    """What the job did to one table."""

    rows: int = 0
    partitions: set[str] = field(default_factory=set)
    passed: int = 0
    warned: int = 0
    failed: int = 0
    seconds: float = 0.0
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """Check -> the partitions that it warned of."""


@dataclass
class Summary:
    """What the job did: per table, the failures with their reasons, and what had to wait for them."""

    tables: dict[AssetKey, TableSummary] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    waiting: set[Partition] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether everything that was due was made."""
        return not self.failures


class Observer:
    """Hears of the job as it goes on; does nothing by itself."""

    def noticed(self, notice: str) -> None:
        """Something that people should know of, before anything is planned."""

    def planned(self, due: Mapping[AssetKey, list[str]]) -> None:
        """What is due, before the first run."""

    def started(self, key: AssetKey, run: PlannedRun) -> None:
        """A table is being made."""

    def finished(self, key: AssetKey, run: PlannedRun, table: TableSummary, succeeded: bool, seconds: float) -> None:
        """A table was made, or was not."""


def run_main_job(
    definitions: Definitions,
    instance: DagsterInstance,
    landed: Mapping[AssetKey, Landed],
    request: Request,
    observer: Observer,
    warm_up: Callable[[int], object] = lambda partitions: None,
    whole: IJob | None = None,
    places: Places = NOWHERE,
) -> Summary:
    """Makes what is due. `warm_up` is started beside the first run as soon as there is work, with the number of due
    partitions: a session takes seconds. `whole` is the job of all assets where it must be one that other processes can
    build anew, as steps that run elsewhere need it. `places` are where the work lies: what is stored there is looked
    at, and one main job works there at a time.

    Raises AlreadyRunning if another main job works on the same lakehouse, NotItsOwn if that or the landing zone is not
    the Dagster home's, TableUnreadable for a table that cannot be looked at.
    """
    began, summary = time.monotonic(), Summary()
    job = whole or InMemoryJob(definitions.resolve_implicit_global_asset_job_def())
    graph = Graph(list(definitions.resolve_asset_graph().assets_defs))
    failed: set[Partition] = set()
    attempted: set[Partition] = set()
    with alone(instance, places) as notices:
        clear_dead_runs(instance)
        stored, contents = Stored(places.tables), Contents(instance)
        while True:
            past = looked_back(graph, instance, stored, contents)
            due = what_is_due(graph, past, arrivals_since(past, landed), request)
            if not attempted:
                _tell(observer, [*notices, *told(past.gone, places.lakehouse)], due, warm_up)
            # With --all everything is always due: once is enough.
            due = {key: [p for p in ps if (key, p) not in attempted] for key, ps in due.items()}
            blocked = failed | request.leaves_alone(graph, past, due)
            left, summary.waiting = without_blocked(graph, {k: ps for k, ps in due.items() if ps}, blocked)
            run = next_run(graph, left)
            if run is None:
                break
            made, missed = _make(run, job, instance, observer, summary)
            attempted |= made | missed
            failed |= missed
    summary.seconds = time.monotonic() - began
    return summary


def _tell(
    observer: Observer, notices: Sequence[str], due: Mapping[AssetKey, list[str]], warm_up: Callable[[int], object]
) -> None:
    """Before the first run: what people should know, and what is due; a session is started meanwhile."""
    for notice in notices:
        observer.noticed(notice)
    observer.planned(dict(due))
    if due:
        threading.Thread(target=warm_up, args=[sum(map(len, due.values()))], daemon=True).start()


def _make(
    run: PlannedRun, job: IJob, instance: DagsterInstance, observer: Observer, summary: Summary
) -> tuple[set[Partition], set[Partition]]:
    """Makes one run; returns the partitions that were made and those that failed.

    Tables that were skipped, as one before them failed, are in neither: what they can make is planned anew.
    """
    subset = job.get_subset(asset_selection=frozenset(run.keys))
    dagster_run = _created(run, subset, instance)
    made: set[Partition] = set()
    begun: set[AssetKey] = set()
    interrupted = False
    failures_before = len(summary.failures)
    tables = {"__".join(key.path): key for key in run.keys}
    for event in _events(subset, dagster_run, instance):
        key = tables.get(event.step_key or "")
        if key is not None:
            _account(event, key, summary.tables.setdefault(key, TableSummary()), made)
            _pass_on(event, key, run, observer, summary)
            begun |= {key} if event.event_type == DagsterEventType.STEP_START else set()
            continue
        interrupted |= _was_interrupted(event)
        if event.event_type == DagsterEventType.PIPELINE_FAILURE and len(summary.failures) == failures_before:
            cause = _innermost(event.job_failure_data.error)
            summary.failures.append(cause or event.message or "the run failed")
    if interrupted:  # Dagster ends the run and says no more; the job would go on with the next
        raise KeyboardInterrupt
    # A run that ends before its first table would do so again.
    return made, {(key, partition) for key in begun or run.keys for partition in run.partitions} - made


def _events(job: IJob, run: DagsterRun, instance: DagsterInstance) -> Iterator[DagsterEvent]:
    """What the run says. At its end it has no place in a pool any more: a step whose process died would keep its own,
    and whatever is next made of its table would wait for good."""
    yield from execute_run_iterator(job, run, instance)
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _created(run: PlannedRun, subset: IJob, instance: DagsterInstance) -> DagsterRun:
    from retail_assets.lakehouse.gathered_events import stored_together  # not while definitions load: sqlalchemy

    definition = subset.get_definition()
    # Planned anew by the next main job, not tried again by a daemon that may be running beside it.
    tags = {PROCESS_TAG: str(os.getpid()), MAX_RETRIES_TAG: "0"}
    if run.first == run.last:
        tags[PARTITION_NAME_TAG] = run.first
    else:
        tags |= {ASSET_PARTITION_RANGE_START_TAG: run.first, ASSET_PARTITION_RANGE_END_TAG: run.last}
    with stored_together(instance):  # what is planned is an event for each partition
        return instance.create_run_for_job(
            job_def=definition,
            asset_selection=frozenset(run.keys),
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            remote_job_origin=_origin().get_job_origin(definition.name),
        )


def _pass_on(event: DagsterEvent, key: AssetKey, run: PlannedRun, observer: Observer, summary: Summary) -> None:
    """Tells the observer, and the summary, when a table begins and how it ends."""
    if event.event_type == DagsterEventType.STEP_START:
        observer.started(key, run)
    elif event.event_type == DagsterEventType.STEP_SUCCESS:
        seconds = event.step_success_data.duration_ms / 1000
        summary.tables[key].seconds += seconds
        observer.finished(key, run, summary.tables[key], True, seconds)
    elif event.event_type == DagsterEventType.STEP_FAILURE:
        observer.finished(key, run, summary.tables[key], False, 0.0)
        summary.failures.append(_reason(event))


def _was_interrupted(event: DagsterEvent) -> bool:
    if event.event_type == DagsterEventType.PIPELINE_FAILURE:
        return event.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
    return event.event_type == DagsterEventType.PIPELINE_CANCELED


def _account(event: DagsterEvent, key: AssetKey, table: TableSummary, made: set[Partition]) -> None:
    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
        materialization = event.step_materialization_data.materialization
        if materialization.asset_key != key:  # the results of its checks
            return
        assert materialization.partition is not None
        made.add((key, materialization.partition))
        table.partitions.add(materialization.partition)
        metadata = materialization.metadata
        if "dagster/partition_row_count" in metadata:
            table.rows += cast("int", metadata["dagster/partition_row_count"].value)
    elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        if evaluation.partition is None:  # says again what was said of the newest partition
            return
        if evaluation.passed:
            table.passed += 1
        elif evaluation.severity == AssetCheckSeverity.WARN:
            table.warned += 1
            table.warnings.setdefault(evaluation.check_name, []).append(evaluation.partition)
        else:
            table.failed += 1


def _reason(event: DagsterEvent) -> str:
    """What went wrong, in the words of the error that caused it."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return f"{event.step_key}: {_innermost(failure.error) or 'unknown error'}"


def _innermost(error: SerializableErrorInfo | None) -> str | None:
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else None


def _origin() -> RemoteRepositoryOrigin:
    """Where the UI finds the same job, so that its run pages can link to it and run it again."""
    location = WorkspaceFileTarget([str(project_file("workspace.yaml"))]).create_origins()[0]
    return RemoteRepositoryOrigin(code_location_origin=location, repository_name="__repository__")


def clear_dead_runs(instance: DagsterInstance) -> None:
    """Runs of a main job that was killed are said to have failed, and give back their place in the pools; as do all
    runs that are over, or are no longer known."""
    pools = instance.event_log_storage
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED])):
        if PROCESS_TAG in run.tags:  # whoever holds the lock knows that no other main job lives
            instance.report_run_failed(run, "The process that made this run is gone.")
    holding = list(pools.get_concurrency_run_ids())
    living = instance.get_runs(RunsFilter(run_ids=holding, statuses=NOT_FINISHED_STATUSES)) if holding else []
    for run_id in set(holding) - {run.run_id for run in living}:
        pools.free_concurrency_slots_for_run(run_id)
