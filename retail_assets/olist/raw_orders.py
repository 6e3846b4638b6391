"""raw_orders: every order as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class RawOrders(LandedRows):
    """An order and what became of it, one row each."""

    order_id: Text = as_landed("Order")
    customer_id: Text = as_landed("Customer of this order: in the next order the same person has another")
    order_status: Text = as_landed("What became of the order")
    order_purchase_timestamp: Text = as_landed("When it was placed")
    order_approved_at: Text = as_landed("When its payment was approved")
    order_delivered_carrier_date: Text = as_landed("When it was handed to the carrier")
    order_delivered_customer_date: Text = as_landed("When the customer received it")
    order_estimated_delivery_date: Text = as_landed("Day by which delivery was promised")
    purchase_month: Day = partition("First day of the month of the order's purchase")


@table(RawOrders, monthly, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The orders of the window's months."""
    return landed_rows(RawOrders, window, landing, pyspark)
