"""customer_recommendations: lists that know nothing of what comes, hold what they promise, and are for everybody."""

from datetime import date, timedelta

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from retail_assets.analytics import next_basket
from retail_assets.analytics.next_basket import AGAIN, NEW
from retail_assets.analytics.recommending import BOOSTED, COUNTRY, FIRST, OTHERS, OWN, SHARES, Recommender
from retail_assets.foresight import customer_recommendations as foresight
from retail_assets.invoices import customer_recommendations as table
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.checks import Audit
from retail_assets_tests.foresight import made_purchases
from retail_assets_tests.foresight.made_purchases import AS_OF, DAY
from retail_assets_tests.online_retail.frames import frame, sale

WEEK = AS_OF - timedelta(days=7)


@pytest.fixture(scope="module")
def purchases() -> pd.DataFrame:
    return made_purchases.purchases(160, 300)


@pytest.fixture(scope="module")
def recommender(purchases: pd.DataFrame) -> Recommender:
    return Recommender.learnt(purchases, AS_OF, {"P001": "RED LAMP"})


@pytest.fixture(scope="module")
def lists(purchases: pd.DataFrame, recommender: Recommender) -> pd.DataFrame:
    return recommender.lists(purchases)


def sorted_rows(lists: pd.DataFrame) -> pd.DataFrame:
    return lists.sort_values(["customer_id", "list", "rank"], ignore_index=True)


def test_nothing_from_the_as_of_day_on_is_known(purchases, lists):
    future = purchases["day"] >= DAY
    changed = purchases.copy()
    changed.loc[future, "product"] = "P015"
    changed.loc[future, "country"] = "Spain"
    comer = pd.DataFrame([("later", "Spain", "P099", DAY)], columns=changed.columns)
    changed = pd.concat([changed, comer]).drop_duplicates(["customer_id", "product", "day"])
    again = Recommender.learnt(changed, AS_OF, {"P001": "RED LAMP"})
    pd.testing.assert_frame_equal(sorted_rows(again.lists(changed)), sorted_rows(lists))


def test_everyone_with_an_order_has_ten_new_products_none_of_which_was_bought(purchases, lists):
    known = purchases[purchases["day"] < DAY]
    new = lists[lists["list"] == NEW]
    assert (new.groupby("customer_id").size() == 10).all()
    assert set(new["customer_id"]) == set(known["customer_id"])
    bought = pd.MultiIndex.from_frame(known[["customer_id", "product"]])
    assert not pd.MultiIndex.from_frame(new[["customer_id", "product"]]).isin(bought).any()
    again = lists[lists["list"] == AGAIN]
    assert pd.MultiIndex.from_frame(again[["customer_id", "product"]]).isin(bought).all()
    assert (lists.groupby(["customer_id", "list"])["rank"].apply(lambda r: list(r) == list(range(1, len(r) + 1)))).all()


def test_a_product_that_is_not_sold_any_more_is_in_no_list(recommender, lists):
    assert "P99" not in {*lists["product"], *recommender.firsts()["product"]}


def test_new_products_are_those_of_customers_of_the_same_taste(recommender, lists):
    assert recommender.model == BOOSTED
    new = lists[(lists["list"] == NEW) & (lists["basis"] == OTHERS)]
    taste = new["customer_id"].str[1:].astype(int) % 2
    assert (new["product"].str[1].astype(int) == taste).mean() > 0.9
    assert new["reason"].str.startswith("bought by those who buy P").any()


def test_probabilities_fall_with_the_rank_and_tell_how_often_it_comes_true(purchases, lists):
    again = lists[lists["list"] == AGAIN]
    assert (again.groupby("customer_id")["probability"].apply(lambda p: p.is_monotonic_decreasing)).all()
    later = purchases[purchases["day"] >= DAY]
    next_day = later.groupby("customer_id")["day"].transform("min")
    came = pd.MultiIndex.from_frame(later.loc[later["day"] == next_day, ["customer_id", "product"]])
    of = again[again["customer_id"].isin(later["customer_id"])]
    hits = pd.MultiIndex.from_frame(of[["customer_id", "product"]]).isin(came)
    assert hits.mean() == pytest.approx(of["probability"].mean(), abs=0.05)
    assert hits[of["rank"] <= 2].mean() > 2 * hits[of["rank"] > 5].mean()


