"""raw_countries: the World Bank's list of economies as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.operations.bronze import LandedRows, as_landed, drops_readable, landed, newest_delivery
from retail_assets.partitions.cadence import NEWEST, snapshot
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.wdi.source import COUNTRIES


class RawCountries(LandedRows):
    """One row for each country, and for each aggregate of countries, which has no region."""

    country_code: Text = as_landed("Code")
    region: Text = as_landed("Region, of countries")
    income_group: Text = as_landed("Group of income, of countries")
    notes: Text = as_landed("Remarks")
    country_name: Text = as_landed("Name")
    snapshot: Text = partition("The newest delivery", isin=[NEWEST])


@table(RawCountries, snapshot, layer=BRONZE, kinds=["csv"], checks=[drops_readable])
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery. What the Bank says of economies besides is kept in extra_columns."""
    drops = {key: newest_delivery(landing, COUNTRIES.name) for key in window.keys}
    return landed(pyspark.spark_session, drops, COUNTRIES, "snapshot", lambda header: True)
