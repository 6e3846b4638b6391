"""What Olist's tables make of a small marketplace."""

from datetime import date
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from retail_assets_tests.olist.made_marketplace import MADE, MadeMarketplace, month_of, together

JANUARY, FEBRUARY, MARCH = "2017-01-01", "2017-02-01", "2017-03-01"


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> MadeMarketplace:
    """January and March; nothing was ordered in February. One order of March has no payment, its customer has moved."""
    march = month_of("2017-03")
    march["raw_order_payments"] = march["raw_order_payments"][:2] + march["raw_order_payments"][3:]
    march["raw_customers"][1] |= {"customer_zip_code_prefix": "99999", "customer_city": "campinas"}
    rows = together([month_of("2017-01"), march])
    return MadeMarketplace(spark, rows, [JANUARY, FEBRUARY, MARCH])


def test_nothing_of_a_sound_marketplace_fails_a_check(made: MadeMarketplace):
    assert {name: failed for name in MADE if (failed := made.failed(name))} == {}


def test_days_of_delivery_are_those_of_delivered_orders_by_the_calendar(made: MadeMarketplace):
    [first] = made.rows("orders", order_id="2017-01 first")
    assert (first.is_delivered, first.delivery_days, first.delivery_delay_days) == (True, 5, -5)
    assert (first.purchase_date, first.customer_unique_id, first.customer_state) == (date(2017, 1, 4), "Eva", "SP")
    [third] = made.rows("orders", order_id="2017-01 third")
    assert (third.is_delivered, third.delivered_at, third.delivery_days) == (False, None, None)


def test_a_category_without_an_english_name_keeps_its_own_and_a_product_without_one_is_uncategorised(
    made: MadeMarketplace,
):
    categories = {row.product_id: (row.category, row.category_english, row.is_translated)
                  for row in made.rows("order_items")}  # fmt: skip
    assert categories == {
        "lamp": ("moveis", "furniture", True),
        "game": ("pc_gamer", "pc_gamer", False),
        "thing": ("uncategorised", "uncategorised", True),
    }


def test_payments_of_an_order_add_up_and_one_without_any_has_a_row(made: MadeMarketplace):
    [first] = made.rows("order_payments", order_id="2017-01 first")
    assert (first.payments, first.payment_value, first.payment_type) == (2, 90, "credit_card")
    assert first.payment_types == ["credit_card", "voucher"]
    [unpaid] = made.rows("order_payments", order_id="2017-03 second")
    assert (unpaid.payments, unpaid.payment_value, unpaid.payment_types) == (0, None, [])


def test_the_newest_review_of_an_order_is_the_one_that_counts(made: MadeMarketplace):
    [first] = made.rows("order_reviews", order_id="2017-01 first")
    assert (first.reviews, first.review_score, first.lowest_score, first.highest_score) == (2, 4, 1, 4)
    assert (first.review_id, first.asked_on) == ("2017-01 2", date(2017, 1, 14))


def test_an_order_is_worth_what_was_paid_else_price_and_freight(made: MadeMarketplace):
    values = {row.order_id: row.order_total_value for row in made.rows("orders_master")}
    assert values == {
        "2017-01 first": Decimal(90), "2017-01 second": Decimal(25), "2017-03 first": Decimal(90),
        "2017-03 second": Decimal(25),
    }  # fmt: skip
    [first] = made.rows("orders_master", order_id="2017-01 first")
    assert (first.items, first.products, first.sellers, first.review_score) == (2, ["game", "lamp"], 2, 4)


def test_a_customer_is_the_same_in_all_orders(made: MadeMarketplace):
    [january] = made.rows("customer_month_activity", activity_month=JANUARY)
    assert (january.customer_id, january.orders, january.units, january.revenue) == ("Eva", 2, 3, 115)
    assert (january.active_days, january.lines, january.products) == (2, 3, ["game", "lamp"])
    frequencies = [(row.snapshot_month.month, row.orders, row.frequency, row.monetary)
                   for row in made.rows("customer_metrics", customer_unique_id="Eva")]  # fmt: skip
    assert sorted(frequencies) == [(1, 2, 2, 115), (2, 2, 2, 115), (3, 4, 4, 230)]
    [eva] = made.rows("customer_metrics", customer_unique_id="Eva", snapshot_month=MARCH)
    assert (eva.customer_city, eva.month_frequency, eva.average_delivery_days) == ("campinas", 2, 5.0)
    assert (eva.review_score, eva.late_deliveries, eva.avg_order_value) == (4.5, 0, Decimal("57.500"))
    [leo] = made.rows("customer_metrics", customer_unique_id="Leo", snapshot_month=MARCH)
    assert (leo.orders, leo.frequency, leo.monetary, leo.avg_order_value, leo.review_score) == (2, 0, 0, None, None)


