"""A marketplace of a few orders a month, as its raw tables hold them, and what is made of it."""

import inspect
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession

from retail_assets import olist
from retail_assets.lakehouse.checks import Audit
from retail_assets.lakehouse.contracts import conform, partition_column, table_name
from retail_assets.lakehouse.found_tables import tables_in
from retail_assets.lakehouse.judging import Judged, judge
from retail_assets.lakehouse.table import Table
from retail_assets.partitions.cadence import WHOLE, weekly
from retail_assets.partitions.keys import PartitionWindow
from retail_assets_tests.online_retail.frames import frame

Rows = dict[str, list[dict[str, Any]]]
"""Raw table -> its rows."""

TABLES = {table.key.path[-1]: table for table in tables_in(olist)}
MADE = {
    name: table
    for name, table in TABLES.items()
    if not name.startswith("raw_") and name not in ("actions", "dashboard") and table.cadence is not weekly
}
"""What is made of raw rows by these tables alone, and by the month; actions and dashboards read customers' tables."""

REFERENCES: Rows = {
    "raw_products": [
        {"product_id": "lamp", "product_category_name": "moveis"},
        {"product_id": "game", "product_category_name": "pc_gamer"},
        {"product_id": "thing", "product_category_name": None},
    ],
    "raw_category_translation": [
        {"product_category_name": "moveis", "product_category_name_english": "furniture"},
    ],
    "raw_sellers": [{"seller_id": "ana", "seller_state": "SP"}, {"seller_id": "rui", "seller_state": "RJ"}],
    "raw_geolocation": [
        {"geolocation_zip_code_prefix": "01001", "geolocation_lat": "-23.5", "geolocation_lng": "-46.5"},
        {"geolocation_zip_code_prefix": "01001", "geolocation_lat": "-23.7", "geolocation_lng": "-46.7"},
        {"geolocation_zip_code_prefix": "01001", "geolocation_lat": "42.4", "geolocation_lng": "13.8"},
        {"geolocation_zip_code_prefix": "20000", "geolocation_lat": "-22.9", "geolocation_lng": "-43.2"},
    ],
}


def month_of(month: str) -> Rows:
    """The orders of a month (yyyy-mm): a lamp and a game to Eva, another lamp to her, a thing to Leo, which is on its
    way. The first was reviewed twice."""

    def order(name: str, day: int, customer: str, status: str = "delivered") -> dict[str, Any]:
        arrived = status == "delivered"
        return {
            "order_id": f"{month} {name}",
            "customer_id": f"{customer} of {month} {name}",
            "order_status": status,
            "order_purchase_timestamp": f"{month}-{day:02} 10:00:00",
            "order_approved_at": f"{month}-{day:02} 11:00:00",
            "order_delivered_carrier_date": f"{month}-{day + 1:02} 09:00:00",
            "order_delivered_customer_date": f"{month}-{day + 5:02} 18:00:00" if arrived else None,
            "order_estimated_delivery_date": f"{month}-{day + 10:02} 00:00:00",
        }

    def item(name: str, number: int, product: str, seller: str, price: str) -> dict[str, Any]:
        limit = f"{month}-08 10:00:00"
        about = {"product_id": product, "seller_id": seller, "shipping_limit_date": limit}
        return {
            "order_id": f"{month} {name}",
            "order_item_id": str(number),
            "price": price,
            "freight_value": "5.00",
        } | about

    def payment(name: str, number: int, kind: str, value: str) -> dict[str, Any]:
        about = {"payment_sequential": str(number), "payment_type": kind, "payment_installments": "1"}
        return {"order_id": f"{month} {name}", "payment_value": value} | about

    def review(name: str, number: int, score: str, day: int) -> dict[str, Any]:
        asked = {
            "review_creation_date": f"{month}-{day} 00:00:00",
            "review_answer_timestamp": f"{month}-{day} 20:00:00",
        }
        return {"review_id": f"{month} {number}", "order_id": f"{month} {name}", "review_score": score} | asked

    orders = [order("first", 4, "Eva"), order("second", 6, "Eva"), order("third", 6, "Leo", "shipped")]
    homes = {"Eva": ("01001", "sao paulo", "SP"), "Leo": ("20000", "rio", "RJ")}
    customers = [
        {"customer_id": one["customer_id"], "customer_unique_id": who}
        | dict(zip(("customer_zip_code_prefix", "customer_city", "customer_state"), homes[who], strict=True))
        for one, who in zip(orders, ("Eva", "Eva", "Leo"), strict=True)
    ]
    rows = {
        "raw_orders": orders,
        "raw_order_items": [
            item("first", 1, "lamp", "ana", "20.00"),
            item("first", 2, "game", "rui", "60.00"),
            item("second", 1, "lamp", "ana", "20.00"),
            item("third", 1, "thing", "rui", "1.50"),
        ],
        "raw_order_payments": [
            payment("first", 1, "credit_card", "80.00"),
            payment("first", 2, "voucher", "10.00"),
            payment("second", 1, "boleto", "25.00"),
            payment("third", 1, "boleto", "6.50"),
        ],
        "raw_order_reviews": [review("first", 1, "1", 12), review("first", 2, "4", 14), review("second", 3, "5", 13)],
    }
    return {name: [one | {"purchase_month": f"{month}-01"} for one in of_table] for name, of_table in rows.items()} | {
        "raw_customers": customers
    }


