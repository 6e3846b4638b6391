"""Whom it is worth to win back: levels of the probability of leaving, who is lost, and what could be won.

What could be won of a customer is what they are expected to be worth in the next 12 months, times the probability
that they leave, times the chance that they stay if they are written to. The first two come from the tables
`customer_clv` and `churn_scores`; the third is an assumption until a campaign with a control group has measured it.
"""

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
