"""The World Development Indicators as the World Bank publishes them, wide or long, and its list of economies."""

from dataclasses import dataclass

from retail_assets.landing.layout import SourceLayout

LICENCE = "CC BY 4.0"
CITATION = f"World Bank: World Development Indicators, {LICENCE}"


@dataclass(frozen=True)
class Statistics:
    """A source as its tables want to know it."""

    name: str
    title: str
    licence: str
    currency: None = None


WDI = Statistics("wdi", "World Development Indicators", CITATION)

INDICATORS = SourceLayout(
    "wdi/indicators",
    {
        "country_name": ("Country Name", "countryname"),
        "country_code": ("Country Code", "countrycode"),
        "indicator_name": ("Indicator Name", "indicatorname"),
        "indicator_code": ("Indicator Code", "indicatorcode"),
    },
    date_column="",
)
"""What both forms have. Of the wide form the other columns are years; of the long one they are YEAR, VALUE and the file
that the Bank published the value in."""

YEAR, VALUE = ("year", "Year"), ("indicatorvalue", "value", "Value")

COUNTRIES = SourceLayout(
    "wdi/countries",
    {
        "country_code": ("Country Code",),
        "region": ("Region",),
        "income_group": ("IncomeGroup", "Income Group"),
        "notes": ("SpecialNotes", "Special Notes"),
        "country_name": ("TableName", "Table Name"),
    },
    date_column="",
)
