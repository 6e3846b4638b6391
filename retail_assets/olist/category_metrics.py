"""category_metrics: what was sold of each category so far, and what its customers said."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Contract, Count, Real, Text, column, ratio
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.olist.item_sales import READS, ItemSales, all_items, item_sales
from retail_assets.olist.months_so_far import months_of, so_far
from retail_assets.olist.order_items import OrderItems
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class Category(Contract):
    """What a category is."""

    category: Text = column("Category in Portuguese, or uncategorised", origin=(OrderItems, "category"))
    category_english: Text = column("Category in English", origin=(OrderItems, "category_english"))
    products: Count = column("Different products ordered", ge=1, origin=(OrderItems, "product_id"))


class CategoryMetrics(ItemSales, Category):
    """One row for each snapshot and category ordered from by then; an order of several counts in each."""

    revenue_share: Real = column(
        "Share of all revenue so far", nullable=True, origin=(OrderItems, "price"), ge=0.0, le=1.0
    )

    class Config:
        unique = ["snapshot_month", "category"]


def category_metrics(items: DataFrame, reviews: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and category of the items ordered by then."""
    first = items.groupBy("category", "product_id").agg(F.min("purchase_month").alias("purchase_month"))
    products = so_far(first, of).groupBy("snapshot_month", "category").agg(F.count("*").alias("products"))
    all_revenue = F.sum("revenue").over(Window.partitionBy("snapshot_month"))
    return (
        item_sales(items, reviews, "category", ["category_english"], of)
        .join(products, ["snapshot_month", "category"])
        .withColumn("revenue_share", F.when(all_revenue > 0, ratio(F.col("revenue"), all_revenue)))
    )


@table(CategoryMetrics, monthly, layer=GOLD, reads=READS, checks=[all_items()])
def build(items: DataFrame, reviews: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's snapshots, from every month up to each."""
    return category_metrics(items, reviews, months_of(items.sparkSession, window))
