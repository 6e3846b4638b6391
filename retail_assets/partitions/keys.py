"""Partitions by their keys: which days they stand for, which rows are theirs, and how a table says where they lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

PARTITION = "partition_expr"
"""Definition metadata of an asset: the DATE column that holds the partition."""

DIRECTORY = "directory"
"""Definition metadata of an asset: the column by which its files are laid out, where that is not the partition."""


def as_days(keys: Sequence[str]) -> list[date]:
    """Daily and monthly partition keys alike are ISO dates, the first day they cover."""
    return [date.fromisoformat(key) for key in keys]


@dataclass(frozen=True)
class PartitionWindow:
    """The partitions a step makes: their keys, and the days these keys stand for."""

    keys: list[str]

    @property
    def days(self) -> list[date]:
        """The keys as dates: the day itself, or the first day of the month."""
        return as_days(self.keys)


def within(partition: str, keys: Sequence[date]) -> Column:
    """The condition that a row belongs to one of these partitions; a plain range where they are consecutive days."""
    first, last = min(keys), max(keys)
    if len(set(keys)) == (last - first).days + 1:
        return (F.col(partition) >= F.lit(first)) & (F.col(partition) < F.lit(last + timedelta(days=1)))
    return F.col(partition).isin([F.lit(key) for key in sorted(set(keys))])


def as_sql(partition: str, keys: Sequence[date]) -> str:
    """The same condition in SQL."""
    first, last = min(keys), max(keys)
    if len(set(keys)) == (last - first).days + 1:
        return f"{partition} >= DATE'{first}' AND {partition} < DATE'{last + timedelta(days=1)}'"
    listed = ", ".join(f"DATE'{key}'" for key in sorted(set(keys)))
    return f"{partition} IN ({listed})"
