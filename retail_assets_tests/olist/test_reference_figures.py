"""The figures that an independent SQL engine found in the published files are those of Olist's tables, exactly."""

import math
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_assets.landing.drops import LandingZone
from retail_assets.olist.landing import land
from retail_assets_tests.olist.made_marketplace import MADE, TABLES
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.workbench import Workbench

pytestmark = pytest.mark.long

NEWEST = "snapshot_month = DATE '2018-10-01'"

LANDED = {
    "customers": 99_441, "orders": 99_441, "order_items": 112_650, "order_payments": 103_886, "order_reviews": 99_224,
    "products": 32_951, "sellers": 3_095, "geolocation": 1_000_163, "category_translation": 71,
}  # fmt: skip


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, real_data: Path) -> IndependentReader:
    """Olist's own tables of all months, made by the main job from the published files."""
    workbench = Workbench(tmp_path_factory.mktemp("olist"), spark, source="olist")
    landed = land([real_data / "olist"], LandingZone(workbench.settings.landing))
    assert {table: of.rows for table, of in landed.tables.items()} == LANDED
    assert [(of.malformed, of.undated) for of in landed.tables.values()] == [(0, 0)] * 9
    summary = workbench.run(tables=[name for name in TABLES if name.startswith("raw_") or name in MADE])
    assert summary.failures == []
    assert not summary.waiting
    return IndependentReader(workbench.path("orders").parent)


def test_every_landed_row_is_in_bronze(lakehouse: IndependentReader):
    assert {table: lakehouse.row(f"SELECT count(*) FROM raw_{table}")[0] for table in LANDED} == LANDED
    comments = lakehouse.row("SELECT count(*) FROM raw_order_reviews WHERE contains(review_comment_message, chr(10))")
    assert comments[0] > 2_000
    assert lakehouse.row("SELECT count(*) FROM raw_order_reviews WHERE length(order_id) <> 32") == (0,)


def test_orders_and_their_deliveries(lakehouse: IndependentReader):
    orders, days, delay, undated = lakehouse.row(
        "SELECT count(*), avg(delivery_days), avg(delivery_delay_days), count(*) FILTER (delivered_at IS NULL) "
        "FROM orders WHERE is_delivered"
    )
    assert (orders, undated) == (96_478, 8)
    assert math.isclose(days, 12.496848761272934)
    assert math.isclose(delay, -11.875888877371203)


def test_items_payments_and_reviews(lakehouse: IndependentReader):
    untranslated = "list_sort(list(DISTINCT category_english) FILTER (NOT is_translated))"
    assert lakehouse.row(f"SELECT count(*), sum(price), {untranslated} FROM order_items") == (
        112_650, Decimal("13591643.70"), ["pc_gamer", "portateis_cozinha_e_preparadores_de_alimentos"],
    )  # fmt: skip
    assert lakehouse.row("SELECT count(*), count(payment_value), sum(payment_value) FROM order_payments") == (
        99_441, 99_440, Decimal("16008872.12"),
    )  # fmt: skip
    assert lakehouse.row("SELECT count(*), sum(reviews) FROM order_reviews") == (98_673, 99_224)


def test_the_master_of_orders(lakehouse: IndependentReader):
    assert lakehouse.row("SELECT count(*), sum(order_total_value) FROM orders_master") == (
        96_478, Decimal("15422605.23"),
    )  # fmt: skip


def test_customers_are_unique_customers(lakehouse: IndependentReader):
    assert lakehouse.row(f"SELECT count(*), count_if(frequency > 0) FROM customer_metrics WHERE {NEWEST}") == (
        96_096, 93_358,
    )  # fmt: skip
    frequencies = f"SELECT frequency, count(*) FROM customer_metrics WHERE {NEWEST} GROUP BY 1"
    assert dict(lakehouse.rows(frequencies)) == {
        0: 2_738, 1: 90_557, 2: 2_573, 3: 181, 4: 28, 5: 9, 6: 5, 7: 3, 9: 1, 15: 1,
    }  # fmt: skip
    activity = "SELECT sum(orders), sum(revenue), count(DISTINCT customer_id) FROM customer_month_activity"
    assert lakehouse.row(activity) == (96_478, Decimal("15422605.23"), 93_358)


def test_products_categories_and_sellers(lakehouse: IndependentReader):
    sold = "count(*), count_if(units > 0), sum(units)"
    assert lakehouse.row(f"SELECT {sold} FROM product_metrics WHERE {NEWEST}") == (32_951, 32_216, 110_197)
    categories = f"SELECT count(*), count_if(category <> 'uncategorised') FROM category_metrics WHERE {NEWEST}"
    assert lakehouse.row(categories) == (74, 73)
    assert lakehouse.row(f"SELECT {sold} FROM seller_metrics WHERE {NEWEST}") == (3_095, 2_970, 110_197)


def test_cities_and_states(lakehouse: IndependentReader):
    pairs = "count(*), count_if(delivered_orders > 0), count(DISTINCT customer_city)"
    assert lakehouse.row(f"SELECT {pairs} FROM geographic_metrics WHERE {NEWEST}") == (4_310, 4_272, 4_119)
    of_sao_paulo = f"SELECT sum(delivered_orders) FROM geographic_metrics WHERE {NEWEST} AND customer_state = 'SP'"
    assert lakehouse.row(of_sao_paulo) == (40_501,)


def test_days_without_a_gap(lakehouse: IndependentReader):
    days = "count(*), count_if(delivered_orders > 0), count_if(orders > 0), max(purchase_date) - min(purchase_date) + 1"
    assert lakehouse.row(f"SELECT {days} FROM daily_metrics") == (791, 612, 634, 791)


def test_the_checks_of_the_published_files_pass_but_for_reviews_asked_for_too_early(lakehouse: IndependentReader):
    failed = "SELECT table_name, check_name, partition_key FROM dq_results WHERE status = 'failed' GROUP BY ALL"
    assert sorted(lakehouse.rows(failed)) == [
        ("olist.order_reviews", "reviews_after_purchase", "2018-09-01"),
        ("olist.order_reviews", "reviews_after_purchase", "2018-10-01"),
    ]
