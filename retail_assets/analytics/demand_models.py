"""Models of demand: what each says of the four weeks to come, from what was known once a week was over.

`learned`: gradient boosting over all products at once, on what is known of each (demand_features). A mean (Poisson
deviance) and a median (absolute error) of the same rows are averaged: the mean keeps the sum right, the median the
single product. `seasonal`: exponential smoothing, moved by the root of last year's season, as only half of a season
comes back. `smoothed` and `last_year` are the cheap rules that anybody could go by, and what the others are held
against.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.demand_features import YEAR, features, lessons
from retail_assets.analytics.demand_panel import ACTIVE_WEEKS, DemandPanel, smoothed
from retail_assets.partitions.cadence import WEEKS_AHEAD

LEARNED, SEASONAL, SMOOTHED, LAST_YEAR = "learned", "seasonal", "smoothed", "last_year"
MODELS = (LEARNED, SEASONAL, SMOOTHED, LAST_YEAR)

AHEAD = [f"week_{number}" for number in range(1, WEEKS_AHEAD + 1)]
"""Columns: units in each of the weeks to come."""

WEEKS_TO_LEARN = 73
"""With fewer weeks of history nothing is learned: a year, by which a season is known, and 21 weeks that have one before
them. At the first of them learning is better than `seasonal` by .06 of WAPE on Online Retail II."""

SHARE_OF_REGULAR = 0.5
"""Of the units of 13 weeks, what products must make that sell once a week or more. Online Retail II: nearly all."""

WEEKS_OF_LESSONS, SHARE_OF_LESSONS, FADING = 54, 0.5, 0.985
FIRST_LESSON = 13
SHARE_OF_MEAN, SHARE_OF_SEASONAL, PULL = 0.4, 0.3, 0.5
"""Weight of the mean within the learned model, of the seasonal model beside it, and how far the sum of all products is
pulled to that of the seasonal model, which is nearly unbiased. Online Retail II, eight origins: without the pull .004
less of WAPE, but .03 more of bias, and .22 instead of .15 before Christmas."""

SEASONAL_FAMILY = "Seasonal"
"""Products that have a season of their own; see analytics.categories."""

_SETTINGS: dict[str, Any] = {
    "max_iter": 110,
    "learning_rate": 0.08,
    "max_leaf_nodes": 24,
    "min_samples_leaf": 40,
    "l2_regularization": 1.0,
    "max_bins": 128,
    "max_features": 0.5,
    "early_stopping": False,
    "random_state": 0,
}

Fit = Callable[[Any, pd.DataFrame, np.ndarray], Any]
"""Estimator, rows, outcomes -> the estimator fitted: where fits are kept, from there (FittedModels.fitted)."""


def estimator() -> Any:
    """The learned model, not yet fitted: of rows of `features`, units a week per scale."""
    from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor

    mean = HistGradientBoostingRegressor(loss="poisson", **_SETTINGS)
    median = HistGradientBoostingRegressor(loss="absolute_error", **_SETTINGS)
    return VotingRegressor([("mean", mean), ("median", median)], weights=[SHARE_OF_MEAN, 1 - SHARE_OF_MEAN])


def why_not_learned(panel: DemandPanel) -> str | None:
    """Why nothing can be learned from the history, in figures; None if it can."""
    if len(panel.weeks) < WEEKS_TO_LEARN:
        return f"{len(panel.weeks)} weeks of history, of at least {WEEKS_TO_LEARN}"
    recent = panel.units[:, -ACTIVE_WEEKS:].sum(axis=1)
    share = recent[recent >= ACTIVE_WEEKS].sum() / max(recent.sum(), 1.0)
    if share < SHARE_OF_REGULAR:
        return (
            f"products that sell once a week or more make {share:.0%} of the units, not {SHARE_OF_REGULAR:.0%}: "
            "what sells less than once a week nobody can forecast"
        )
    return None


def learned(panel: DemandPanel, fit: Fit) -> Any | None:
    """The model fitted to what came after each of the last weeks whose four weeks are over; None where there is nothing
    to learn from (`why_not_learned`)."""
    newest = len(panel.weeks) - 1 - WEEKS_AHEAD
    if why_not_learned(panel):
        return None
    weeks = range(max(FIRST_LESSON, newest - WEEKS_OF_LESSONS + 1), newest + 1)
    rows, outcomes = lessons(panel, weeks, SHARE_OF_LESSONS, FADING)
    return fit(estimator(), rows, outcomes)


def forecasts(panel: DemandPanel, model: Any | None) -> pd.DataFrame:
    """What each model says of each active product once the panel's last week is over: `stock_code`, `model` and AHEAD,
    in units. `model`: the fitted one; without it nothing is learned."""
    week = len(panel.weeks) - 1
    products, per, known = features(panel, week)
    level = panel.levels[products, week][:, None]
    season = seasons(panel, products)
    said = {
        SEASONAL: level * season,
        SMOOTHED: np.repeat(level, WEEKS_AHEAD, axis=1),
    }
    if len(panel.weeks) >= YEAR:
        first = len(panel.weeks) - YEAR
        said[LAST_YEAR] = panel.units[products, first : first + WEEKS_AHEAD]
    if model is not None and len(products):
        of_weeks = np.maximum(model.predict(known), 0.0) * per * WEEKS_AHEAD
        shares = season / np.maximum(season.sum(axis=1, keepdims=True), 1e-9)
        own = (1 - SHARE_OF_SEASONAL) * of_weeks[:, None] * shares + SHARE_OF_SEASONAL * said[SEASONAL]
        said[LEARNED] = own * (said[SEASONAL].sum() / max(own.sum(), 1e-9)) ** PULL
    frames = [
        pd.DataFrame(said[name], columns=AHEAD).assign(stock_code=panel.products[products], model=name)
        for name in MODELS
        if name in said
    ]
    return pd.concat(frames, ignore_index=True)


def seasons(panel: DemandPanel, products: np.ndarray) -> np.ndarray:
    """Of each product and week to come, by what its level is multiplied: the root of what last year's week was to the
    level a year ago, of products with a season of their own or of all others; 1 without a last year."""
    week, seasonal = len(panel.weeks) - 1, panel.families == SEASONAL_FAMILY
    found = np.ones((2, WEEKS_AHEAD))
    if week - YEAR >= WEEKS_AHEAD:
        for group, mask in enumerate((~seasonal, seasonal)):
            units = panel.units[mask].sum(axis=0, keepdims=True)
            then = smoothed(units)[0, week - YEAR]
            ahead = units[0, week + 1 - YEAR : week + 1 - YEAR + WEEKS_AHEAD]
            if then > 0:
                found[group] = np.sqrt(np.clip(ahead / then, 0.0, 9.0))
    return np.asarray(found[seasonal[products].astype(int)])
