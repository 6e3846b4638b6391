"""One thread for what must come out the same bit for bit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class _Held:
    """How many blocks hold the limit of linear algebra, which is one of the whole process: the first sets it, the last
    lifts it. That of scikit-learn's loops is each thread's own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.limit: Any = None


_held = _Held()


@contextmanager
def one_thread() -> Iterator[None]:
    """Holds linear algebra and scikit-learn's loops to one thread.

    Sums over several threads depend on which finishes first, and on a busy machine threads wait for each other longer
    than they work. Blocks may overlap in several threads.
    """
    with _held.lock:
        _held.blocks += 1
        if _held.blocks == 1:
            _held.limit = _libraries("blas").limit(limits=1)
    try:
        with _libraries("openmp").limit(limits=1):
            yield
    finally:
        with _held.lock:
            _held.blocks -= 1
            if not _held.blocks:
                _held.limit.restore_original_limits()


@cache
def _libraries(user_api: str) -> Any:
    """The libraries that have threads, looked for once: a limit reaches only those that are loaded by then."""
    import scipy.linalg  # noqa: F401
    import sklearn.cluster
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api=user_api)
