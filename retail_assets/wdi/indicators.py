"""indicators: every published value of every indicator, country and year, in the long form."""

import re
from dataclasses import replace

from dagster_pyspark import LazyPySparkResource
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Day, Text, partition
from retail_assets.lakehouse.layers import BRONZE
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.operations.bronze import (
    LandedRows,
    as_landed,
    drops_as_expected,
    drops_readable,
    landed,
)
from retail_assets.partitions.cadence import WHOLE, whole
from retail_assets.wdi.source import INDICATORS, VALUE, YEAR

_A_YEAR = r"^[0-9]{4}\z"
_FORESEEN = re.compile(r"[0-9]{4}|column_[0-9]+|source|" + "|".join((*YEAR, *VALUE)))
"""Headers beyond the layout's: years, the empty one that ends the published wide form, and those of the long form."""


class Indicators(LandedRows):
    """One row for each value, as text, whichever of the two published forms it came in.

    Where the wide form has no value there is no row: no value is no 0.
    """

    country_name: Text = as_landed("Economy")
    country_code: Text = as_landed("Its code: ISO 3166-1 alpha-3 of countries, the Bank's own of aggregates")
    indicator_name: Text = as_landed("Indicator, with its unit")
    indicator_code: Text = as_landed("Its code")
    year: Text = as_landed("Year")
    indicator_value: Text = as_landed("Value")
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE])


def indicators(rows: DataFrame) -> DataFrame:
    """The landed rows of both forms, those of the wide one as one row for each value."""
    extra = F.col("extra_columns")
    year, value = _one_of(YEAR), _one_of(VALUE)
    wide = F.map_filter(extra, lambda header, cell: header.rlike(_A_YEAR) & cell.isNotNull())
    values = (
        F.when(F.col("malformed_line").isNotNull(), F.create_map(F.lit(""), F.lit(None).cast("string")))
        .when(year.isNotNull(), F.create_map(F.coalesce(year, F.lit("")), value))
        .otherwise(wide)
    )
    others = F.map_filter(extra, lambda header, _: ~(header.rlike(_A_YEAR) | header.isin(*YEAR, *VALUE)))
    return (
        rows.select("*", F.explode(values).alias("written_year", "indicator_value"))
        .withColumns(
            {
                "year": F.when(F.col("written_year") != "", F.col("written_year")),
                "extra_columns": F.when(F.size(others) > 0, others),
            }
        )
        .drop("written_year")
    )


def _one_of(headers: tuple[str, ...]) -> Column:
    return F.coalesce(*(F.try_element_at("extra_columns", F.lit(header)) for header in headers))


@table(Indicators, whole, layer=BRONZE, kinds=["csv"], checks=[drops_readable, drops_as_expected])
def build(landing: LandingZone, pyspark: LazyPySparkResource) -> Built:
    """The newest delivery."""
    drops = {str(WHOLE): landing.drops(INDICATORS.name)}
    built = landed(
        pyspark.spark_session, drops, INDICATORS, "snapshot", lambda header: bool(_FORESEEN.fullmatch(header))
    )
    return replace(built, frame=indicators(built.frame))
