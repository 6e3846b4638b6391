"""raw_category_translation: English names of categories as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import WHOLE, whole
from retail_assets.partitions.keys import PartitionWindow


class RawCategoryTranslation(LandedRows):
    """One row a category; two categories of products have none."""

    product_category_name: Text = as_landed("Category, in Portuguese")
    product_category_name_english: Text = as_landed("Category, in English")
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE])


@table(RawCategoryTranslation, whole, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery of translations."""
    return landed_rows(RawCategoryTranslation, window, landing, pyspark)
