"""Everything that cuts at a rank cuts between groups of equals, wherever their rows lie."""

import numpy as np
import pytest
from pyspark.sql import SparkSession

from retail_assets.analytics.abc_classes import with_abc_class
from retail_assets.analytics.churn import with_churn_risk
from retail_assets.analytics.out_of_time import calibration_error, judge, resamples
from retail_assets.analytics.standing import parts


@pytest.mark.parametrize(
    ("probabilities", "bands"),
    [
        ({0.5: 10}, {0.5: "Medium"}),
        ({0.9: 8, 0.1: 2}, {0.9: "High", 0.1: "Low"}),
        ({0.9: 2, 0.5: 6, 0.1: 2}, {0.9: "High", 0.5: "Medium", 0.1: "Low"}),
        ({0.9: 1, 0.8: 2, 0.4: 2, 0.1: 5}, {0.9: "High", 0.8: "High", 0.4: "Medium", 0.1: "Low"}),
    ],
)
def test_equal_risks_have_one_band_and_the_highest_is_high(spark: SparkSession, probabilities, bands):
    rows = [("m", risk) for risk, customers in probabilities.items() for _ in range(customers)]
    found = with_churn_risk(spark.createDataFrame(rows, "month string, churn_probability double"), "month")
    assert dict(found.select("churn_probability", "churn_risk").distinct().collect()) == bands


def test_products_of_equal_revenue_have_one_class(spark: SparkSession):
    # 500 in all: 390 and 22 of 5, of which the first reach 80 %, and the middle is at 89 %.
    products = [("m", "best", 390)] + [("m", f"p{number:02}", 5) for number in range(22)]
    frame = spark.createDataFrame(products, "month string, code string, revenue int")
    classed = with_abc_class(
        frame.selectExpr("month", "code", "cast(revenue as decimal(18,3)) revenue"), "month", "code"
    )
    rows = {row.code: row for row in classed.collect()}
    assert rows["best"].abc_class == "A"
    assert {row.abc_class for code, row in rows.items() if code != "best"} == {"B"}
    assert sorted(row.revenue_rank for row in rows.values()) == list(range(1, 24))


def test_parts_hold_equals_together():
    assert parts(range(20, 0, -1), 10).tolist() == [number for number in range(1, 11) for _ in range(2)]
    assert parts([1.0] * 7, 10).tolist() == [5] * 7
    assert parts([5.0, 5.0, *([1.0] * 8)], 10).tolist() == [1, 1, *([6] * 8)]


def test_what_was_foreseen_is_judged_the_same_in_any_order_of_equals():
    random = np.random.default_rng(1)
    ranking = np.repeat([0.1, 0.5, 0.9], [40, 30, 30])
    happened = (random.random(100) < ranking).astype(float)
    shuffled = random.permutation(100)
    drawn = resamples(100)[:5]
    one, other = judge(happened, ranking, drawn), judge(happened[shuffled], ranking[shuffled], drawn)
    assert one.top_decile_lift == pytest.approx(other.top_decile_lift)
    assert one.top_decile_lift == pytest.approx(happened[ranking == 0.9].mean() / happened.mean())
    of_both = [calibration_error(happened[order], ranking[order]) for order in (np.arange(100), shuffled)]
    assert of_both[0] == pytest.approx(of_both[1])
