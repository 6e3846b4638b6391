"""growth_by_year: how the economies of all countries grew in each year, side by side."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Flag, Integer, Real, column
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import same_window, whole
from retail_assets.wdi.countries import Countries
from retail_assets.wdi.growth import GROWTH, READS, Growth, all_growths, growths

WORLD = "WLD"


class GrowthByYear(Growth):
    """One row for each year and country, or aggregate of countries, of which the growth is known.

    Countries are ranked within their year; aggregates, which are made of countries, are not.
    """

    is_aggregate: Flag = column("Whether it is several countries", origin=(Countries, "is_aggregate"))
    year_rank: Integer = column(
        "Rank among the year's countries, 1 the highest growth, equal ones alike", nullable=True, ge=1, origin=GROWTH
    )
    world_growth: Real = column(
        "Growth of the world; NULL where it is not known", unit="% a year", nullable=True, origin=GROWTH
    )

    class Config:
        unique = ["year", "country_code"]


def growth_by_year(indicators: DataFrame, countries: DataFrame) -> DataFrame:
    """One row for each growth."""
    known = growths(indicators)
    world = known.filter(F.col("country_code") == WORLD).select("year", F.col("gdp_growth").alias("world_growth"))
    among_its_kind = Window.partitionBy("year", "is_aggregate").orderBy(F.desc("gdp_growth"))
    return (
        known.join(countries.select("country_code", "is_aggregate"), "country_code", "left")
        .join(world, "year", "left")
        .withColumn("year_rank", F.when(~F.col("is_aggregate"), F.rank().over(among_its_kind)))
    )


@table(
    GrowthByYear,
    whole,
    layer=GOLD,
    reads=READS | {"countries": (Countries, same_window)},
    checks=[all_growths(years=lambda: F.count("*"))],
)
def build(indicators: DataFrame, countries: DataFrame) -> DataFrame:
    """The newest delivery."""
    return growth_by_year(indicators, countries)
