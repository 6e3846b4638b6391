"""Weeks, Monday to Sunday: the partitions of what is forecast."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def monday_of(day: str) -> Column:
    """The first day of the week of a date."""
    return F.date_add(day, -F.pmod(F.dayofweek(day) + 5, F.lit(7)))


def of_weeks(rows: DataFrame, weeks: Sequence[date], column: str = "week") -> DataFrame:
    """The rows of these weeks: months and days that are read for a week have others as well."""
    return rows.filter(F.col(column).isin([F.lit(week) for week in weeks]))


def as_of(week: date) -> date:
    """The first day of which nothing is known once the week is over: the Monday after it."""
    return week + timedelta(days=7)
