"""customer_metrics: what every customer ordered so far, what of it was delivered, and how."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import all_known, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Real,
    Text,
    column,
    money,
    partition,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.measures import summed
from retail_assets.lakehouse.table import table
from retail_assets.olist.months_so_far import (
    in_month,
    mean_of,
    months_of,
    orders_so_far,
    so_far,
)
from retail_assets.olist.orders import Orders
from retail_assets.olist.orders_master import OrdersMaster
from retail_assets.partitions.cadence import monthly, months_so_far
from retail_assets.partitions.keys import PartitionWindow

_VALUE = (OrdersMaster, "order_total_value")
_DATE = (OrdersMaster, "purchase_date")
_REVIEWS = (OrdersMaster, "review_score")
_DELIVERIES = (OrdersMaster, "delivery_days")


class CustomerMetrics(Contract):
    """One row for each snapshot and customer who had ordered by then, up to the end of the snapshot's month.

    The customer is the `customer_unique_id`: the published `customer_id` is another in each order, so that by it
    everybody would have bought once. Who has no delivered order has a frequency of 0.
    """

    customer_unique_id: Text = column("Customer", origin=(Orders, "customer_unique_id"))
    customer_city: Text = column("City of the last order", origin=(Orders, "customer_city"))
    customer_state: Text = column("State of the last order", origin=(Orders, "customer_state"))
    orders: Count = column("Orders placed", ge=1, origin=(Orders, "order_id"))
    frequency: Count = column("Orders delivered", ge=0, origin=(OrdersMaster, "order_id"))
    monetary: Money = column("Value of the orders delivered: what was paid", unit=CURRENCY, ge=0, origin=_VALUE)
    avg_order_value: Money = column("Monetary value per delivered order", unit=CURRENCY, nullable=True, origin=_VALUE)
    items: Count = column("Items of the orders delivered", ge=0, origin=(OrdersMaster, "items"))
    first_purchase_date: Day = column("First purchase of those delivered", nullable=True, origin=_DATE)
    last_purchase_date: Day = column("Last purchase of those delivered", nullable=True, origin=_DATE)
    average_delivery_days: Real = column(
        "Mean days from purchase to delivery", unit="days", nullable=True, origin=_DELIVERIES
    )
    late_deliveries: Count = column(
        "Deliveries after the promised day", ge=0, origin=(OrdersMaster, "delivery_delay_days")
    )
    review_score: Real = column(
        "Mean score of the orders reviewed", nullable=True, origin=_REVIEWS, in_range={"min_value": 1, "max_value": 5}
    )
    month_frequency: Count = column("Orders delivered of the snapshot's own month", ge=0, origin=_DATE)
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(Orders, "purchase_month"))

    class Config:
        unique = ["snapshot_month", "customer_unique_id"]


def customer_metrics(orders: DataFrame, delivered: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and customer of the orders by then; `delivered` is their orders_master."""
    keys = ["purchase_month", "customer_unique_id"]
    place, last = F.struct("customer_city", "customer_state"), F.struct("purchased_at", "order_id")
    placed = orders.groupBy(keys).agg(F.count("*").alias("orders"), F.max_by(place, last).alias("place"))
    sums = delivered.groupBy(keys).agg(
        F.count("*").alias("frequency"),
        F.sum("order_total_value").alias("monetary"),
        F.sum("items").alias("items"),
        F.min("purchase_date").alias("first_purchase_date"),
        F.max("purchase_date").alias("last_purchase_date"),
        F.count("delivery_days").alias("deliveries"),
        F.sum("delivery_days").alias("all_delivery_days"),
        F.count_if(F.col("delivery_delay_days") > 0).alias("late_deliveries"),
        F.count("review_score").alias("reviews"),
        F.sum("review_score").alias("scores"),
    )
    added_up = (
        "orders",
        "frequency",
        "items",
        "deliveries",
        "all_delivery_days",
        "late_deliveries",
        "reviews",
        "scores",
    )
    every = (
        so_far(placed.join(sums, keys, "left"), of)
        .groupBy("snapshot_month", "customer_unique_id")
        .agg(
            F.max_by("place", "purchase_month").alias("place"),
            *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in added_up),
            money(F.sum("monetary")).alias("monetary"),
            F.min("first_purchase_date").alias("first_purchase_date"),
            F.max("last_purchase_date").alias("last_purchase_date"),
            in_month("frequency").alias("month_frequency"),
        )
    )
    value = (F.col("monetary") / F.col("frequency")).cast("decimal(18,3)")
    return (
        every.select("*", "place.*")
        .withColumns(
            {
                "avg_order_value": F.when(F.col("frequency") > 0, value),
                "average_delivery_days": mean_of("all_delivery_days", "deliveries"),
                "review_score": mean_of("scores", "reviews"),
            }
        )
        .drop("place", "deliveries", "all_delivery_days", "reviews", "scores")
    )


@table(
    CustomerMetrics,
    monthly,
    layer=GOLD,
    reads={"orders": (Orders, months_so_far), "delivered": (OrdersMaster, months_so_far)},
    checks=[
        reconciles(
            "reconciliation",
            "Orders placed and delivered, and their value, are those of all months so far, to the last decimal",
            ours=summed("orders", "frequency", "monetary"),
            theirs=lambda audit: orders_so_far(audit, "frequency", "monetary"),
        ),
        all_known(
            "customers_known", "Every customer placed an order", ["customer_unique_id"], lambda inputs: inputs["orders"]
        ),
    ],
)
def build(orders: DataFrame, delivered: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's snapshots, from every month up to each."""
    return customer_metrics(orders, delivered, months_of(orders.sparkSession, window))
