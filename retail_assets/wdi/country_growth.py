"""country_growth: how each country's economy grew, year by year."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Integer, Real, column
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import whole
from retail_assets.wdi.growth import GROWTH, READS, Growth, all_growths, growths


class CountryGrowth(Growth):
    """One row for each country and year of which the growth is known, beside the country's year before."""

    previous_growth: Real = column(
        "Growth of the year before; NULL where it is not known", unit="% a year", nullable=True, origin=GROWTH
    )
    growth_change: Real = column(
        "Growth less that of the year before", unit="percentage points", nullable=True, origin=GROWTH
    )
    growth_rank: Integer = column("Rank among the country's years, 1 the best; of equal ones the earlier", ge=1)

    class Config:
        unique = ["country_code", "year"]


def country_growth(indicators: DataFrame) -> DataFrame:
    """One row for each growth."""
    known = growths(indicators)
    before = known.select(
        "country_code", (F.col("year") + 1).alias("year"), F.col("gdp_growth").alias("previous_growth")
    )
    best_first = Window.partitionBy("country_code").orderBy(F.desc("gdp_growth"), "year")
    return known.join(before, ["country_code", "year"], "left").withColumns(
        {
            "growth_change": F.col("gdp_growth") - F.col("previous_growth"),
            "growth_rank": F.row_number().over(best_first),
        }
    )


@table(CountryGrowth, whole, layer=GOLD, reads=READS, checks=[all_growths(years=lambda: F.count("*"))])
def build(indicators: DataFrame) -> DataFrame:
    """The newest delivery."""
    return country_growth(indicators)
