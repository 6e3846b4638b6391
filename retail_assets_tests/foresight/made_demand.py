"""A made shop's demand: 60 products over 90 weeks, as rows of `product_demand` on the driver."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

FIRST = date(2009, 11, 30)
WEEKS = 90


def week(number: int) -> date:
    """The Monday of the week of this number."""
    return FIRST + timedelta(weeks=number)


def made_demand(products: int = 60, weeks: int = WEEKS, seed: int = 7) -> pd.DataFrame:
    """Products of 1 to 60 units a week, some of which sell in the second half of a year only; the last five are new."""
    random = np.random.default_rng(seed)
    means = np.geomspace(1, 60, products)
    season = 1 + 0.5 * np.sin(np.arange(weeks) / 52 * 2 * np.pi)
    units = random.poisson(means[:, None] * season)
    units[-5:, : weeks - 25] = 0
    rows = [
        {
            "week": week(number),
            "stock_code": f"{20000 + product}",
            "description": f"THING {product}",
            "family": ["Seasonal", "Bags & Purses", "Other"][product % 3],
            "units": int(units[product, number]),
            "orders": max(int(units[product, number]) // 3, 1),
            "customers": max(int(units[product, number]) // 4, 1),
            "bulk_units": 0,
            "revenue": 2.5 * units[product, number],
        }
        for product in range(products)
        for number in range(weeks)
        if units[product, number]
    ]
    return pd.DataFrame(rows)
