"""How far off a forecast of demand may be: quantiles of how far earlier ones were, of closed origins alone.

Errors are told per unit of forecast, (sold − forecast) / (forecast + 1), and pooled with those of products alike: of
the same volume, and new, intermittent or steady. No distribution is assumed: on Online Retail II a normal, a Poisson
and a negative binomial one all promise more than they keep.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

QUANTILES = {"quantile_05": 0.05, "quantile_10": 0.1, "quantile_90": 0.9, "quantile_95": 0.95}
"""Column -> share of outcomes that are to lie below it. The band of 80 % is of 10 to 90, that of 90 % of 5 to 95."""

VOLUMES = {"over 40": 40.0, "12 to 40": 12.0, "4 to 12": 4.0, "1 to 4": 1.0, "under 1": 0.0}
"""Class by units a week -> the least of it."""

NEW, INTERMITTENT, STEADY = "new", "intermittent", "steady"
NEW_WEEKS = 4
"""A product is new in its first weeks: nobody has seen yet whether it sells."""

INTERMITTENT_FROM = 0.25
"""Share of the last 13 weeks without a sale from which demand is intermittent."""

ENOUGH_ERRORS = 120
"""A pool of fewer is widened: to the volume, then to all."""

FEW_ERRORS = 40
"""With fewer, as of the shop as a whole, nothing is counted: the band is what Student's t makes of their size."""

LEAST_ERRORS = 3

TOTAL = "total"
"""The horizon of all four weeks together."""


def volume_of(units_a_week: np.ndarray) -> np.ndarray:
    """The class of volume (VOLUMES)."""
    return np.select([units_a_week >= least for least in VOLUMES.values()], list(VOLUMES), "under 1")


def pattern_of(weeks_since_first_sale: np.ndarray, share_without: np.ndarray) -> np.ndarray:
    """NEW, INTERMITTENT or STEADY."""
    new, intermittent = weeks_since_first_sale <= NEW_WEEKS, share_without >= INTERMITTENT_FROM
    return np.select([new, intermittent], [NEW, INTERMITTENT], STEADY)


def errors(forecast: np.ndarray, sold: np.ndarray) -> np.ndarray:
    """Per unit of forecast."""
    return np.asarray((sold - forecast) / (forecast + 1.0))


def bands(forecast: pd.DataFrame, past: pd.DataFrame, quantiles: Mapping[str, float] = QUANTILES) -> pd.DataFrame:
    """The quantiles of each row of `forecast` (volume, pattern, horizon, units), never below 0, by the `past` errors
    (volume, pattern, horizon, error); NaN where there are fewer than LEAST_ERRORS to go by."""
    found = {name: np.full(len(forecast), np.nan) for name in quantiles}
    kinds = [forecast[name].to_numpy() for name in ("horizon", "volume", "pattern")]
    for key in sorted(set(zip(*kinds, strict=True))):
        rows = np.logical_and.reduce([kind == part for kind, part in zip(kinds, key, strict=True)])
        units = forecast["units"].to_numpy()[rows]
        for name, quantile in _quantiles(_pool(past, *key), quantiles).items():
            found[name][rows] = np.maximum(units + quantile * (units + 1.0), 0.0)
    return pd.DataFrame(found, index=forecast.index)


def _pool(past: pd.DataFrame, horizon: str, volume: str, pattern: str) -> np.ndarray:
    of_horizon = past[past["horizon"] == horizon]
    alike = of_horizon[of_horizon["volume"] == volume]
    for pool in (alike[alike["pattern"] == pattern], alike):
        if len(pool) >= ENOUGH_ERRORS:
            return pool["error"].to_numpy()
    return of_horizon["error"].to_numpy()


def _quantiles(pool: np.ndarray, shares: Mapping[str, float]) -> Mapping[str, float]:
    if len(pool) < LEAST_ERRORS:
        return {}
    if len(pool) < FEW_ERRORS:
        from scipy.stats import t

        size = float(np.sqrt(np.mean(pool**2)))
        return {name: float(t.ppf(share, len(pool))) * size for name, share in shares.items()}
    return {name: float(np.quantile(pool, share)) for name, share in shares.items()}


def covered(sold: np.ndarray, rows: pd.DataFrame, low: str, high: str) -> Any:
    """Share of outcomes within a band, both ends included; NaN where there is none."""
    known = rows[low].notna().to_numpy()
    within = (sold >= rows[low].to_numpy()) & (sold <= rows[high].to_numpy())
    return float(within[known].mean()) if known.any() else np.nan
