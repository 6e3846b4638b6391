from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from retail_assets.analytics.churn import (
    CHURN_FEATURES,
    churn_feature_frame,
    fit_churn,
    score,
    with_churn_risk,
)

ACTIVITY = (
    "customer_id string, activity_month date, orders int, revenue decimal(18,3), returns_value decimal(18,3), "
    "first_purchase_date date, last_purchase_date date"
)
MONTH = date(2026, 3, 1)
AS_OF = date(2026, 4, 1)
ROWS = [
    ("a", date(2025, 8, 1), 1, Decimal(100), Decimal(0), date(2025, 8, 10), date(2025, 8, 10)),
    ("a", date(2025, 12, 1), 2, Decimal(50), Decimal(0), date(2025, 12, 5), date(2025, 12, 20)),
    ("a", date(2026, 3, 1), 1, Decimal(10), Decimal(40), date(2026, 3, 22), date(2026, 3, 22)),
    ("returns_only", MONTH, 0, Decimal(0), Decimal(9), None, None),
    ("b", date(2026, 1, 1), 1, Decimal(30), Decimal(0), date(2026, 1, 31), date(2026, 1, 31)),
    ("later", date(2026, 5, 1), 1, Decimal(30), Decimal(0), date(2026, 5, 2), date(2026, 5, 2)),
]


def features(spark: SparkSession, rows: list[tuple], months: list[tuple] | None = None) -> DataFrame:
    snapshots = spark.createDataFrame(months or [(MONTH, AS_OF)], "snapshot_month date, as_of_date date")
    return churn_feature_frame(spark.createDataFrame(rows, ACTIVITY), snapshots)


def test_the_features_of_a_snapshot_are_those_of_its_customers_history(spark: SparkSession):
    rows = {row.customer_id: row.asDict() for row in features(spark, ROWS).collect()}
    assert set(rows) == {"a", "b"}
    assert rows["a"] == {
        "snapshot_month": MONTH,
        "as_of_date": AS_OF,
        "customer_id": "a",
        "recency_days": 10,
        "frequency": 4,
        "monetary": 160.0,
        "tenure_days": 234,
        "average_order_value": 40.0,
        "orders_1_month": 1,
        "orders_3_months": 1,
        "orders_6_months": 3,
        "revenue_1_month": 10.0,
        "revenue_3_months": 10.0,
        "revenue_6_months": 60.0,
        "active_months": 3,
        "mean_days_between_orders": pytest.approx(224 / 3),
        "return_share": 0.25,
        "next_purchase_date": None,
    }
    assert rows["b"]["orders_3_months"] == 1
    assert (rows["b"]["orders_1_month"], rows["b"]["mean_days_between_orders"]) == (0, 0.0)


def test_a_planted_future_purchase_changes_no_feature_only_the_outcome(spark: SparkSession):
    planted = [
        ("a", date(2026, 4, 1), 50, Decimal(9999), Decimal(500), date(2026, 4, 1), date(2026, 4, 30)),
        ("a", date(2026, 6, 1), 1, Decimal(1), Decimal(0), date(2026, 6, 1), date(2026, 6, 1)),
    ]
    before = {row.customer_id: row for row in features(spark, ROWS).collect()}
    after = {row.customer_id: row for row in features(spark, ROWS + planted).collect()}
    assert set(after) == set(before)
    for customer, row in after.items():
        for name in CHURN_FEATURES:
            assert row[name] == before[customer][name], (customer, name)
    assert (before["a"].next_purchase_date, after["a"].next_purchase_date) == (None, date(2026, 4, 1))
    assert after["b"].next_purchase_date is None


def test_every_snapshot_is_made_of_its_own_past(spark: SparkSession):
    months = [(MONTH, AS_OF), (date(2025, 12, 1), date(2026, 1, 1))]
    rows = {(row.snapshot_month, row.customer_id): row for row in features(spark, ROWS, months).collect()}
    assert set(rows) == {(MONTH, "a"), (MONTH, "b"), (date(2025, 12, 1), "a")}
    earlier = rows[date(2025, 12, 1), "a"]
    assert (earlier.frequency, earlier.monetary, earlier.recency_days) == (3, 150.0, 12)
    assert earlier.next_purchase_date == date(2026, 3, 22)


