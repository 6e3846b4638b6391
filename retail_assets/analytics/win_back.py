"""Whom it is worth to win back: levels of the probability of leaving, who is lost, and what could be won.

What could be won of a customer is what they are expected to be worth in the next 12 months, times the part of their
purchases that they have not returned, times the probability that they leave, times the chance that they stay if they
are written to. The first comes from `customer_clv`, which counts purchases before returns: who has returned all they
bought is worth nothing. The probability is that of `churn_scores`; the chance is an assumption until a campaign with a
control group has measured it.
"""

from typing import Any

from dagster import ConfigurableResource

HIGH_PROBABILITY = 0.75
MEDIUM_PROBABILITY = 0.5
"""Levels of the probability of buying nothing in the next 90 days: high from the first on, medium from the second."""

LOST_ALIVE = 0.1
"""Who is less likely than this to be a customer still is lost, ..."""

LOST_DAYS = 365
"""... and so is who bought once, more than so many days ago: after a single order the model of lifetime value cannot
tell who is a customer still (its probability is 1)."""


class WinBack(ConfigurableResource):
    """The chance of winning back who would have left."""

    chance: float


def is_lost(alive: Any, orders: Any, recency: Any) -> Any:
    """Whether a customer is lost, of columns of Spark or pandas alike: probability of being a customer still (1 where
    it is not known), number of orders, days since the last."""
    return (alive < LOST_ALIVE) | ((orders == 1) & (recency > LOST_DAYS))
