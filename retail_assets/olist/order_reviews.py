"""order_reviews: what the customer said of each order."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import CROSS_COLUMN, Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Integer,
    Moment,
    Text,
    column,
    partition,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import rare, summed
from retail_assets.lakehouse.table import table
from retail_assets.lakehouse.written_values import written_integer, written_moment
from retail_assets.olist.orders import Orders
from retail_assets.olist.raw_order_reviews import RawOrderReviews
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import monthly, same_window

_SCORE: dict[str, Any] = {"in_range": {"min_value": 1, "max_value": 5}, "origin": (RawOrderReviews, "review_score")}


def _of_newest(description: str, name: str) -> Any:
    return column(f"{description} of the newest review", nullable=True, origin=(RawOrderReviews, name))


class OrderReviews(Contract):
    """One row for each order that was reviewed, with its newest review; a few orders have two or three.

    The newest is the one asked for, then answered, last. A score that cannot be read counts as 0, which no rule lets
    pass. One review may be of several orders: 98,410 ids are 99,224 reviews of orders in the published data.
    """

    order_id: Text = column("Order", origin=(RawOrderReviews, "order_id"))
    reviews: Count = column("Reviews of the order", ge=1, origin=(RawOrderReviews, "review_id"))
    review_id: Text = column("The newest review", origin=(RawOrderReviews, "review_id"))
    review_score: Integer = column("Score of the newest review", **_SCORE)
    lowest_score: Integer = column("Lowest score of all its reviews", **_SCORE)
    highest_score: Integer = column("Highest score of all its reviews", **_SCORE)
    review_comment_title: Text = _of_newest("Title", "review_comment_title")
    review_comment_message: Text = _of_newest("Comment", "review_comment_message")
    asked_on: Day = _of_newest("Day on which the customer was asked, where known,", "review_creation_date")
    answered_at: Moment = _of_newest("Time of the answer, where known,", "review_answer_timestamp")
    purchase_date: Day = column("Day of the purchase", origin=(Orders, "purchase_date"))
    purchase_month: Day = partition(
        "First day of the month of the purchase", origin=(RawOrderReviews, "purchase_month")
    )

    class Config:
        unique = ["purchase_month", "order_id"]


def order_reviews(raw: DataFrame, orders: DataFrame) -> DataFrame:
    """One row for each order that a raw review names."""
    never = F.lit("1970-01-01").cast("timestamp")
    asked, answered = written_moment("review_creation_date"), written_moment("review_answer_timestamp")
    reviews = sound(raw).select(
        "purchase_month",
        "order_id",
        F.coalesce(asked, never).alias("asked"),
        F.coalesce(answered, never).alias("answered"),
        F.coalesce("review_id", F.lit("")).alias("review_id"),
        F.coalesce(written_integer("review_score"), F.lit(0)).alias("score"),
        "review_comment_title",
        "review_comment_message",
    )
    last = F.struct("asked", "answered", "review_id")
    newest = F.struct("review_id", "score", "review_comment_title", "review_comment_message", "asked", "answered")
    of_orders = reviews.groupBy("purchase_month", "order_id").agg(
        F.count("*").alias("reviews"),
        F.min("score").alias("lowest_score"),
        F.max("score").alias("highest_score"),
        F.max_by(newest, last).alias("newest"),
    )
    return of_orders.join(orders.select("order_id", "purchase_date"), "order_id", "left").select(
        "order_id",
        "reviews",
        "newest.review_id",
        F.col("newest.score").alias("review_score"),
        "lowest_score",
        "highest_score",
        "newest.review_comment_title",
        "newest.review_comment_message",
        F.to_date(F.when(F.col("newest.asked") != never, F.col("newest.asked"))).alias("asked_on"),
        F.when(F.col("newest.answered") != never, F.col("newest.answered")).alias("answered_at"),
        "purchase_date",
        "purchase_month",
    )


def _landed(audit: Audit) -> DataFrame:
    raw = sound(audit.inputs["raw"])
    return raw.groupBy("purchase_month").agg(F.count("*").alias("reviews"))


@table(
    OrderReviews,
    monthly,
    layer=SILVER,
    reads={"raw": (RawOrderReviews, same_window), "orders": (Orders, same_window)},
    checks=[
        reconciles("reconciliation", "Every review that landed is counted once", summed("reviews"), _landed),
        all_known(
            "orders_known",
            "Every review's order is one of its month",
            ["purchase_month", "order_id"],
            lambda inputs: inputs["orders"],
        ),
        rare(
            "reviews_after_purchase",
            "Customers are asked after their purchase and answer after that, but for at most one in a hundred",
            {
                "asked_before_purchase": (
                    "were asked for before the purchase",
                    lambda: F.col("asked_on") < F.col("purchase_date"),
                ),
                "answered_before_asked": (
                    "were answered before they were asked for",
                    lambda: F.to_date("answered_at") < F.col("asked_on"),
                ),
                "asked_a_year_later": (
                    "were asked for more than a year after the purchase",
                    lambda: F.col("asked_on") > F.date_add("purchase_date", 365),
                ),
            },
            share=0.01,
            family=CROSS_COLUMN,
        ),
    ],
)
def build(raw: DataFrame, orders: DataFrame) -> DataFrame:
    """The reviewed orders of the window's months."""
    return order_reviews(raw, orders)
