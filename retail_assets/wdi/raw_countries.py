"""raw_countries: the World Bank's list of economies as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.operations.bronze import LandedRows, as_landed, drops_readable, landed
from retail_assets.partitions.cadence import WHOLE, whole
from retail_assets.wdi.source import COUNTRIES


class RawCountries(LandedRows):
    """One row for each country, and for each aggregate of countries, which has no region."""

    country_code: Text = as_landed("Code")
    region: Text = as_landed("Region, of countries")
    income_group: Text = as_landed("Group of income, of countries")
    notes: Text = as_landed("Remarks")
    country_name: Text = as_landed("Name")
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE])


@table(RawCountries, whole, layer=BRONZE, kinds=["csv"], checks=[drops_readable])
def build(landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery. What the Bank says of economies besides is kept in extra_columns."""
    drops = {str(WHOLE): landing.drops(COUNTRIES.name)}
    return landed(pyspark.spark_session, drops, COUNTRIES, "snapshot", lambda header: True)
