"""Country names as the shop writes them -> ISO 3166-1 alpha-3 codes. Names that are no country have none."""

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
