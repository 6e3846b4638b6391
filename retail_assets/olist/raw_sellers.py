"""raw_sellers: every seller as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import WHOLE, whole
from retail_assets.partitions.keys import PartitionWindow


class RawSellers(LandedRows):
    """One row a seller."""

    seller_id: Text = as_landed("Seller")
    seller_zip_code_prefix: Text = as_landed("First five digits of the zip code")
    seller_city: Text = as_landed("City")
    seller_state: Text = as_landed("State, two letters")
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE])


@table(RawSellers, whole, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery of sellers."""
    return landed_rows(RawSellers, window, landing, pyspark)
