"""An executor of one process that makes tables which do not depend on each other side by side, and ends when stopped.

Dagster's own executor of one process makes one step after the other; its executor of many processes starts an engine,
and imports everything, for each. Here steps are threads: they share the one engine, which works for several at once,
and what computes without Python's lock does so on every core. Dependencies, pools and retries are Dagster's: its
bookkeeping of an execution is asked which steps are ready, and told what happened.

Of a step with a retry policy, Dagster takes an interrupt for one more failure (a machine may be taken away and come
back): the step is tried again, and whoever pressed Ctrl-C, or terminated the run in the UI, waits for it in vain. Here
an interrupt reaches every step that is being made, and the run ends once all of them have.
"""

import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from dagster import DagsterEvent, DagsterExecutionInterruptedError, Executor, Field, InitExecutorContext, Int, executor
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import DagsterEventType, EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext, StepExecutionContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import _trigger_hook, dagster_event_sequence_for_step
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode, get_retries_config

AGAIN_AFTER_SECONDS = 5.0
"""A step that is still busy so long after it was interrupted is interrupted once more."""

_LOOK_SECONDS = 0.2
"""How often it is looked whether a step may begin that waits for its pool, or to be tried again."""

_INTERRUPTS = {DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__}
_NOT_MADE = {DagsterEventType.STEP_UP_FOR_RETRY, DagsterEventType.STEP_FAILURE}


