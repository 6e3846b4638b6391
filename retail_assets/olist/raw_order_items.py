"""raw_order_items: every item of every order as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class RawOrderItems(LandedRows):
    """One row for each item of an order, as many as there are pieces."""

    order_id: Text = as_landed("Order")
    order_item_id: Text = as_landed("Number of the item within its order, from 1")
    product_id: Text = as_landed("Product")
    seller_id: Text = as_landed("Seller")
    shipping_limit_date: Text = as_landed("By when the seller must hand it to the carrier")
    price: Text = as_landed("Price of the item")
    freight_value: Text = as_landed("Freight of the item")
    purchase_month: Day = partition("First day of the month of the order's purchase")


@table(RawOrderItems, monthly, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The order items of the window's months."""
    return landed_rows(RawOrderItems, window, landing, pyspark)
