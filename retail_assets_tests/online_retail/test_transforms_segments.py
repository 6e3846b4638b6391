"""segment_drift and segment_summary: what changed since last month, and what each segment is."""

from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from retail_assets.analytics.rfm import VALUE_ENGAGEMENT_ACTIONS
from retail_assets.analytics.segment_engines import segment
from retail_assets.analytics.segmentation import LABEL_ACTIONS
from retail_assets.customers.customer_segments import CustomerSegments
from retail_assets.customers.segment_drift import NEW, SegmentDrift, changes, movements, transitions
from retail_assets.customers.segment_model import segment_model
from retail_assets.customers.segment_summary import SegmentSummary, segment_summary
from retail_assets.lakehouse.contracts import conform
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets_tests.analytics.test_segmentation import made_customers
from retail_assets_tests.online_retail.frames import frame, sorted_rows

DECEMBER, JANUARY = date(2010, 12, 1), date(2011, 1, 1)


def placed(customer: str, month: date, label: str, **columns: Any) -> dict[str, Any]:
    """A row of customer_segments: one order for 10, a day ago."""
    return {
        "customer_id": customer,
        "label": label,
        "rfm_segment": "Champions",
        "recommended_action": "Reward",
        "value_segment": "High",
        "engagement_segment": "At Risk",
        "value_engagement_action": "Call",
        "recency_days": 1,
        "frequency": 1,
        "monetary": 10,
        "snapshot_month": month,
        **columns,
    }


def test_every_customer_is_in_one_transition_and_newcomers_have_moved_from_nowhere(spark: SparkSession):
    segments = frame(
        spark,
        CustomerSegments,
        [
            placed("stays", DECEMBER, "Dormant"), placed("stays", JANUARY, "Dormant"),
            placed("wakes", DECEMBER, "Dormant"), placed("wakes", JANUARY, "Best customers"),
            placed("fades", DECEMBER, "Best customers"), placed("fades", JANUARY, "Dormant"),
            placed("comes", JANUARY, "Best customers"),
        ],
    )  # fmt: skip
    moves = transitions(segments).filter(f"snapshot_month = '{JANUARY}'").toPandas()
    rows = movements(moves)
    told = [(row.item, row.to_segment, row.customers, row.value) for row in rows.itertuples()]
    assert told[:-1] == [
        ("Best customers", "Dormant", 1, 1.0),
        ("Dormant", "Best customers", 1, 0.5),
        ("Dormant", "Dormant", 1, 0.5),
        (NEW, "Best customers", 1, 1.0),
    ]
    moved = rows.iloc[-1]
    assert (moved.measure, moved.value, moved.bound, moved.within_bound) == ("moved_share", 2 / 3, 0.5, False)
    table = conform(as_table(segments, SegmentDrift, [rows.assign(snapshot_month=JANUARY)]), SegmentDrift)
    assert table.filter("customers is null").count() == 1


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    return made_customers(400)


def figures(now: pd.DataFrame, before: pd.DataFrame) -> dict[tuple[str, str], tuple[float, bool | None]]:
    models = [segment_model(segment(frame), JANUARY) for frame in (now, before)]
    rows = changes(models[0], models[1], now, before).to_dict("records")
    return {(row["measure"], row["item"]): (row["value"], row["within_bound"]) for row in rows}


def test_a_month_like_the_one_before_has_no_drift(customers: pd.DataFrame):
    same = figures(customers, customers)
    kinds = ("Best customers", "Recent light buyers", "Lapsing regulars", "Dormant")
    assert same.pop(("model_agreement", "all customers")) == (1.0, True)
    assert same == {
        **{("psi", feature): (0.0, True) for feature in ("recency_days", "frequency", "monetary")},
        **{("centroid_movement", kind): (pytest.approx(0, abs=1e-9), True) for kind in kinds},
    }


def test_each_kind_of_drift_is_seen_where_it_is(customers: pd.DataFrame):
    spent_more = figures(customers.assign(monetary=customers.monetary * 20), customers)
    assert {name for name, (_, within) in spent_more.items() if not within} == {
        ("psi", "monetary"),
        *(name for name in spent_more if name[0] == "centroid_movement"),
    }
    # ln 20 = 3.0 in units of the deviation that the month before had, of 1.6.
    assert all(1.5 < value < 2.2 for (measure, _), (value, _) in spent_more.items() if measure == "centroid_movement")
    fewer = figures(made_customers(400, ["best", "dormant", "dormant", "dormant"]), customers)
    assert not fewer["psi", "recency_days"][1]


def test_as_the_data_begin_recency_and_centroids_have_no_bound_as_they_can_only_grow(customers: pd.DataFrame):
    young = customers.assign(recency_days=customers.recency_days.clip(upper=89))
    grown = figures(customers, young)
    assert {name: within for name, (_, within) in grown.items() if within is not True} == {
        ("psi", "recency_days"): None,
        **{name: None for name in grown if name[0] == "centroid_movement"},
    }
    assert grown["psi", "recency_days"][0] > 0.25
    older = figures(customers, customers.assign(recency_days=customers.recency_days.clip(upper=90)))
    assert older["psi", "recency_days"][1] is False


def test_each_scheme_divides_the_same_customers_and_their_money(spark: SparkSession):
    segments = frame(
        spark,
        CustomerSegments,
        [
            placed("a", JANUARY, "Best customers", recency_days=1, frequency=9, monetary="600.001"),
            placed("b", JANUARY, "Best customers", recency_days=4, frequency=2, monetary="200.000"),
            placed("c", JANUARY, "Dormant", rfm_segment="At Risk", recommended_action="Write", monetary="199.999"),
            placed("d", DECEMBER, "Dormant", monetary=0),
        ],
    )
    table = conform(segment_summary(segments), SegmentSummary)
    rows = {(row.snapshot_month, row.scheme, row.segment): row for row in sorted_rows(table, "scheme", "segment")}
    assert set(rows) == {
        (JANUARY, "clusters", "Best customers"), (JANUARY, "clusters", "Dormant"), (JANUARY, "rfm", "Champions"),
        (JANUARY, "rfm", "At Risk"), (JANUARY, "value_engagement", "High value, At Risk"),
        (DECEMBER, "clusters", "Dormant"), (DECEMBER, "rfm", "Champions"),
        (DECEMBER, "value_engagement", "High value, At Risk"),
    }  # fmt: skip
    best = rows[JANUARY, "clusters", "Best customers"]
    assert (best.customers, best.share) == (2, pytest.approx(2 / 3))
    assert (best.mean_recency_days, best.median_recency_days) == (2.5, 2.5)
    assert (best.mean_frequency, best.median_frequency) == (5.5, 5.5)
    assert (best.mean_monetary, best.median_monetary) == pytest.approx((400.0005, 400.0005))
    assert (best.revenue, best.revenue_share) == (Decimal("800.001"), pytest.approx(0.800001))
    assert best.recommended_action == LABEL_ACTIONS["Best customers"]
    assert rows[JANUARY, "rfm", "At Risk"].recommended_action == "Write"
    assert rows[JANUARY, "value_engagement", "High value, At Risk"].customers == 3
    # A month that brought nothing has no shares of it.
    assert rows[DECEMBER, "clusters", "Dormant"].revenue_share == 0.0


def test_each_of_the_twelve_segments_by_value_and_engagement_has_its_own_action():
    assert len(VALUE_ENGAGEMENT_ACTIONS) == len(set(VALUE_ENGAGEMENT_ACTIONS.values())) == 12