class SideBySideExecutor(Executor):
    """Up to `workers` steps at a time, each in a thread of this process."""

    def __init__(self, retries: RetryMode, workers: int) -> None:
        self._retries, self._workers = retries, workers

    @property
    def retries(self) -> RetryMode:
        """What becomes of a step that fails, as the run's configuration has it."""
        return self._retries

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """The events of the run, as Dagster's own executor of one process gives them."""
        data = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        yield DagsterEvent.engine_event(
            plan_context, f"Executing up to {self._workers} steps side by side in process {os.getpid()}", data
        )
        try:
            yield from iter(
                ExecuteRunWithPlanIterable(
                    execution_plan=execution_plan,
                    iterator=self._steps,
                    execution_context_manager=PlanExecutionContextManager(
                        job=plan_context.job,
                        retry_mode=plan_context.retry_mode,
                        execution_plan=execution_plan,
                        run_config=plan_context.run_config,
                        dagster_run=plan_context.dagster_run,
                        instance=plan_context.instance,
                        raise_on_error=plan_context.raise_on_error,
                        output_capture=plan_context.output_capture,
                    ),
                )
            )
        except DagsterExecutionInterruptedError:
            # Until it is tried again, a step would keep its place in its pool.
            plan_context.instance.event_log_storage.free_concurrency_slots_for_run(plan_context.run_id)
            raise
        yield DagsterEvent.engine_event(plan_context, f"Finished steps in process {os.getpid()}", data)

    def _steps(self, job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        context, plan = job_context, execution_plan  # called by name
        with (
            InstanceConcurrencyContext(context.instance, context.dagster_run) as concurrency,
            plan.start(context.retry_mode, _longest_first(plan), instance_concurrency_context=concurrency) as active,
            ExitStack() as captured,
        ):
            yield _capture_logs(context, plan, captured)
            with _steps_of(context, active) as steps:
                while not active.is_complete:
                    for step in active.get_steps_to_execute(limit=self._workers - len(steps)):
                        steps.begin(context.for_step(step, active.get_known_state()))
                    yield from active.concurrency_event_iterator(context)
                    yield from steps.next_events()
                    yield from active.plan_events_iterator(context)


def _longest_first(plan: ExecutionPlan) -> Callable[[ExecutionStep], float]:
    """The order of steps that are ready: first those of which the longest chain of others waits. Models, which have one
    core at work, are at the end of such chains: what nobody waits for is made beside them, not before them."""
    depends = plan.get_executable_step_deps()
    waiting: dict[str, int] = {}
    for step in reversed(plan.get_steps_to_execute_in_topo_order()):
        waiting.setdefault(step.key, 0)
        for before in depends.get(step.key, ()):
            waiting[before] = max(waiting.get(before, 0), waiting[step.key] + 1)
    return lambda step: -waiting.get(step.key, 0)


def _capture_logs(context: PlanExecutionContext, plan: ExecutionPlan, captured: ExitStack) -> DagsterEvent:
    """What the process writes goes into the run's log."""
    steps = [step.key for step in plan.get_steps_to_execute_in_topo_order()]
    logs, key = context.instance.compute_log_manager, create_compute_log_file_key()
    log_key = logs.build_log_key_for_run(context.run_id, key)
    return DagsterEvent.capture_logs(context, steps, log_key, captured.enter_context(logs.capture_logs(log_key)))


@contextmanager
def _steps_of(context: PlanExecutionContext, active: ActiveExecution) -> "Iterator[_Steps]":
    """The steps under way. Whatever ends the run, no step of it goes on afterwards."""
    steps = _Steps(context, active)
    try:
        yield steps
    finally:
        steps.end()


class _Steps:
    """Steps under way, each in a thread, and what they say."""

    def __init__(self, context: PlanExecutionContext, active: ActiveExecution) -> None:
        self._context, self._active = context, active
        self._threads: dict[str, threading.Thread] = {}
        self._contexts: dict[str, StepExecutionContext] = {}
        self._events: dict[str, list[DagsterEvent]] = {}
        self._said: queue.SimpleQueue[tuple[str, DagsterEvent | BaseException | None]] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._threads)

    def begin(self, step: StepExecutionContext) -> None:
        """Starts the step."""
        key = step.step.key
        thread = threading.Thread(target=self._make, args=[step], name=key, daemon=True)
        self._threads[key], self._contexts[key], self._events[key] = thread, step, []
        thread.start()

    def _make(self, step: StepExecutionContext) -> None:
        key = step.step.key
        try:
            for event in dagster_event_sequence_for_step(step):
                self._said.put((key, event))
        except BaseException as error:
            self._said.put((key, error))
        else:
            self._said.put((key, None))

    def next_events(self) -> Iterator[DagsterEvent]:
        """Waits for something to be said, and gives all that has been. Raises what ended a step or the waiting."""
        try:
            with raise_execution_interrupts():
                said = self._said.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return
        while True:
            yield from self._handled(*said)
            try:
                said = self._said.get_nowait()
            except queue.Empty:
                return

    def _handled(self, key: str, said: DagsterEvent | BaseException | None) -> Iterator[DagsterEvent]:
        if isinstance(said, DagsterEvent):
            yield said
            if _was_interrupted(said):
                raise DagsterExecutionInterruptedError
            self._events[key].append(said)
            self._active.handle_event(said)
            return
        del self._threads[key]
        if said is not None:
            raise said
        self._active.verify_complete(self._context, key)
        yield from _trigger_hook(self._contexts.pop(key), self._events.pop(key))

    def end(self) -> None:
        """Interrupts what is under way, and waits until it has ended."""
        while self._threads:
            for thread in self._threads.values():
                _interrupt(thread)
            until = time.monotonic() + AGAIN_AFTER_SECONDS
            while self._threads and time.monotonic() < until:
                for key, thread in list(self._threads.items()):
                    thread.join(_LOOK_SECONDS)
                    if not thread.is_alive():
                        del self._threads[key]


def _interrupt(thread: threading.Thread) -> None:
    """Raises the interrupt in the thread, at its next step of Python."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(DagsterExecutionInterruptedError)
        )


def _was_interrupted(event: DagsterEvent) -> bool:
    error = getattr(event.event_specific_data, "error", None) if event.event_type in _NOT_MADE else None
    while error:
        if error.cls_name in _INTERRUPTS:
            return True
        error = error.cause
    return False


@executor(
    name="side_by_side",
    config_schema={
        "retries": get_retries_config(),
        "workers": Field(Int, is_required=False, description="Steps at a time; by default one a core."),
    },
)
def side_by_side_executor(context: InitExecutorContext) -> Executor:
    """Steps that do not depend on each other side by side, as far as there are cores; a run that is stopped ends."""
    configuration: Mapping[str, Any] = context.executor_config
    retries = RetryMode.from_config(configuration["retries"])
    return SideBySideExecutor(retries or RetryMode.ENABLED, configuration.get("workers") or os.cpu_count() or 1)
