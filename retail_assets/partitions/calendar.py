"""The days of a source, and which of them are over."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


def current_day() -> date:
    """The day it is, in UTC: days of partitions begin and end there, wherever the machine stands."""
    return datetime.now(tz=UTC).date()


def yesterday() -> date:
    """The newest day that is over."""
    return current_day() - timedelta(days=1)


@dataclass(frozen=True)
class Calendar:
    """First and last day of a source; without a last day it is open and goes on to yesterday."""

    first_day: date
    last_day: date | None

    @property
    def newest_day(self) -> date:
        """The last day that there can be a drop of."""
        return self.last_day or yesterday()

    def includes(self, day: date) -> bool:
        """Whether a drop of this day is to be read."""
        return self.first_day <= day <= self.newest_day
