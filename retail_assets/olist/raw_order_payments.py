"""raw_order_payments: every payment of every order as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import monthly
from retail_assets.partitions.keys import PartitionWindow


class RawOrderPayments(LandedRows):
    """One row for each means of payment of an order."""

    order_id: Text = as_landed("Order")
    payment_sequential: Text = as_landed("Number of the payment within its order")
    payment_type: Text = as_landed("Means of payment")
    payment_installments: Text = as_landed("Installments")
    payment_value: Text = as_landed("Amount paid")
    purchase_month: Day = partition("First day of the month of the order's purchase")


@table(RawOrderPayments, monthly, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The order payments of the window's months."""
    return landed_rows(RawOrderPayments, window, landing, pyspark)
