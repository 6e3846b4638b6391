"""best_growth_years: the year in which each country's economy grew most."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Count, Text, column
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import whole
from retail_assets.wdi.country_indicators import GDP_GROWTH
from retail_assets.wdi.growth import GROWTH, READS, Growth, all_growths, growths


class BestGrowthYears(Growth):
    """One row for each country of which a growth is known: its best year; of equal ones the first.

    It is found by country, year and indicator together: the same value may be that of another country, or of another
    indicator of this one.
    """

    indicator_code: Text = column("Indicator", isin=[GDP_GROWTH])
    years: Count = column("Years of which the growth is known", ge=1, origin=GROWTH)

    class Config:
        unique = ["country_code", "indicator_code"]


def best_growth_years(indicators: DataFrame) -> DataFrame:
    """One row for each country with a growth."""
    known = growths(indicators).withColumn("indicator_code", F.lit(GDP_GROWTH))
    keys = ["snapshot", "country_code", "indicator_code"]
    best = known.groupBy(keys).agg(F.max("gdp_growth").alias("gdp_growth"), F.count("*").alias("years"))
    years = known.join(best, [*keys, "gdp_growth"])
    return years.groupBy(*keys, "country_name", "gdp_growth", "years").agg(F.min("year").alias("year"))


@table(BestGrowthYears, whole, layer=GOLD, reads=READS, checks=[all_growths(countries=lambda: F.count("*"))])
def build(indicators: DataFrame) -> DataFrame:
    """The newest delivery."""
    return best_growth_years(indicators)
