"""raw_order_reviews: every review of every order as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class RawOrderReviews(LandedRows):
    """One row for each order that a review is of; comments go over several lines."""

    review_id: Text = as_landed("Review: the same for several orders of one customer")
    order_id: Text = as_landed("Order")
    review_score: Text = as_landed("Score, 1 to 5")
    review_comment_title: Text = as_landed("Title of the comment")
    review_comment_message: Text = as_landed("The comment")
    review_creation_date: Text = as_landed("Day the customer was asked")
    review_answer_timestamp: Text = as_landed("When the customer answered")
    purchase_month: Day = partition("First day of the month of the order's purchase")


@table(RawOrderReviews, monthly, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The order reviews of the window's months."""
    return landed_rows(RawOrderReviews, window, landing, pyspark)
