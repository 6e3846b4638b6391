"""What the generated shop sells, where, on which days and for what else it writes invoices.

The figures imitate Online Retail II (2009-12 to 2011-12): price points, countries by their number of
customers, opening days, orders by weekday, month and hour.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from retail_assets.shops.closed_days import easter_sunday

LONGEST_BASKET = 100

PRICES = """
    0.001 0.19 0.29 0.39 0.42 0.55 0.65 0.72 0.85 1.05 1.25 1.45 1.65 1.95 2.1 2.25 2.55 2.95 3.25 3.75
    4.25 4.95 5.95 6.75 7.95 8.5 9.95 10.95 12.75 14.95 16.95 19.95 24.95 29.95 39.95 49.95 79.95 125.0 195.0 295.0
""".split()  # noqa: SIM905

# The sizes in which wholesalers buy.
PACKS = np.array([1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 25, 30, 36, 48, 60, 72, 96, 100, 120, 144, 200, 288, 432, 576])

HOME = "United Kingdom"
FOREIGN = {  # country: customers in the published data
    "Germany": 107, "France": 95, "Spain": 41, "Belgium": 29, "Portugal": 24, "Netherlands": 23,
    "Switzerland": 22, "Sweden": 19, "Italy": 17, "Finland": 15, "Australia": 15, "Channel Islands": 14,
    "Norway": 13, "Austria": 13, "Denmark": 12, "Cyprus": 11, "Japan": 10, "USA": 9, "Unspecified": 7,
    "Poland": 6, "EIRE": 5, "Greece": 5, "Canada": 5, "United Arab Emirates": 4, "Israel": 4, "Malta": 2,
    "RSA": 2, "Bahrain": 2, "Brazil": 2, "Korea": 2, "Singapore": 1, "Iceland": 1, "Lithuania": 1,
    "Thailand": 1, "European Community": 1, "Lebanon": 1, "West Indies": 1, "Nigeria": 1, "Czech Republic": 1,
    "Saudi Arabia": 1, "Hong Kong": 1, "Bermuda": 1,
}  # fmt: skip

POSTAGE = ("POST", "POSTAGE", 1800)
# code, description, usual price in pence, weight: with a customer …
SERVICES = [
    ("M", "Manual", 1300, 10),
    ("C2", "CARRIAGE", 5000, 4),
    ("S", "SAMPLES", 3000, 1),
    ("gift_0001_20", "Dotcomgiftshop Gift Voucher £20.00", 1702, 1),
]
# … and without one
ANONYMOUS_SERVICES = [
    ("DOT", "DOTCOM POSTAGE", 15280, 14),
    ("M", "Manual", 4200, 4),
    ("BANK CHARGES", "Bank Charges", 1500, 2),
    ("AMAZONFEE", "AMAZON FEE", 594257, 1),
    ("ADJUST", "Adjustment by Peter on 24/05/2010 1", 4935, 1),
    ("CRUK", "CRUK Commission", 47177, 1),
]

# What the warehouse writes beside stock that it takes off the books.
STOCK_REMARKS = ["", "", "", "damaged", "lost", "check", "?", "wet", "thrown away", "sold as set, wrongly"]

# Orders by hour of the day, 7 to 19 o'clock, and weights of weekdays (from Monday) and months.
HOURS = np.array([31, 624, 1824, 2961, 3165, 3962, 3369, 3137, 3069, 1952, 1205, 333, 219], dtype=float)
FIRST_HOUR = 7
WEEKDAYS = [1.0, 1.1, 1.02, 1.22, 0.95, 0.0, 0.6]
MONTHS = [0.75, 0.8, 0.95, 0.88, 1.0, 0.93, 0.9, 0.85, 1.1, 1.35, 1.7, 1.45]
YEARLY_GROWTH = 1.08

_STYLES = """
    VINTAGE RETRO FRENCH RUSTIC CLASSIC MINI LARGE SMALL GIANT ANTIQUE TRADITIONAL FELTCRAFT SCANDINAVIAN
    REGENCY PARISIENNE CAFÉ COUNTRY SEASIDE CHRISTMAS EASTER
