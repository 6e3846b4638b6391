"""product_metrics: what was sold of each product so far, what was said of it, and where it stands."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Contract, Integer, Text, column
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.olist.item_sales import READS, ItemSales, all_items, item_sales
from retail_assets.olist.months_so_far import months_of
from retail_assets.olist.order_items import OrderItems
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class Product(Contract):
    """What a product is."""

    product_id: Text = column("Product", origin=(OrderItems, "product_id"))
    category: Text = column("Category in Portuguese", origin=(OrderItems, "category"))
    category_english: Text = column("Category in English", origin=(OrderItems, "category_english"))


class ProductMetrics(ItemSales, Product):
    """One row for each snapshot and product ordered by then, delivered or not."""

    category_rank: Integer = column("Rank by revenue within the category", ge=1, origin=(OrderItems, "price"))

    class Config:
        unique = ["snapshot_month", "product_id"]


def product_metrics(items: DataFrame, reviews: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and product ordered by then."""
    within_category = Window.partitionBy("snapshot_month", "category").orderBy(F.desc("revenue"), "product_id")
    sales = item_sales(items, reviews, "product_id", ["category", "category_english"], of)
    return sales.withColumn("category_rank", F.row_number().over(within_category))


@table(ProductMetrics, monthly, layer=GOLD, reads=READS, checks=[all_items()])
def build(items: DataFrame, reviews: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's snapshots, from every month up to each."""
    return product_metrics(items, reviews, months_of(items.sparkSession, window))
