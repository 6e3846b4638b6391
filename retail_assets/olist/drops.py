"""The drops of Olist's tables, and their rows."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import partition_column, table_name
from retail_assets.lakehouse.table import Built
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.olist.source import OLIST
from retail_assets.operations.bronze import LandedRows, drops_as_expected, drops_readable, landed, layout_of
from retail_assets.partitions.keys import PartitionWindow

CHECKS = [drops_readable, drops_as_expected]


def landed_rows(
    contract: type[LandedRows], window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource
) -> Built:
    """The rows of a bronze table's drops of the window's months; a reference's are of one day that stands for all."""
    directory = f"{OLIST.name}/{table_name(contract)[1].removeprefix('raw_')}"
    drops: dict[str, list[Drop]] = {key: [] for key in window.keys}
    for drop in landing.drops(directory):
        if (month := drop.day.replace(day=1).isoformat()) in drops:
            drops[month].append(drop)
    return landed(pyspark.spark_session, drops, layout_of(contract, directory), partition_column(contract))