def test_a_reason_says_how_often_and_when_it_was_last_bought(purchases, recommender):
    of = purchases[(purchases["customer_id"] == "c0003") & (purchases["day"] < DAY)]
    again = recommender.lists(of)
    again = again[again["list"] == AGAIN].iloc[0]
    days = of.loc[of["product"] == again["product"], "day"]
    last = date(1970, 1, 1) + timedelta(days=int(days.max()))
    assert again["basis"] == OWN
    assert again["reason"] == f"bought {len(days)} times, last in {last:%B %Y}"


def test_whose_purchases_tell_nothing_gets_what_the_country_buys_and_is_told_so(recommender, lists):
    of_stranger = lists[lists["customer_id"] == "stranger"]
    assert list(of_stranger["basis"]) == [COUNTRY] * 10
    assert set(of_stranger["reason"]) == {"much bought in France these weeks"}
    firsts = recommender.firsts()
    france = firsts[firsts["country"] == "France"]
    assert list(france["list"].unique()) == [FIRST]
    assert sorted(of_stranger["product"]) == sorted(france["product"])


def test_a_part_of_the_customers_gets_the_same_lists_as_all_of_them(purchases, recommender, lists):
    part = purchases[purchases["customer_id"].isin(["c0007", "c0010", "c0131"])]
    expected = lists[lists["customer_id"].isin(part["customer_id"])]
    pd.testing.assert_frame_equal(sorted_rows(recommender.lists(part))[COLUMNS], sorted_rows(expected)[COLUMNS])


COLUMNS = ["customer_id", "list", "rank", "product", "description", "probability", "reason", "basis"]


def test_of_too_little_nothing_is_learnt_and_probabilities_are_shares(purchases):
    few = purchases[purchases["day"] >= DAY - 100]
    recommender = Recommender.learnt(few, AS_OF, {})
    assert recommender.model == SHARES
    lists = recommender.lists(few)
    row = lists[lists["list"] == AGAIN].iloc[0]
    own = few[(few["customer_id"] == row["customer_id"]) & (few["day"] < DAY)]
    expected = (own["product"] == row["product"]).sum() / own["day"].nunique()
    assert row["probability"] == pytest.approx(expected)


def test_windows_that_are_learnt_from_are_over():
    assert min(next_basket.LEARNT_FROM) >= next_basket.WITHIN


def test_lists_made_where_the_purchases_lie_are_those_made_on_the_driver(
    spark: SparkSession, monkeypatch, purchases, recommender, lists
):
    monkeypatch.setattr(foresight, "CUSTOMERS_OF_A_GROUP", 60)
    made = foresight._where_they_lie(spark.createDataFrame(purchases), recommender, WEEK).toPandas()
    expected = lists.rename(columns={"product": "stock_code"})
    columns = [*COLUMNS[:3], "stock_code", *COLUMNS[4:]]
    pd.testing.assert_frame_equal(sorted_rows(made)[columns], sorted_rows(expected)[columns], check_dtype=False)
    assert (set(made["as_of_date"]), set(made["week"])) == ({AS_OF}, {WEEK})


def test_rows_of_products_that_are_gone_or_in_the_wrong_list_are_counted(spark: SparkSession):
    def bought(day: str, customer: str, code: str):
        return sale(day, "500001", "1.000", customer_id=customer, stock_code=code, unit_price="1.000")

    transactions = frame(
        spark,
        CleanTransactions,
        [bought("2011-06-01", "1", "A"), bought("2011-05-01", "1", "GONE"), bought("2011-06-01", "2", "B")],
    )
    rows = [("1", AGAIN, "A"), ("1", AGAIN, "GONE"), ("1", AGAIN, "B"), ("2", NEW, "A"), ("2", NEW, "B")]
    recommended = spark.createDataFrame(
        [(WEEK, AS_OF, *row) for row in rows],
        "week date, as_of_date date, customer_id string, list string, stock_code string",
    )
    audit = Audit(recommended, {"transactions": transactions}, [str(WEEK)], "week", {})
    (found,) = table._broken(audit).collect()
    assert (found.not_sold_any_more, found.in_the_wrong_list) == (1, 2)
    (known,) = table._customers(audit).collect()
    assert known.customers == 2
