"""raw_products: every product as landed."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.drops import CHECKS, landed_rows
from retail_assets.operations.bronze import LandedRows, as_landed
from retail_assets.partitions.cadence import WHOLE, whole
from retail_assets.partitions.keys import PartitionWindow


class RawProducts(LandedRows):
    """One row a product, the published spelling of headers kept."""

    product_id: Text = as_landed("Product")
    product_category_name: Text = as_landed("Category, in Portuguese")
    product_name_lenght: Text = as_landed("Characters of its name")
    product_description_lenght: Text = as_landed("Characters of its description")
    product_photos_qty: Text = as_landed("Photos")
    product_weight_g: Text = as_landed("Weight in grams")
    product_length_cm: Text = as_landed("Length in centimetres")
    product_height_cm: Text = as_landed("Height in centimetres")
    product_width_cm: Text = as_landed("Width in centimetres")
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE])


@table(RawProducts, whole, layer=BRONZE, kinds=["csv"], checks=CHECKS)
def build(window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery of products."""
    return landed_rows(RawProducts, window, landing, pyspark)
