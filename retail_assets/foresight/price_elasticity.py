"""Whether a source's data can tell what prices do to sales, and what: the contract."""

from datetime import date
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from retail_assets.analytics.price_response import LEAST_CHANGES, PLACEBO_SHARE, Response
from retail_assets.lakehouse.contracts import Contract, Count, Day, Flag, Real, Text, column, partition, row_rule


class PriceElasticity(Contract):
    """One row a week: by how many percent orders change with a price that is 1 % higher, or that it cannot be told.

    A regression always gives a number. It is published (`elasticity`) only if prices changed independently often
    enough, and if a placebo, the price of the four weeks to come, which nobody knows yet, seems to matter little; else
    `elasticity` is NULL, and `reason` has the figures. What the regression said, right or wrong, stands in `estimate`.
    """

    told: Flag = column("Whether the gates let it pass")
    reason: Text = column("Why not, or on what it rests, with figures")
    elasticity: Real = column("Published elasticity of orders; NULL where it cannot be told", nullable=True)
    elasticity_lower: Real = column("Lower end of its 95 % interval, clustered by product", nullable=True)
    elasticity_upper: Real = column("Upper end of its 95 % interval", nullable=True)
    estimate: Real = column("What the regression said, published or not", nullable=True)
    placebo: Real = column("What it said of the price to come: should be near 0", nullable=True)
    placebo_lower: Real = column("Lower end of its 95 % interval", nullable=True)
    placebo_upper: Real = column("Upper end of its 95 % interval", nullable=True)
    independent_changes: Count = column(f"Lasting changes of single products; {LEAST_CHANGES} are needed", ge=0)
    products: Count = column("Products with enough orders", ge=0)
    week: Day = partition("Monday of the newest week that is known")

    class Config:
        unique = ["week"]

    @row_rule(f"Published is nothing of fewer than {LEAST_CHANGES} changes or a placebo above {PLACEBO_SHARE:.0%}")
    def gates_hold() -> Any:
        sound = (F.abs("placebo") <= PLACEBO_SHARE * F.abs("elasticity")) & (
            F.col("independent_changes") >= LEAST_CHANGES
        )
        return (F.col("told") & sound) | (~F.col("told") & F.col("elasticity").isNull())


def price_elasticity(found: Response, week: date) -> pd.DataFrame:
    """The week's row."""
    effect, placebo, published = found.effect, found.placebo, found.published
    row = {
        "told": found.passed,
        "reason": found.reason,
        "elasticity": published.value if published else None,
        "elasticity_lower": published.lower if published else None,
        "elasticity_upper": published.upper if published else None,
        "estimate": effect.value if effect else None,
        "placebo": placebo.value if placebo else None,
        "placebo_lower": placebo.lower if placebo else None,
        "placebo_upper": placebo.upper if placebo else None,
        "independent_changes": found.changes,
        "products": found.products,
        "week": week,
    }
    return pd.DataFrame([row], dtype=object)
