"""The sheets of a workbook as CSV files, with the text of their cells."""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

from retail_assets.landing.drop_reader import DropRefused, opened
from retail_assets.landing.layout import SourceLayout

_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Sheet:
    """A sheet that was written to `path`, if it has the layout's columns; else None and why it was left out."""

    name: str
    path: Path | None
    problem: str = ""


def sheets(workbook: Path, layout: SourceLayout, scratch: Path, stem: str) -> list[Sheet]:
    """Every sheet that has cells; those with all columns are written to `scratch`, their files' names beginning with
    the stem.

    Raises DropRefused for what is no workbook, for a sheet that has half of the columns or more, but not all: it was
    meant to be read; and for one with a cell that cannot be told from rows.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum

    found = []
    try:
        opened_workbook = CalamineWorkbook.from_path(workbook)
        for number, about in enumerate(opened_workbook.sheets_metadata, start=1):
            if about.typ != SheetTypeEnum.WorkSheet:
                continue
            sheet = opened_workbook.get_sheet_by_name(about.name)
            table = _Table(f"{workbook} (sheet {about.name!r})", sheet.iter_rows)
            if (header := next(table.rows(), None)) is not None:
                found.append(Sheet(about.name, *_written(table, header, layout, scratch / f"{stem}-{number}.csv")))
    except (CalamineError, OSError) as problem:
        raise DropRefused(
            str(workbook), f"is no workbook that can be read ({problem})", "Save it as .xlsx again."
        ) from None
    return found


@dataclass(frozen=True)
class _Table:
    """The rows of a sheet as text, as often as they are asked for, and what messages call it."""

    about: str
    cells: Callable[[], Iterable[list[Any]]]

    def rows(self) -> Iterator[list[str]]:
        """Those that have any text."""
        for row in self.cells():
            cells = [_text(value) for value in row]
            if any(cells):
                yield cells


def _written(table: _Table, header: list[str], layout: SourceLayout, place: Path) -> tuple[Path | None, str]:
    missing = layout.missing(header)
    if not missing:
        _write(table, header, layout, place)
        return place, ""
    problem = f"has no column for {', '.join(missing)}"
    if 2 * len(missing) <= len(layout.columns):
        remedy = "Correct the sheet's header, or take the sheet out of the workbook."
        raise DropRefused(table.about, problem, remedy)
    return None, problem


def _text(value: Any) -> str:
    """A cell as it is published in CSV: ISO dates, whole numbers without decimals."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return str(value)


def _write(table: _Table, header: list[str], layout: SourceLayout, place: Path) -> None:
    """As CSV that reads back row by row: with another delimiter where lines of a cell would look like rows."""
    for delimiter in _DELIMITERS:
        broken = _write_csv(table, place, delimiter)
        if not broken or _reads_back(place, table, header, layout):
            return
    raise DropRefused(
        table.about,
        f"has cells with lines that cannot be told from rows, the first in row {broken:,}",
        "Take the line breaks out of its cells, or save the sheet as CSV.",
    )


def _write_csv(table: _Table, place: Path, delimiter: str) -> int:
    """The number of the first row with a line break in a cell, not counting rows without any; 0 if none has one."""
    first = 0
    with place.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        # A lone carriage return is left without quotes by the other (until Python 3.13).
        quoting = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for number, row in enumerate(table.rows(), start=1):
            breaks = any("\n" in cell or "\r" in cell for cell in row)
            (quoting if breaks else plain).writerow(row)
            first = first or (number if breaks else 0)
    return first


def _reads_back(place: Path, table: _Table, header: list[str], layout: SourceLayout) -> bool:
    expected = (tuple(cell or None for cell in row) for row in table.rows() if row != header)
    with opened(str(place), layout) as (_, blocks):
        for block in blocks:
            for found in zip(*(column.to_pylist() for column in block.columns), strict=True):
                if found != next(expected, None):
                    return False
    return next(expected, None) is None
