import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from retail_assets.analytics.rfm import (
    RECOMMENDED_ACTIONS,
    RFM_SEGMENTS,
    recommended_action,
    with_rfm_scores,
    with_value_and_engagement,
)

# The catalogue of tables, cell by cell: a row per recency score from 1 to 5, a column per frequency score.
GRID = [
    ["Hibernating", "Hibernating", "At Risk", "At Risk", "Can't Lose Them"],
    ["Hibernating", "Hibernating", "At Risk", "At Risk", "Can't Lose Them"],
    ["About To Sleep", "About To Sleep", "Need Attention", "Loyal Customers", "Loyal Customers"],
    ["Promising", "Potential Loyalists", "Potential Loyalists", "Loyal Customers", "Loyal Customers"],
    ["New Customers", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"],
]


@pytest.mark.parametrize(("recency", "frequency"), itertools.product(range(1, 6), range(1, 6)))
def test_every_cell_of_the_grid_is_in_exactly_one_named_segment(recency: int, frequency: int):
    found = [name for cells, name in RFM_SEGMENTS.items() if re.fullmatch(cells, f"{recency}{frequency}")]
    assert found == [GRID[recency - 1][frequency - 1]]


def test_every_segment_has_a_recommended_action():
    assert set(RECOMMENDED_ACTIONS) == set(RFM_SEGMENTS.values())
    assert len(set(RECOMMENDED_ACTIONS.values())) == 10


def test_scores_are_quintiles_recent_customers_best_and_segments_follow_the_grid(spark: SparkSession):
    # All 25 cells: recency falls with i, frequency rises with j; each quintile holds 5 of 25 customers.
    rows = [("m", f"{i}{j}", 500 - 100 * i - j, 100 * j + i, 10 * i + j) for i in range(1, 6) for j in range(1, 6)]
    scored = with_rfm_scores(
        spark.createDataFrame(rows, "month string, customer_id string, recency_days int, frequency int, monetary int"),
        within="month",
    )
    with_action = scored.withColumn("recommended_action", recommended_action(scored.rfm_segment)).collect()
    assert len(with_action) == 25
    for row in with_action:
        i, j = int(row.customer_id[0]), int(row.customer_id[1])
        assert (row.r_score, row.f_score, row.m_score) == (i, j, i)
        assert row.rfm_score == f"{i}{j}{i}"
        assert row.rfm_segment == GRID[i - 1][j - 1]
        assert row.recommended_action == RECOMMENDED_ACTIONS[row.rfm_segment]


def test_months_are_scored_apart_and_a_lone_customer_is_in_the_middle(spark: SparkSession):
    crowd = [("a", str(i), i, 10 - i, 10 - i) for i in range(10)]
    rows = [*crowd, ("b", "lone", 400, 1, 1)]
    scored = with_rfm_scores(
        spark.createDataFrame(rows, "month string, customer_id string, recency_days int, frequency int, monetary int"),
        within="month",
    )
    lone = scored.where("month = 'b'").collect()[0]
    assert (lone.rfm_score, lone.rfm_segment) == ("333", "Need Attention")
    assert [row.r_score for row in scored.where("month = 'a'").orderBy("recency_days").collect()] == [
        5, 5, 4, 4, 3, 3, 2, 2, 1, 1,
    ]  # fmt: skip


customers = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=30)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(populations=st.lists(customers, min_size=1, max_size=12))
def test_every_customer_gets_one_segment_and_equal_values_get_equal_scores(spark: SparkSession, populations):
    rows = [
        (str(month), str(number), *values)
        for month, population in enumerate(populations)
        for number, values in enumerate(population)
    ]
    frame = spark.createDataFrame(
        rows, "month string, customer_id string, recency_days int, frequency int, monetary int"
    )
    scored = with_rfm_scores(frame, within="month").toPandas()
    assert len(scored) == len(rows)
    for value, score, better in (
        ("recency_days", "r_score", -1),
        ("frequency", "f_score", 1),
        ("monetary", "m_score", 1),
    ):
        assert scored[score].between(1, 5).all()
        per_value = scored.groupby(["month", value])[score]
        assert (per_value.nunique() == 1).all()
        ordered = per_value.first().mul(better).groupby("month")
        assert ordered.apply(lambda scores: scores.is_monotonic_increasing).all()
        values, scores = scored.groupby("month")[value], scored.groupby("month")[score]
        alike = values.transform("nunique") == 1
        least, most = values.transform("min"), values.transform("max")
        best, last = (least, most) if better == -1 else (most, least)
        assert (scored[score][alike] == 3).all()
        assert (scored[score][~alike & (scored[value] == best)] == 5).all()
        assert (scored[score][~alike & (scored[value] == last)] == 1).all()
        assert scores.nunique().le(values.nunique()).all()
    assert [GRID[r - 1][f - 1] for r, f in zip(scored.r_score, scored.f_score, strict=True)] == list(scored.rfm_segment)


@pytest.mark.parametrize(
    ("sizes", "scores"),
    [
        ([10, 50], [1, 5]),  # trap 24
        ([50, 10], [1, 5]),
        ([10, 40, 10], [1, 3, 5]),
        ([25, 25, 25, 25], [1, 2, 4, 5]),
        ([20, 20, 20, 20, 20], [1, 2, 3, 4, 5]),
        ([90, 5, 5], [1, 5, 5]),
        ([60], [3]),
    ],
)
def test_a_group_of_equals_is_scored_by_where_it_stands(spark: SparkSession, sizes: list[int], scores: list[int]):
    rows = [("m", level, level + 1, 100 * level) for level, size in enumerate(sizes) for _ in range(size)]
    frame = spark.createDataFrame(rows, "month string, recency_days int, frequency int, monetary int")
    scored = with_rfm_scores(frame, within="month").toPandas().groupby("frequency").first()
    assert scored.f_score.tolist() == scored.m_score.tolist() == scores
    assert scored.r_score.tolist() == [6 - score for score in scores]


@pytest.mark.parametrize(
    ("sizes", "values", "engagements"),
    [
        ([10, 50], ["Base", "High"], ["Developing", "At Risk"]),
        ([50, 10], ["Base", "High"], ["Developing", "At Risk"]),
        ([60], ["Growing"], ["Developing"]),
    ],
)
def test_value_and_engagement_of_equals(spark: SparkSession, sizes, values, engagements):
    # Who orders more has been away longer.
    rows = [("m", 1 + level, level + 1, 100 + level) for level, size in enumerate(sizes) for _ in range(size)]
    frame = spark.createDataFrame(rows, "month string, recency_days int, frequency int, monetary int")
    judged = with_value_and_engagement(frame, within="month").toPandas().groupby("frequency").first()
    assert judged.value_segment.tolist() == values
    assert judged.engagement_segment.tolist() == engagements
