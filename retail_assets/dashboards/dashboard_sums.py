"""Sums of a dashboard page over sales and customers: what its filters are answered from in the reader's browser.

A page holds sums for each choice of country and segment, and of customers only those whom somebody may write to: its
size hangs on the days, countries and segments that a shop has, not on its customers. What cannot be added up (medians,
and customers of several countries) is there for all countries, too. Money is in thousandths of the currency, as whole
numbers: their sums are exact in a browser, too.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.dashboards.columns import columns, moments

SEGMENTS = [
    "Champions", "Loyal Customers", "Potential Loyalists", "New Customers", "Promising", "Need Attention",
    "About To Sleep", "At Risk", "Can't Lose Them", "Hibernating",
]  # fmt: skip
"""From the best customers to those that are gone: the order of every list of segments."""

ALL = -1
"""Stands for every country, and for every month."""

NONE = -1
"""In no segment: sales without a customer, or of one that has only ever returned; who was none the month before."""

MONTH_BEFORE, YEAR_BEFORE = -2, -3
"""As many days of the month before, and of this month a year ago, as an unfinished month has so far."""


def customers(
    rfm: pd.DataFrame,
    before: pd.DataFrame,
    churn: pd.DataFrame,
    clv: pd.DataFrame,
    countries: Sequence[str],
) -> pd.DataFrame:
    """A month's customers, by id: country and segment (also that of the month `before`, NONE for the new) as numbers of
    their lists, recency, frequency, monetary, kept (the part of it that was not returned); churn, value and alive, NaN
    where they are not known."""
    place, segment = _numbers(countries), _numbers(SEGMENTS)
    people = rfm.set_index("customer_id").sort_index()
    probability, worth = churn.set_index("customer_id"), clv.set_index("customer_id")
    segment_before = before.set_index("customer_id")["rfm_segment"].map(segment)
    return pd.DataFrame(
        {
            "country": people["country"].map(place),
            "segment": people["rfm_segment"].map(segment),
            "before": segment_before.reindex(people.index).fillna(NONE).astype(int),
            "recency": people["recency_days"],
            "frequency": people["frequency"],
            "monetary": people["monetary"],
            "churn": probability["churn_probability"].reindex(people.index).astype(float),
            "kept": people["kept"].astype(float),
            "value": worth["value"].reindex(people.index).astype(float),
            "alive": worth["probability_alive"].reindex(people.index).astype(float),
        }
    )


def dated(sold: pd.DataFrame, people: pd.DataFrame, countries: Sequence[str]) -> pd.DataFrame:
    """Sales (by day, customer and country) with the day and the month as numbers since the first, the country as that
    of its list, and the segment that the customer has now."""
    day = moments(sold["invoice_date"])
    first = day.min()
    return sold.assign(
        day=(day - first).dt.days,
        month=(day.dt.year - first.year) * 12 + day.dt.month - first.month,
        country=sold["country"].map(_numbers(countries)),
        segment=sold["customer_id"].map(people["segment"]).fillna(NONE).astype(int),
    )


def sales(sold: pd.DataFrame) -> dict[str, list[Any]]:
    """Orders, units, revenue and returns by day, country and segment, in order of time; and `further` orders of the
    country, which are counted with another's where all countries are shown."""
    summed = ["orders", "further", "units", "revenue", "returns"]
    by_day = sold.groupby(["day", "country", "segment"])[summed].sum().reset_index()
    # Days as steps from the row before: short numbers.
    return columns(by_day.assign(day=np.diff(by_day["day"], prepend=0)))


def first_months(sold: pd.DataFrame) -> pd.Series:
    """The number of the month in which each customer first bought."""
    return _bought(sold).groupby("customer_id")["month"].min()


def buyers(sold: pd.DataFrame, first_month: pd.Series, month: date, as_of: date) -> dict[str, list[Any]]:
    """Customers who bought, and those who did for the first time: by `window` (the number of a month, ALL of them,
    MONTH_BEFORE or YEAR_BEFORE), country of the sale (also ALL, as a customer may buy from several) and segment."""
    bought = _bought(sold)[["day", "month", "customer_id", "country", "segment"]]
    windows = [bought.assign(window=bought["month"]), bought.assign(window=ALL)]
    if len(sold):
        start = pd.Timestamp(sold["invoice_date"].min())
        so_far = (as_of - month).days
        this_month = (month.year - start.year) * 12 + month.month - start.month
        for window, back in ((MONTH_BEFORE, 1), (YEAR_BEFORE, 12)):
            begin = (pd.Timestamp(month) - pd.DateOffset(months=back) - start).days
            within = bought[(bought["day"] >= begin) & (bought["day"] < begin + so_far)]
            windows.append(within[within["month"] == this_month - back].assign(window=window))
    found = pd.concat(windows)
    found["fresh"] = (found["window"] == ALL) | (found["customer_id"].map(first_month) == found["month"])
    return columns(
        pd.concat(
            each.drop_duplicates(["window", "country", "customer_id"])
            .groupby(["window", "country", "segment"])
            .agg(customers=("fresh", "size"), fresh=("fresh", "sum"))
            .reset_index()
            for each in (found.assign(country=ALL), found)
        )
    )


def profiles(people: pd.DataFrame) -> dict[str, list[Any]]:
    """By country (also ALL) and segment: customers, the money they spent, and the medians of recency, frequency and
    money."""
    return columns(
        _everywhere(people)
        .groupby(["country", "segment"])
        .agg(
            customers=("monetary", "size"),
            monetary=("monetary", "sum"),
            recency=("recency", "median"),
            frequency=("frequency", "median"),
            typical=("monetary", "median"),
        )
        .reset_index()
    )


def moves(people: pd.DataFrame) -> dict[str, list[Any]]:
    """Customers by country, segment of the month before (NONE: new) and segment."""
    return columns(people.groupby(["country", "before", "segment"]).size().reset_index(name="customers"))


def cohorts(sold: pd.DataFrame, people: pd.DataFrame, first_month: pd.Series) -> dict[str, list[Any]]:
    """Customers who bought in a month, by the month of their first purchase, their country and their segment."""
    active = _bought(sold)[["customer_id", "month"]].drop_duplicates()
    active = active.assign(
        cohort=active["customer_id"].map(first_month),
        country=active["customer_id"].map(people["country"]),
        segment=active["customer_id"].map(people["segment"]),
    )
    keys = ["cohort", "month", "country", "segment"]
    return columns(active.groupby(keys).size().reset_index(name="customers"))


def values(people: pd.DataFrame) -> dict[str, list[Any]]:
    """By country (also ALL) and segment: customers who have a lifetime value, its sum and median, how many bought more
    than once, and the sum of their probabilities of being customers still."""
    valued = people[people["value"].notna()]
    again = valued["frequency"] > 1
    return columns(
        _everywhere(valued.assign(again=again, alive=valued["alive"].where(again, 0.0)))
        .groupby(["country", "segment"])
        .agg(
            customers=("value", "size"),
            value=("value", "sum"),
            median=("value", "median"),
            again=("again", "sum"),
            alive=("alive", "sum"),
        )
        .round({"alive": 4})
        .astype({"value": "int64"})
        .reset_index()
    )


def _numbers(names: Sequence[str]) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(names)}


def _bought(sold: pd.DataFrame) -> pd.DataFrame:
    # Not by orders: one of several customers is counted with the first of them.
    return sold[(sold["units"] > 0) & (sold["segment"] != NONE)]


def _everywhere(people: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([people.assign(country=ALL), people])