def made_history(snapshots: int = 9, customers: int = 300) -> pd.DataFrame:
    """Snapshots 30 days apart; frequent customers come back within the window, the others mostly do not."""
    random = np.random.default_rng(5)
    parts = []
    for number in range(snapshots):
        as_of = date(2025, 1, 1) + timedelta(days=30 * number)
        frequency = random.integers(1, 20, customers)
        returns = random.random(customers) < np.clip(frequency / 20, 0.05, 0.9)
        parts.append(
            pd.DataFrame(
                {
                    "as_of_date": as_of,
                    "customer_id": [f"c{n:04d}" for n in range(customers)],
                    "recency_days": random.integers(1, 300, customers),
                    "frequency": frequency,
                    "next_purchase_date": [as_of + timedelta(days=20) if back else None for back in returns],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


FEATURES = ["recency_days", "frequency"]


def test_only_snapshots_whose_outcome_is_known_are_learned_from():
    history = made_history()
    as_of = date(2025, 1, 1) + timedelta(days=210)  # the windows of the snapshots 0 to 4 have closed
    model = fit_churn(history, as_of, FEATURES)
    assert model is not None
    day = [date(2025, 1, 1) + timedelta(days=30 * number) for number in range(9)]
    assert model.training_dates == (day[2], day[3], day[4])
    assert model.training_rows == 900
    assert (model.validation.as_of_date, model.validation.customers) == (day[4], 300)
    assert not model.validation.overlapping
    # What happened after that day, or is not complete on it, changes nothing.
    changed = history.copy()
    later = pd.to_datetime(changed.as_of_date) > pd.Timestamp(day[4])
    changed.loc[later, ["frequency", "recency_days"]] = 1
    changed.loc[later, "next_purchase_date"] = None
    other = fit_churn(changed, as_of, FEATURES)
    assert other is not None
    assert other.validation == model.validation
    assert other.importances == model.importances
    # One day earlier, the last of them is still open.
    earlier = fit_churn(history, as_of - timedelta(days=1), FEATURES)
    assert earlier is not None
    assert earlier.validation.as_of_date == day[3]


def test_the_validation_trains_on_outcomes_complete_before_it_where_there_are_any():
    short = fit_churn(made_history(2), date(2026, 1, 1), FEATURES)
    assert short is not None
    assert short.validation.overlapping
    history = made_history(5)
    model = fit_churn(history, date(2026, 1, 1), FEATURES)
    # Of four older snapshots only those whose window closed before the fifth count (0 and 1): the rest may be rubbish.
    rubbish = history.copy()
    middle = pd.to_datetime(rubbish.as_of_date).isin(pd.to_datetime([date(2025, 3, 2), date(2025, 4, 1)]))
    rubbish.loc[middle, "next_purchase_date"] = None
    other = fit_churn(rubbish, date(2026, 1, 1), FEATURES)
    assert model is not None
    assert other is not None
    assert model.validation == other.validation


def test_a_signal_is_found_and_measured_against_recency_alone():
    model = fit_churn(made_history(), date(2026, 1, 1), FEATURES)
    assert model is not None
    found = model.validation
    assert 0.7 < found.roc_auc < 0.95
    assert 0.4 < found.recency_roc_auc < 0.6  # recency was drawn at random
    assert found.average_precision > found.base_rate
    assert 0 < found.brier_score < found.base_rate * (1 - found.base_rate)
    assert found.top_decile_lift > 1.2
    assert model.importances["frequency"] > model.importances["recency_days"]
    assert sum(model.importances.values()) == pytest.approx(1)
    frequent, rare = score(model, pd.DataFrame({"recency_days": [50, 50], "frequency": [19, 1]}, index=[7, 9]))
    assert frequent < 0.35 < 0.75 < rare


@pytest.mark.parametrize("snapshots", [0, 1])
def test_without_two_closed_snapshots_there_is_no_model(snapshots: int):
    history = made_history(2)
    days = sorted(history.as_of_date.unique())[:snapshots]
    assert fit_churn(history[history.as_of_date.isin(days)], date(2026, 1, 1), FEATURES) is None
    assert fit_churn(history, date(2025, 4, 1) - timedelta(days=1), FEATURES) is None


def test_with_one_outcome_only_there_is_no_model():
    assert fit_churn(made_history(4).assign(next_purchase_date=None), date(2026, 1, 1), FEATURES) is None


def test_the_same_rows_in_any_order_give_the_same_scores_bit_for_bit():
    history = made_history()
    first = fit_churn(history, date(2026, 1, 1), FEATURES)
    second = fit_churn(history.sample(frac=1, random_state=8), date(2026, 1, 1), FEATURES)
    assert first is not None
    assert second is not None
    assert first.validation == second.validation
    assert score(first, history).tolist() == score(second, history).tolist()


def test_risk_bands_are_the_top_fifth_and_the_next_three_tenths_and_equals_share_a_band(spark: SparkSession):
    rows = [("a", str(n), n / 10) for n in range(10)] + [("b", str(n), 0.5) for n in range(4)]
    banded = with_churn_risk(
        spark.createDataFrame(rows, "month string, customer_id string, churn_probability double"), within="month"
    )
    found = [row.churn_risk for row in banded.where("month = 'a'").orderBy("churn_probability").collect()]
    assert found == ["Low"] * 5 + ["Medium"] * 3 + ["High"] * 2
    assert {row.churn_risk for row in banded.where("month = 'b'").collect()} == {"High"}


def test_real_customers_are_ranked_better_than_by_recency_alone(spark: SparkSession, real_activity):
    activity = spark.createDataFrame(
        real_activity.execute(
            "select customer_id, activity_month, orders::int as orders, revenue, returns_value, "
            "first_purchase_date, last_purchase_date from activity"
        ).fetchall(),
        ACTIVITY,
    )
    months = [(date(2010 + n // 12, n % 12 + 1, 1), date(2010 + (n + 1) // 12, (n + 1) % 12 + 1, 1)) for n in range(20)]
    snapshots = spark.createDataFrame(months, "snapshot_month date, as_of_date date")
    history = churn_feature_frame(activity, snapshots).toPandas()
    newest = pd.Timestamp(date(2011, 9, 1))
    snapshot = history[pd.to_datetime(history.as_of_date) == newest]
    assert len(snapshot) == 5_224
    model = fit_churn(history, date(2011, 9, 1), CHURN_FEATURES)
    assert model is not None
    assert model.training_dates == (date(2011, 4, 1), date(2011, 5, 1), date(2011, 6, 1))
    assert 0.78 < model.validation.roc_auc < 0.9
    assert model.validation.roc_auc > model.validation.recency_roc_auc + 0.03
    from sklearn.metrics import roc_auc_score

    gone = ~(pd.to_datetime(snapshot.next_purchase_date) < newest + pd.Timedelta(days=90))
    assert 0.78 < roc_auc_score(gone, score(model, snapshot)) < 0.9
