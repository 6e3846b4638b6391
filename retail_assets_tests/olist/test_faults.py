"""Every fault planted in what Olist delivers, or in what is made of it, is found by the check that is there for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pyspark.sql import SparkSession

from retail_assets_tests.olist.made_marketplace import MADE, MadeMarketplace, Rows, month_of, together

Plant = Callable[[Rows], None]
AS_DELIVERED = ("orders", "order_items", "order_payments", "order_reviews", "orders_master")
"""Tables that a fault of a delivery shows in, in its month alone."""


@dataclass(frozen=True)
class Fault:
    """Something wrong in a month's raw rows, or in the rows of a table, and the check that is to see it with what its
    metadata say."""

    table: str
    check: str
    name: str
    plant: Plant
    seen: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.table}-{self.check}-{self.name}".replace(" ", "_")


def changed(table: str, row: int = 0, **values: Any) -> Plant:
    """A row with other values."""
    return lambda rows: rows[table][row].update(values)


def of_all(table: str, **values: Any) -> Plant:
    """Every row with other values."""

    def plant(rows: Rows) -> None:
        for row in rows[table]:
            row.update(values)

    return plant


def twice(table: str) -> Plant:
    """A row a second time."""
    return lambda rows: rows[table].append(dict(rows[table][0]))


def lost(table: str, row: int = 0) -> Plant:
    """A row gone."""

    def plant(rows: Rows) -> None:
        del rows[table][row]

    return plant


def broken(rule: str, rows: int = 1) -> dict[str, Any]:
    return {"failed_rows": {rule: rows}}


DELIVERED = [
    # Foreign keys, each with the number of rows.
    Fault("orders", "customers_known", "customer unknown", changed("raw_orders", customer_id="nobody"),
          {"unknown": 1, "sample": "nobody"}),
    Fault("order_items", "orders_known", "order unknown", of_all("raw_order_items", order_id="none"), {"unknown": 4}),
    Fault("order_items", "products_known", "product unknown", changed("raw_order_items", product_id="none"),
          {"unknown": 1, "sample": "none"}),
    Fault("order_items", "sellers_known", "seller unknown", changed("raw_order_items", seller_id="nobody"),
          {"unknown": 1, "sample": "nobody"}),
    Fault("order_payments", "orders_known", "order unknown", changed("raw_order_payments", 1, order_id="none"),
          {"unknown": 1, "sample": "none"}),
    Fault("order_reviews", "orders_known", "order unknown", changed("raw_order_reviews", order_id="none"),
          {"unknown": 1, "sample": "none"}),
    # Money.
    Fault("order_items", "contract", "price below nothing", changed("raw_order_items", price="-20.00"),
          broken("price_greater_than_or_equal_to")),
    Fault("order_items", "contract", "price that is none", changed("raw_order_items", price="20,00"),
          broken("price_not_null")),
    Fault("order_payments", "reconciliation", "payment that is none", changed("raw_order_payments", payment_value="x"),
          {"payments": "3", "payments_expected": "4"}),
    Fault("order_payments", "reconciliation", "payment below nothing",
          changed("raw_order_payments", payment_value="-1.00"), {"payments": "3", "payments_expected": "4"}),
    Fault("order_payments", "contract", "means of payment", changed("raw_order_payments", 1, payment_type="shells"),
          broken("means_are_known")),
    Fault("order_payments", "orders_paid", "no payments", lambda rows: rows["raw_order_payments"].clear(),
          {"unpaid": 3}),
    Fault("orders_master", "paid_is_price_and_freight", "two orders paid with less",
          of_all("raw_order_payments", payment_value="4.00"), {"off": 2}),
    Fault("orders_master", "nothing_paid_far_off", "point forgotten",
          changed("raw_order_payments", payment_value="8000"), {"far_off": 1}),
    # Dates.
    Fault("orders", "contract", "delivered before the purchase",
          changed("raw_orders", order_delivered_customer_date="2017-01-01 10:00:00")),
    Fault("orders", "contract", "delivered years later",
          changed("raw_orders", order_delivered_customer_date="2099-01-01 10:00:00")),
    Fault("orders", "contract", "promised years later",
          changed("raw_orders", order_estimated_delivery_date="2099-01-01 00:00:00"), broken("nothing_a_year_later")),
    Fault("orders", "contract", "purchase of another month",
          changed("raw_orders", 2, order_purchase_timestamp="2016-12-31 10:00:00"),
          {"failed_rows": {"purchase_is_of_its_month": 1, "nothing_a_year_later": 1}}),
    Fault("orders", "contract", "purchase without a date", changed("raw_orders", order_purchase_timestamp="soon")),
    Fault("orders", "contract", "unknown status", changed("raw_orders", 2, order_status="lost"),
          broken("order_status_isin")),
    Fault("orders", "contract", "order twice", twice("raw_orders"), broken("unique_key")),
    Fault("orders", "reconciliation", "date that is none", changed("raw_orders", order_approved_at="31/12/2017"),
          {"approved_at": "2", "approved_at_expected": "3"}),
    Fault("orders", "dates_in_order", "handed over too soon",
          of_all("raw_orders", order_delivered_carrier_date="2017-01-01 00:00:00"),
          {"handed_over_before_purchase": 3}),
    Fault("order_items", "shipping_limits_plausible", "years to ship",
          of_all("raw_order_items", shipping_limit_date="2099-01-01 00:00:00"), {"too_late": 4}),
    Fault("order_items", "categories_translated", "most without a name",
          of_all("raw_order_items", product_id="game"), {"untranslated": 4}),
    Fault("order_reviews", "reviews_after_purchase", "asked before",
          of_all("raw_order_reviews", review_creation_date="2017-01-01 00:00:00"), {"asked_before_purchase": 2}),
    # Scores, of the newest review and of others.
    Fault("order_reviews", "contract", "score of 6", changed("raw_order_reviews", 2, review_score="6")),
    Fault("order_reviews", "contract", "older score of 0", changed("raw_order_reviews", review_score="0"),
          broken("lowest_score_in_range")),
    Fault("order_reviews", "contract", "score that is none", changed("raw_order_reviews", review_score="five"),
          broken("lowest_score_in_range")),
]  # fmt: skip

MADE_WRONG = [
    Fault("order_items", "reconciliation", "item lost", lost("order_items"),
          {"order_id": "3", "order_id_expected": "4"}),
    Fault("order_items", "contract", "item twice", of_all("order_items", order_item_id=1), broken("unique_key")),
    Fault("order_reviews", "reconciliation", "review lost", changed("order_reviews", reviews=1)),
    Fault("orders_master", "reconciliation", "order lost", lost("orders_master"), {"order_id": "1"}),
    Fault("orders_master", "reconciliation", "price", changed("orders_master", price="0.01")),
    Fault("orders_master", "orders_known", "order unknown", changed("orders_master", order_id="none"), {"unknown": 1}),
    Fault("orders_master", "contract", "no items", changed("orders_master", items=0),
          broken("items_greater_than_or_equal_to")),
    Fault("customer_month_activity", "reconciliation", "revenue", changed("customer_month_activity", revenue="1.000")),
    Fault("customer_month_activity", "customers_known", "stranger",
          changed("customer_month_activity", customer_id="nobody"), {"unknown": 1, "sample": "nobody"}),
    Fault("customer_month_activity", "contract", "returns", changed("customer_month_activity", returns_value=1),
          broken("returns_value_isin")),
    Fault("customer_metrics", "reconciliation", "frequency", changed("customer_metrics", frequency=99)),
    Fault("customer_metrics", "customers_known", "stranger", changed("customer_metrics", customer_unique_id="nobody"),
          {"unknown": 1, "sample": "nobody"}),
    Fault("customer_metrics", "contract", "customer twice", of_all("customer_metrics", customer_unique_id="Eva"),
          broken("unique_key")),
    Fault("geographic_metrics", "reconciliation", "city lost", lost("geographic_metrics")),
    Fault("geographic_metrics", "zip_codes_located", "nowhere", of_all("geographic_metrics", located_orders=0)),
    Fault("geographic_metrics", "contract", "in Europe", changed("geographic_metrics", latitude=48.2),
          broken("latitude_less_than_or_equal_to")),
    Fault("daily_metrics", "every_day", "a Sunday off", lost("daily_metrics", 0)),
    Fault("daily_metrics", "reconciliation", "revenue", of_all("daily_metrics", revenue="1.000")),
    Fault("daily_metrics", "contract", "day twice", lambda rows: rows["daily_metrics"][0].update(
          purchase_date=rows["daily_metrics"][1]["purchase_date"]), broken("unique_key")),
    *(
        fault
        for table, key in (("product_metrics", "product_id"), ("category_metrics", "category"),
                           ("seller_metrics", "seller_id"))
        for fault in (
            Fault(table, "reconciliation", "one lost", lost(table)),
            Fault(table, "contract", "one twice", of_all(table, **{key: "same"})),
        )
    ),
]  # fmt: skip


def months(number: int) -> list[str]:
    """So many months from January 2017 on."""
    return [f"{2017 + n // 12}-{n % 12 + 1:02}" for n in range(number)]


@pytest.fixture(scope="module")
def delivered(spark: SparkSession) -> MadeMarketplace:
    """A month for each fault that was delivered, and one without."""
    own = months(len(DELIVERED) + 1)
    rows = [month_of(month) for month in own]
    for fault, month in zip(DELIVERED, rows, strict=False):
        fault.plant(month)
    return MadeMarketplace(spark, together(rows), [f"{month}-01" for month in own], AS_DELIVERED)


@pytest.fixture(scope="module")
def found(delivered: MadeMarketplace) -> dict[str, dict[str, dict[str, Any]]]:
    return {name: delivered.failed(name) for name in AS_DELIVERED}


@pytest.mark.parametrize("fault", DELIVERED, ids=str)
def test_what_is_wrong_with_a_delivery_is_found(fault: Fault, found: dict[str, dict[str, dict[str, Any]]]):
    month = f"{months(len(DELIVERED))[DELIVERED.index(fault)]}-01"
    assert fault.check in found[fault.table].get(month, {})
    metadata = found[fault.table][month][fault.check]
    assert {name: metadata.get(name) for name in fault.seen} == fault.seen


def test_a_month_without_a_fault_fails_no_check(found: dict[str, dict[str, dict[str, Any]]]):
    month = f"{months(len(DELIVERED) + 1)[-1]}-01"
    assert [name for name in AS_DELIVERED if month in found[name]] == []


@pytest.fixture(scope="module")
def sound(spark: SparkSession) -> MadeMarketplace:
    return MadeMarketplace(spark, together([month_of("2017-01")]), ["2017-01-01"])


@pytest.mark.parametrize("fault", MADE_WRONG, ids=str)
def test_what_is_made_wrong_is_found(fault: Fault, sound: MadeMarketplace):
    rows: Rows = {fault.table: [row.asDict() for row in sound.frames[fault.table].collect()]}
    fault.plant(rows)
    [failed] = sound.failed(fault.table, rows[fault.table]).values()
    assert fault.check in failed
    assert {name: failed[fault.check].get(name) for name in fault.seen} == fault.seen


def test_every_check_of_every_table_has_a_fault_that_it_sees():
    existing = {(name, check.name) for name, table in MADE.items() for check in table.checks}
    assert {(fault.table, fault.check) for fault in (*DELIVERED, *MADE_WRONG)} == existing
