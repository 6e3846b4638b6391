"""Follows a remote run to its end, taking in the step's events as they come back.

A poll that fails is not the end of a step. An event that asks for another try is kept back until the run has ended: if
somebody cancelled the run, they do not want it tried again.
"""

import sys
import time
from collections.abc import Generator, Iterator, Sequence

from dagster import DagsterEvent, DagsterEventType, MetadataValue
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events.log import EventLogEntry

from retail_assets.databricks.ends import deleted, died, told_late, too_long
from retail_assets.databricks.remote_runs import Outage, RemoteRun
from retail_assets.databricks.remote_step import RemoteStep
from retail_assets.databricks.returned_events import as_made_here, as_of_run
from retail_assets.databricks.returned_files import ReturnedFiles
from retail_assets.databricks.verdicts import CANCELLED
from retail_assets.databricks.workspace_api import WorkspaceError
from retail_assets.lakehouse.gathered_events import stored_together

READS_AFTER_END = 5
"""How often the events are read again when a run has ended and its last event is not to be seen yet."""

_OUTCOMES = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY}


class Following:
    """One step's run, from its submission to its end."""

    def __init__(self, step: RemoteStep, poll_seconds: float, timeout_seconds: int) -> None:
        self._step = step
        self._files = ReturnedFiles(step)
        self._poll_seconds = poll_seconds
        self._timeout_seconds = timeout_seconds
        self._held: list[EventLogEntry] = []
        self._taken = _taken(step) if step.adopted else frozenset()
        self._end_seen_at = 0.0
        """When a poll said that the run had ended, in seconds of the epoch."""

    def events(self) -> Iterator[DagsterEvent]:
        """Yields the step's events, stored in this instance. Raises Failure, or RetryRequested, for a run that ended
        before its step did, or was cancelled."""
        began = time.monotonic()
        run = yield from self._until_ended(began)
        self._account_for(run, time.monotonic() - began)
        yield from self._last_events()
        stdout, stderr = self._printed()
        sys.stdout.write(stdout)
        sys.stderr.write(stderr)
        cancelled = run.code in CANCELLED and bool(self._held)
        if self._step.finished and not cancelled:
            yield from self._store(self._held)
            if run.code != "SUCCESS":
                told_late(self._step, run)
            return
        died(self._step, run, self._files, stdout, stderr)

    def _until_ended(self, began: float) -> Generator[DagsterEvent, None, RemoteRun]:
        """Returns the run as it ended."""
        outage = Outage(self._missed)
        while True:
            run: RemoteRun | None = None
            events: list[EventLogEntry] = []
            with raise_execution_interrupts(), outage.outlasted():
                self._step.account.polls += 1
                run, events = self._look()
            if run and not self._step.url:
                self._step.url = run.page
                page = {"databricks_run": MetadataValue.url(run.page)}
                yield self._step.event(f"The page of Databricks run {run.run_id}.", page)
            yield from self._take(events)
            if run and run.ended:
                self._step.ended = True
                return run
            if time.monotonic() - began > self._timeout_seconds:
                too_long(self._step, run, self._timeout_seconds)
            with raise_execution_interrupts():
                # Once the step's last event is here, the run's end is a matter of moments.
                time.sleep(min(self._poll_seconds, 1.0) if self._step.finished else self._poll_seconds)

    def _missed(self, error: WorkspaceError) -> None:
        told = self._step.login.hide(str(error))
        self._step.context.log.warning(f"A poll of Databricks run {self._step.run_id} failed. {told}")

    def _look(self) -> tuple[RemoteRun, list[EventLogEntry]]:
        run = self._step.runs.find(self._step.run_id, patience=0)
        if run is None:
            self._step.ended = True
            deleted(self._step)
        if run.ended:
            self._end_seen_at = time.time()
        return run, self._files.new_events(patience=0)

    def _last_events(self) -> Iterator[DagsterEvent]:
        """The events that were written last; a file may be seen a little later than it was written."""
        for _ in range(READS_AFTER_END):
            with raise_execution_interrupts():
                events = self._files.new_events()
            yield from self._take(events)
            if self._step.finished:
                return
            with raise_execution_interrupts():
                time.sleep(min(self._poll_seconds, 1.0))

    def _take(self, events: Sequence[EventLogEntry]) -> Iterator[DagsterEvent]:
        """Stores the events that are new here; from one on that asks for another try, they are held."""
        mine = [as_of_run(self._step.context, event) for event in events]
        for event in mine:
            if event.is_dagster_event:
                self._step.finished |= event.get_dagster_event().event_type in _OUTCOMES
        new = [event for event in mine if _signature(event) not in self._taken]
        first = next((index for index, event in enumerate(new) if self._held or _asks_again(event)), len(new))
        self._held += new[first:]
        yield from self._store(new[:first])

    def _store(self, events: Sequence[EventLogEntry]) -> Iterator[DagsterEvent]:
        """Stores the events in this instance, in their order and in few transactions, and yields Dagster's own."""
        instance = self._step.context.instance
        with stored_together(instance):
            for event in as_made_here(self._step.context, events):
                instance.handle_new_event(event)
                if event.is_dagster_event:
                    yield event.get_dagster_event()

    def _account_for(self, run: RemoteRun, waited: float) -> None:
        account = self._step.account
        account.wait_seconds = waited
        account.remote_setup_seconds = run.setup_seconds
        account.remote_execution_seconds = run.execution_seconds
        if run.end_time:  # two clocks: a small difference may come out below zero
            account.noticed_after_seconds = max(0.0, self._end_seen_at - run.end_time)

    def _printed(self) -> tuple[str, str]:
        try:
            return self._files.printed()
        except WorkspaceError as error:
            told = self._step.login.hide(str(error))
            self._step.context.log.warning(f"What the remote process printed could not be read. {told}")
            return "", ""


def _asks_again(event: EventLogEntry) -> bool:
    return event.is_dagster_event and event.get_dagster_event().event_type == DagsterEventType.STEP_UP_FOR_RETRY


def _taken(step: RemoteStep) -> frozenset[object]:
    """The step's events that this Dagster run has already: its host died after storing them."""
    log = step.context.instance.all_logs(step.context.run_id)
    return frozenset(_signature(event) for event in log if event.step_key == step.context.step.key)


def _signature(event: EventLogEntry) -> object:
    kind = event.get_dagster_event().event_type_value if event.is_dagster_event else None
    return event.timestamp, kind, event.message
