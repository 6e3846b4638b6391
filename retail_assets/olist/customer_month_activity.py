"""customer_month_activity: what each customer did in each month. What the customer tables of every source read."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import CURRENCY, Contract, Count, Day, Money, Text, Texts, column, partition
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import summed
from retail_assets.lakehouse.table import table
from retail_assets.olist.orders_master import OrdersMaster
from retail_assets.partitions.cadence import monthly, same_window

_VALUE = (OrdersMaster, "order_total_value")
_DATE = (OrdersMaster, "purchase_date")


class CustomerMonthActivity(Contract):
    """One row for each customer and month with a delivered order.

    The customer is the `customer_unique_id`: the published customer id is another in each order. Nothing is returned
    that was delivered, as far as the data tell.
    """

    customer_id: Text = column("Customer: `customer_unique_id`", origin=(OrdersMaster, "customer_unique_id"))
    country: Text = column("Country of the customer: all are Brazil", isin=["Brazil"])
    orders: Count = column("Delivered orders", ge=1, origin=(OrdersMaster, "order_id"))
    units: Count = column("Items bought", ge=1, origin=(OrdersMaster, "items"))
    revenue: Money = column("Value of the orders: what was paid", unit=CURRENCY, ge=0, origin=_VALUE)
    returns_value: Money = column("Always 0", unit=CURRENCY, isin=[0])
    active_days: Count = column("Days with a purchase", ge=1, origin=_DATE)
    first_purchase_date: Day = column("First purchase in the month", nullable=True, origin=_DATE)
    last_purchase_date: Day = column("Last purchase in the month", nullable=True, origin=_DATE)
    lines: Count = column("Items of all orders", ge=1, origin=(OrdersMaster, "items"))
    products: Texts = column("Products bought, in order", origin=(OrdersMaster, "products"))
    activity_month: Day = partition("First day of the month", origin=(OrdersMaster, "purchase_month"))

    class Config:
        unique = ["activity_month", "customer_id"]


def customer_month_activity(orders: DataFrame) -> DataFrame:
    """Delivered orders (orders_master), summed by customer and month."""
    return orders.groupBy(
        F.col("purchase_month").alias("activity_month"), F.col("customer_unique_id").alias("customer_id")
    ).agg(
        F.lit("Brazil").alias("country"),
        F.count("*").alias("orders"),
        F.sum("items").alias("units"),
        F.sum("order_total_value").alias("revenue"),
        F.lit(0).cast("decimal(18,3)").alias("returns_value"),
        F.size(F.collect_set("purchase_date")).alias("active_days"),
        F.min("purchase_date").alias("first_purchase_date"),
        F.max("purchase_date").alias("last_purchase_date"),
        F.sum("items").alias("lines"),
        F.array_sort(F.array_distinct(F.flatten(F.collect_list("products")))).alias("products"),
    )


def _of_orders(audit: Audit) -> DataFrame:
    of_months = audit.inputs["orders"].groupBy(F.col("purchase_month").alias("activity_month"))
    return of_months.agg(
        F.sum("order_total_value").alias("revenue"), F.count("*").alias("orders"), F.sum("items").alias("units")
    )


@table(
    CustomerMonthActivity,
    monthly,
    layer=SILVER,
    reads={"orders": (OrdersMaster, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "Revenue, orders and units are those of the month's delivered orders, to the last decimal",
            ours=summed("revenue", "orders", "units"),
            theirs=_of_orders,
        ),
        all_known(
            "customers_known",
            "Every customer has a delivered order in the month",
            ["activity_month", "customer_id"],
            lambda inputs: inputs["orders"].select(
                F.col("purchase_month").alias("activity_month"), F.col("customer_unique_id").alias("customer_id")
            ),
        ),
    ],
)
def build(orders: DataFrame) -> DataFrame:
    """The month's customers."""
    return customer_month_activity(orders)
