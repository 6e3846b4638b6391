"""Closed days of the shop: days on which nothing is to be expected, and those around them that are like no other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

# Days since 2009 that were public holidays once. Source: gov.uk, "UK bank holidays", and its list of earlier years.
ONCE = {
    date(2011, 4, 29): "royal wedding",
    date(2012, 6, 4): "spring bank holiday, moved to the jubilee",
    date(2012, 6, 5): "diamond jubilee",
    date(2020, 5, 8): "early May bank holiday, moved to Victory in Europe",
    date(2022, 6, 2): "spring bank holiday, moved to the jubilee",
    date(2022, 6, 3): "platinum jubilee",
    date(2022, 9, 19): "state funeral",
    date(2023, 5, 8): "coronation",
}

MOVED = {date(2012, 5, 28), date(2020, 5, 4), date(2022, 5, 30)}
"""Mondays that were working days, as their bank holiday was another day that year."""

UNSETTLED_DAYS = 14
"""So long before and after Christmas a day is like no other of its weekday."""


@dataclass(frozen=True)
class ClosedDays:
    """A shop's closed days, by year."""

    of_year: Callable[[int], frozenset[date]]

    def include(self, day: date) -> bool:
        """Whether nothing is to be expected of the day whatever its weekday."""
        return day in self.of_year(day.year)


@cache
def closed_days(year: int) -> frozenset[date]:
    """The public holidays of England and Wales, Easter from Friday to Monday, and Christmas Eve to 3 January."""
    easter = easter_sunday(year)
    closed = {easter + timedelta(days=offset) for offset in (-2, -1, 0, 1)}
    closed |= {_first_monday(year, 5), _last_monday(year, 5), _last_monday(year, 8)}
    closed |= {date(year, 12, day) for day in range(24, 32)} | {date(year, 1, day) for day in (1, 2, 3)}
    return frozenset((closed | {day for day in ONCE if day.year == year}) - MOVED)


def is_unsettled(day: date) -> bool:
    """Whether the day lies so near to Christmas that its weekday says little of it."""
    christmas = date(day.year if day.month > 6 else day.year - 1, 12, 25)
    return -UNSETTLED_DAYS <= (day - christmas).days <= UNSETTLED_DAYS + 9


def easter_sunday(year: int) -> date:
    """Easter of the Gregorian calendar, by the method of "A New York correspondent", Nature, 20 April 1876."""
    golden, century, of_century = year % 19, year // 100, year % 100
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _first_monday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=-first.weekday() % 7)


def _last_monday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=last.weekday())
