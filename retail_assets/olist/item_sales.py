"""Sales of items by whatever they are of: products, categories or sellers, each month's with all months before it."""

from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import Audit, TableCheck, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Real,
    column,
    money,
    partition,
)
from retail_assets.lakehouse.measures import summed
from retail_assets.olist.months_so_far import in_month, mean_of, so_far, sums_so_far
from retail_assets.olist.order_items import OrderItems
from retail_assets.olist.order_reviews import OrderReviews
from retail_assets.partitions.cadence import months_so_far

READS: dict[str, Any] = {"items": (OrderItems, months_so_far), "reviews": (OrderReviews, months_so_far)}

_ORDERS = (OrderItems, "order_id", "is_delivered")
_PRICE = (OrderItems, "price", "is_delivered")
_REVIEWS = (OrderReviews, "review_score")


class ItemSales(Contract):
    """What was sold so far, up to the end of the snapshot's month, from delivered orders unless said otherwise."""

    ordered_units: Count = column("Items ordered, delivered or not", ge=1, origin=(OrderItems, "order_item_id"))
    units: Count = column("Items sold", ge=0, origin=(OrderItems, "order_item_id", "is_delivered"))
    orders: Count = column("Orders", ge=0, origin=_ORDERS)
    revenue: Money = column("Price of the items sold", unit=CURRENCY, ge=0, origin=_PRICE)
    freight_value: Money = column(
        "Freight of the items sold", unit=CURRENCY, ge=0, origin=(OrderItems, "freight_value", "is_delivered")
    )
    average_price: Money = column("Revenue per item", unit=CURRENCY, nullable=True, origin=_PRICE)
    reviews: Count = column("Orders that were reviewed", ge=0, origin=_REVIEWS)
    review_score: Real = column(
        "Mean score of their newest reviews", nullable=True, origin=_REVIEWS, in_range={"min_value": 1, "max_value": 5}
    )
    first_ordered_on: Day = column("Day of the first order, delivered or not", origin=(OrderItems, "purchase_date"))
    last_ordered_on: Day = column("Day of the last order, delivered or not", origin=(OrderItems, "purchase_date"))
    month_units: Count = column("Items sold in the snapshot's own month", ge=0, origin=_PRICE)
    month_revenue: Money = column(
        "Price of the items sold in the snapshot's own month", unit=CURRENCY, ge=0, origin=_PRICE
    )
    revenue_rank: Integer = column("Rank by revenue; of equal ones by name", ge=1, origin=_PRICE)
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(OrderItems, "purchase_month"))


def item_sales(items: DataFrame, reviews: DataFrame, key: str, about: list[str], of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and value of `key` among the items ordered by then; `about` it, columns that
    its newest month has. Ranked by revenue."""
    sold = F.col("is_delivered")
    # An order is of one month, so that orders of months can be added up; of several items it is reviewed once.
    of_orders = items.groupBy("purchase_month", key, "order_id", "is_delivered", "purchase_date").agg(
        F.max(F.struct(*about)).alias("about"),
        F.count("*").alias("ordered_units"),
        F.sum("price").alias("price"),
        F.sum("freight_value").alias("freight_value"),
    )
    reviewed = of_orders.join(reviews.select("order_id", "review_score"), "order_id", "left")
    of_months = reviewed.groupBy("purchase_month", key).agg(
        F.max("about").alias("about"),
        F.sum("ordered_units").alias("ordered_units"),
        F.coalesce(F.sum(F.when(sold, F.col("ordered_units"))), F.lit(0)).alias("units"),
        F.count_if(sold).alias("orders"),
        money(F.sum(F.when(sold, F.col("price")))).alias("revenue"),
        money(F.sum(F.when(sold, F.col("freight_value")))).alias("freight_value"),
        F.count(F.when(sold, F.col("review_score"))).alias("reviews"),
        F.coalesce(F.sum(F.when(sold, F.col("review_score"))), F.lit(0)).alias("scores"),
        F.min("purchase_date").alias("first_ordered_on"),
        F.max("purchase_date").alias("last_ordered_on"),
    )
    added_up = ("ordered_units", "units", "orders", "revenue", "freight_value", "reviews", "scores")
    sums = (
        so_far(of_months, of)
        .groupBy("snapshot_month", key)
        .agg(
            F.max_by("about", "purchase_month").alias("about"),
            *(F.sum(name).alias(name) for name in added_up),
            F.min("first_ordered_on").alias("first_ordered_on"),
            F.max("last_ordered_on").alias("last_ordered_on"),
            in_month("units").alias("month_units"),
            in_month("revenue").alias("month_revenue"),
        )
    )
    return (
        sums.select("*", "about.*")
        .withColumns(
            {
                "average_price": F.when(F.col("units") > 0, (F.col("revenue") / F.col("units")).cast("decimal(18,3)")),
                "review_score": mean_of("scores", "reviews"),
                "revenue_rank": F.row_number().over(
                    Window.partitionBy("snapshot_month").orderBy(F.desc("revenue"), key)
                ),
            }
        )
        .drop("scores", "about")
    )


def _of_items(audit: Audit) -> DataFrame:
    """Of all items so far, what those of a table of sales add up to: found month by month, not by what they are of."""
    sold = F.col("is_delivered")
    of_months = (
        audit.inputs["items"]
        .groupBy("purchase_month")
        .agg(
            F.count("*").alias("ordered_units"),
            F.count_if(sold).alias("units"),
            money(F.sum(F.when(sold, F.col("price")))).alias("revenue"),
            money(F.sum(F.when(sold, F.col("freight_value")))).alias("freight_value"),
        )
    )
    return sums_so_far(of_months, audit.partitions(), "ordered_units", "units", "revenue", "freight_value")


def all_items() -> TableCheck:
    """A table of sales has all items of silver so far, and their money."""
    return reconciles(
        "reconciliation",
        "Units, revenue and freight are those of all items so far in silver, to the last decimal",
        ours=summed("ordered_units", "units", "revenue", "freight_value"),
        theirs=_of_items,
    )
