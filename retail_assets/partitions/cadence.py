"""Partitions of a source, from its calendar, and how partitions of one table map to those it reads.

Time windows only: dynamic partitions do not survive the step launcher.
"""

import warnings
from collections.abc import Callable
from datetime import date, timedelta

from dagster import (
    BetaWarning,
    DailyPartitionsDefinition,
    MonthlyPartitionsDefinition,
    PreviewWarning,
    TimeWindowPartitionMapping,
    TimeWindowPartitionsDefinition,
    WeeklyPartitionsDefinition,
)

from retail_assets.partitions.calendar import Calendar
from retail_assets.partitions.months import months_later

# Partitioned checks and mappings that reach past the calendar are previews of Dagster's; the lock holds its version.
warnings.filterwarnings("ignore", category=BetaWarning)
warnings.filterwarnings("ignore", category=PreviewWarning)

Cadence = Callable[[Calendar], TimeWindowPartitionsDefinition]

# Reaches back past any calendar's first day; windows before it do not exist and are left out. Dagster walks through
# them all the same, so that a larger number costs time.
_EVERY_MONTH = 600


def daily(calendar: Calendar) -> TimeWindowPartitionsDefinition:
    """One partition a day, from the calendar's first day to its last, or to yesterday."""
    end = calendar.last_day + timedelta(days=1) if calendar.last_day else None
    return DailyPartitionsDefinition(start_date=calendar.first_day.isoformat(), end_date=_iso(end))


def monthly(calendar: Calendar) -> TimeWindowPartitionsDefinition:
    """One partition a month, the running month included: its snapshot moves on with every day."""
    return monthly_after(0)(calendar)


def monthly_after(months: int) -> Cadence:
    """Monthly, without the calendar's first `months` months: for tables that need so much history to say anything."""

    def cadence(calendar: Calendar) -> TimeWindowPartitionsDefinition:
        end = months_later(calendar.last_day, 1) if calendar.last_day else None
        # The offset lets the running month in before it is over.
        return MonthlyPartitionsDefinition(
            start_date=months_later(calendar.first_day, months).isoformat(), end_date=_iso(end), end_offset=1
        )

    return cadence


def weekly(calendar: Calendar) -> TimeWindowPartitionsDefinition:
    """One partition a week, Monday to Sunday, that is over: none of the running week. The first may begin before the
    calendar does."""
    end = calendar.last_day + timedelta(days=1) if calendar.last_day else None
    return WeeklyPartitionsDefinition(
        start_date=monday(calendar.first_day).isoformat(), end_date=_iso(end), day_offset=1
    )


def monday(day: date) -> date:
    """The first day of the day's week."""
    return day - timedelta(days=day.weekday())


NEWEST, ORIGINS, NEWEST_ORIGIN = "newest", "origins", "newest origin"
"""Which partitions of a table of many weeks are due by themselves: the newest, the origins of evaluation, or the newest
of these."""

WEEKS_AHEAD = 4
"""So many weeks ahead is forecast, and so many weeks lie between two origins by which forecasts are evaluated."""

WEEKS_OF_ORIGINS = 24
"""Origins of so many weeks before the newest are due by themselves: six, by which models are chosen."""


def is_origin(week: date) -> bool:
    """Whether forecasts are evaluated that were made once this week (its Monday) was over: every fourth week, counted
    from a Monday far back, so that it does not hang on where a calendar begins."""
    return (week - _COUNTED_FROM).days // 7 % WEEKS_AHEAD == 0


# So that the week of 18 April 2011 is one: the published figures of Online Retail II are of this and every fourth.
_COUNTED_FROM = date(2000, 1, 10)


WHOLE = date(2000, 1, 1)
"""The one partition of a table without a history, such as a list of products: it stands for all of it."""


def whole(_calendar: Calendar) -> TimeWindowPartitionsDefinition:
    """One partition, WHOLE: the table is replaced as it is delivered, whatever the calendar."""
    after = WHOLE.replace(year=WHOLE.year + 1)
    return TimeWindowPartitionsDefinition(
        start=str(WHOLE), end=str(after), fmt="%Y-%m-%d", cron_schedule="0 0 1 1 *", timezone="UTC"
    )


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


same_window = TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
"""The same day, the same month, or the days of the month; days that are still to come are left out."""

months_so_far = TimeWindowPartitionMapping(start_offset=-_EVERY_MONTH, allow_nonexistent_upstream_partitions=True)
"""Everything from the first month to the snapshot's own."""


all_of_it = months_so_far
"""Of a table that is one whole: as it is, for whatever month."""


weeks_so_far = TimeWindowPartitionMapping(start_offset=-157, allow_nonexistent_upstream_partitions=True)
"""The week, and three years before it."""


def weeks_before(first: int, last: int) -> TimeWindowPartitionMapping:
    """From `first` windows before the table's own to `last` windows before it."""
    return TimeWindowPartitionMapping(start_offset=-first, end_offset=-last, allow_nonexistent_upstream_partitions=True)


def preceding(windows: int) -> TimeWindowPartitionMapping:
    """The same day or month and so many before it."""
    return TimeWindowPartitionMapping(start_offset=-windows, allow_nonexistent_upstream_partitions=True)
