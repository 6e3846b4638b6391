"""The drops of Olist's tables, and their rows."""

from dagster_pyspark import LazyPySparkResource

from retail_assets.lakehouse.contracts import partition_column, table_name
from retail_assets.lakehouse.table import Built
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.olist.source import OLIST
from retail_assets.operations.bronze import (
    LandedRows,
    drops_as_expected,
    drops_readable,
    landed,
    layout_of,
    newest_delivery,
)
from retail_assets.partitions.cadence import NEWEST
from retail_assets.partitions.keys import PartitionWindow

CHECKS = [drops_readable, drops_as_expected]


def drops_of(contract: type[LandedRows], landing: LandingZone) -> dict[str, list[Drop]]:
    """Partition -> the drops of a bronze table: those of each month, or of a reference those of its newest day."""
    directory = f"{OLIST.name}/{_file(contract)}"
    if partition_column(contract) == "snapshot":
        return {NEWEST: newest_delivery(landing, directory)}
    found: dict[str, list[Drop]] = {}
    for drop in landing.drops(directory):
        found.setdefault(drop.day.replace(day=1).isoformat(), []).append(drop)
    return found


def landed_rows(
    contract: type[LandedRows], window: PartitionWindow, landing: LandingZone, pyspark: LazyPySparkResource
) -> Built:
    """The rows of the drops of the window's partitions."""
    found = drops_of(contract, landing)
    drops = {key: found.get(key, []) for key in window.keys}
    return landed(pyspark.spark_session, drops, layout_of(contract, _file(contract)), partition_column(contract))


def _file(contract: type[LandedRows]) -> str:
    return table_name(contract)[1].removeprefix("raw_")
