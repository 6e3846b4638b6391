"""What tables lie in: workbooks, Parquet files and zip archives, opened one after the other."""

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from retail_assets.landing.cell_tables import CellTable, write
from retail_assets.landing.drop_reader import ColumnsMissing, DropRefused, inspect
from retail_assets.landing.layout import SourceLayout

LINES = (".csv", ".tsv", ".txt")
"""Files of lines; each may be gzipped, with .gz after it."""

FORMATS = (*LINES, *(f"{ending}.gz" for ending in LINES), ".xlsx", ".parquet", ".zip")
"""What a history can come in."""

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Table:
    """A CSV file to split, the name by which its owner knows it, and the path by which messages do."""

    path: str
    name: str
    shown: str


@dataclass
class Found:
    """The tables of some files, and what of these is left out, and why."""

    tables: list[Table]
    left_out: list[str]


def tables_in(path: Path, name: str, layout: SourceLayout, scratch: Path, stem: str) -> Found:
    """The tables of a file; what is not lines of text in UTF-8 or the dialect's encoding is written to `scratch`, to
    files whose names begin with the stem.

    Raises DropRefused for what cannot be opened, for a workbook or an archive without any table that has the layout's
    columns, and for a part of one that has half of them or more, but not all.
    """
    match kind_of(path.name):
        case ".xlsx":
            return _of_parts(path, name, list(_sheets(path)), layout, scratch, stem)
        case ".parquet":
            return _of_parts(path, name, [("", _parquet(path))], layout, scratch, stem)
        case ".zip":
            return _of_archive(path, name, layout, scratch, stem)
    return Found([Table(str(path), name, str(path))], [])


def cell_tables(path: Path) -> Iterator[CellTable]:
    """The tables of a workbook or a Parquet file. Raises DropRefused, now or in the middle, for what cannot be read."""
    if kind_of(path.name) == ".parquet":
        yield _parquet(path)
    else:
        yield from (table for _, table in _sheets(path))


def kind_of(name: str) -> str | None:
    """The ending of a file's name, if a history can come in such a file; the longest that fits."""
    return max((ending for ending in FORMATS if name.lower().endswith(ending)), key=len, default=None)


def _of_parts(
    path: Path, name: str, parts: list[tuple[str, CellTable]], layout: SourceLayout, scratch: Path, stem: str
) -> Found:
    found = Found([], [])
    for number, (part, table) in enumerate(parts, start=1):
        if table.is_empty(layout.dialect):
            continue
        place = scratch / f"{stem}-{number}.csv"
        problem = write(table, layout, place)
        if problem is None:
            found.tables.append(Table(str(place), f"{name} ({part})" if part else name, table.about))
        else:
            found.left_out.append(f"{name}: the sheet {part!r} {problem}" if part else f"{name} {problem}")
    return _with_any(found, path)


def _sheets(path: Path) -> Iterator[tuple[str, CellTable]]:
    """The sheets of a workbook, without charts."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum

    try:
        workbook = CalamineWorkbook.from_path(path)
        for about in workbook.sheets_metadata:
            if about.typ == SheetTypeEnum.WorkSheet:
                sheet = workbook.get_sheet_by_name(about.name)
                yield about.name, CellTable(f"{path} (sheet {about.name!r})", sheet.iter_rows)
    except (CalamineError, OSError) as problem:
        raise DropRefused(
            str(path), f"is no workbook that can be read ({problem})", "Save it as .xlsx again."
        ) from None


def _parquet(path: Path) -> CellTable:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    def cells() -> Iterator[list[Any]]:
        try:
            with ParquetFile(path) as file:
                yield list(file.schema_arrow.names)
                for batch in file.iter_batches(_ROWS_AT_ONCE):
                    yield from map(list, zip(*(column.to_pylist() for column in batch.columns), strict=True))
        except (pa.ArrowException, OSError) as problem:
            reason = str(problem).split("\n", 1)[0]
            raise DropRefused(str(path), f"is no Parquet file that can be read ({reason})", "Write it again.") from None

    return CellTable(str(path), cells)


def _of_archive(path: Path, name: str, layout: SourceLayout, scratch: Path, stem: str) -> Found:
    found = Found([], [])
    for member, place in unpacked(path, scratch, stem):
        if place is None:
            found.left_out.append(f"{name}: {member} is none of {', '.join(FORMATS[:-1])}")
        else:
            _add_member(found, place, f"{name} ({member})", f"{path} ({member})", layout, scratch)
    return _with_any(found, path)


def unpacked(path: Path, scratch: Path, stem: str) -> Iterator[tuple[str, Path | None]]:
    """The members of a zip archive, but for hidden ones: the name of each, and the file in `scratch`, whose name begins
    with the stem, that it was unpacked to; None if a history cannot come in it. Raises DropRefused, now or in the
    middle, for what cannot be unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            for number, member in enumerate(archive.infolist(), start=1):
                if member.is_dir() or _is_hidden(member.filename):
                    continue
                kind = kind_of(member.filename)
                if kind is None or kind == ".zip":
                    yield member.filename, None
                    continue
                place = scratch / f"{stem}-{number}{kind}"
                with archive.open(member) as packed, place.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1024 * 1024)
                yield member.filename, place
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as problem:
        # A password is a RuntimeError, a method of packing that is not known a NotImplementedError.
        raise DropRefused(str(path), f"is no zip archive that can be read ({problem})", "Pack it again.") from None


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member).parts)


def _add_member(found: Found, place: Path, name: str, shown: str, layout: SourceLayout, scratch: Path) -> None:
    try:
        inner = tables_in(place, name, layout, scratch, place.name.split(".")[0])
        if inner.tables and inner.tables[0].path == str(place):
            inspect(str(place), layout)
    except ColumnsMissing as refusal:
        if layout.is_meant_by(refusal.missing):
            raise DropRefused(shown, refusal.problem, refusal.remedy) from None
        found.left_out.append(f"{name} {refusal.problem}")
    except DropRefused as refusal:
        raise DropRefused(refusal.path.replace(str(place), shown), refusal.problem, refusal.remedy) from None
    else:
        for table in inner.tables:
            found.tables.append(Table(table.path, table.name, table.shown.replace(str(place), shown)))
        found.left_out += inner.left_out


def _with_any(found: Found, path: Path) -> Found:
    if not found.tables:
        problems = "; ".join(found.left_out) or "nothing is in it"
        raise DropRefused(str(path), f"has no table with the columns: {problems}", "Correct its headers.")
    return found
