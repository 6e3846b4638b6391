"""Where hardly anybody comes back no churn is learned, and it is said of how many that is known."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from retail_assets.analytics.churn import BOOSTING, RollingOrigin, churn_feature_frame
from retail_assets.analytics.returning import KnownOutcomes, Returning, outcomes
from retail_assets.customers.churn_evaluation import better_than_recency, calibrated, out_of_time_auc, without_a_model
from retail_assets.customers.churn_scores import model_made
from retail_assets.customers.clv_holdout import better_than_naive
from retail_assets.lakehouse.checks import ENOUGH, Evidence, TableCheck, nothing_to_judge
from retail_assets.lakehouse.evaluation import PartitionEvaluation
from retail_assets_tests.analytics.test_churn import ACTIVITY, FEATURES, made_history

FIRST = date(2025, 1, 1)
OTHERWISE = nothing_to_judge("No history")


def of_whom(returned: int, customers: int = 1_000) -> pd.DataFrame:
    """Two snapshots of customers of whom the first so many buy again within the window."""
    history = made_history(2, customers)
    back = [FIRST + timedelta(days=60) if number < returned else None for number in range(customers)]
    return history.assign(next_purchase_date=pd.Series(back * 2, index=history.index, dtype=object))


@pytest.mark.parametrize(("returned", "made"), [(0, False), (49, False), (50, True), (1_000, False)])
def test_a_model_is_made_from_one_customer_in_twenty_who_came_back(returned: int, made: bool):
    model = RollingOrigin(of_whom(returned), FEATURES).model(BOOSTING, FIRST + timedelta(days=90))
    assert (model is not None) == made


def test_how_many_came_back_is_what_the_features_outcomes_say(spark: SparkSession):
    """The light question beforehand against the frame that models learn from."""
    bought = [
        ("once", ["2025-01-05"]),
        ("soon", ["2025-01-05", "2025-02-20"]),
        ("late", ["2025-01-05", "2025-05-02"]),
        ("on_the_last_day", ["2025-01-31", "2025-05-01"]),
        ("often", ["2025-01-05", "2025-02-01", "2025-03-09", "2025-04-01"]),
        ("newcomer", ["2025-03-03"]),
    ]
    rows: list[tuple[Any, ...]] = [
        (customer, (at := date.fromisoformat(day)).replace(day=1), 1, Decimal(9), Decimal(0), at, at, 1)
        for customer, days in bought
        for day in days
    ]
    rows.append(("once", date(2025, 2, 1), 0, Decimal(0), Decimal(9), None, None, 0))  # a return is no purchase
    activity = spark.createDataFrame(rows, ACTIVITY)
    months = [(date(2025, month, 1), date(2025, month + 1, 1)) for month in (1, 2, 3)]
    snapshots = spark.createDataFrame(months, "snapshot_month date, as_of_date date")
    found = {
        row.as_of_date: Returning(row.customers, row.returned) for row in outcomes(activity, snapshots, 90).collect()
    }
    assert found == {
        date(2025, 2, 1): Returning(5, 3),  # 1 May is the last of 90 days from 1 February, 2 May is none of them
        date(2025, 3, 1): Returning(5, 2 + 1),
        date(2025, 4, 1): Returning(6, 3),
    }
    frame = churn_feature_frame(activity, snapshots).toPandas()
    in_time = pd.to_datetime(frame.next_purchase_date) < pd.to_datetime(frame.as_of_date) + pd.Timedelta(days=90)
    assert {of: Returning(len(part), int(part.sum())) for of, part in in_time.groupby(frame.as_of_date)} == found


def test_what_is_known_on_a_day_is_of_the_newest_snapshots_that_were_over():
    rows = pd.DataFrame(
        {
            "as_of_date": [date(2025, month, 1) for month in (1, 2, 3, 4, 5)],
            "customers": [100, 200, 300, 400, 500],
            "returned": [50, 1, 2, 3, 4],
        }
    )
    known = KnownOutcomes(rows, window_days=90, snapshots=2)
    assert known.known(date(2025, 3, 31)) == Returning(0, 0)
    assert known.known(date(2025, 4, 1)) == Returning(100, 50)
    assert known.known(date(2025, 6, 1)) == Returning(500, 3)
    assert known.any_enough
    assert not KnownOutcomes(rows[1:], window_days=90, snapshots=2).any_enough


def test_a_month_that_too_few_came_back_for_says_how_many_and_any_other_what_it_said_before():
    verdict = without_a_model(Returning(225_533, 1_129), OTHERWISE)
    told = "Too few of 225,533 known outcomes are another purchase in time to tell: 1,129 of at least 11,277"
    assert (verdict.passed, verdict.observed, verdict.explanation) == (True, 1_129, told)
    assert verdict.rules[0].rule == ENOUGH
    assert Returning(225_533, 1_129).shown() == {
        "churn": "Cannot be learned: 1,129 of 225,533 known outcomes are another purchase in time, fewer than 5%"
    }
    for enough in (None, Returning(0, 0), Returning(100, 5)):
        assert without_a_model(enough, OTHERWISE) is OTHERWISE
    assert Returning(100, 5).shown() == {}


@pytest.mark.parametrize("check", [out_of_time_auc, better_than_recency, calibrated, model_made])
def test_every_check_of_a_model_says_that_there_was_nothing_to_learn(check: TableCheck):
    findings = {"training_rows": {}, "returning": {"2018-01-01": Returning(1_000, 9)}}
    verdict = check.judge(Evidence("2018-01-01", PartitionEvaluation(), dict.fromkeys(check.measures), (), findings))
    told = "Too few of 1,000 known outcomes are another purchase in time to tell: 9 of at least 50"
    assert (verdict.passed, verdict.explanation) == (True, told)


@pytest.mark.parametrize(
    ("purchases", "passed", "told"),
    [
        (249, True, "Too few purchases of 5,000 customers in 3 months to tell: 249 of at least 250"),
        (250, False, "3 months: rank correlation 0.010, naive 0.020"),
    ],
)
def test_customers_of_whom_nearly_all_spent_nothing_are_not_judged_by_their_order(purchases, passed, told):
    window = {
        "horizon_months": 3, "customers": 5_000, "actual_purchases": purchases, "rank_correlation": 0.01,
        "naive_rank_correlation": 0.02, "predicted_value": 1.0, "naive_value": 1.0, "actual_value": Decimal(1),
    }  # fmt: skip
    seen = Evidence("2018-01-01", PartitionEvaluation(rows=14), {"windows": [window]}, (), {})
    verdict = better_than_naive.judge(seen)
    assert (verdict.passed, verdict.explanation) == (passed, told)
