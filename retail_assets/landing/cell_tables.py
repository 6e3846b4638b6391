"""Tables of cells, from workbooks and Parquet files, written as CSV in the dialect of their source."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from retail_assets.landing.dialect import Dialect
from retail_assets.landing.drop_lines import csv_signs
from retail_assets.landing.drop_reader import DELIMITERS, DropRefused, opened
from retail_assets.landing.layout import SourceLayout


@dataclass(frozen=True)
class CellTable:
    """Rows of cells, the header first, as often as they are asked for; and what messages call it."""

    about: str
    cells: Callable[[], Iterable[Iterable[Any]]]

    def is_empty(self, dialect: Dialect) -> bool:
        """Whether no row has any text."""
        return next(self.rows(dialect), None) is None

    def rows(self, dialect: Dialect) -> Iterator[list[str]]:
        """The text of those that have any."""
        for row in self.cells():
            cells = [_text(value, dialect) for value in row]
            if any(cells):
                yield cells


def write(table: CellTable, layout: SourceLayout, place: Path) -> str | None:
    """Write a table that has the layout's columns to a file, in its dialect, in UTF-8 with a byte order mark. Why not,
    if it has not.

    Raises DropRefused for one that has half of the columns or more, but not all: it was meant to be read; and for one
    with a cell that cannot be told from rows.
    """
    header = next(table.rows(layout.dialect), [])
    missing = layout.missing(header)
    if missing:
        problem = f"has no column for {', '.join(missing)}"
        if layout.is_meant_by(missing):
            raise DropRefused(table.about, problem, "Correct its header, or take it out.")
        return problem
    first_broken = 0
    # With another delimiter, lines of a cell may not look like rows.
    for delimiter in layout.dialect.delimiter or DELIMITERS:
        try:
            first_broken = _write_csv(table, layout.dialect, delimiter, place)
        except csv.Error:  # in a dialect without quotes
            continue
        if not first_broken or _reads_back(place, table, header, layout):
            return None
    raise DropRefused(
        table.about,
        f"has cells with lines or delimiters that cannot be told from rows, the first in row {first_broken or 1:,}",
        "Take the line breaks out of its cells, or save it as CSV.",
    )


def _write_csv(table: CellTable, dialect: Dialect, delimiter: str, place: Path) -> int:
    """The number of the first row with a line break in a cell, not counting rows without any text; 0 if none has."""
    first = 0
    with place.open("w", encoding="utf-8-sig", newline="") as file:
        signs = csv_signs(dialect, delimiter) | {"lineterminator": "\n"}
        plain = csv.writer(file, **signs)
        # A lone carriage return is left without quotes by the other (until Python 3.13).
        quoting = csv.writer(file, **(signs | {"quoting": csv.QUOTE_ALL})) if dialect.quote else plain
        for number, row in enumerate(table.rows(dialect), start=1):
            breaks = any("\n" in cell or "\r" in cell for cell in row)
            (quoting if breaks else plain).writerow(row)
            first = first or (number if breaks else 0)
    return first


def _reads_back(place: Path, table: CellTable, header: list[str], layout: SourceLayout) -> bool:
    expected = (tuple(cell or None for cell in row) for row in table.rows(layout.dialect) if row != header)
    with opened(str(place), layout) as (_, blocks):
        for block in blocks:
            for found in zip(*(column.to_pylist() for column in block.columns), strict=True):
                if found != next(expected, None):
                    return False
    return next(expected, None) is None


def _text(value: Any, dialect: Dialect) -> str:
    """A cell as it is published in CSV: ISO dates, whole numbers without decimals, others with the dialect's sign."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float | Decimal):
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        return format(exact, "f").replace(".", dialect.decimal)
    if isinstance(value, datetime) and value.time() == time() and value.tzinfo is None:
        return value.date().isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)
