"""country_indicators: what is known of each country in each year, typed."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    Contract,
    Day,
    Integer,
    Real,
    RealMap,
    Text,
    column,
    partition,
    ratio,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.lakehouse.written_values import written_integer, written_real
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import WHOLE, same_window, whole
from retail_assets.wdi.countries import Countries
from retail_assets.wdi.indicators import Indicators

POPULATION, GDP, GDP_GROWTH = "SP.POP.TOTL", "NY.GDP.MKTP.CD", "NY.GDP.MKTP.KD.ZG"

_VALUE = [(Indicators, "indicator_code", "indicator_value")]


def _indicator(description: str, **rules: Any) -> Any:
    return column(description, nullable=True, origin=_VALUE, **rules)


class CountryIndicators(Contract):
    """One row for each country, or aggregate of countries, and year that there is a value of.

    What the World Bank has no value of is NULL, or not in the map, and never 0.
    """

    country_code: Text = column("Code of the World Bank", origin=(Indicators, "country_code"))
    country_name: Text = column(
        "Name in the list of economies: files spell some in two ways", origin=(Countries, "country_name")
    )
    year: Integer = column("Year", origin=(Indicators, "year"), in_range={"min_value": 1960, "max_value": 2100})
    population: Real = _indicator(f"Inhabitants ({POPULATION})", gt=0.0)
    gdp_usd: Real = _indicator(f"Gross domestic product ({GDP})", unit="current USD", gt=0.0)
    gdp_per_head: Real = _indicator("Gross domestic product per inhabitant", unit="current USD", gt=0.0)
    gdp_growth: Real = _indicator(f"Growth of the gross domestic product ({GDP_GROWTH})", unit="% a year", gt=-100.0)
    indicators: RealMap = column("Every indicator with a value, by its code", origin=_VALUE)
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE], origin=(Indicators, "snapshot"))

    class Config:
        unique = ["country_code", "year"]


def country_indicators(raw: DataFrame, countries: DataFrame) -> DataFrame:
    """One row for each country and year of the raw values; a value that stands there twice counts once."""
    values = sound(raw).select(
        "snapshot",
        "country_code",
        written_integer("year").alias("year"),
        "indicator_code",
        written_real("indicator_value").alias("value"),
    )
    once = (
        values.filter("indicator_code IS NOT NULL AND value IS NOT NULL")
        .groupBy("snapshot", "country_code", "year", "indicator_code")
        .agg(F.max("value").alias("value"))
    )
    of_years = once.groupBy("snapshot", "country_code", "year").agg(
        F.map_from_entries(F.array_sort(F.collect_list(F.struct("indicator_code", "value")))).alias("indicators"),
        *(
            F.max(F.when(F.col("indicator_code") == code, F.col("value"))).alias(name)
            for name, code in (("population", POPULATION), ("gdp_usd", GDP), ("gdp_growth", GDP_GROWTH))
        ),
    )
    return of_years.join(countries.select("country_code", "country_name"), "country_code", "left").withColumn(
        "gdp_per_head", F.when(F.col("population") > 0, ratio(F.col("gdp_usd"), F.col("population")))
    )


def _landed(audit: Audit) -> DataFrame:
    written = sound(audit.inputs["raw"]).filter("indicator_value IS NOT NULL")
    return written.groupBy("snapshot").agg(F.count("*").alias("values"))


@table(
    CountryIndicators,
    whole,
    layer=SILVER,
    reads={"raw": (Indicators, same_window), "countries": (Countries, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "Every value that landed can be read, is of one country, year and indicator, and is there",
            ours={"values": lambda: F.sum(F.size("indicators"))},
            theirs=_landed,
        ),
        all_known(
            "countries_known",
            "Every country is in the list of economies",
            ["country_code"],
            lambda inputs: inputs["countries"],
        ),
    ],
)
def build(raw: DataFrame, countries: DataFrame) -> DataFrame:
    """The newest delivery."""
    return country_indicators(raw, countries)
