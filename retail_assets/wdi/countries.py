"""countries: the economies that there are indicators of, with their ISO codes."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.iso_codes import ISO_CODES
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import Contract, Day, Flag, Text, column, partition, row_rule
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import counted
from retail_assets.lakehouse.table import table
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import WHOLE, same_window, whole
from retail_assets.wdi.raw_countries import RawCountries

INCOME_GROUPS = ["Low income", "Lower middle income", "Upper middle income", "High income"]

_CODE = (RawCountries, "country_code")
_REGION = (RawCountries, "region")


class Countries(Contract):
    """One row for each country, and for each aggregate of countries: a region, a group of income, the world."""

    country_code: Text = column("Code of the World Bank", origin=_CODE, str_matches="^[A-Z]{3}$")
    country_name: Text = column("Name", origin=(RawCountries, "country_name"))
    is_aggregate: Flag = column("Whether it is several countries: those have no region", origin=_REGION)
    iso_alpha_3: Text = column(
        "ISO 3166-1 alpha-3 code; NULL of aggregates, and of the two that ISO does not know",
        nullable=True,
        origin=_CODE,
    )
    iso_alpha_2: Text = column("ISO 3166-1 alpha-2 code, as above", nullable=True, origin=_CODE)
    region: Text = column("Region; NULL of aggregates", nullable=True, origin=_REGION)
    income_group: Text = column(
        "Group of income; NULL of aggregates, and where it is not known",
        nullable=True,
        isin=INCOME_GROUPS,
        origin=(RawCountries, "income_group"),
    )
    notes: Text = column("Remarks of the World Bank", nullable=True, origin=(RawCountries, "notes"))
    snapshot: Day = partition("Stands for the newest delivery", isin=[WHOLE], origin=(RawCountries, "snapshot"))

    class Config:
        unique = ["country_code"]

    @row_rule("An aggregate has no ISO code")
    def aggregates_have_no_code() -> Column:
        return ~F.col("is_aggregate") | F.col("iso_alpha_3").isNull()


def countries(raw: DataFrame) -> DataFrame:
    """One row for each of the raw ones."""
    iso = F.create_map(*(F.lit(code) for pair in ISO_CODES.items() for code in pair))
    alpha_2 = F.try_element_at(iso, F.col("country_code"))
    return sound(raw).select(
        "country_code",
        "country_name",
        F.col("region").isNull().alias("is_aggregate"),
        F.when(alpha_2.isNotNull(), F.col("country_code")).alias("iso_alpha_3"),
        alpha_2.alias("iso_alpha_2"),
        "region",
        "income_group",
        "notes",
        "snapshot",
    )


def _landed(audit: Audit) -> DataFrame:
    raw = sound(audit.inputs["raw"])
    return raw.groupBy("snapshot").agg(F.count("*").alias("country_code"))


@table(
    Countries,
    whole,
    layer=SILVER,
    reads={"raw": (RawCountries, same_window)},
    checks=[reconciles("reconciliation", "Every economy that landed is there", counted("country_code"), _landed)],
)
def build(raw: DataFrame) -> DataFrame:
    """The newest delivery."""
    return countries(raw)
