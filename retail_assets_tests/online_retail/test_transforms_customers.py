"""customer_rfm, segment_model, customer_segments, churn_scores: each customer as of each month's end."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession

from retail_assets.analytics.champions import standings
from retail_assets.analytics.churn import CHURN_FEATURES, FOREST, RollingOrigin, churn_feature_frame
from retail_assets.analytics.rfm import RECOMMENDED_ACTIONS, VALUE_ENGAGEMENT_ACTIONS
from retail_assets.analytics.segment_engines import segment
from retail_assets.customers.churn_scores import ChurnScores, churn_scores, score
from retail_assets.customers.customer_rfm import CustomerRfm, customer_rfm
from retail_assets.customers.customer_segments import CustomerSegments, customer_segments
from retail_assets.customers.segment_champion import SegmentChampion, segment_champion
from retail_assets.customers.segment_model import SegmentModel, segment_model
from retail_assets.customers.snapshots import as_of_date, as_of_dates
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity
from retail_assets.lakehouse.contracts import conform
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.evaluation import evaluate
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.calendar import current_day
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets_tests.online_retail.frames import bought, frame, returned, sorted_rows

JANUARY, FEBRUARY, MARCH = (date(2011, month, 1) for month in (1, 2, 3))
NEWEST_DROP = date(2011, 3, 20)
ACTIVITY = [
    bought("a", "2011-01", orders=2, units=5, revenue="30.005", first_purchase_date="2011-01-02", products=["1", "2"]),
    bought("a", "2011-03", revenue="9.999", returns_value="4.000", country="EIRE", products=["2", "3"]),
    bought("b", "2011-01", first_purchase_date="2011-01-31", last_purchase_date="2011-01-31", revenue=0),
    bought("b", "2011-02", first_purchase_date="2011-02-28", last_purchase_date="2011-02-28"),
    returned("c", "2011-01", "3.000"),
    bought("c", "2011-02"),
    returned("d", "2011-02", "8.000"),
]


def snapshots(spark: SparkSession, *months: date, newest: date = NEWEST_DROP) -> DataFrame:
    rows = [(month, as_of_date(month, newest)) for month in months]
    return spark.createDataFrame(rows, "snapshot_month date, as_of_date date")


def rfm(spark: SparkSession, activity: list[dict[str, Any]], *months: date) -> DataFrame:
    rows = customer_rfm(frame(spark, CustomerMonthActivity, activity), snapshots(spark, *months))
    return conform(rows, CustomerRfm)


@pytest.fixture(scope="module")
def scored(spark: SparkSession) -> dict[tuple[date, str], Row]:
    rows = rfm(spark, ACTIVITY, JANUARY, FEBRUARY, MARCH).collect()
    found = {(row.snapshot_month, row.customer_id): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize(
    ("month", "newest", "expected"),
    [
        (date(2011, 11, 1), date(2011, 12, 9), date(2011, 12, 1)),
        (date(2011, 12, 1), date(2011, 12, 9), date(2011, 12, 10)),
        (date(2011, 12, 1), date(2011, 12, 30), date(2011, 12, 31)),
        (date(2011, 12, 1), date(2011, 12, 31), date(2012, 1, 1)),
        (date(2011, 12, 1), date(2012, 5, 5), date(2012, 1, 1)),
        (date(2012, 2, 1), None, date(2012, 3, 1)),
    ],
)
def test_as_of_the_first_day_after_the_month_but_not_later_than_after_the_newest_drop(
    month: date, newest: date | None, expected: date
):
    assert as_of_date(month, newest) == expected


def test_drops_that_are_left_alone_do_not_move_the_as_of_date(tmp_path: Path):
    yesterday = current_day() - timedelta(days=1)
    days = [yesterday - timedelta(days=1), yesterday, current_day(), current_day() + timedelta(days=300)]
    (tmp_path / "online_retail").mkdir()
    for day in days:
        (tmp_path / "online_retail" / f"{day}.csv").write_text("Invoice\n")
    month = (current_day() + timedelta(days=40)).replace(day=1)
    window = PartitionWindow([month.isoformat()])
    zone = LandingZone(str(tmp_path))
    assert as_of_dates(window, zone, ONLINE_RETAIL) == {month: current_day()}
    assert as_of_dates(window, zone, replace(ONLINE_RETAIL, last_day=days[0])) == {month: yesterday}


def test_a_customer_has_a_row_from_the_month_of_the_first_purchase_on(scored: dict[tuple[date, str], Row]):
    months = {month: [customer for at, customer in scored if at == month] for month in (JANUARY, FEBRUARY, MARCH)}
    assert {month: sorted(customers) for month, customers in months.items()} == {
        JANUARY: ["a", "b"],
        FEBRUARY: ["a", "b", "c"],
        MARCH: ["a", "b", "c"],
    }


def test_rfm_sums_what_was_known_at_the_as_of_date(scored: dict[tuple[date, str], Row]):
    january, march = scored[JANUARY, "a"], scored[MARCH, "a"]
    assert (january.as_of_date, january.recency_days, january.tenure_days) == (date(2011, 2, 1), 22, 30)
    assert (january.frequency, january.units, january.monetary) == (2, 5, Decimal("30.005"))
    assert (january.avg_order_value, january.distinct_products, january.country) == (
        Decimal("15.003"),
        2,
        "United Kingdom",
    )
    assert (march.as_of_date, march.recency_days, march.tenure_days) == (date(2011, 3, 21), 11, 78)
    assert (march.frequency, march.units, march.monetary) == (3, 6, Decimal("40.004"))
    assert (march.net_monetary, march.distinct_products, march.country) == (Decimal("36.004"), 3, "EIRE")
    assert (march.first_purchase_date, march.last_purchase_date) == (date(2011, 1, 2), date(2011, 3, 10))


def test_a_purchase_on_the_last_day_is_one_day_old_and_one_worth_nothing_counts(scored: dict[tuple[date, str], Row]):
    assert (scored[JANUARY, "b"].recency_days, scored[FEBRUARY, "b"].recency_days) == (1, 1)
    assert (scored[JANUARY, "b"].frequency, scored[JANUARY, "b"].monetary) == (1, 0)
    assert scored[FEBRUARY, "c"].net_monetary == 7


def test_several_snapshots_at_once_are_each_as_made_alone(spark: SparkSession, scored: dict[tuple[date, str], Row]):
    for month in (JANUARY, MARCH):
        known = [row for row in ACTIVITY if row["activity_month"] <= str(month)]
        alone = {(row.snapshot_month, row.customer_id): row for row in rfm(spark, known, month).collect()}
        assert alone == {key: row for key, row in scored.items() if key[0] == month}


def test_equal_values_get_equal_scores(spark: SparkSession):
    # Ten customers, four of them alike in everything, and behind all others in it.
    alike = [bought(f"alike{n}", "2011-01", orders=3, revenue="30.000") for n in range(4)]
    others = [
        bought(f"{n}", "2011-01", orders=4 + n, revenue=40 + n, last_purchase_date=f"2011-01-{11 + n}")
        for n in range(6)
    ]
    rows = {row.customer_id: row for row in rfm(spark, alike + others, JANUARY).collect()}
    assert {rows[f"alike{n}"].rfm_score for n in range(4)} == {"111"}
    assert {rows[f"alike{n}"].rfm_segment for n in range(4)} == {"Hibernating"}
    assert [rows[f"{n}"].rfm_score for n in range(6)] == ["333", "333", "444", "444", "555", "555"]


def test_value_and_engagement_follow_from_the_medians_and_equal_values_are_judged_alike(spark: SparkSession):
    # Medians: recency 20 days (10th of the month: 22 days to the 1st), frequency 2, monetary 100.
    bought_how = {
        "high": (1, 5, "200.001"), "twice": (1, 5, "200.000"), "median": (20, 2, "100.000"), "late": (21, 3, "500.000"),
        "recent": (20, 2, "50.000"), "gone": (25, 1, "10.000"), "above": (21, 2, "100.001"), "low": (20, 1, "99.999"),
        "base": (30, 3, "100.000"),
    }  # fmt: skip
    activity = [
        bought(
            name, "2011-01", orders=orders, revenue=revenue, last_purchase_date=str(date(2011, 2, 1) - timedelta(days))
        )
        for name, (days, orders, revenue) in bought_how.items()
    ]
    rows = {row.customer_id: row for row in rfm(spark, activity, JANUARY).collect()}
    assert {name: (row.value_segment, row.engagement_segment) for name, row in rows.items()} == {
        "high": ("High", "Active & Engaged"),
        "twice": ("Growing", "Active & Engaged"),
        "median": ("Base", "Developing"),
        "late": ("High", "At Risk"),
        "recent": ("Base", "Developing"),
        "gone": ("Base", "Inactive"),
        "above": ("Growing", "Inactive"),
        "low": ("Base", "Developing"),
        "base": ("Base", "At Risk"),
    }


def customers(random: Random, count: int, *months: str) -> list[dict[str, Any]]:
    """Customers of all kinds, some alike."""
    rows = []
    for number in range(count):
        for month in months:
            if random.random() < 0.7:
                day = random.randint(1, 28)
                rows.append(
                    bought(
                        f"{number:04d}",
                        month,
                        orders=random.choice([1, 1, 2, 3, 9]),
                        revenue=random.choice(["0", "5.000", "25.500", "300.000", "9000.000"]),
                        first_purchase_date=f"{month}-{day:02d}",
                        last_purchase_date=f"{month}-{day:02d}",
                    )
                )
    return rows


@settings(max_examples=2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), count=st.sampled_from([1, 3, 400]))
def test_every_customer_is_in_exactly_one_segment_and_one_cluster(spark: SparkSession, seed: int, count: int):
    activity = [*customers(Random(seed), count, "2011-01", "2011-02"), bought("always", "2011-01")]
    rows = frame(spark, CustomerRfm, [row.asDict() for row in rfm(spark, activity, JANUARY, FEBRUARY).collect()])
    every = rows.toPandas().astype({"monetary": float})
    bought_by = {month: every[every.snapshot_month == month] for month in every.snapshot_month.unique()}
    by_month = {month: segment_model(segment(part), month) for month, part in bought_by.items()}
    decided = standings(by_month, bought_by)
    champions = [segment_champion(by_month, standing, month) for month, standing in decided.items()]
    tables = [as_table(rows, SegmentChampion, champions), as_table(rows, SegmentModel, list(by_month.values()))]
    placed = conform(customer_segments(rows, *tables), CustomerSegments).toPandas()
    of_rfm = rows.select("snapshot_month", "customer_id").toPandas()
    keys = ["snapshot_month", "customer_id"]
    assert sorted(placed[keys].itertuples(index=False)) == sorted(of_rfm[keys].itertuples(index=False))
    told = ["cluster", "label", "rfm_segment", "recommended_action", "distance", "value_engagement_action"]
    assert placed[told].notna().all(axis=None)
    own = {month for month, standing in decided.items() if standing.champion == month}
    models = pd.concat([by_month[month] for month in own])
    sizes = models.set_index(["snapshot_month", "cluster"]).customers.to_dict()
    by_own = placed[placed.snapshot_month.isin(own)]
    assert by_own.groupby(["snapshot_month", "cluster"]).size().to_dict() == sizes


def test_a_customers_segment_names_what_to_do_and_the_nearest_cluster(spark: SparkSession):
    places = {
        "clusters": 2, "customers": 1, "share": 0.5, "value_score": 0.0, "recency_days": 0.0, "frequency": 0.0,
        "monetary": 0.0, "frequency_scaled": 0.0, "monetary_scaled": 0.0, "recency_mean": 1.0,
        "recency_deviation": 0.5, "frequency_mean": 0.0, "frequency_deviation": 1.0, "monetary_mean": 0.0,
        "monetary_deviation": 1.0, "recency_floor": 0.0, "frequency_floor": 0.0, "monetary_floor": 0.0,
        "recency_cap": 1e9, "frequency_cap": 1e9, "monetary_cap": 1e9, "transform": "log",
        "snapshot_month": "2010-12-01",
    }  # fmt: skip
    model = frame(
        spark,
        SegmentModel,
        [
            places | {"cluster": 0, "label": "Top accounts", "recency_scaled": -2.0},
            places | {"cluster": 1, "label": "Dormant", "recency_scaled": 4.0},
            # The month's own model, which was refused.
            places | {"cluster": 0, "label": "Refused", "recency_scaled": 0.0, "snapshot_month": "2011-01-01"},
        ],
    )
    decided = {"champion_month": "2010-12-01", "snapshot_month": "2011-01-01"}
    champion = frame(
        spark,
        SegmentChampion,
        [decided | {"cluster": 0, "label": "Best customers"}, decided | {"cluster": 1, "label": "Dormant"}],
    )
    known = {"as_of_date": "2011-02-01", "frequency": 0, "monetary": 0, "snapshot_month": "2011-01-01"}
    known |= {"value_segment": "High", "engagement_segment": "At Risk"}
    rows = frame(
        spark,
        CustomerRfm,
        [
            known | {"customer_id": "a", "recency_days": 0, "rfm_segment": "Champions"},
            known | {"customer_id": "b", "recency_days": 19, "rfm_segment": "At Risk"},
        ],
    )
    a, b = sorted_rows(customer_segments(rows, champion, model), "customer_id")
    assert (a.cluster, a.label, a.distance, a.recommended_action) == (
        0, "Best customers", 0.0, RECOMMENDED_ACTIONS["Champions"],
    )  # fmt: skip
    # log1p(19) = 2.9957, scaled (2.9957 − 1) / 0.5 = 3.9915
    assert (b.cluster, b.label, b.distance) == (1, "Dormant", pytest.approx(0.008536, abs=1e-6))
    assert b.recommended_action == RECOMMENDED_ACTIONS["At Risk"]
    assert b.value_engagement_action == VALUE_ENGAGEMENT_ACTIONS["High", "At Risk"]
    assert a.model_month == b.model_month == date(2010, 12, 1)


def kinds(count: int) -> pd.DataFrame:
    """Three kinds of customers that differ in everything."""
    random = np.random.default_rng(3)
    centres = [(5, 20, 5000), (60, 5, 600), (300, 1, 60)]
    parts = [
        pd.DataFrame(
            {
                "recency_days": random.normal(recency, recency / 10, count).clip(1).astype(int),
                "frequency": random.normal(frequency, frequency / 10, count).round().clip(1).astype(int),
                "monetary": random.normal(monetary, monetary / 10, count),
            }
        )
        for recency, frequency, monetary in centres
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(customer_id=[f"{n:04d}" for n in range(len(frame))])


def test_a_months_model_has_a_row_for_each_cluster_that_keeps_the_contract(spark: SparkSession):
    segmentation = segment(kinds(60))
    rows = segment_model(segmentation, MARCH)
    assert list(rows.cluster) == [0, 1, 2]
    assert set(rows.clusters) == {3}
    assert (rows.customers.sum(), rows.share.sum()) == (180, pytest.approx(1))
    assert list(rows.recency_days.round(-1)) == [0, 60, 300]
    assert rows.silhouette.min() > 0.7
    (evaluation,) = evaluate(
        conform(as_table(spark.range(1), SegmentModel, [rows]), SegmentModel), SegmentModel
    ).values()
    assert (evaluation.rows, evaluation.failed) == (3, {})


def test_customers_all_alike_are_one_cluster_that_keeps_the_contract(spark: SparkSession):
    alike = kinds(1).iloc[[0, 0, 0, 0]].assign(customer_id=list("abcd"))
    table = conform(as_table(spark.range(1), SegmentModel, [segment_model(segment(alike), MARCH)]), SegmentModel)
    (row,) = table.collect()
    assert (row.cluster, row.label, row.customers, row.clusters) == (0, "Occasional buyers", 4, 1)
    assert (row.silhouette, row.stability) == (None, None)
    assert evaluate(table, SegmentModel)["2011-03-01"].failed == {}


CHURN_MONTHS = [date(2011, month, 1) for month in range(1, 9)]


def churn(spark: SparkSession, activity: list[dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of every snapshot, and the scores of July and August."""
    of = snapshots(spark, *CHURN_MONTHS, newest=date(2011, 12, 31))
    features = churn_feature_frame(frame(spark, CustomerMonthActivity, activity), of).toPandas()
    origin = RollingOrigin(features, CHURN_FEATURES)
    scored = []
    for month in CHURN_MONTHS[-2:]:
        day = as_of_date(month, None)
        slope = origin.slope(FOREST, day)
        scores = score(origin, features[features.snapshot_month == month], day, FOREST, slope)
        assert scores is not None
        scored.append(scores.rows)
    return features, pd.concat(scored)


