"""product_demand of Olist: every item that was ordered, by week and product."""

from datetime import date

from pyspark.sql import SparkSession

from retail_assets.lakehouse.contracts import conform
from retail_assets.olist.order_items import OrderItems
from retail_assets.olist.product_demand import ProductDemand, product_demand
from retail_assets_tests.online_retail.frames import frame


def item(order: str, day: str, product: str = "lamp", price: str = "10.000", **more: object) -> dict[str, object]:
    return {
        "order_id": order, "product_id": product, "category_english": "furniture", "price": price,
        "purchase_date": day, "is_delivered": True, **more,
    }  # fmt: skip


def test_pieces_of_an_order_are_one_order_and_weeks_may_lie_in_two_months(spark: SparkSession):
    items = [
        item("a", "2018-01-30"), item("a", "2018-01-30"), item("b", "2018-02-02", is_delivered=False),
        item("c", "2018-02-05"), item("c", "2018-02-05", "game", "5.000"),
    ]  # fmt: skip
    made = conform(product_demand(frame(spark, OrderItems, items)), ProductDemand).collect()
    rows = {(row.week, row.stock_code): row for row in made}
    first = rows[date(2018, 1, 29), "lamp"]
    assert (first.units, first.orders, str(first.revenue), first.country_units) == (3, 2, "30.000", {"Brazil": 3})
    assert (first.family, first.cancelled_units) == ("furniture", 0)
    assert str(rows[date(2018, 2, 5), "game"].small_lot_price) == "5.000"
    assert len(rows) == 3
