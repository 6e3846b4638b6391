"""Drops under construction, and how they get to their place."""

import csv
import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from upath import UPath

from retail_assets.landing.drop_lines import Block, Header
from retail_assets.landing.drop_reader import DropRefused

BYTES_IN_MEMORY = 64 * 1024 * 1024


class Staging:
    """Drops under construction, in a directory of their own; held in memory up to BYTES_IN_MEMORY."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.days: set[date] = set()
        self.rows = self.malformed = self.undated = 0
        self._headers: list[bytes] = []
        self._shapes: dict[Any, int] = {}
        self._held: dict[tuple[int, int], list[bytes]] = {}
        self._bytes = 0

    def shape(self, header: Header) -> int:
        """The number of the header's columns and delimiter: lines can only share a file with lines of the same."""
        names = tuple(column or name for column, name in zip(header.columns, header.headers, strict=True))
        shape = self._shapes.setdefault((names, header.delimiter), len(self._shapes))
        if shape == len(self._headers):
            line = io.StringIO()
            csv.writer(line, delimiter=header.delimiter, lineterminator="\n").writerow(header.headers)
            self._headers.append(line.getvalue().encode())
        return shape

    def add(self, shape: int, block: Block, days: np.ndarray) -> None:
        """The rows of a block, each under its day (an ordinal)."""
        # Rows of a day mostly follow one another: cut where the day changes.
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(days)) + 1])
        starts = [*block.starts[cuts].tolist(), len(block.data)]
        for day, start, end in zip(days[cuts].tolist(), starts[:-1], starts[1:], strict=True):
            self.append(shape, day, block.data[start:end])

    def append(self, shape: int, day: int, lines: bytes) -> None:
        if lines and not lines.endswith(b"\n"):
            lines += b"\n"
        self.days.add(date.fromordinal(day))
        self._held.setdefault((day, shape), []).append(lines)
        self._bytes += len(lines)
        if self._bytes > BYTES_IN_MEMORY:
            self.flush()

    def flush(self) -> None:
        for (day, shape), lines in self._held.items():
            file = self.directory / f"{date.fromordinal(day)}.{shape}"
            with file.open("ab") as drop:
                if not drop.tell():
                    drop.write(self._headers[shape])
                drop.writelines(lines)
        self._held.clear()
        self._bytes = 0

    def publish(self, directory: UPath, source: str) -> tuple[list[str], list[date]]:
        """Put the drops in place, one by one, those of earlier landings of their days away; their names, and the days
        that had others."""
        self.flush()
        drops, replaced = [], set()
        for day in sorted(self.days):
            earlier = {drop.name for drop in directory.glob(f"{source}_{day}_*.csv")}
            staged = [self.directory / f"{day}.{shape}" for shape in range(len(self._headers))]
            for number, drop in enumerate((drop for drop in staged if drop.exists()), start=1):
                name = f"{source}_{day}{f'_{number}' if number > 1 else ''}.csv"
                if put(drop, directory / name):
                    replaced.add(day)
                drops.append(name)
            for name in earlier.difference(drops):
                (directory / name).unlink()
                replaced.add(day)
        return drops, sorted(replaced)


def put(staged: Path, target: UPath) -> bool:
    """By one rename, or one upload; a drop that would not change keeps its time of modification. Whether it took the
    place of another."""
    existed = target.exists()
    if existed and target.stat().st_size == staged.stat().st_size and target.read_bytes() == staged.read_bytes():
        return False
    if is_local(target):
        staged.replace(str(target))
    else:
        target.fs.put_file(str(staged), target.path)
    return existed


def is_local(path: UPath) -> bool:
    return path.protocol in ("", "file", "local")


@contextmanager
def staging(directory: UPath) -> Iterator[Staging]:
    """A clean place for drops under construction: beside the drops, so that a rename is all it takes to publish one.

    Raises DropRefused if another landing is under way there.
    """
    if not is_local(directory):
        with tempfile.TemporaryDirectory() as scratch:
            yield Staging(Path(scratch))
        return
    drops = Path(directory.path)
    drops.mkdir(parents=True, exist_ok=True)
    lock = os.open(drops, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DropRefused(str(drops), "another landing is under way", "Land again when it has ended.") from None
        scratch_directory = drops / ".landing"
        # What a landing that was killed left behind.
        shutil.rmtree(scratch_directory, ignore_errors=True)
        scratch_directory.mkdir()
        try:
            yield Staging(scratch_directory)
        finally:
            shutil.rmtree(scratch_directory, ignore_errors=True)
    finally:
        os.close(lock)
