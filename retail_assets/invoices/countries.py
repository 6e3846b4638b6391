"""Country names as shops write them -> ISO 3166-1 alpha-3 codes. Names that are no country have none."""

from retail_assets.analytics.iso_codes import ISO_CODES as ALPHA_2

ISO_CODES = {
    "Australia": "AUS", "Austria": "AUT", "Bahrain": "BHR", "Belgium": "BEL", "Bermuda": "BMU", "Brazil": "BRA",
    "Canada": "CAN", "Cyprus": "CYP", "Czech Republic": "CZE", "Denmark": "DNK", "EIRE": "IRL", "Finland": "FIN",
    "France": "FRA", "Germany": "DEU", "Greece": "GRC", "Hong Kong": "HKG", "Hungary": "HUN", "Iceland": "ISL",
    "Ireland": "IRL", "Israel": "ISR", "Italy": "ITA", "Japan": "JPN", "Korea": "KOR", "Lebanon": "LBN",
    "Lithuania": "LTU", "Luxembourg": "LUX", "Malta": "MLT", "Mexico": "MEX", "Netherlands": "NLD",
    "New Zealand": "NZL", "Nigeria": "NGA", "Norway": "NOR", "Poland": "POL", "Portugal": "PRT", "RSA": "ZAF",
    "Romania": "ROU", "Saudi Arabia": "SAU", "Singapore": "SGP", "Slovakia": "SVK", "Slovenia": "SVN",
    "South Africa": "ZAF", "Spain": "ESP", "Sweden": "SWE", "Switzerland": "CHE", "Thailand": "THA", "Turkey": "TUR",
    "USA": "USA", "United Arab Emirates": "ARE", "United Kingdom": "GBR",
}  # fmt: skip

CODES = {alpha_2: alpha_3 for alpha_3, alpha_2 in ALPHA_2.items()} | {code: code for code in ALPHA_2} | ISO_CODES
"""What a shop may write -> alpha-3: a name, or a code of two or three letters."""

ECONOMIES = CODES | {"Channel Islands": "CHI"}
"""What a shop may write -> the World Bank's code: that of ISO, but for an economy that ISO does not know as one."""

NO_COUNTRIES = ("European Community", "Unspecified", "West Indies")
"""What is written where no country is meant, or none is known: there are no figures of their inhabitants."""
