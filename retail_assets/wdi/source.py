"""The World Development Indicators as the World Bank publishes them, wide or long, and its list of economies."""

from dataclasses import dataclass
from datetime import date

from retail_assets.lakehouse.contracts import Elsewhere
from retail_assets.landing.layout import SourceLayout


@dataclass(frozen=True)
class Statistics:
    """The source as its tables want to know it."""

    name: str
    title: str
    terms: str
    """Under which the data may be used, and whose they are."""
    currency: str | None = None
    """Amounts are in US dollars; which are amounts, the indicators say."""
    elsewhere: Elsewhere = ()
    last_day: date | None = None


WDI = Statistics("wdi", "World Development Indicators", "World Bank, World Development Indicators, CC BY 4.0")

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
