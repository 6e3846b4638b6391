"""Files like those of the World Development Indicators, small: few indicators of few economies, in the long form."""

import csv
from pathlib import Path

import numpy as np

YEARS = range(1990, 2025)
_ECONOMIES = {
    "GBR": ("United Kingdom", "Europe & Central Asia"),
    "IRL": ("Ireland", "Europe & Central Asia"),
    "FRA": ("France", "Europe & Central Asia"),
    "DEU": ("Germany", "Europe & Central Asia"),
    "ESP": ("Spain", "Europe & Central Asia"),
    "NLD": ("Netherlands", "Europe & Central Asia"),
    "AUS": ("Australia", "East Asia & Pacific"),
    "JPN": ("Japan", "East Asia & Pacific"),
    "BRA": ("Brazil", "Latin America & Caribbean"),
}
_INDICATORS = {
    "SP.POP.TOTL": "Population, total",
    "NY.GDP.MKTP.CD": "GDP (current US$)",
    "NY.GDP.MKTP.KD.ZG": "GDP growth (annual %)",
}


def make_indicators(directory: Path, seed: int = 42) -> list[Path]:
    """Writes the indicators and the countries; the same seed gives the same bytes. The first growth is unknown."""
    random = np.random.default_rng(seed)
    indicators, countries = directory / "indicators.csv", directory / "countries.csv"
    with indicators.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            ["year", "countryname", "countrycode", "indicatorname", "indicatorcode", "indicatorvalue", "source"]
        )
        for code, (name, _) in _ECONOMIES.items():
            inhabitants, product = float(random.uniform(4e6, 1.2e8)), float(random.uniform(1e11, 3e12))
            for year in YEARS:
                growth = float(random.normal(2, 2))
                inhabitants, product = inhabitants * 1.004, product * (1 + growth / 100)
                values = (round(inhabitants), round(product, 2), "" if year == YEARS[0] else round(growth, 6))
                for (indicator, called), value in zip(_INDICATORS.items(), values, strict=True):
                    rows.writerow([year, name, code, called, indicator, value, "made"])
    with countries.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["Country Code", "Region", "IncomeGroup", "SpecialNotes", "TableName"])
        rows.writerows([code, region, "High income", "", name] for code, (name, region) in _ECONOMIES.items())
    return [indicators, countries]
