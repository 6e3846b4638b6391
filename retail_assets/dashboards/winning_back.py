"""Figures of a dashboard page about who may leave: how likely, what could be won of it, and who is lost.

Money is in thousandths of the currency; what could be won is left to the page, which multiplies by the chance.
"""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.win_back import HIGH_PROBABILITY, LOST_ALIVE, LOST_DAYS, MEDIUM_PROBABILITY
from retail_assets.dashboards.columns import columns

RISKS = ["High", "Medium", "Low"]
"""By the level of the probability, so that nine in ten is high whatever the others' are."""

MOST_LISTED = 5_000
"""Customers of a list: so many of the highest value are named, and beyond them the first of each choice."""

LISTED_OF_EACH = 50
"""So many a choice of country and segment names, whatever there is elsewhere."""


def with_risk(people: pd.DataFrame, sold: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Customers who have a score, with its level as the number of RISKS, what they spent (less returns, never below
    nothing) in the 365 days before the as-of date, whether they are `lost`, and `at_risk`: what they are expected to be
    worth in 12 months times the probability of no purchase; nothing of the lost, and of whom no worth is known.
    Highest first."""
    scored = people[people["churn"].notna()]
    year = sold[pd.to_datetime(sold["invoice_date"]) >= pd.Timestamp(as_of) - pd.Timedelta(days=365)]
    spent = (year["revenue"] - year["returns"]).groupby(year["customer_id"]).sum().reindex(scored.index, fill_value=0)
    probability, lost = scored["churn"].round(4), is_lost(scored)
    level = np.select([probability >= HIGH_PROBABILITY, probability >= MEDIUM_PROBABILITY], [0, 1], 2)
    at_risk = (scored["value"].fillna(0) * probability).where(~lost, 0.0)
    found = scored.assign(spent=spent.clip(lower=0), churn=probability, at_risk=at_risk, risk=level, lost=lost)
    return found.sort_values("at_risk", ascending=False, kind="stable")


def is_lost(people: pd.DataFrame) -> pd.Series:
    """Who is hardly a customer any more."""
    return (people["alive"] < LOST_ALIVE) | ((people["frequency"] == 1) & (people["recency"] > LOST_DAYS))


def churn(at_risk: pd.DataFrame) -> dict[str, list[Any]]:
    """By country, segment, tenth of the probability and risk: customers, spent in a year, at risk of what they are
    expected to be worth, how many are worth writing to, and how many are lost."""
    tenths = at_risk.assign(
        tenth=np.minimum(9, np.floor(at_risk["churn"] * 10)).astype(int), listed=_worth_writing_to(at_risk)
    )
    keys = ["country", "segment", "tenth", "risk"]
    found = tenths.groupby(keys).agg(
        customers=("spent", "size"),
        spent=("spent", "sum"),
        at_risk=("at_risk", "sum"),
        listed=("listed", "sum"),
        lost=("lost", "sum"),
    )
    return columns(found.round({"at_risk": 4}).reset_index())


def to_write_to(at_risk: pd.DataFrame) -> dict[str, list[Any]]:
    """Customers at high or medium risk who are not lost, by what could be won."""
    return _list(
        at_risk[_worth_writing_to(at_risk)],
        ["country", "segment", "recency", "frequency", "spent", "value", "churn", "risk"],
    )


def lost(at_risk: pd.DataFrame) -> dict[str, list[Any]]:
    """The lost, by what they spent when they were customers."""
    once = at_risk[at_risk["lost"]].sort_values("monetary", ascending=False, kind="stable")
    return _list(once, ["country", "segment", "recency", "frequency", "monetary", "alive"])


def _list(rows: pd.DataFrame, shown: list[str]) -> dict[str, list[Any]]:
    """The first MOST_LISTED of the rows, and LISTED_OF_EACH of every country and segment."""
    rank = rows.groupby(["country", "segment"]).cumcount()
    kept = rows[(np.arange(len(rows)) < MOST_LISTED) | (rank < LISTED_OF_EACH)]
    return {"id": list(kept.index)} | columns(kept[shown].round({"alive": 4}))


def _worth_writing_to(at_risk: pd.DataFrame) -> pd.Series:
    return (at_risk["risk"] < RISKS.index("Low")) & (at_risk["at_risk"] > 0)
