"""actions: who is named in which list, in what order, and why."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from retail_assets.customers import actions as shared
from retail_assets.customers.actions import country_actions, customer_actions, of_no_customer, ranked
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.invoices.actions import Actions, offers, product_actions
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity
from retail_assets.invoices.geo_metrics import GeoMetrics
from retail_assets.invoices.product_affinities import ProductAffinities
from retail_assets.invoices.product_metrics import ProductMetrics
from retail_assets.lakehouse.contracts import conform
from retail_assets_tests.online_retail.frames import bought, frame

MONTH, AS_OF = "2011-06-01", "2011-07-01"


def customer(
    name: str, orders: int, recency: int, spent: int, alive: float, leaving: float, clv: int, **more: Any
) -> dict[str, Any]:
    return {
        "customer_id": name, "frequency": orders, "recency_days": recency, "monetary": spent, "alive": alive,
        "leaving": leaving, "clv": clv, **more,
    }  # fmt: skip


CUSTOMERS = [
    # Who spent most and is gone came first when lists went by what had been spent.
    customer("gone", 30, 300, 90_000, alive=0.01, leaving=0.99, clv=900),
    customer("gone once", 1, 366, 5_000, alive=1.0, leaving=0.95, clv=900),
    customer("leaving", 5, 120, 2_000, alive=0.6, leaving=0.8, clv=1_000),
    customer("leaving less", 5, 99, 2_000, alive=0.7, leaving=0.5, clv=1_000),
    customer("returned it all", 3, 120, 80_000, alive=0.9, leaving=0.7, clv=60_000, net_monetary=0),
    customer("new", 1, 20, 100, alive=1.0, leaving=0.6, clv=300),
    customer("best", 40, 3, 50_000, alive=0.99, leaving=0.05, clv=30_000, rfm_segment="Champions"),
    customer("neither", 3, 40, 300, alive=0.9, leaving=0.3, clv=200),
]


def rfm_of(customer: Mapping[str, Any]) -> dict[str, Any]:
    return {"net_monetary": customer["monetary"], "rfm_segment": "At Risk", "country": "EIRE"} | {
        **customer, "snapshot_month": MONTH, "as_of_date": AS_OF,
    }  # fmt: skip


def lists(spark: SparkSession, with_models: bool = True, chance: float = 0.1) -> dict[str, list[Row]]:
    modelled = [{**c, "snapshot_month": MONTH} for c in CUSTOMERS if with_models]
    churn = [c | {"churn_probability": c["leaving"]} for c in modelled]
    clv = [c | {"clv_12m": float(c["clv"]), "probability_alive": c["alive"]} for c in modelled]
    made = customer_actions(
        frame(spark, CustomerRfm, map(rfm_of, CUSTOMERS)),
        frame(spark, ChurnScores, churn),
        frame(spark, CustomerClv, clv),
        None,
        chance,
        "£",
    )
    rows = conform(ranked([made]), Actions).orderBy("action", "rank").collect()
    return {action: [row for row in rows if row.action == action] for action in shared.ACTIONS}


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> dict[str, list[Row]]:
    return lists(spark)


def named(rows: list[Row]) -> list[str]:
    return [row.customer_id for row in rows]


def test_whom_to_win_back_is_ordered_by_what_can_be_won_and_the_lost_stand_apart(made: dict[str, list[Row]]):
    assert named(made["win_back"]) == ["leaving", "leaving less", "returned it all"]
    assert [float(row.worth) for row in made["win_back"]] == [80.0, 50.0, 0.0]
    assert named(made["lost"]) == ["gone", "gone once"]
    assert [row.worth for row in made["lost"]] == [0, 0]
    assert (named(made["second_purchase"]), named(made["thank"])) == (["new"], ["best"])


def test_a_reason_says_what_the_worth_is_made_of(made: dict[str, list[Row]]):
    assert made["win_back"][0].reason == (
        "5 orders for £2,000, the last 120 days ago; expected to spend £1,000 in the next 12 months, 80% likely to buy "
        "nothing in 90 days: £80 can be won if 10% of those who would leave stay"
    )
    assert "expected to spend £0 (100% returned so far)" in made["win_back"][2].reason
    assert made["lost"][0].reason == "30 orders for £90,000, the last 300 days ago; 1% likely to be a customer still"
    assert made["lost"][1].reason.endswith("after a single order and so long a time nothing is expected")
    assert "£150 can be kept" in made["thank"][0].reason


def test_the_chance_scales_what_can_be_won_and_orders_nothing(spark: SparkSession, made: dict[str, list[Row]]):
    twice = lists(spark, chance=0.2)["win_back"]
    assert named(twice) == named(made["win_back"])
    assert [row.worth for row in twice] == [2 * row.worth for row in made["win_back"]]


def test_where_nothing_can_be_learned_there_is_no_worth_and_nobody_to_win_back(spark: SparkSession):
    found = lists(spark, with_models=False)
    assert found["win_back"] == []
    assert named(found["thank"]) == ["best"]
    assert [row.worth for row in (*found["thank"], *found["second_purchase"])] == [None, None]
    assert "cannot be told" in found["thank"][0].reason


def test_a_long_list_is_cut_but_the_first_of_every_country_and_segment_stay(spark: SparkSession, monkeypatch):
    monkeypatch.setattr(shared, "MOST_CUSTOMERS", 1)
    monkeypatch.setattr(shared, "MOST_OF_EACH", 1)
    assert named(lists(spark)["win_back"]) == ["leaving"]
    monkeypatch.setattr(shared, "MOST_OF_EACH", 2)
    assert named(lists(spark)["win_back"]) == ["leaving", "leaving less"]


def test_who_bought_once_is_offered_what_goes_with_it_and_what_they_do_not_have(spark: SparkSession):
    month = {"snapshot_month": MONTH}
    sides = [("cup", "saucer", 0.5), ("cup", "plate", 0.9), ("pot", "cup", 0.8)]
    rules = [
        {"antecedent": a, "consequent": b, "confidence": c, "antecedent_description": a.upper()} | month
        for a, b, c in sides
    ]
    activity = [
        bought("one", "2011-06", products=["cup", "plate"]),
        bought("two", "2011-06", products=["bowl"]),
        bought("regular", "2011-06", products=["cup"]),
    ]
    who = [rfm_of({"customer_id": c, "frequency": n, "recency_days": 20, "monetary": 9}) for c, n in
           (("one", 1), ("two", 1), ("regular", 7))]  # fmt: skip
    products = [{"stock_code": code, "orders": n} | month for code, n in (("bowl", 3), ("lamp", 9))]
    seen = frame(spark, CustomerMonthActivity, activity).withColumnRenamed("activity_month", "snapshot_month")
    found = offers(
        seen,
        frame(spark, CustomerRfm, who),
        frame(spark, ProductAffinities, rules),
        frame(spark, ProductMetrics, products),
    ).collect()
    assert {row.customer_id: (row.product, row.offer) for row in found} == {
        "one": ("saucer", "saucer, which is in 50% of the orders that have CUP (cup)"),
        "two": ("lamp", "lamp, which most orders of the month have"),
    }


def test_products_and_countries_are_named_by_what_changed(spark: SparkSession):
    month = {"snapshot_month": MONTH, "orders": 9, "abc_class": "A", "return_rate": 0.0, "returns_value": 0}
    products = [
        {"stock_code": "risen", "description": "MUG ", "revenue": 300, "month_over_month_growth": 2.0},
        {"stock_code": "steady", "revenue": 900, "month_over_month_growth": 0.1},
        {"stock_code": "rare", "revenue": 900, "month_over_month_growth": 5.0, "orders": 2},
        {"stock_code": "back", "revenue": 100, "returns_value": 40, "return_rate": 0.4, "abc_class": "C"},
    ]
    countries = [
        {"country": "France", "revenue": 50, "month_over_month_growth": -0.5},
        {"country": "Spain", "revenue": 3_000, "month_over_month_growth": 2.0},
        {"country": "Malta", "revenue": 100, "month_over_month_growth": 0.2},
        {"country": "Chad", "revenue": 0, "month_over_month_growth": -1.0},
    ]
    of = spark.createDataFrame([(date(2011, 6, 1), date(2011, 7, 1))], "snapshot_month date, as_of_date date")
    every = [
        product_actions(frame(spark, ProductMetrics, [month | row for row in products]), "£"),
        country_actions(frame(spark, GeoMetrics, [month | row for row in countries]), "£"),
    ]
    rows = conform(ranked([of_no_customer(each, of) for each in every]), Actions).orderBy("action", "rank").collect()
    assert [(row.action, row.rank, row.product or row.country, float(row.worth)) for row in rows] == [
        ("country", 1, "France", 50.0),
        ("country", 2, "Spain", 0.0),  # what is more is had already
        ("drop", 1, "back", 40.0),
        ("restock", 1, "risen", 200.0),
    ]
    assert rows[0].reason.startswith("France bought for £50, £50 (50%) less than")
    assert rows[1].reason.startswith("Spain bought for £3,000, £2,000 (200%) more than in as long of the month before")
    assert rows[3].reason.startswith("MUG sold for £300, £200 (200%) more")
