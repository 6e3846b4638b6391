"""The files that a history comes in, and the tables that are in them."""

import os
import stat
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upath import UPath

from retail_assets.landing.containers import FORMATS, Found, kind_of, tables_in
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import YOUNG_SECONDS
from retail_assets.landing.exchange import is_local
from retail_assets.landing.layout import SourceLayout

SETTLE_SECONDS = 1.0
"""A file modified just now is looked at again after so long: it may still be written to."""


@dataclass(frozen=True)
class HistoryFiles:
    """Files to land, in an order that does not depend on how they were named, and what they were like when they were
    first looked at."""

    paths: list[Path]
    _states: dict[Path, tuple[int, int, int]] = field(repr=False)
    _looked_at: float

    def name(self, path: Path) -> str:
        """What a message calls one of them: its name alone, where no other has it."""
        return path.name if Counter(one.name for one in self.paths)[path.name] == 1 else str(path)

    def must_be_complete(self) -> None:
        """Raises DropRefused for a file that is no longer what it was: somebody still writes to it."""
        now = time.time()
        if any(now - modified_ns / 1e9 < YOUNG_SECONDS for _, modified_ns, _ in self._states.values()):
            time.sleep(max(0.0, self._looked_at + SETTLE_SECONDS - time.monotonic()))
        for path, state in self._states.items():
            if _state(path) != state:
                raise DropRefused(str(path), "is still being written", "Land it once it is complete.")


def history_files(files: Sequence[str | Path], directory: UPath) -> HistoryFiles:
    """The files, each once however often and by whatever links it is named. Raises DropRefused for one that no history
    can come in, or that lies in the landing zone, `directory`, already."""
    found: dict[tuple[int, int], Path] = {}
    for file in files:
        path = _resolved(Path(file))
        _must_be_landable(path, directory)
        about = path.stat()
        found.setdefault((about.st_dev, about.st_ino), path)
    paths = sorted(found.values(), key=lambda path: (path.name, str(path)))
    return HistoryFiles(paths, {path: _state(path) for path in paths}, time.monotonic())


def _resolved(file: Path) -> Path:
    try:
        return file.expanduser().resolve()
    except (OSError, RuntimeError) as problem:  # a loop of links is the latter
        raise DropRefused(
            str(file), f"leads nowhere ({problem})", "Check the name of the file, and its links."
        ) from None


def _state(path: Path) -> tuple[int, int, int]:
    try:
        about = path.stat()
    except OSError:
        return (-1, -1, -1)
    return about.st_size, about.st_mtime_ns, about.st_ino


def _must_be_landable(path: Path, directory: UPath) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DropRefused(str(path), "is not there", "Check the name of the file.") from None
    except OSError as problem:
        raise DropRefused(
            str(path), f"cannot be read ({problem.strerror})", "Check its name and permissions."
        ) from None
    if stat.S_ISDIR(mode):
        raise DropRefused(str(path), "is a directory", "Name the files in it.")
    if not stat.S_ISREG(mode):
        raise DropRefused(str(path), "is no regular file but a pipe, a socket or a device", "Write it to a file first.")
    if kind_of(path.name) is None:
        raise DropRefused(str(path), f"is none of {', '.join(FORMATS)}", "Unpack it, or save it as CSV.")
    if is_local(directory) and path.is_relative_to(os.path.realpath(directory.path)):
        raise DropRefused(str(path), "lies in the landing zone already", "There is nothing to do.")


def tables(files: HistoryFiles, layout: SourceLayout, scratch: Path) -> Found:
    """The tables of all files, and what is left out. Raises DropRefused as `containers.tables_in`."""
    found = Found([], [])
    for number, path in enumerate(files.paths, start=1):
        inner = tables_in(path, files.name(path), layout, scratch, f"file-{number}")
        found.tables += inner.tables
        found.left_out += inner.left_out
    return found
