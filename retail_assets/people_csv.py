"""CSV for people: the one writer of every command that hands rows to somebody's spreadsheet.

A spreadsheet takes a text that begins with =, +, -, @, a tab or a return for a formula, and runs it: an apostrophe
before it keeps it text (OWASP, CSV injection). Numbers stay numbers, below zero as well. The page's button does the
same (`save` in dashboard.js); `raw` hands on what is in the tables.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TextIO

RISKY = ("=", "+", "-", "@", "\t", "\r")


def escaped(value: Any) -> Any:
    """What goes into a cell: a text that a spreadsheet would run with an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value


def write_rows(to: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]], raw: bool = False) -> None:
    """Writes a header and rows; lists and maps as JSON."""
    plain = csv.writer(to, lineterminator="\n")
    quoting = csv.writer(to, lineterminator="\n", quoting=csv.QUOTE_ALL)  # the plain one leaves a return as it is
    for row in chain([names], rows):
        cells = [_text(value) if raw else escaped(_text(value)) for value in row]
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoting if has_return else plain).writerow(cells)


def _text(value: Any) -> Any:
    """A value in a cell."""
    if not isinstance(value, list | dict):
        return value
    pairs = isinstance(value, list) and value and isinstance(value[0], tuple)
    return json.dumps(dict(value) if pairs else value, default=str)
