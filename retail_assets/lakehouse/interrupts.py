"""An interrupt stays an interrupt: whoever stops a run does not want it tried again."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterExecutionInterruptedError


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raises the interrupt that lies behind an error.

    PySpark, interrupted while rows come, asks what became of the server that sent them, and raises that its connection
    broke: an error like any other, after which Dagster would try the step again.
    """
    try:
        yield
    except Exception as error:
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, DagsterExecutionInterruptedError):
            behind = behind.__context__
        if behind is None:
            raise
        raise behind from None
