"""Where a group of equals stands among all: what scores, bands and deciles follow from.

Whoever has the same value stands in the same place: where the first of them does, so that a handful of equals moves no
bound, and, where more than a fifth of all are equals, at their middle. Else the fifty best of sixty customers, who are
all alike, would stand where the eleventh from below does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pyspark.sql import Column, Window
from pyspark.sql import functions as F

WIDE = 5
"""A group of equals is wide if it is more than one of so many parts of all: a quintile."""


@dataclass(frozen=True)
class Standing:
    """Of each row, among those with the same value of a column: `before`, how many stand before it; `is_first` and
    `is_last`, whether nobody stands before, or behind, its equals; `all_alike`; `count`, how many there are."""

    before: Column
    is_first: Column
    is_last: Column
    all_alike: Column
    count: Column


def standing(by: str, within: str, highest_first: bool = False) -> Standing:
    """By the values of a column, the lowest first, among the rows with the same value in the column `within`."""
    order = F.desc(by) if highest_first else F.col(by)
    ahead = F.rank().over(Window.partitionBy(within).orderBy(order)) - 1
    equals = F.count(F.lit(1)).over(Window.partitionBy(within, by))
    count = F.count(F.lit(1)).over(Window.partitionBy(within))
    return Standing(
        before=ahead + F.when(equals * WIDE > count, (equals - 1) / F.lit(2.0)).otherwise(0.0),
        is_first=ahead == 0,
        is_last=ahead + equals == count,
        all_alike=equals == count,
        count=count,
    )


def parts(values: ArrayLike, number: int) -> np.ndarray:
    """The part, 1 to `number`, that each value stands in, the highest first; equals stand together."""
    _, group, sizes = np.unique(-np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    count = len(group)
    before = np.cumsum(sizes) - sizes + np.where(sizes * WIDE > count, (sizes - 1) / 2, 0)
    found: np.ndarray = 1 + (before[group] * number // max(count, 1)).astype(int)
    return found
