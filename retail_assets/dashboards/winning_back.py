"""Figures of a dashboard page about who may leave: how likely, what could be won of it, and who is lost.

Money is in thousandths of the currency; what could be won is left to the page, which multiplies by the chance.
"""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.win_back import HIGH_PROBABILITY, MEDIUM_PROBABILITY, is_lost
from retail_assets.dashboards.columns import columns, moments

RISKS = ["High", "Medium", "Low"]
"""By the level of the probability, so that nine in ten is high whatever the others' are."""


def with_risk(people: pd.DataFrame, sold: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Customers who have a score, with its level as the number of RISKS, what they spent (less returns, never below
    nothing) in the 365 days before the as-of date, whether they are `lost`, and `at_risk`: what they are expected to be
    worth in 12 months, less the part that they return, times the probability of no purchase; nothing of the lost, and
    of whom no worth is known. Highest first."""
    scored = people[people["churn"].notna()]
    year = sold[moments(sold["invoice_date"]) >= pd.Timestamp(as_of) - pd.Timedelta(days=365)]
    spent = (year["revenue"] - year["returns"]).groupby(year["customer_id"]).sum().reindex(scored.index, fill_value=0)
    probability = scored["churn"].round(4)
    lost = is_lost(scored["alive"].fillna(1.0), scored["frequency"], scored["recency"])
    level = np.select([probability >= HIGH_PROBABILITY, probability >= MEDIUM_PROBABILITY], [0, 1], 2)
    expected = (scored["value"] * scored["kept"]).round()
    at_risk = (expected.fillna(0) * probability).where(~lost, 0.0)
    scores = {"churn": probability, "risk": level, "lost": lost, "expected": expected, "at_risk": at_risk}
    found = scored.assign(spent=spent.clip(lower=0), **scores)
    return found.sort_values("at_risk", ascending=False, kind="stable")


def churn(at_risk: pd.DataFrame) -> dict[str, list[Any]]:
    """By country, segment, tenth of the probability and risk: customers, spent in a year, at risk of what they are
    expected to be worth, and how many are lost."""
    tenths = at_risk.assign(tenth=np.minimum(9, np.floor(at_risk["churn"] * 10)).astype(int))
    keys = ["country", "segment", "tenth", "risk"]
    found = tenths.groupby(keys).agg(
        customers=("spent", "size"),
        spent=("spent", "sum"),
        at_risk=("at_risk", "sum"),
        lost=("lost", "sum"),
    )
    return columns(found.round({"at_risk": 4}).reset_index())


def listed(people: pd.DataFrame, actions: pd.DataFrame, action: str, shown: list[str]) -> dict[str, list[Any]]:
    """Who is named in a list of the table `actions`, in its order, with these columns of `people`."""
    named = actions[actions["action"] == action].sort_values("rank").set_index("customer_id")
    rows = people[shown].join(named[["rank"]], how="inner").sort_values("rank").drop(columns="rank")
    return {"id": list(rows.index)} | columns(rows.round({"alive": 4, "churn": 4}))


WIN_BACK_SHOWN = ["country", "segment", "recency", "frequency", "spent", "expected", "churn", "risk"]
LOST_SHOWN = ["country", "segment", "recency", "frequency", "monetary", "alive"]
