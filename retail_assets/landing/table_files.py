"""Lands files of sources that have several tables: which table a file is of, its columns say."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
from upath import UPath

from retail_assets.landing.bring_back import KEPT_DAYS, forget_replaced
from retail_assets.landing.consent import NONE_GIVEN, Consent
from retail_assets.landing.containers import Table, unpacked
from retail_assets.landing.dialect import Dialect
from retail_assets.landing.drop_lines import Block, Header
from retail_assets.landing.drop_reader import DropRefused, inspect, opened
from retail_assets.landing.drops import LandingZone, ZoneRefused
from retail_assets.landing.exchange import Exchange, exchange
from retail_assets.landing.history import Progress, ready
from retail_assets.landing.history_files import HistoryFiles, history_files
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.placing import Lying, Placing, place
from retail_assets.landing.staging import Staging, staging
from retail_assets.partitions.cadence import WHOLE

Days = Callable[[Header, Block], np.ndarray]
"""The day that each row of a block belongs to, as an ordinal; 0 where that cannot be told."""


@dataclass(frozen=True)
class LandedTable:
    """What became of one table's files: `rows` in all, of which `malformed` are no rows of the table and `undated`
    could not be told the day of. `replaced` are the days that had other drops before; these are kept under `landing`,
    its number (None if there are none)."""

    landing: str | None
    rows: int
    malformed: int
    undated: int
    drops: list[str]
    replaced: list[date]


@dataclass(frozen=True)
class TablesLanding:
    """A landing under way: the files by table, what of them is `left_out` and why, and a staging for each table."""

    zone: LandingZone
    layouts: Mapping[str, SourceLayout]
    """By table; a layout's name is that of the table's directory in the zone."""
    files: HistoryFiles
    tables: Mapping[str, list[Table]]
    left_out: list[str]
    staged: Mapping[str, Staging]
    progress: Progress | None = None

    def split(self, table: str, days: Days, otherwise: int) -> None:
        """Hand every row of the table's files to its staging. Rows without a day go where the row before them goes, and
        before the first of those `otherwise`."""
        staged = self.staged[table]
        for file in self.tables[table]:
            shape, day = staged.shape(inspect(file.path, self.layouts[table])), otherwise
            with opened(file.path, self.layouts[table]) as (header, blocks):
                for block in blocks:
                    own = days(header, block)
                    dated = own > 0
                    previous = np.maximum.accumulate(np.where(dated, np.arange(len(own)), -1))
                    filled = np.where(previous >= 0, own[previous], day)
                    day = int(filled[-1])
                    staged.add(shape, block, filled, dated, file.name)
                    malformed = len(block.malformed) - block.malformed.null_count
                    staged.malformed += malformed
                    staged.undated += max(0, int((~dated).sum()) - malformed)
                    if self.progress:
                        self.progress(file.name, staged.rows)

    def add_days_without_rows(self, table: str, days: Collection[date]) -> None:
        """Drops of the header alone for those of the days that have no rows, and of which no drop lies there."""
        staged, file = self.staged[table], self.tables[table][0]
        lying = {drop.day for drop in self.zone.listed(self.layouts[table].name)[0]}
        shape = staged.shape(inspect(file.path, self.layouts[table]))
        for day in sorted(set(days) - staged.days - lying):
            staged.add_day_without_rows(shape, day, file.name)

    def deliver(self, table: str) -> None:
        """Hand all rows of the table's files to its staging, as one delivery that stands for the whole table."""
        whole = WHOLE.toordinal()
        self.split(table, lambda _, block: np.full(len(block.malformed), whole), whole)

    def put_in_place(
        self, consent: Consent = NONE_GIVEN, then: Callable[[], object] = lambda: None, keep_days: int = KEPT_DAYS
    ) -> dict[str, LandedTable]:
        """All that is staged, table by table, as the landing of a shop's history is put in place; `then` is done with
        the last. Raises DropRefused, before anything has changed."""
        self.files.must_be_complete()
        placings = {
            table: place(ready(staged), Lying(self.zone, self.layouts[table]), consent)
            for table, staged in self.staged.items()
            if staged.days
        }
        last = next(reversed(placings), None)
        done = {
            table: self._exchange(table, placing, then if table == last else lambda: None)
            for table, placing in placings.items()
        }
        for table in done:
            forget_replaced(self._directory(table), keep_days)
        return done

    def _exchange(self, table: str, placing: Placing, then: Callable[[], object]) -> LandedTable:
        directory, staged = self._directory(table), self.staged[table]
        directory.mkdir(parents=True, exist_ok=True)
        names = tuple(file.name for file in self.tables[table])
        done = Exchange.begin(directory, names, placing.put, placing.taken)
        exchange(directory, done, placing.staged, placing.unchanged, self.zone.marker, then)
        return LandedTable(
            done.landing if done.taken else None,
            staged.rows,
            staged.malformed,
            staged.undated,
            placing.names,
            [date.fromisoformat(day) for day in done.replaced],
        )

    def _directory(self, table: str) -> UPath:
        return UPath(self.zone.directory(self.layouts[table].name))


