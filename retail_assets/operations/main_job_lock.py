"""One main job at a time on a lakehouse, from whichever Dagster home.

The lock is a file that the operating system holds locked for a process, and goes with the process, however that ends.
It lies in the lakehouse. Where that is no directory of this machine (an object store, a catalog) it lies in the Dagster
home, and main jobs of one home exclude each other.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dagster import DagsterInstance

from retail_assets.operations.binding import NotItsOwn, Places, bind, home_of, mismatch

LOCK = ".main_job.lock"
_TRIES = 5


class AlreadyRunning(Exception):
    """Another main job works on the same lakehouse."""


@contextmanager
def alone(instance: DagsterInstance, places: Places) -> Iterator[list[str]]:
    """Holds the lock of a lakehouse that is the Dagster home's own; gives what people should know of that.

    Raises AlreadyRunning, and NotItsOwn as `bind` does; nothing was changed then.
    """
    problem = mismatch(instance, places)  # before a directory is made for the lock
    if problem:
        raise NotItsOwn(problem)
    path = _place(instance, places)
    if path is None:
        yield []
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _lock(file, places)
        file.truncate(0)
        file.write(f"process {os.getpid()}, Dagster home {home_of(instance) or 'in memory'}")
        file.flush()
        yield bind(instance, places)


def is_under_way(instance: DagsterInstance, places: Places) -> bool:
    """Whether a main job is at work on the lakehouse: what it finds due, nobody else needs to make."""
    path = _place(instance, places)
    if path is None or not path.exists():
        return False
    with path.open("r") as file:
        return not _locked(file, fcntl.LOCK_SH)


def _place(instance: DagsterInstance, places: Places) -> Path | None:
    directory = places.directory or home_of(instance)
    return directory / LOCK if directory else None


def _lock(file: IO[str], places: Places) -> None:
    for _ in range(_TRIES):  # who asks whether the lock is held, holds it for a moment
        if _locked(file, fcntl.LOCK_EX):
            return
        time.sleep(0.2)
    file.seek(0)
    raise AlreadyRunning(
        f"Another main job is at work on the lakehouse {places.lakehouse} ({file.read() or 'it has just begun'}). Wait "
        "until it is done, or stop it; nothing was changed."
    )


def _locked(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