def test_a_purchase_after_the_as_of_date_changes_no_feature_and_no_score(spark: SparkSession):
    months = [f"2011-{month:02d}" for month in range(1, 9)]
    activity = customers(Random(11), 60, *months[::2]) + customers(Random(12), 30, *months)
    # A customer for each month has one row; two draws of the same are the later one.
    activity = list({(row["customer_id"], row["activity_month"]): row for row in activity}.values())
    planted = [bought(f"{n:04d}", "2011-09", orders=50, revenue="99999.000") for n in range(60)]
    before, scores_before = churn(spark, activity)
    after, scores_after = churn(spark, activity + planted)
    order = ["snapshot_month", "customer_id"]
    known = [name for name in before.columns if name != "next_purchase_date"]
    same = [part.sort_values(order).reset_index(drop=True) for part in (before, after)]
    pd.testing.assert_frame_equal(same[0][known], same[1][known])
    assert (same[0].next_purchase_date.isna() & same[1].next_purchase_date.notna()).sum() > 20  # it was planted
    columns = [*order, "churn_probability"]
    found = [part.sort_values(order)[columns].reset_index(drop=True) for part in (scores_before, scores_after)]
    pd.testing.assert_frame_equal(found[0], found[1])
    assert found[0].churn_probability.between(0, 1).all()
    assert found[0].churn_probability.nunique() > 10


def test_scored_customers_become_rows_that_keep_the_contract(spark: SparkSession):
    scored = pd.DataFrame(
        {
            "snapshot_month": MARCH,
            "as_of_date": date(2011, 4, 1),
            "customer_id": [str(n) for n in range(10)],
            "churn_probability": [n / 10 for n in range(10)],
            "model": "random_forest",
            "recency_days": 5,
            "frequency": 2,
            "monetary": 9.5,
        }
    )
    rows = sorted_rows(conform(churn_scores(spark, [scored]), ChurnScores), "customer_id")
    assert [row.churn_prediction for row in rows] == [False] * 5 + [True] * 5
    assert [row.churn_risk for row in rows] == ["Low"] * 5 + ["Medium"] * 3 + ["High"] * 2
    assert conform(churn_scores(spark, []), ChurnScores).count() == 0
