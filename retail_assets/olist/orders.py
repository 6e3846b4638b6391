"""orders: who placed each order, when, what became of it, and how long its delivery took."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import CROSS_COLUMN, Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    Contract,
    Day,
    Flag,
    Integer,
    Moment,
    Text,
    column,
    days_between,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import counted, rare
from retail_assets.lakehouse.table import table
from retail_assets.lakehouse.written_values import written_moment
from retail_assets.olist.raw_customers import RawCustomers
from retail_assets.olist.raw_orders import RawOrders
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import all_of_it, monthly, same_window

STATUSES = ["created", "approved", "invoiced", "processing", "shipped", "delivered", "unavailable", "canceled"]

LONGEST_DAYS = 365
"""Nothing of an order happens later than so many days after its purchase: the longest real delivery took 210."""

_MOMENTS = {
    "purchased_at": "order_purchase_timestamp",
    "approved_at": "order_approved_at",
    "handed_over_at": "order_delivered_carrier_date",
    "delivered_at": "order_delivered_customer_date",
}
_OF_CUSTOMERS = ("customer_unique_id", "customer_zip_code_prefix", "customer_city", "customer_state")

_PURCHASE = (RawOrders, "order_purchase_timestamp")
_DELIVERY = (RawOrders, "order_delivered_customer_date")
_PROMISE = (RawOrders, "order_estimated_delivery_date")


def _of_customer(description: str, name: str, **rules: Any) -> Any:
    return column(description, origin=(RawCustomers, name), **rules)


class Orders(Contract):
    """Every order, delivered or not, with the customer who placed it.

    Days of delivery are calendar days, of delivered orders only; a few of these have no date of delivery.
    """

    order_id: Text = column("Order", origin=(RawOrders, "order_id"))
    customer_id: Text = column("Customer of this order alone", origin=(RawOrders, "customer_id"))
    customer_unique_id: Text = _of_customer("Customer, the same in all orders", "customer_unique_id")
    customer_zip_code_prefix: Text = _of_customer("First five digits of the zip code", "customer_zip_code_prefix")
    customer_city: Text = _of_customer("City of the customer", "customer_city")
    customer_state: Text = _of_customer("State of the customer", "customer_state", str_matches="^[A-Z]{2}$")
    order_status: Text = column("What became of the order", isin=STATUSES, origin=(RawOrders, "order_status"))
    is_delivered: Flag = column("Whether it was delivered", origin=(RawOrders, "order_status"))
    purchased_at: Moment = column("When it was placed", origin=_PURCHASE)
    approved_at: Moment = column(
        "When its payment was approved", nullable=True, origin=(RawOrders, "order_approved_at")
    )
    handed_over_at: Moment = column(
        "When it was handed to the carrier", nullable=True, origin=(RawOrders, "order_delivered_carrier_date")
    )
    delivered_at: Moment = column("When the customer received it", nullable=True, origin=_DELIVERY)
    estimated_delivery_date: Day = column("Day by which delivery was promised", origin=_PROMISE)
    delivery_days: Integer = column(
        "From purchase to delivery", unit="days", nullable=True, ge=0, le=LONGEST_DAYS, origin=[_PURCHASE, _DELIVERY]
    )
    delivery_delay_days: Integer = column(
        "From the promised day to delivery, negative where it came early",
        unit="days",
        nullable=True,
        origin=[_PROMISE, _DELIVERY],
    )
    purchase_date: Day = column("Day of the purchase", origin=_PURCHASE)
    purchase_month: Day = partition("First day of the month of the purchase", origin=(RawOrders, "purchase_month"))

    class Config:
        unique = ["purchase_month", "order_id"]

    @row_rule("The purchase is of its month")
    def purchase_is_of_its_month() -> Column:
        return F.trunc("purchase_date", "MM") == F.col("purchase_month")

    @row_rule("Nothing is approved or delivered, and no delivery promised, before the purchase")
    def nothing_before_the_purchase() -> Column:
        first = F.least("approved_at", "delivered_at")
        return (F.coalesce(first, F.col("purchased_at")) >= F.col("purchased_at")) & (
            F.col("estimated_delivery_date") >= F.col("purchase_date")
        )

    @row_rule("Nothing happens, and no delivery is promised, more than a year after the purchase")
    def nothing_a_year_later() -> Column:
        promised = F.col("estimated_delivery_date").cast("timestamp")
        last = F.greatest("approved_at", "handed_over_at", "delivered_at", promised)
        return F.to_date(last) <= F.date_add("purchase_date", LONGEST_DAYS)


def orders(raw: DataFrame, customers: DataFrame) -> DataFrame:
    """One row for each of the raw orders; where their customer is not there, what is known of it is NULL."""
    delivered = F.col("order_status") == "delivered"
    delivered_on = F.to_date("delivered_at")
    return (
        sound(raw)
        .join(customers.select("customer_id", *_OF_CUSTOMERS), "customer_id", "left")
        .select(
            "order_id",
            "customer_id",
            *_OF_CUSTOMERS,
            "order_status",
            delivered.alias("is_delivered"),
            *(written_moment(landed).alias(name) for name, landed in _MOMENTS.items()),
            F.to_date(written_moment("order_estimated_delivery_date")).alias("estimated_delivery_date"),
            "purchase_month",
        )
        .withColumns(
            {
                "purchase_date": F.to_date("purchased_at"),
                "delivery_days": F.when(delivered, days_between(F.to_date("purchased_at"), delivered_on)),
                "delivery_delay_days": F.when(delivered, days_between("estimated_delivery_date", delivered_on)),
            }
        )
    )


def _written(audit: Audit) -> DataFrame:
    """Of each month's raw orders: how many there are, and how many have each of the dates."""
    dates = [F.count(landed).alias(name) for name, landed in _MOMENTS.items()]
    raw = sound(audit.inputs["raw"])
    return raw.groupBy("purchase_month").agg(F.count("*").alias("order_id"), *dates)


@table(
    Orders,
    monthly,
    layer=SILVER,
    reads={"raw": (RawOrders, same_window), "customers": (RawCustomers, all_of_it)},
    checks=[
        reconciles(
            "reconciliation",
            "Every order that landed is there once, and every date that is written was read",
            ours=counted("order_id", *_MOMENTS),
            theirs=_written,
        ),
        all_known(
            "customers_known",
            "Every order's customer is one of the customers",
            ["customer_id"],
            lambda inputs: inputs["customers"],
        ),
        rare(
            "dates_in_order",
            "Orders are handed over after the purchase and delivered after that, and what is delivered has a date",
            {
                "handed_over_before_purchase": (
                    "were handed over before the purchase",
                    lambda: F.col("handed_over_at") < F.col("purchased_at"),
                ),
                "delivered_before_handed_over": (
                    "were delivered before they were handed over",
                    lambda: F.col("delivered_at") < F.col("handed_over_at"),
                ),
                "delivered_without_date": (
                    "are delivered without a date of it",
                    lambda: F.col("is_delivered") & F.col("delivered_at").isNull(),
                ),
            },
            share=0.02,
            family=CROSS_COLUMN,
        ),
    ],
)
def build(raw: DataFrame, customers: DataFrame) -> DataFrame:
    """The orders of the window's months."""
    return orders(raw, customers)