""".split()  # noqa: SIM905
_PATTERNS = """
    RED WHITE PINK BLUE GREEN IVORY BLACK SILVER RETROSPOT PAISLEY UNION-JACK STRAWBERRY ROSE DAISY HEART
    STAR WOODLAND SKULL POLKADOT GINGHAM BIRDCAGE BUTTERFLY OWL ELEPHANT
""".split()  # noqa: SIM905
_THINGS = [
    "T-LIGHT HOLDER", "LUNCH BAG", "CAKE STAND 3 TIER", "BUNTING", "JUMBO BAG", "MUG", "TEA TOWEL",
    "DOORMAT", "PHOTO FRAME", "RECORD FRAME 7\" SINGLE SIZE", "JAM JAR, SET OF 3", "HOT WATER BOTTLE", "CUSHION COVER",
    "GLASS BALL 20 LIGHTS", "DRAWER KNOB", "ALARM CLOCK", "PAPER NAPKINS, PACK OF 20", "CANDLE", "TRINKET BOX",
    "GIFT WRAP", "STORAGE TIN", "UMBRELLA", "NECKLACE", "WALL CLOCK 12\"", "BAKING CASES", "LANTERN", "HOOK",
    "NOTEBOOK", "PLASTER TIN", "WATERING CAN", "APRON", "PENCILS TUBE", "KEY RING", "SEWING KIT", "MAGNETS",
    "BREAD BIN",
]  # fmt: skip


def closed(day: date) -> bool:
    """Saturdays, the days around Christmas and New Year, Good Friday and Easter Monday: no drop at all."""
    sunday = easter_sunday(day.year)
    return (
        day.weekday() == 5
        or (day.month, day.day) >= (12, 24)
        or (day.month, day.day) <= (1, 2)
        or day in (sunday - timedelta(days=2), sunday + timedelta(days=1))
    )


def quoted(field: str) -> str:
    """A CSV field, in quotes only where it needs them, as in the published file."""
    return '"' + field.replace('"', '""') + '"' if '"' in field or "," in field else field


def milli(price: str) -> int:
    """A price in thousandths of a pound, exactly."""
    pounds, _, rest = price.partition(".")
    return int(pounds) * 1000 + int(rest.ljust(3, "0") or "0")


@dataclass(frozen=True)
class Catalogue:
    """Products by falling popularity.

    The last LONGEST_BASKET products are never drawn: a basket moves on to them when what it drew is taken.
    """

    codes: list[str]
    texts: list[str]  # "code,description" as it stands in the file
    price: NDArray[np.int64]  # index into PRICES
    popularity: NDArray[np.float64]  # cumulative, over the products that are drawn

    @staticmethod
    def make(random: np.random.Generator, products: int) -> "Catalogue":
        """`products` different codes with different descriptions and a long tail of popularity and prices."""
        drawn = products - LONGEST_BASKET
        numbers = random.choice(np.arange(20_000, 91_000), products, replace=False)
        letters = random.choice(["", "", "", "A", "B", "C", "L", "S", "GR"], products)
        names = random.choice(len(_STYLES) * len(_PATTERNS) * len(_THINGS), products, replace=False)
        codes = [f"{number}{letter}" for number, letter in zip(numbers.tolist(), letters.tolist(), strict=True)]
        descriptions = [
            f"{_PATTERNS[name % len(_PATTERNS)]} {_STYLES[name // len(_PATTERNS) % len(_STYLES)]} "
            f"{_THINGS[name // len(_PATTERNS) // len(_STYLES)]}"
            for name in names.tolist()
        ]
        points = np.array([milli(price) for price in PRICES])
        price = np.searchsorted(points, random.lognormal(np.log(2100), 0.95, products)).clip(1, len(points) - 1)
        # The one product that is no number, given away for a tenth of a penny: three decimals.
        codes[drawn // 20], descriptions[drawn // 20], price[drawn // 20] = "PADS", "PADS TO MATCH ALL CUSHIONS", 0
        texts = [f"{code},{quoted(name)}" for code, name in zip(codes, descriptions, strict=True)]
        weights = 1 / (np.arange(drawn) + 25.0)
        return Catalogue(codes, texts, price, np.cumsum(weights / weights.sum()))
