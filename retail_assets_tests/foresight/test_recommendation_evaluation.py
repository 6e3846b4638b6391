"""recommendation_evaluation: lists held against what came, by figures worked out by hand, and knowing nothing of it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from retail_assets.analytics.basket_measures import Lists, calibration_error, interval, judged
from retail_assets.analytics.list_evaluation import LISTS, NEIGHBOURS, OWN_FREQUENCY, POPULARITY, evaluated
from retail_assets.analytics.next_basket import AGAIN, NEW
from retail_assets.analytics.purchase_history import Purchases
from retail_assets.foresight.recommendation_evaluation import (
    better_than_the_cheap_rule,
    calibrated,
    judged_as_of,
    recommendation_evaluation,
)
from retail_assets.lakehouse.checks import Evidence
from retail_assets.lakehouse.evaluation import PartitionEvaluation
from retail_assets_tests.foresight import made_purchases
from retail_assets_tests.foresight.made_purchases import AS_OF, DAY


def test_recall_ndcg_and_hits_are_those_worked_out_by_hand():
    """Customer 0 ordered products 1 and 2, customer 1 product 3, customer 2 nothing; customer 1 has no list."""
    came = Purchases("abc", "0123", *(np.array(of) for of in ([0, 0, 1], [1, 2, 3], [5, 5, 6])))
    lists = Lists(np.array([0, 0, 0, 2]), np.array([2, 0, 1, 3]), np.array([0.9, 0.5, 0.4, 0.9]))
    found = judged(lists, came)
    assert list(found.recall) == [1.0, 0.0]
    assert found.ndcg[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))
    assert list(found.hit) == [True, False]
    assert list(found.recommended) == [0, 1, 2, 3]


def test_an_order_of_many_products_can_be_hit_ten_times_at_most():
    came = Purchases(["a"], [str(n) for n in range(30)], np.zeros(30, int), np.arange(30), np.full(30, 5))
    found = judged(Lists(np.zeros(20, int), np.arange(20), np.arange(20, 0, -1.0)), came)
    assert (found.recall[0], found.ndcg[0]) == (1.0, pytest.approx(1.0))


def test_intervals_are_paired_and_calibration_is_by_equal_parts():
    mean, lower, upper = interval(np.r_[np.full(200, 0.1), np.full(200, 0.0)])
    assert mean == pytest.approx(0.05)
    assert lower == pytest.approx(0.05 - 1.96 * 0.05 / 20, abs=0.001)
    assert upper == pytest.approx(0.05 + 1.96 * 0.05 / 20, abs=0.001)
    probability = np.repeat([0.1, 0.5], 500)
    came = np.r_[np.arange(500) % 10 == 0, np.arange(500) % 4 == 0]
    assert calibration_error(probability, came) == pytest.approx((0 + 0.25) / 2, abs=0.001)


@pytest.fixture(scope="module")
def purchases() -> pd.DataFrame:
    return made_purchases.purchases(160, 250)


@pytest.fixture(scope="module")
def rows(purchases: pd.DataFrame) -> pd.DataFrame:
    found = evaluated(purchases, AS_OF)
    assert found is not None
    return found.rows.set_index(["list", "method"])


def test_lists_stand_beside_every_cheap_rule_and_beat_popularity_where_tastes_differ(rows):
    methods = {AGAIN: {LISTS, OWN_FREQUENCY, POPULARITY, NEIGHBOURS}, NEW: {LISTS, POPULARITY, NEIGHBOURS}}
    assert {which: set(rows.loc[which].index) for which in methods} == methods
    for which in methods:
        assert rows.loc[(which, LISTS), "popularity_gain_lower"] > 0
        difference = rows.loc[(which, LISTS), "ndcg"] - rows.loc[(which, POPULARITY), "ndcg"]
        assert rows.loc[(which, LISTS), "popularity_gain"] == pytest.approx(difference)
        assert rows.loc[(which, LISTS), "calibration_error"] < 0.15
    assert rows.loc[(AGAIN, OWN_FREQUENCY), "ndcg"] > rows.loc[(AGAIN, POPULARITY), "ndcg"]


def test_new_products_are_judged_by_new_products_only(purchases, rows):
    """Whose order had nothing new is not judged by it."""
    known = pd.MultiIndex.from_frame(purchases.loc[purchases["day"] < DAY, ["customer_id", "product"]])
    later = purchases[purchases["day"] >= DAY]
    order = later[later["day"] == later.groupby("customer_id")["day"].transform("min")]
    order = order[order["customer_id"].isin(purchases.loc[purchases["day"] < DAY, "customer_id"])]
    new = order[~pd.MultiIndex.from_frame(order[["customer_id", "product"]]).isin(known)]
    assert rows.loc[(AGAIN, LISTS), "customers"] == order["customer_id"].nunique()
    assert rows.loc[(NEW, LISTS), "customers"] == new["customer_id"].nunique()


def test_a_week_is_judged_once_ninety_days_are_over_and_not_without_customers(purchases):
    week = date(2011, 8, 29)
    assert judged_as_of(week) == AS_OF
    assert recommendation_evaluation(purchases[purchases["day"] < DAY], week) is None


def test_checks_judge_gains_and_probabilities_of_both_lists_and_of_few_customers_nothing():
    of = {"gain": 0.02, "gain_lower": 0.01, "gain_upper": 0.03, "mean_probability": 0.3, "share_taken": 0.28}
    sound = {f"{which}_{name}": value for which in (AGAIN, NEW) for name, value in of.items()}
    sound |= {"again_customers": 2000, "again_calibration_error": 0.02, "new_calibration_error": 0.01}

    def verdicts(**changes: float) -> list[bool]:
        evaluation = PartitionEvaluation(rows=7)
        week = Evidence("2011-11-28", evaluation, sound | changes, [], {})
        return [check.judge(week).passed for check in (better_than_the_cheap_rule, calibrated)]

    assert verdicts() == [True, True]
    assert verdicts(new_gain_lower=-0.001) == [False, True]
    assert verdicts(again_calibration_error=0.09) == [True, False]
    assert verdicts(again_calibration_error=0.09, new_gain_lower=-1, again_customers=100) == [True, True]
