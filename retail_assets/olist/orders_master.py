"""orders_master: one row for each delivered order, with its items, payments and review."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import RECONCILIATION, Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Text,
    Texts,
    column,
    partition,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import counted, rare, summed
from retail_assets.lakehouse.table import table
from retail_assets.olist.order_items import OrderItems
from retail_assets.olist.order_payments import OrderPayments
from retail_assets.olist.order_reviews import OrderReviews
from retail_assets.olist.orders import Orders
from retail_assets.partitions.cadence import monthly, same_window

CENTAVOS_OFF = 1
"""Payments and items of an order differ by rounding of installments; by more than a real they do not agree."""

MOST_OFF = 250
"""The largest real difference is 182.81."""

_OF_ORDERS = (
    "order_id", "customer_unique_id", "customer_city", "customer_state", "purchase_date", "delivery_days",
    "delivery_delay_days", "purchase_month",
)  # fmt: skip


def _of_order(description: str, name: str, **rules: Any) -> Any:
    return column(description, origin=(Orders, name), **rules)


class OrdersMaster(Contract):
    """Delivered orders: what was bought, what was paid for it, how long the delivery took, what was said of it.

    The total value is what was paid; of the one order without a payment it is the price and freight of its items.
    """

    order_id: Text = _of_order("Order", "order_id")
    customer_unique_id: Text = _of_order("Customer, the same in all orders", "customer_unique_id")
    customer_city: Text = _of_order("City of the customer", "customer_city")
    customer_state: Text = _of_order("State of the customer", "customer_state")
    purchase_date: Day = _of_order("Day of the purchase", "purchase_date")
    delivery_days: Integer = _of_order("From purchase to delivery", "delivery_days", unit="days", nullable=True)
    delivery_delay_days: Integer = _of_order(
        "From the promised day to delivery, negative where it came early",
        "delivery_delay_days",
        unit="days",
        nullable=True,
    )
    items: Count = column("Items", ge=1, origin=(OrderItems, "order_item_id"))
    products: Texts = column("Different products, in order", origin=(OrderItems, "product_id"))
    sellers: Count = column("Different sellers", ge=1, origin=(OrderItems, "seller_id"))
    price: Money = column("Price of all items", unit=CURRENCY, ge=0, origin=(OrderItems, "price"))
    freight_value: Money = column("Freight of all items", unit=CURRENCY, ge=0, origin=(OrderItems, "freight_value"))
    payment_value: Money = column(
        "Sum of all payments; NULL without any",
        unit=CURRENCY,
        nullable=True,
        ge=0,
        origin=(OrderPayments, "payment_value"),
    )
    order_total_value: Money = column(
        "What was paid, else price and freight",
        unit=CURRENCY,
        ge=0,
        origin=[(OrderPayments, "payment_value"), (OrderItems, "price", "freight_value")],
    )
    payment_type: Text = column(
        "Means by which most of it was paid", nullable=True, origin=(OrderPayments, "payment_type")
    )
    installments: Integer = column(
        "Most installments of a payment", nullable=True, origin=(OrderPayments, "installments")
    )
    review_score: Integer = column(
        "Score of the newest review; NULL without any", nullable=True, origin=(OrderReviews, "review_score")
    )
    purchase_month: Day = partition("First day of the month of the purchase", origin=(Orders, "purchase_month"))

    class Config:
        unique = ["purchase_month", "order_id"]


def orders_master(orders: DataFrame, items: DataFrame, payments: DataFrame, reviews: DataFrame) -> DataFrame:
    """One row for each of the orders that was delivered."""
    of_items = items.groupBy("order_id").agg(
        F.count("*").alias("items"),
        F.array_sort(F.collect_set("product_id")).alias("products"),
        F.size(F.collect_set("seller_id")).alias("sellers"),
        F.sum("price").alias("price"),
        F.sum("freight_value").alias("freight_value"),
    )
    return (
        orders.filter("is_delivered")
        .select(*_OF_ORDERS)
        .join(of_items, "order_id", "left")
        .join(payments.select("order_id", "payment_type", "installments", "payment_value"), "order_id", "left")
        .join(reviews.select("order_id", "review_score"), "order_id", "left")
        .withColumn("order_total_value", F.coalesce("payment_value", F.col("price") + F.col("freight_value")))
    )


def _of_layers(audit: Audit) -> DataFrame:
    """Delivered orders of each month, and their money in each of the tables that it comes from."""
    delivered = audit.inputs["orders"].filter("is_delivered").select("purchase_month", "order_id")
    paid = delivered.join(audit.inputs["payments"].select("order_id", "payment_value"), "order_id", "left")
    of_orders = paid.groupBy("purchase_month").agg(
        F.count("*").alias("order_id"), F.sum("payment_value").alias("payment_value")
    )
    money = [F.sum(name).alias(name) for name in ("price", "freight_value")]
    of_items = audit.inputs["items"].filter("is_delivered").groupBy("purchase_month").agg(*money)
    return of_orders.join(of_items, "purchase_month", "left")


@table(
    OrdersMaster,
    monthly,
    layer=SILVER,
    reads={
        "orders": (Orders, same_window),
        "items": (OrderItems, same_window),
        "payments": (OrderPayments, same_window),
        "reviews": (OrderReviews, same_window),
    },
    checks=[
        reconciles(
            "reconciliation",
            "Delivered orders are all there, with the money of their items and payments, to the last decimal",
            ours=counted("order_id") | summed("payment_value", "price", "freight_value"),
            theirs=_of_layers,
        ),
        all_known(
            "orders_known",
            "Every order is one of its month",
            ["purchase_month", "order_id"],
            lambda inputs: inputs["orders"],
        ),
        rare(
            "paid_is_price_and_freight",
            "What was paid for an order is the price and the freight of its items, but for at most three in a hundred",
            {
                "off": (
                    f"were paid with more than {CENTAVOS_OFF} more or less",
                    lambda: _off() > CENTAVOS_OFF,
                )
            },
            share=0.03,
            family=RECONCILIATION,
        ),
        rare(
            "nothing_paid_far_off",
            "What was paid for an order is never far off the price and the freight of its items",
            {"far_off": (f"were paid with more than {MOST_OFF} more or less", lambda: _off() > MOST_OFF)},
            share=0,
            family=RECONCILIATION,
        ),
    ],
)
def build(orders: DataFrame, items: DataFrame, payments: DataFrame, reviews: DataFrame) -> DataFrame:
    """The delivered orders of the window's months."""
    return orders_master(orders, items, payments, reviews)


def _off() -> Any:
    return F.abs(F.col("payment_value") - F.col("price") - F.col("freight_value"))
