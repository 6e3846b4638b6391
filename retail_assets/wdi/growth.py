"""What the analyses of growth share: each growth of each country's gross domestic product."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import Audit, TableCheck, reconciles
from retail_assets.lakehouse.contracts import Contract, Day, Integer, Real, Text, column, partition
from retail_assets.partitions.cadence import WHOLE, same_window
from retail_assets.wdi.country_indicators import CountryIndicators

READS: dict[str, Any] = {"indicators": (CountryIndicators, same_window)}

GROWTH = (CountryIndicators, "gdp_growth")


class Growth(Contract):
    """A country, a year, and by how much its gross domestic product grew in it."""

    country_code: Text = column("Code of the World Bank", origin=(CountryIndicators, "country_code"))
    country_name: Text = column("Name", origin=(CountryIndicators, "country_name"))
    year: Integer = column("Year", origin=(CountryIndicators, "year"))
    gdp_growth: Real = column("Growth of the gross domestic product", unit="% a year", origin=GROWTH)
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE], origin=(CountryIndicators, "snapshot"))


def growths(indicators: DataFrame) -> DataFrame:
    """One row for each country and year of which the growth is known."""
    known = indicators.filter("gdp_growth IS NOT NULL")
    return known.select("snapshot", "country_code", "country_name", "year", "gdp_growth")


def _known(audit: Audit) -> DataFrame:
    known = growths(audit.inputs["indicators"]).groupBy("snapshot")
    return known.agg(F.count("*").alias("years"), F.count_distinct("country_code").alias("countries"))


def all_growths(**ours: Any) -> TableCheck:
    """A table has every growth of silver: `years` in all, or one for each of so many `countries`."""
    return reconciles("reconciliation", "Every growth that is known is taken into account", ours, _known)
