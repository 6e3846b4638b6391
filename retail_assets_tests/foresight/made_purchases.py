"""A made shop's purchases, for the tests of recommendations."""

from datetime import date

import numpy as np
import pandas as pd

from retail_assets.analytics.purchase_history import number_of

AS_OF = date(2011, 6, 6)
DAY = number_of(AS_OF)


def purchases(customers: int, days: int, seed: int = 1) -> pd.DataFrame:
    """Customers of two tastes, who buy of forty products each, some every four weeks, from so many days before AS_OF to
    60 after it; product P99 left the shop, and a stranger bought once what nobody else did."""
    draw = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        taste, country = customer % 2, "France" if customer % 5 == 0 else "United Kingdom"
        often = draw.choice(40, 3, replace=False)
        for day in range(DAY - days + int(draw.integers(28)), DAY + 60, int(draw.integers(20, 40))):
            once = draw.choice(40, 4, replace=False)
            bought = {*often[draw.random(3) < 0.8], *once}
            rows += [(f"c{customer:04}", country, f"P{taste}{product:02}", day) for product in bought]
    rows += [(f"c{customer:04}", "France", "P99", DAY - 100) for customer in range(customers)]
    rows.append(("stranger", "France", "P98", DAY - 200))
    made = pd.DataFrame(rows, columns=["customer_id", "country", "product", "day"])
    return made.drop_duplicates(["customer_id", "product", "day"])
