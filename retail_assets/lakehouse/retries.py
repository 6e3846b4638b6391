"""What is tried again: what may pass by itself, such as a disk that was full or a server that did not answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure, RetryPolicy
from dagster_shared.error import DagsterError
from pyspark.errors import AnalysisException

from retail_assets.lakehouse.outside import NoAnswer

ONE_MORE_TRY = RetryPolicy(max_retries=1, delay=5)
"""Of a table's step; see `verdicts_kept`."""

_LASTING = (
    AnalysisException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    Failure,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
)
"""What is wrong with the rows or with the code."""


@contextmanager
def verdicts_kept() -> Iterator[None]:
    """Of an error that would come again, one of ours or one that data or code are the cause of, Dagster is told so.

    By itself it tries a step with a retry policy again whatever went wrong. What did not answer is told in its own
    words, and asked once more.
    """
    try:
        yield
    except NoAnswer as error:
        raise Failure(str(error)) from error
    except (OSError, DagsterError):
        raise
    except Exception as error:
        if isinstance(error, Failure):
            error.allow_retries = False
        elif isinstance(error, _LASTING) or type(error).__module__.startswith("retail_assets."):
            raise Failure(allow_retries=False) from error
        raise
