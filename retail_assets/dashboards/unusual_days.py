"""Unusual days: those whose revenue lies outside of what was to be expected, and what of them was not as usual."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.anomalies import WEEKS
from retail_assets.analytics.expected_range import expected_ranges
from retail_assets.reports.charts import sign
from retail_assets.shops.closed_days import is_unsettled

MUCH = 0.25
"""A customer, or returns, with so large a share of a day's revenue are told."""
ENOUGH_ORDERS = 5
"""A weekday with so many orders as a rule does not pass without one by chance (Poisson: 7 in 1,000)."""
NOTABLE = 1.15
"""So many times as much as usual, or as little, is told."""


def ranges_of(sold: pd.DataFrame) -> pd.DataFrame:
    """Days that have an expected range, in order: `low` and `high`, in thousandths of the currency.

    Each is made of the days before it alone: of a later page, those of an earlier page are the first.
    """
    revenue = sold.groupby(sold["invoice_date"].dt.date)["revenue"].sum()
    revenue = revenue[revenue > 0]
    found = expected_ranges(dict(zip(revenue.index, revenue.tolist(), strict=True)))
    return pd.DataFrame(found.values(), index=list(found), columns=["low", "high"], dtype=float)


def expected(ranges: pd.DataFrame, sold: pd.DataFrame, ids: np.ndarray, as_of: date, currency: str) -> dict[str, Any]:
    """What a page shows: `days` (number since the first day of `sold`, low, high) before the as-of date, and of those
    outside `unusual`: day, revenue, low, high, why. `sold` is that of the page, with customers as places in `ids`."""
    ranges = ranges[ranges.index < as_of].round(-3).astype("int64")
    days = sold["invoice_date"].dt.date
    by_day = sold.groupby(days)[["orders", "revenue", "returns"]].sum()
    known = sold[sold["customer_id"] >= 0]
    customers = known.groupby([days[known.index], "customer_id"])["revenue"].sum()
    first = min(by_day.index, default=as_of)
    by_day = by_day[by_day["orders"] > 0]  # what was only returned on a day is no sale
    unusual = []
    for day, low, high in ranges.itertuples():
        revenue = int(by_day["revenue"].get(day, 0))
        if low <= revenue <= high or (not revenue and _may_pass_without(day, by_day)):
            continue
        told = why(day, (low, high), by_day, _largest(customers, day, ids), currency)
        unusual.append({"day": str(day), "revenue": revenue, "low": low, "high": high, "why": told})
    numbers = [(day - first).days for day in ranges.index]
    return {
        "days": {"day": numbers, "low": ranges["low"].tolist(), "high": ranges["high"].tolist()},
        "unusual": unusual,
    }


def _largest(customers: pd.Series, day: date, ids: np.ndarray) -> tuple[str, int]:
    """The known customer who bought most on the day, and for how much."""
    if day not in customers.index.get_level_values(0):
        return "", 0
    of_day = customers[day]
    place = of_day.to_numpy().argmax()
    return str(ids[of_day.index[place]]), int(of_day.iloc[place])


def why(day: date, expected: tuple[int, int], by_day: pd.DataFrame, largest: tuple[str, int], currency: str) -> str:
    """What was not as usual, in a sentence or two; `by_day`: orders, revenue and returns of the days with sales."""

    def amount(thousandths: float) -> str:
        return f"{sign(currency)}{thousandths / 1000:,.0f}"

    if day not in by_day.index:
        return "No sales: a closed day, or one of which nothing has landed."
    of_day = _of(by_day, day)
    revenue, returns = of_day["revenue"], of_day["returns"]
    customer, bought = largest
    low, high = expected
    told = []
    if revenue > high and bought >= MUCH * revenue:
        rest = ": without it the day would have been as expected" if low <= revenue - bought <= high else ""
        told.append(f"Customer {customer} alone bought for {amount(bought)}, {bought / revenue:.0%} of the day{rest}.")
    else:
        told += _against_usual(day, by_day, amount)
    if returns >= MUCH * revenue:
        told.append(f"{amount(returns)} of sales were returned or cancelled on that day.")
    if is_unsettled(day):
        told.append("Near Christmas a weekday says little of the next.")
    return " ".join(told) or "Orders and their value both differ a little from usual, in the same direction."


def _may_pass_without(day: date, by_day: pd.DataFrame) -> bool:
    """Whether no sale is no news: around Christmas, and where there are few orders as a rule."""
    return is_unsettled(day) or float(_usual(day, by_day)["orders"].median()) < ENOUGH_ORDERS


def _usual(day: date, by_day: pd.DataFrame) -> pd.DataFrame:
    """The same weekdays before, of those with sales."""
    return by_day.loc[[ago for week in range(1, WEEKS + 1) if (ago := day - timedelta(7 * week)) in by_day.index]]


def _against_usual(day: date, by_day: pd.DataFrame, amount: Callable[[float], str]) -> list[str]:
    """How many orders there were and what they were worth, against the same weekdays before, where that is notable."""
    usual, of_day = _usual(day, by_day), _of(by_day, day)
    worth = usual["revenue"] / usual["orders"]
    orders, typical = of_day["orders"], float(usual["orders"].median())
    value, typical_value = of_day["revenue"] / of_day["orders"], float(worth.median())
    told = []
    if _notable(orders, typical):
        told.append(f"{orders:,} order{'' if orders == 1 else 's'}, where {typical:,.0f} are usual.")
    if _notable(value, typical_value):
        told.append(f"{amount(value)} an order, where {amount(typical_value)} are usual.")
    return told


def _of(by_day: pd.DataFrame, day: date) -> dict[str, Any]:
    return by_day.loc[[day]].to_dict("records")[0]  # type: ignore[return-value]  # columns have names


def _notable(found: float, usual: float) -> bool:
    return max(found, usual) >= NOTABLE * min(found, usual)
