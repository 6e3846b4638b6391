"""How much to keep: what covers the demand of a lead time and the week until the next look, so often as promised.

A reorder point is a quantile of that demand, by how far off earlier forecasts of as many weeks were (demand_bands).
The textbook's z · σ promises 95 % and reaches 87 % on Online Retail II, as demand is skewed. There are no data of
stock, and what could not be sold for want of it is not seen: this is the coverage of one cycle, not of a year.
"""

from datetime import date
from itertools import product

import numpy as np
import pandas as pd

from retail_assets.analytics.demand_bands import bands, errors
from retail_assets.analytics.demand_models import AHEAD
from retail_assets.analytics.demand_outcomes import sold_after, where
from retail_assets.analytics.demand_panel import DemandPanel
from retail_assets.partitions.cadence import is_origin

LEAD_WEEKS = (1, 2, 3)
"""Lead times that are told; no longer ones, as four weeks are forecast."""

REVIEW_WEEKS = 1
"""Between two looks at the stock: a forecast is made every week."""

DEFAULT_LEAD_WEEKS, DEFAULT_SERVICE = 2, 95
"""Where a shop has not said: what the dashboard shows, and what is judged."""

SERVICE_LEVELS = {90: 0.9, 95: 0.95, 98: 0.98}
"""In percent, and the quantile of demand that each is."""


def cover(said: pd.DataFrame, lead_weeks: int) -> pd.DataFrame:
    """What was said, or came, of the weeks that a lead time and the look after it take: `week, stock_code, volume,
    pattern, horizon, units`."""
    weeks = AHEAD[: lead_weeks + REVIEW_WEEKS]
    kept = said[["week", "stock_code", "volume", "pattern"]]
    return kept.assign(horizon=str(len(weeks)), units=said[weeks].sum(axis=1)).reset_index(drop=True)


def reorder_points(said: pd.DataFrame, panel: DemandPanel, week: date) -> pd.DataFrame:
    """Of each product, lead time and service level once `week` was over: `stock_code, lead_weeks, service_level,
    expected_units, reorder_point, safety_stock`, in units; NaN where too few forecasts are closed. `said`: of the model
    that scores, of the week and of earlier ones."""
    past, own = said[where(said, lambda day: is_origin(day) and day < week)], said[said["week"] == week]
    closed = sold_after(past, panel)
    forecast = past[past["week"].isin(set(closed["week"]))]
    found = []
    for lead in LEAD_WEEKS:
        then = cover(forecast, lead)
        far_off = then.assign(error=errors(then["units"].to_numpy(), cover(closed, lead)["units"].to_numpy()))
        now = cover(own, lead)
        points = bands(now, far_off, {str(level): quantile for level, quantile in SERVICE_LEVELS.items()})
        for level in SERVICE_LEVELS:
            # Whole units, and never less than what is expected.
            point = np.maximum(np.ceil(points[str(level)].to_numpy() - 1e-9), np.ceil(now["units"].to_numpy() - 0.5))
            found.append(
                pd.DataFrame(
                    {
                        "stock_code": now["stock_code"],
                        "volume": now["volume"],
                        "lead_weeks": lead,
                        "service_level": level,
                        "expected_units": now["units"],
                        "reorder_point": point,
                        "safety_stock": np.maximum(point - now["units"].to_numpy(), 0.0),
                    }
                )
            )
    return pd.concat(found, ignore_index=True)


def reached(points: pd.DataFrame, said: pd.DataFrame, panel: DemandPanel, week: date) -> pd.DataFrame:
    """What the reorder points of `week` would have reached in the weeks after it, by lead time and service level:
    products, `reached` (share of products whose demand they covered), `fill_rate` (share of units) and `left_over`
    (units not sold per unit sold); nothing where there were no points."""
    came = sold_after(said[said["week"] == week], panel)
    found = []
    told = points.dropna(subset=["reorder_point"])
    for lead, level in product(LEAD_WEEKS, SERVICE_LEVELS):
        rows = told[(told["lead_weeks"] == lead) & (told["service_level"] == level)]
        if rows.empty:
            continue
        sold = cover(came, lead).set_index("stock_code")["units"].reindex(rows["stock_code"]).to_numpy()
        point = rows["reorder_point"].to_numpy()
        found.append(
            {
                "lead_weeks": lead,
                "service_level": level,
                "products": len(rows),
                "reached": float((sold <= point).mean()),
                "fill_rate": float(np.minimum(sold, point).sum() / sold.sum()) if sold.sum() else None,
                "left_over": float(np.maximum(point - sold, 0).sum() / sold.sum()) if sold.sum() else None,
            }
        )
    return pd.DataFrame(found)
