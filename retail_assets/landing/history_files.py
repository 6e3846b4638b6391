"""The files that a history comes in, and the tables that are in them."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

from upath import UPath

from retail_assets.landing.drop_reader import DropRefused, inspect
from retail_assets.landing.layout import SourceLayout
from retail_assets.landing.staging import is_local

_FORMATS = (".csv", ".csv.gz", ".xlsx")


def must_be_landable(path: Path, directory: UPath) -> None:
    """Raises DropRefused for a file that no history can come in."""
    if not path.exists():
        raise DropRefused(str(path), "is not there", "Check the name of the file.")
    if path.is_dir():
        raise DropRefused(str(path), "is a directory", "Name the files in it.")
    if not path.name.lower().endswith(_FORMATS):
        raise DropRefused(str(path), f"is none of {', '.join(_FORMATS)}", "Unpack an archive, save another as CSV.")
    if is_local(directory) and path.is_relative_to(Path(directory.path).resolve()):
        raise DropRefused(str(path), "lies in the landing zone already", "There is nothing to do.")


@dataclass(frozen=True)
class Table:
    """A CSV file to split, and the name by which its owner knows it."""

    path: str
    name: str


def tables(path: Path, layout: SourceLayout, scratch: Path) -> list[Table]:
    """The tables of a file that have the layout's columns; those of a workbook are written to `scratch`."""
    if path.suffix.lower() != ".xlsx":
        return [Table(str(path), path.name)]
    from python_calamine import CalamineError, CalamineWorkbook

    tables, refusals = [], []
    try:
        workbook = CalamineWorkbook.from_path(path)
        for number, name in enumerate(workbook.sheet_names):
            written = scratch / f"{path.name}.{number}.csv"
            with written.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(_cells(workbook.get_sheet_by_name(name).iter_rows()))
            try:
                inspect(str(written), layout)
            except DropRefused as refusal:
                refusals.append(f"{name!r} {refusal.problem}")
            else:
                tables.append(Table(str(written), f"{path.name} ({name})"))
    except CalamineError as problem:
        raise DropRefused(
            str(path), f"is no workbook that can be read ({problem})", "Save it as .xlsx again."
        ) from None
    if not tables:
        raise DropRefused(str(path), f"has no sheet with the columns: {'; '.join(refusals)}", "Correct their headers.")
    return tables


def _cells(rows: Iterable[list[Any]]) -> Iterator[list[str]]:
    """The text of a sheet's cells, as it is published in CSV: ISO dates, whole numbers without decimals."""

    def text(value: Any) -> str:
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, datetime) and value.time() == time():
            return value.date().isoformat()
        return str(value)

    for row in rows:
        cells = [text(value) for value in row]
        if any(cells):
            yield cells