def together(months: Iterable[Rows]) -> Rows:
    """The rows of several months, and the references."""
    rows = deepcopy(REFERENCES)
    for month in months:
        for name, of_table in month.items():
            rows.setdefault(name, []).extend(of_table)
    return rows


class MadeMarketplace:
    """The tables made of raw rows, each once, in the order of the data."""

    def __init__(
        self,
        spark: SparkSession,
        rows: Mapping[str, list[dict[str, Any]]],
        keys: list[str],
        tables: Iterable[str] = MADE,
    ) -> None:
        self.spark, self.keys = spark, keys
        self.frames = {
            name: frame(spark, TABLES[name].contract, ({"snapshot": WHOLE} | row for row in of_table))
            for name, of_table in rows.items()
        }
        for name in (name for name in MADE if name in set(tables)):
            table = MADE[name]
            parameters = set(inspect.signature(table.build).parameters)
            known = self.inputs(table) | {"window": PartitionWindow(keys)}
            made = table.build(**{parameter: known[parameter] for parameter in parameters})
            assert isinstance(made, DataFrame)
            kept = conform(made, table.contract)
            self.frames[name] = spark.createDataFrame(kept.toArrow())

    def inputs(self, table: Table) -> dict[str, Any]:
        """What a table reads."""
        return {parameter: self.frames[table_name(read)[1]] for parameter, (read, _) in table.reads.items()}

    def rows(self, name: str, **where: object) -> list[Row]:
        """The rows of a table that have these values, as text."""
        found = self.frames[name].collect()
        return [row for row in found if all(str(row[column]) == str(value) for column, value in where.items())]

    def judged(self, name: str, rows: list[dict[str, Any]] | None = None) -> Judged:
        """The verdicts on the table as it was made, or on other rows."""
        table = TABLES[name]
        made = self.frames[name] if rows is None else frame(self.spark, table.contract, rows)
        audit = Audit(made, self.inputs(table), self.keys, partition_column(table.contract), {})
        return judge(audit, table.contract, table.checks)

    def failed(self, name: str, rows: list[dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
        """Month -> the checks that it fails, with what their metadata say."""
        found: dict[str, dict[str, Any]] = {}
        for check, verdicts in self.judged(name, rows).verdicts.items():
            for key, verdict in verdicts.items():
                if not verdict.passed:
                    found.setdefault(key, {})[check] = dict(verdict.metadata)
        return found
