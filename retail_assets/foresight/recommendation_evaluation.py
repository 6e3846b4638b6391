"""How good recommendations were: the contract of their evaluation, and its checks."""

from datetime import date, timedelta
from typing import Any

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from retail_assets.analytics.list_evaluation import BASELINE, LISTS, NEIGHBOURS, OWN_FREQUENCY, POPULARITY, evaluated
from retail_assets.analytics.next_basket import AGAIN, NEW
from retail_assets.analytics.recommending import BOOSTED, SHARES
from retail_assets.lakehouse.checks import (
    MODEL_QUALITY,
    WARN,
    Evidence,
    RuleResult,
    Verdict,
    check,
    nothing_to_judge,
    too_few,
)
from retail_assets.lakehouse.contracts import Contract, Count, Day, Real, Text, column, partition

WEEKS_TO_CLOSE = 13
"""An order within 90 days is known to have come or not so many weeks later."""

ENOUGH_CUSTOMERS = 300
"""Of fewer, the interval of a gain is wider than the gain."""

_SHARE: dict[str, Any] = {"nullable": True, "in_range": {"min_value": 0.0, "max_value": 1.0}}
_OF_LISTS = "; of the lists only"


class RecommendationEvaluation(Contract):
    """The lists of thirteen weeks before, held against the order that each customer came to place within 90 days, by
    list and method: every fourth week, once the 90 days are over.

    The lists are made anew as they were or would have been made then, from what was known then. `again` is judged by
    all that the order had, `new` by what of it the customer had never bought. Customers without an order in the 90 days
    are not judged. Beside the lists stand what anybody could recommend instead: own frequency, popularity, item
    neighbours by BM25; gains are paired, customer by customer, with 95 % intervals by bootstrap. Where nobody known
    came back there are no rows.
    """

    list: Text = column("again or new", isin=[AGAIN, NEW])
    method: Text = column(
        "lists: what was recommended; else a cheap rule", isin=[LISTS, OWN_FREQUENCY, POPULARITY, NEIGHBOURS]
    )
    model: Text = column("What the lists' probabilities were", isin=[BOOSTED, SHARES])
    recommended_as_of: Day = column("Day that the lists were made as of; they know nothing from it on")
    customers: Count = column("Customers judged", ge=0)
    recall: Real = column("Hits among ten by products of the order, at most ten; mean over customers", **_SHARE)
    ndcg: Real = column("Normalised discounted cumulative gain of ten; mean over customers", **_SHARE)
    hit_rate: Real = column("Share of customers with a hit among ten", **_SHARE)
    reach: Real = column("Share of the products sold within four weeks that are in some list", **_SHARE)
    gain: Real = column("NDCG less that of own frequency (again) or popularity (new)" + _OF_LISTS, nullable=True)
    gain_lower: Real = column("Lower end of its 95 % interval", nullable=True)
    gain_upper: Real = column("Upper end of its 95 % interval", nullable=True)
    popularity_gain: Real = column("NDCG less that of popularity" + _OF_LISTS, nullable=True)
    popularity_gain_lower: Real = column("Lower end of its 95 % interval", nullable=True)
    popularity_gain_upper: Real = column("Upper end of its 95 % interval", nullable=True)
    mean_probability: Real = column("Mean probability of what was recommended" + _OF_LISTS, **_SHARE)
    share_taken: Real = column("Share of it that the order had" + _OF_LISTS, **_SHARE)
    calibration_error: Real = column("Mean distance of both over ten equal parts by probability" + _OF_LISTS, **_SHARE)
    week: Day = partition("Monday of the week with which the 90 days were over")

    class Config:
        unique = ["week", "list", "method"]


def judged_as_of(week: date) -> date:
    """The day that those lists were made as of which are judged once the week is over."""
    return week + timedelta(days=7 - 7 * WEEKS_TO_CLOSE)


def recommendation_evaluation(purchases: pd.DataFrame, week: date) -> pd.DataFrame | None:
    """The rows of a week; `purchases` as lists are learnt from. None where there is nothing to judge."""
    found = evaluated(purchases, judged_as_of(week))
    if found is None:
        return None
    none = dict.fromkeys(RecommendationEvaluation.to_schema().columns)
    rows = [none | row for row in found.rows.to_dict("records")]
    return pd.DataFrame(rows, dtype=object).assign(recommended_as_of=judged_as_of(week), week=week)


def _figure(which: str, name: str) -> Any:
    def measure() -> Column:
        return F.max(F.when((F.col("list") == which) & (F.col("method") == LISTS), F.col(name)))

    return measure


_NAMES = ("customers", "gain", "gain_lower", "gain_upper", "mean_probability", "share_taken", "calibration_error")
_MEASURES = {f"{which}_{name}": _figure(which, name) for which in (AGAIN, NEW) for name in _NAMES}
_NOBODY = "Nobody who was known ordered within the 90 days, or nothing was known before them"


def _judging(week: Evidence) -> Verdict | None:
    """What is said where there is too little to judge."""
    if not week.rows:
        return nothing_to_judge(_NOBODY)
    customers = week.measures["again_customers"]
    return too_few(customers, ENOUGH_CUSTOMERS, "customers who ordered") if customers < ENOUGH_CUSTOMERS else None


@check(
    "Lists are better, beyond chance, than the cheap rule: own frequency for again, popularity for new",
    measures=_MEASURES,
    family=MODEL_QUALITY,
    severity=WARN,
)
def better_than_the_cheap_rule(week: Evidence) -> Verdict:
    """The lower end of the paired gain's interval is above 0."""
    if nothing := _judging(week):
        return nothing
    results = []
    for which in (AGAIN, NEW):
        gain, lower, upper = (week.measures[f"{which}_{name}"] for name in _NAMES[1:4])
        told = f"{which}: NDCG {gain:+.4f} against {BASELINE[which]} ({lower:+.4f} to {upper:+.4f})"
        results.append(RuleResult.within(f"gain_of_{which}", lower, told, lower=0))
    return Verdict.of(results)


CALIBRATION_CEILING = 0.08
"""Online Retail II, lists of 2011-09-05: 0.019 (again) and 0.007 (new)."""


@check(
    f"Probabilities are at most {CALIBRATION_CEILING} from what came, over ten parts of each list",
    measures=_MEASURES,
    family=MODEL_QUALITY,
    severity=WARN,
)
def calibrated(week: Evidence) -> Verdict:
    """Of what was said to be taken with a probability of 0.3, was about a third?"""
    if nothing := _judging(week):
        return nothing
    results = []
    for which in (AGAIN, NEW):
        said, taken, error = (week.measures[f"{which}_{name}"] for name in _NAMES[-3:])
        told = f"{which}: {error:.3f} from what came; said {said:.3f} on average, taken {taken:.3f}"
        results.append(RuleResult.within(f"calibration_of_{which}", error, told, upper=CALIBRATION_CEILING))
    return Verdict.of(results)
