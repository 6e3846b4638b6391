"""Snapshots: the months that monthly tables are made for, and the date each is made as of."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import Protocol

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.partitions.months import first_day, month_number, months_later


class Dated(Protocol):
    """A source of which it is known how far its data reach."""

    @property
    def name(self) -> str:
        """What its tables are called by."""

    def newest_day(self, landing: LandingZone) -> date | None:
        """The newest day that has landed."""


def as_of_date(month: date, newest_drop: date | None) -> date:
    """The first day after the month, but never later than the day after the newest landed drop."""
    after_month = months_later(month, 1)
    return after_month if newest_drop is None else min(after_month, newest_drop + timedelta(days=1))


def as_of_dates(window: PartitionWindow, landing: LandingZone, source: Dated) -> dict[date, date]:
    """Month of the window -> its as-of date."""
    newest = source.newest_day(landing)
    return {month: as_of_date(month, newest) for month in window.days}


def snapshots(spark: SparkSession, window: PartitionWindow, landing: LandingZone, source: Dated) -> DataFrame:
    """`as_of_dates` as rows: `snapshot_month DATE, as_of_date DATE`."""
    return spark.createDataFrame(
        list(as_of_dates(window, landing, source).items()), "snapshot_month date, as_of_date date"
    )


def snapshots_since(
    activity: DataFrame, window: PartitionWindow, landing: LandingZone, source: Dated, months_before: int
) -> DataFrame:
    """`snapshots` of the window's months, of those between them, and of as many before them as are asked for: as far
    as there is activity."""
    row = activity.agg(F.min("activity_month")).first()
    oldest = month_number(row[0] if row and row[0] else window.days[0])
    first, last = month_number(window.days[0]) - months_before, month_number(window.days[-1])
    months = [first_day(number).isoformat() for number in range(max(oldest, first), last + 1)]
    return snapshots(activity.sparkSession, PartitionWindow(months), landing, source)


def of_months(transactions: DataFrame, days: Iterable[date], before: Iterable[int]) -> DataFrame:
    """The transactions of the months that are so many months `before` those of `days` (0: their own): growth over the
    year before needs two months of it, and only their files are opened."""
    numbers = {month_number(day) - months for day in days for months in before}
    named = [f"{first_day(number):%Y-%m}" for number in sorted(numbers)]
    return transactions.filter(F.col("invoice_month").isin(named))


def in_as_long(day: Column, ends: Mapping[date, date], months_before: int = 1) -> Column:
    """Whether a day is one to compare with what a month has so far, if it lies so many months before it: any day, but
    of a month that stands before an unfinished one (`ends`: month -> its as-of date) only as many days as that has."""
    left_out = []
    for month, end in ends.items():
        earlier = months_later(month, -months_before)
        begin, after = earlier + (end - month), as_of_date(earlier, None)
        if end < as_of_date(month, None) and begin < after:
            left_out.append(day.between(F.lit(begin), F.lit(after - timedelta(days=1))))
    return ~reduce(or_, left_out, F.lit(False))


def so_far(activity: DataFrame, of: DataFrame) -> DataFrame:
    """Customer months beside every snapshot that they lie before or in: the columns of both."""
    return activity.join(F.broadcast(of), F.col("activity_month") <= F.col("snapshot_month"))
