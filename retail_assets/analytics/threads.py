"""One thread for what must come out the same bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Holds linear algebra and scikit-learn's loops to one thread.

    Sums over several threads depend on which finishes first, and on a busy machine threads wait for each other longer
    than they work.
    """
    import scipy.linalg  # noqa: F401  # a limit reaches only the libraries that are loaded when it is set
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
