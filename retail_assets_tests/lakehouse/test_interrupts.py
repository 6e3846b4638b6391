"""An interrupt is not mistaken for an error that may pass."""

import pytest
from dagster import DagsterExecutionInterruptedError

from retail_assets.lakehouse.interrupts import interrupts_kept


def test_an_interrupt_comes_out_of_the_error_that_it_caused():
    """As PySpark does it: the interrupt tears the connection, and of that comes an error of its own."""

    def rows_come() -> None:
        try:
            raise DagsterExecutionInterruptedError
        finally:
            try:
                raise ConnectionError("broken pipe")
            except ConnectionError:
                raise RuntimeError("the rows could not be sent") from None

    with pytest.raises(DagsterExecutionInterruptedError), interrupts_kept():
        rows_come()


def test_other_errors_pass_as_they_are():
    def fails() -> None:
        try:
            raise KeyError("before it")
        except KeyError:
            raise ValueError("wrong") from None

    with pytest.raises(ValueError, match="wrong") as raised, interrupts_kept():
        fails()
    assert isinstance(raised.value.__context__, KeyError)
