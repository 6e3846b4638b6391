"""Which day a row belongs to, as the date in it says."""

import re
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retail_assets.landing.drop_reader import DropRefused, opened
from retail_assets.landing.history_files import Table
from retail_assets.landing.layout import SourceLayout

PLAUSIBLE_FROM = date(1970, 1, 1)
"""A year before this, or after the next, is a slip of the pen: as a drop it would stretch the calendar to it."""

# A date or a timestamp: ISO, or two numbers and a year, of which only the file tells which number is the month. What
# follows the date counts, too: a row with a time that silver cannot read would land, to end in quarantine.
_ISO = re.compile(r" *(\d{4}-\d{2}-\d{2})(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?(?: ?(?:Z|UTC|[+-]\d{2}:\d{2}))?)?)? *")
_WRITTEN = re.compile(r" *(\d{1,2})([/.])(\d{1,2})\2(\d{4})(?: \d{1,2}:\d{2}(?::\d{2})?)? *")


class Dates:
    """The days of one file's dates, as ordinals; 0 for what is no date."""

    def __init__(self, table: Table, layout: SourceLayout, today: date) -> None:
        self._table, self._layout = table, layout
        self._plausible = range(PLAUSIBLE_FROM.toordinal(), date(today.year + 2, 1, 1).toordinal())
        self._month_first: bool | None = None

    def days(self, texts: pa.Array) -> np.ndarray:
        """The day of each text."""
        encoded = pc.dictionary_encode(texts)
        # One more at the end, for NULL: index -1.
        found = np.array([self._ordinal(text) for text in encoded.dictionary.to_pylist()] + [0], np.int64)
        return found[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]

    def _ordinal(self, text: str) -> int:
        if iso := _ISO.fullmatch(text):
            return self._day(*(int(number) for number in iso[1].split("-")))
        if not (written := _WRITTEN.fullmatch(text)):
            return 0
        first, second, year = int(written[1]), int(written[3]), int(written[4])
        if first == second:
            return self._day(year, first, second)
        if self._month_first is None:
            self._month_first = self._is_month_first()
        as_told, other_way = (first, second), (second, first)
        month, day = as_told if self._month_first else other_way
        ordinal = self._day(year, month, day)
        if not ordinal and self._day(year, day, month):
            raise DropRefused(
                self._table.name,
                f"has dates with the day first and with the month first, such as {text!r}",
                "Write its dates as 2010-12-01.",
            )
        return ordinal

    def _day(self, year: int, month: int, day: int) -> int:
        try:
            ordinal = date(year, month, day).toordinal()
        except ValueError:
            return 0
        return ordinal if ordinal in self._plausible else 0

    def _is_month_first(self) -> bool:
        """Told by the first date of the file in which one of the two numbers cannot be a month."""
        text = ""
        with opened(self._table.path, self._layout) as (header, blocks):
            position = header.columns.index(self._layout.date_column)
            for block in blocks:
                for text in pc.unique(block.columns[position].drop_null()).to_pylist():
                    if written := _WRITTEN.fullmatch(text):
                        first, second, year = int(written[1]), int(written[3]), int(written[4])
                        if bool(self._day(year, first, second)) != bool(self._day(year, second, first)):
                            return bool(self._day(year, first, second))
        raise DropRefused(
            self._table.name,
            f"does not tell whether its dates, such as {text!r}, have the month first or the day",
            "Land it together with more days in one file, or write its dates as 2010-12-01.",
        )