def test_products_add_up_over_the_months_with_the_reviews_of_their_orders(made: MadeMarketplace):
    [lamp] = made.rows("product_metrics", product_id="lamp", snapshot_month=MARCH)
    assert (lamp.ordered_units, lamp.units, lamp.orders, lamp.revenue, lamp.freight_value) == (4, 4, 4, 80, 20)
    assert (lamp.average_price, lamp.reviews, lamp.review_score) == (20, 4, 4.5)
    assert (lamp.month_units, lamp.month_revenue, lamp.revenue_rank, lamp.category_rank) == (2, 40, 2, 1)
    [quiet] = made.rows("product_metrics", product_id="lamp", snapshot_month=FEBRUARY)
    assert (quiet.units, quiet.month_units, quiet.last_ordered_on) == (2, 0, date(2017, 1, 6))
    [thing] = made.rows("product_metrics", product_id="thing", snapshot_month=MARCH)
    assert (thing.ordered_units, thing.units, thing.average_price, thing.review_score) == (2, 0, None, None)


def test_categories_and_sellers_have_the_sales_of_their_items(made: MadeMarketplace):
    categories = {
        row.category_english: (row.products, row.units, row.revenue, row.revenue_share, row.revenue_rank)
        for row in made.rows("category_metrics", snapshot_month=MARCH)
    }
    assert categories == {
        "furniture": (1, 4, 80, 0.4, 2), "pc_gamer": (1, 2, 120, 0.6, 1), "uncategorised": (1, 0, 0, 0.0, 3),
    }  # fmt: skip
    sellers = {row.seller_id: (row.seller_state, row.units, row.orders, row.revenue)
               for row in made.rows("seller_metrics", snapshot_month=MARCH)}  # fmt: skip
    assert sellers == {"ana": ("SP", 4, 4, 80), "rui": ("RJ", 2, 2, 120)}


def test_cities_lie_where_their_customers_do_and_points_outside_brazil_count_nowhere(made: MadeMarketplace):
    cities = {
        row.customer_city: (row.orders, row.delivered_orders, row.customers, row.revenue, row.located_orders)
        for row in made.rows("geographic_metrics", snapshot_month=MARCH)
    }
    assert cities == {"sao paulo": (3, 3, 1, 205, 3), "rio": (2, 0, 1, 0, 2), "campinas": (1, 1, 1, 25, 0)}
    [sao_paulo] = made.rows("geographic_metrics", customer_city="sao paulo", snapshot_month=MARCH)
    assert (sao_paulo.latitude, sao_paulo.longitude) == (pytest.approx(-23.6), pytest.approx(-46.6))
    assert (sao_paulo.late_share, sao_paulo.average_delivery_days) == (0.0, 5.0)
    [campinas] = made.rows("geographic_metrics", customer_city="campinas", snapshot_month=MARCH)
    assert (campinas.latitude, campinas.longitude) == (None, None)


def test_every_day_of_the_calendar_has_a_row_and_averages_reach_into_the_months_before(made: MadeMarketplace):
    days = {row.purchase_date: row for row in made.rows("daily_metrics")}
    assert len(days) == 31 + 28 + 31
    sixth = days[date(2017, 1, 6)]
    assert (sixth.orders, sixth.delivered_orders, sixth.customers, sixth.revenue) == (2, 1, 1, 25)
    assert (sixth.average_order_value, sixth.review_score) == (25, 5.0)
    assert sixth.revenue_7_day_average == Decimal("16.429")  # 115 / 7
    assert days[date(2017, 2, 4)].revenue_30_day_average == Decimal("0.833")  # 25 of 6 January / 30
    assert days[date(2017, 2, 5)].revenue_30_day_average == 0
    assert (days[date(2017, 2, 1)].orders, days[date(2017, 2, 1)].average_order_value) == (0, None)


def test_a_month_is_the_same_made_alone_or_with_others(made: MadeMarketplace, spark: SparkSession):
    alone = MadeMarketplace(spark, together([month_of("2017-01")]), [JANUARY])
    for name in ("product_metrics", "customer_metrics", "daily_metrics"):
        partition = "purchase_month" if name == "daily_metrics" else "snapshot_month"
        assert sorted(map(str, alone.rows(name))) == sorted(map(str, made.rows(name, **{partition: JANUARY})))
