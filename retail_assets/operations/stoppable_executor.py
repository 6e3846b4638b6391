"""Dagster's executor of one process, whose runs end when they are stopped.

Of a step with a retry policy, Dagster takes an interrupt for one more failure (a machine may be taken away and come
back): the step is tried again, and whoever pressed Ctrl-C, or terminated the run in the UI, waits for it in vain.
"""

from collections.abc import Iterator
from contextlib import closing

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterExecutionInterruptedError,
    Executor,
    InitExecutorContext,
    executor,
)
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

_INTERRUPTS = {DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__}
_NOT_MADE = {DagsterEventType.STEP_UP_FOR_RETRY, DagsterEventType.STEP_FAILURE}


class StoppableExecutor(InProcessExecutor):
    """Raises the interrupt that a step ended with."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """As Dagster's own, up to an interrupt."""
        with closing(super().execute(plan_context, execution_plan)) as events:  # type: ignore[type-var]  # a generator
            for event in events:
                yield event
                if _was_interrupted(event):
                    break
            else:
                return
        # Until it is tried again, the step would keep its place in its pool.
        plan_context.instance.event_log_storage.free_concurrency_slots_for_run(plan_context.run_id)
        raise DagsterExecutionInterruptedError


@executor(name="in_process", config_schema=IN_PROC_CONFIG)
def stoppable_executor(context: InitExecutorContext) -> Executor:
    """All steps in one process, one after the other; a run that is stopped ends."""
    return StoppableExecutor(RetryMode.from_config(context.executor_config["retries"]))  # type: ignore[arg-type]


def _was_interrupted(event: DagsterEvent) -> bool:
    error = getattr(event.event_specific_data, "error", None) if event.event_type in _NOT_MADE else None
    while error:
        if error.cls_name in _INTERRUPTS:
            return True
        error = error.cause
    return False
