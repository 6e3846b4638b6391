"""daily_metrics: every calendar day in figures, days without an order included."""

import calendar

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import COMPLETENESS, Audit, Evidence, Verdict, check, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Real,
    column,
    money,
    partition,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.measures import summed
from retail_assets.lakehouse.table import table
from retail_assets.olist.months_so_far import mean_of
from retail_assets.olist.orders import Orders
from retail_assets.olist.orders_master import OrdersMaster
from retail_assets.partitions.cadence import monthly, preceding
from retail_assets.partitions.keys import PartitionWindow

_VALUE = (OrdersMaster, "order_total_value")
_ORDER = (OrdersMaster, "order_id")
_REVIEWS = (OrdersMaster, "review_score")


class DailyMetrics(Contract):
    """One row for each day of the month: orders placed, and of those delivered in the end the value and the customers.

    Averages of 7 and 30 days are over calendar days, of which those before the first order count as 0.
    """

    purchase_date: Day = column("Calendar day", origin=(Orders, "purchase_date"))
    orders: Count = column("Orders placed", ge=0, origin=(Orders, "order_id"))
    delivered_orders: Count = column("Of these, orders delivered", ge=0, origin=_ORDER)
    customers: Count = column("Different customers of orders delivered", ge=0, origin=(Orders, "customer_unique_id"))
    items: Count = column("Items of orders delivered", ge=0, origin=(OrdersMaster, "items"))
    revenue: Money = column("Value of orders delivered", unit=CURRENCY, ge=0, origin=_VALUE)
    average_order_value: Money = column("Revenue per delivered order", unit=CURRENCY, nullable=True, origin=_VALUE)
    review_score: Real = column("Mean score", nullable=True, origin=_REVIEWS, in_range={"min_value": 1, "max_value": 5})
    revenue_7_day_average: Money = column("Mean daily revenue of the last 7 days", unit=CURRENCY, origin=_VALUE)
    revenue_30_day_average: Money = column("Mean daily revenue of the last 30 days", unit=CURRENCY, origin=_VALUE)
    orders_7_day_average: Real = column("Mean daily delivered orders of the last 7 days", origin=_ORDER)
    orders_30_day_average: Real = column("Mean daily delivered orders of the last 30 days", origin=_ORDER)
    purchase_month: Day = partition("First day of the month", origin=(Orders, "purchase_month"))

    class Config:
        unique = ["purchase_month", "purchase_date"]


def daily_metrics(orders: DataFrame, delivered: DataFrame, months: DataFrame) -> DataFrame:
    """One row for each day of `months` (column purchase_month), from orders of these and of the two before each."""
    placed = orders.groupBy("purchase_date").agg(F.count("*").alias("orders"))
    sums = delivered.groupBy("purchase_date").agg(
        F.count("*").alias("delivered_orders"),
        F.size(F.collect_set("customer_unique_id")).alias("customers"),
        F.sum("items").alias("items"),
        F.sum("order_total_value").alias("revenue"),
        F.count("review_score").alias("reviews"),
        F.sum("review_score").alias("scores"),
    )
    # Each month with the two before it: these always have the days that the averages of its first ones are of.
    earlier = months.select(F.explode(F.array(F.lit(0), F.lit(-1), F.lit(-2))).alias("later"), "purchase_month")
    every_month = earlier.select(F.add_months("purchase_month", F.col("later")).alias("purchase_month"))
    last = F.date_add(F.add_months("purchase_month", 1), -1)
    days = every_month.distinct().select(
        "purchase_month", F.explode(F.sequence("purchase_month", last)).alias("purchase_date")
    )
    known = (
        days.join(placed, "purchase_date", "left")
        .join(sums, "purchase_date", "left")
        .fillna(0, ["orders", "delivered_orders", "customers", "items", "reviews", "scores"])
        .withColumn("revenue", money(F.col("revenue")))
    )

    def average(name: str, span: int) -> Column:
        return F.sum(name).over(Window.orderBy("purchase_date").rowsBetween(1 - span, 0)) / span

    return (
        known.withColumns(
            {
                "average_order_value": F.when(
                    F.col("delivered_orders") > 0, (F.col("revenue") / F.col("delivered_orders")).cast("decimal(18,3)")
                ),
                "review_score": mean_of("scores", "reviews"),
                "revenue_7_day_average": average("revenue", 7).cast("decimal(18,3)"),
                "revenue_30_day_average": average("revenue", 30).cast("decimal(18,3)"),
                "orders_7_day_average": average("delivered_orders", 7),
                "orders_30_day_average": average("delivered_orders", 30),
            }
        )
        .drop("reviews", "scores")
        .join(months.select("purchase_month"), "purchase_month", "left_semi")
    )


def _of_orders(audit: Audit) -> DataFrame:
    placed = audit.inputs["orders"].groupBy("purchase_month").agg(F.count("*").alias("orders"))
    delivered = (
        audit.inputs["delivered"]
        .groupBy("purchase_month")
        .agg(
            F.count("*").alias("delivered_orders"),
            F.sum("items").alias("items"),
            F.sum("order_total_value").alias("revenue"),
        )
    )
    return placed.join(delivered, "purchase_month", "left")


@check("Every day of the month has a row, from its first to its last", family=COMPLETENESS)
def every_day(month: Evidence) -> Verdict:
    """No gap in the calendar."""
    days = calendar.monthrange(month.day.year, month.day.month)[1]
    return Verdict.within(month.rows, f"{month.rows} days of {days} are there", lower=days, upper=days)


@table(
    DailyMetrics,
    monthly,
    layer=GOLD,
    reads={"orders": (Orders, preceding(2)), "delivered": (OrdersMaster, preceding(2))},
    checks=[
        every_day,
        reconciles(
            "reconciliation",
            "Orders, items and revenue are those of the month's orders in silver, to the last decimal",
            ours=summed("orders", "delivered_orders", "items", "revenue"),
            theirs=_of_orders,
        ),
    ],
)
def build(orders: DataFrame, delivered: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's months."""
    months = orders.sparkSession.createDataFrame([(day,) for day in window.days], "purchase_month date")
    return daily_metrics(orders, delivered, months)
