"""raw_customers: every order's customer as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import WHOLE, whole
from retail_assets.partitions.keys import PartitionWindow


class RawCustomers(LandedRows):
    """One row for each order's customer; people who bought again have several rows."""

    customer_id: Text = as_landed("Customer of one order")
    customer_unique_id: Text = as_landed("Customer, the same in all orders")
    customer_zip_code_prefix: Text = as_landed("First five digits of the zip code")
    customer_city: Text = as_landed("City")
    customer_state: Text = as_landed("State, two letters")
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE])


@table(RawCustomers, whole, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery of customers."""
    return landed_rows(RawCustomers, window, landing, pyspark)