@contextmanager
def tables_landing(
    paths: Sequence[str | Path],
    zone: LandingZone,
    source: str,
    layouts: Mapping[str, SourceLayout],
    progress: Progress | None = None,
) -> Iterator[TablesLanding]:
    """A landing of files of a source's tables: CSV, plain or gzipped, zip archives, or directories of these.

    Raises DropRefused for a file that has the columns of no table, but one in an archive or a directory is left out;
    where there is none to land; and for a disk that does not do it.
    """
    directory = UPath(zone.directory(source))
    try:
        with TemporaryDirectory() as scratch, staging(directory, Dialect()) as staged:
            named, found = _unpacked(paths, Path(scratch))
            files = history_files([*named, *found], directory)
            tables, left_out = _by_table(files, layouts, {path.resolve() for path in found})
            stagings = {table: Staging(staged.directory / table, layouts[table].dialect) for table in tables}
            for one in stagings.values():
                one.directory.mkdir()
            yield TablesLanding(zone, layouts, files, tables, left_out, stagings, progress)
    except ZoneRefused as refusal:
        raise DropRefused(refusal.path, refusal.problem, refusal.remedy) from None
    except OSError as problem:
        reason = problem.strerror or str(problem)
        remedy = "Nothing was changed. Check RETAIL_LANDING, its permissions and the disk."
        raise DropRefused(str(problem.filename or directory), f"cannot be worked with ({reason})", remedy) from problem


def _unpacked(paths: Sequence[str | Path], scratch: Path) -> tuple[list[Path], list[Path]]:
    """The files that are named, and those in directories and archives that are."""
    named: list[Path] = []
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
            found += [one for one in inside if one.name.lower().endswith((".csv", ".csv.gz"))]
            paths_inside = [one for one in inside if one.suffix.lower() == ".zip"]
        else:
            paths_inside = [path] if path.suffix.lower() == ".zip" and path.is_file() else []
            named += [] if paths_inside else [path]
        for archive in paths_inside:
            found += _members(archive, Path(mkdtemp(dir=scratch)))
    return named, found


def _members(archive: Path, into: Path) -> list[Path]:
    """The CSV files of an archive, each in a directory of its own under the name that it has there."""
    files = []
    for name, member in unpacked(archive, into, into.name):
        if member and name.lower().endswith((".csv", ".csv.gz")):
            file = into / member.name.split(".")[0] / PurePosixPath(name).name
            file.parent.mkdir()
            files.append(member.rename(file))
    return files


def _by_table(
    files: HistoryFiles, layouts: Mapping[str, SourceLayout], found: set[Path]
) -> tuple[dict[str, list[Table]], list[str]]:
    by_table: dict[str, list[Table]] = {table: [] for table in layouts}
    left_out = []
    for path in files.paths:
        refusals: list[DropRefused] = []
        for table, layout in layouts.items():
            try:
                inspect(str(path), layout)
            except DropRefused as refusal:
                refusals.append(refusal)
            else:
                by_table[table].append(Table(str(path), files.name(path), str(path)))
                break
        else:
            # The one of which it lacks the least.
            nearest = min(refusals, key=lambda refusal: refusal.problem.count(","))
            if path not in found:
                raise nearest
            left_out.append(f"{files.name(path)}: {nearest.problem}")
    if not any(by_table.values()):
        raise DropRefused("; ".join(left_out) or "no file", "nothing to land", f"Name files of {', '.join(layouts)}.")
    return {table: own for table, own in by_table.items() if own}, left_out
