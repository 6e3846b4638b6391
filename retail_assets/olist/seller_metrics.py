"""seller_metrics: what each seller sold so far, and what the customers said."""

from pyspark.sql import DataFrame

from retail_assets.lakehouse.contracts import Contract, Text, column
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.olist.item_sales import READS, ItemSales, all_items, item_sales
from retail_assets.olist.months_so_far import months_of
from retail_assets.olist.order_items import OrderItems
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class Seller(Contract):
    """Who a seller is."""

    seller_id: Text = column("Seller", origin=(OrderItems, "seller_id"))
    seller_state: Text = column("State of the seller", origin=(OrderItems, "seller_state"))


class SellerMetrics(ItemSales, Seller):
    """One row for each snapshot and seller with an order by then; an order of several sellers counts with each."""

    class Config:
        unique = ["snapshot_month", "seller_id"]


def seller_metrics(items: DataFrame, reviews: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and seller of the items ordered by then."""
    return item_sales(items, reviews, "seller_id", ["seller_state"], of)


@table(SellerMetrics, monthly, layer=GOLD, reads=READS, checks=[all_items()])
def build(items: DataFrame, reviews: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's snapshots, from every month up to each."""
    return seller_metrics(items, reviews, months_of(items.sparkSession, window))
