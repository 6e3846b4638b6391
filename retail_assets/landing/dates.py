"""Which day a row belongs to, as the date in it says, read as the dialect has it."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retail_assets.landing.calendar import is_plausible
from retail_assets.landing.containers import Table
from retail_assets.landing.dialect import DateForm
from retail_assets.landing.drop_reader import DropRefused, opened, shortened
from retail_assets.landing.layout import SourceLayout

# A date or a timestamp: ISO, or two numbers and a year, of which only the file tells which number is the month. What
# follows the date counts, too: a row with a time that silver cannot read would land, to end in quarantine.
_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_OFFSET = r"(?: ?(?P<offset>Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?"
_ISO = re.compile(rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:[ T](?P<time>{_TIME}){_OFFSET})?")
_WRITTEN = re.compile(r"([0-9]{1,2})([/.])([0-9]{1,2})\2([0-9]{4})(?: [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?")
_WITH_OFFSET = re.compile(rf"(?P<moment>.*{_TIME}.*?){_OFFSET}")


class Dates:
    """The days of one file's dates, as ordinals; 0 for what is no date."""

    def __init__(self, table: Table, layout: SourceLayout, today: date) -> None:
        self._table, self._layout, self._today = table, layout, today
        self._zone, self._forms = layout.dialect.zone, layout.dialect.date_forms
        self._month_first = None if layout.dialect.day_first is None else not layout.dialect.day_first

    def days(self, texts: pa.Array) -> np.ndarray:
        """The day of each text."""
        encoded = pc.dictionary_encode(texts)
        # One more at the end, for NULL: index -1.
        found = np.array([self._ordinal(text.strip(" ")) for text in encoded.dictionary.to_pylist()] + [0], np.int64)
        return found[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]

    def _ordinal(self, text: str) -> int:
        if iso := _ISO.fullmatch(text):
            day = self._day(*(int(number) for number in iso[1].split("-")))
            return self._in_zone(iso[1], iso["time"], iso["offset"]) if day and iso["offset"] else day
        for form in self._forms:
            if day := self._in_form(text, form):
                return day
        return self._written(text)

    def _in_zone(self, day: str, time: str, offset: str) -> int:
        """The day that it is in the shop's time zone."""
        hour, minute, *second = (int(part) for part in time.partition(".")[0].split(":"))
        try:
            moment = datetime.fromisoformat(day).replace(hour=hour, minute=minute, second=second[0] if second else 0)
            return self._plausible(moment.replace(tzinfo=_zone_of(offset)).astimezone(self._zone).date())
        except (ValueError, OverflowError):
            return 0

    def _in_form(self, text: str, form: DateForm) -> int:
        """The day of a date in a declared form; 0 if it is none."""
        zoned = _WITH_OFFSET.fullmatch(text)
        local, offset = (zoned["moment"], zoned["offset"]) if zoned and zoned["offset"] else (text, None)
        try:
            moment = form.read(local)
            if moment and offset:
                moment = moment.replace(tzinfo=_zone_of(offset)).astimezone(self._zone)
        except (ValueError, OverflowError):
            return 0
        return self._plausible(moment.date()) if moment else 0

    def _written(self, text: str) -> int:
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
        if not ordinal and self._layout.dialect.day_first is None and self._day(year, day, month):
            raise DropRefused(
                self._table.name,
                f"has dates with the day first and with the month first, such as {shortened(text)!r}",
                "Write its dates as 2010-12-01.",
            )
        return ordinal

    def _day(self, year: int, month: int, day: int) -> int:
        try:
            return self._plausible(date(year, month, day))
        except ValueError:
            return 0

    def _plausible(self, day: date) -> int:
        return day.toordinal() if is_plausible(day, self._today) else 0

    def first(self) -> int:
        """The first day in the table. Raises DropRefused if it has none."""
        shown = ""
        for texts in self._columns():
            days = self.days(texts)
            if days.any():
                return int(days[days.argmax()])
            shown = shown or next((text.as_py() for text in texts if text.is_valid), "")
        raise DropRefused(
            self._table.name,
            f"has no date that can be read in the column {self._layout.date_column}"
            + (f", but {shortened(shown)!r}" if shown else ""),
            "Write dates as 2010-12-01 or 2010-12-01 08:26:00.",
        )

    def _columns(self) -> Iterator[pa.Array]:
        """The column of dates, block by block."""
        with opened(self._table.path, self._layout) as (header, blocks):
            position = header.columns.index(self._layout.date_column)
            for block in blocks:
                yield block.columns[position]

    def _is_month_first(self) -> bool:
        """Told by the first date of the file in which one of the two numbers cannot be a month."""
        text = ""
        for texts in self._columns():
            for text in pc.unique(texts.drop_null()).to_pylist():
                if written := _WRITTEN.fullmatch(text.strip(" ")):
                    first, second, year = int(written[1]), int(written[3]), int(written[4])
                    if bool(self._day(year, first, second)) != bool(self._day(year, second, first)):
                        return bool(self._day(year, first, second))
        raise DropRefused(
            self._table.name,
            f"does not tell whether its dates, such as {shortened(text)!r}, have the month first or the day",
            "Land it together with more days in one file, or write its dates as 2010-12-01.",
        )


def _zone_of(offset: str) -> tzinfo:
    if offset in ("Z", "UTC"):
        return UTC
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
