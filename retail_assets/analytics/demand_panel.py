"""Demand as a panel: products by weeks, as far as it was known once a week was over."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

SMOOTHING = 0.2
"""Weight of the newest week in exponential smoothing. Online Retail II: .1 to .3 differ by less than .005 of WAPE."""

MEASURES = ("units", "orders", "customers", "bulk_units", "revenue")

ACTIVE_WEEKS = 13
"""A product is forecast if it was sold within so many weeks."""


@dataclass(frozen=True)
class DemandPanel:
    """What each product sold in each week up to the last that is known.

    `products`: codes, sorted. `weeks`: Mondays, without a gap. `sold`: measure (MEASURES) -> array of products × weeks.
    `families`, `descriptions`: of each product, the last that was known.
    """

    products: np.ndarray
    weeks: list[date]
    sold: dict[str, np.ndarray]
    families: np.ndarray
    descriptions: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """Units, products × weeks."""
        return self.sold["units"]

    @cached_property
    def first_week(self) -> np.ndarray:
        """Of each product, the number of its first week with a sale."""
        return np.where((self.units > 0).any(axis=1), (self.units > 0).argmax(axis=1), len(self.weeks))

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """Measure -> running sums: column w is of the weeks before number w."""
        before = np.zeros((len(self.products), 1))
        return {name: np.hstack([before, values.cumsum(axis=1)]) for name, values in self.sold.items()}

    @cached_property
    def levels(self) -> np.ndarray:
        """Simple exponential smoothing of units: after each week, the level; 0 before the first sale."""
        return smoothed(self.units)

    def active(self, week: int) -> np.ndarray:
        """The products (numbers of rows) that were sold in the weeks up to this one that make a product active."""
        return np.flatnonzero(total(self.sums["units"], week - ACTIVE_WEEKS + 1, week + 1) > 0)


def panel_of(rows: pd.DataFrame, until: date) -> DemandPanel:
    """The panel of rows of `product_demand` (week, stock_code, family, description, MEASURES). Nothing that came after
    the week `until` is in it, so that nothing made of it can know."""
    known = rows[(rows["week"] <= until) & (rows["units"] > 0)].sort_values(["stock_code", "week"])
    first = known["week"].min() if len(known) else until
    weeks = [first + timedelta(weeks=number) for number in range((until - first).days // 7 + 1)]
    products, row = np.unique(known["stock_code"].to_numpy(dtype=str), return_inverse=True)
    numbers = {week: number for number, week in enumerate(weeks)}
    column = known["week"].map(numbers).to_numpy(dtype=int)
    sold = {}
    for name in MEASURES:
        sold[name] = np.zeros((len(products), len(weeks)))
        sold[name][row, column] = known[name].to_numpy(dtype=float)
    last = known.groupby("stock_code", sort=True)
    described = {name: last[name].last().fillna("").to_numpy(dtype=object) for name in ("family", "description")}
    return DemandPanel(products, weeks, sold, described["family"], described["description"])


def smoothed(values: np.ndarray) -> np.ndarray:
    """Simple exponential smoothing of each row, begun with its first value above 0."""
    levels, level = np.zeros_like(values), np.zeros(len(values))
    begun = np.zeros(len(values), dtype=bool)
    for week in range(values.shape[1]):
        now = values[:, week]
        begins = ~begun & (now > 0)
        level = np.where(begins, now, np.where(begun, level + SMOOTHING * (now - level), 0.0))
        begun |= begins
        levels[:, week] = level
    return levels


def total(sums: np.ndarray, first: int, after: int) -> np.ndarray:
    """Of running sums, what the weeks from number `first` on came to, up to but without `after`; weeks before the
    history count as 0."""
    return np.asarray(sums[:, max(after, 0)] - sums[:, max(first, 0)])


def mean_of(sums: np.ndarray, week: int, weeks: int, ago: int = 0) -> np.ndarray:
    """Mean of so many weeks up to `week`, as it was so many weeks `ago`; NaN where history does not reach."""
    after = week - ago + 1
    first = max(after - weeks, 0)
    return total(sums, first, after) / (after - first) if after > 0 else np.full(len(sums), np.nan)
