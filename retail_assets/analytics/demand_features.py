"""What the learned model of demand is told of a product once a week is over, and what it learns from."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from retail_assets.analytics.demand_panel import DemandPanel, mean_of, total
from retail_assets.partitions.cadence import WEEKS_AHEAD

YEAR = 52

MEANS = (1, 2, 4, 8, 13, 26, 52)
"""Weeks that are averaged."""

_LITTLE = 1e-9


def scale(panel: DemandPanel, week: int, products: np.ndarray) -> np.ndarray:
    """Units a week that a product's demand is measured by: half its mean of 13 weeks, or since its first sale, and half
    its smoothed level; and 1, so that what sells little weighs little."""
    age = np.minimum(week - panel.first_week[products] + 1, 13)
    recent = total(panel.sums["units"], week - 12, week + 1)[products] / np.maximum(age, 1)
    return np.asarray(0.5 * recent + 0.5 * panel.levels[products, week] + 1.0)


def features(panel: DemandPanel, week: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """The active products once the week was over (numbers of rows), their scale, and what is known of each, in numbers.

    Amounts are relative to the scale. What a year ago would tell is NaN where history is shorter.
    """
    products = panel.active(week)
    per = scale(panel, week, products)
    known = {
        "week_of_year": np.full(len(products), float(panel.weeks[week].isocalendar()[1])),
        "log_scale": np.log(per),
        "level": panel.levels[products, week] / per,
        "weeks_since_first_sale": (week - panel.first_week[products] + 1).astype(float),
    }
    for weeks in MEANS:
        known[f"mean_{weeks}"] = mean_of(panel.sums["units"], week, weeks)[products] / per
    known |= _of_last_year(panel, week, products, per)
    known |= _of_everything(panel, week, products)
    known |= _of_recent_weeks(panel, week, products, per)
    return products, per, pd.DataFrame(known)


def ahead_last_year(sums: np.ndarray, week: int, later: int = 0) -> np.ndarray:
    """Mean of last year's weeks that the next four are like, or those so many weeks later; NaN without a last year."""
    first = week + 1 - YEAR + later
    if first < 0 or first + WEEKS_AHEAD > week + 1:
        return np.full(len(sums), np.nan)
    return total(sums, first, first + WEEKS_AHEAD) / WEEKS_AHEAD


def _of_last_year(panel: DemandPanel, week: int, products: np.ndarray, per: np.ndarray) -> dict[str, np.ndarray]:
    units = panel.sums["units"]
    ahead, before = ahead_last_year(units, week)[products], mean_of(units, week, 13, YEAR)[products]
    return {
        "ahead_last_year": ahead / per,
        "then_last_year": before / per,
        "season": (ahead + 0.5) / (before + 0.5),
        "later_last_year": ahead_last_year(units, week, WEEKS_AHEAD)[products] / per,
    }


def _of_everything(panel: DemandPanel, week: int, products: np.ndarray) -> dict[str, np.ndarray]:
    """Season and course of the shop, and of the product's family."""
    families, of = np.unique(panel.families.astype(str), return_inverse=True)
    summed = np.zeros((len(families), len(panel.weeks) + 1))
    np.add.at(summed, of, panel.sums["units"])
    shop = summed.sum(axis=0, keepdims=True)

    def season(sums: np.ndarray) -> np.ndarray:
        return np.asarray(ahead_last_year(sums, week) / np.maximum(mean_of(sums, week, 13, YEAR), _LITTLE))

    def course(sums: np.ndarray, weeks: int) -> np.ndarray:
        return np.asarray(mean_of(sums, week, 4) / np.maximum(mean_of(sums, week, weeks), _LITTLE))

    return {
        "shop_season": np.full(len(products), season(shop)[0]),
        "shop_course": np.full(len(products), course(shop, 13)[0]),
        "family_season": season(summed)[of[products]],
        "family_course": course(summed, 26)[of[products]],
    }


def _of_recent_weeks(panel: DemandPanel, week: int, products: np.ndarray, per: np.ndarray) -> dict[str, np.ndarray]:
    """Spread, gaps, orders, customers and prices of the last 13 weeks."""
    recent = panel.units[products, max(week - 12, 0) : week + 1]

    def mean(measure: str, weeks: int = 13) -> np.ndarray:
        return mean_of(panel.sums[measure], week, weeks)[products]

    units, orders = np.maximum(mean("units"), _LITTLE), mean("orders")
    price, newest = mean("revenue") / units, mean("units", 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        price_course = np.where(newest > 0, mean("revenue", 4) / newest / price, np.nan)
    return {
        "spread": recent.std(axis=1) / per,
        "most": recent.max(axis=1) / per,
        "median": np.median(recent, axis=1) / per,
        "share_without": (recent == 0).mean(axis=1),
        "weeks_since_last_sale": (recent[:, ::-1] > 0).argmax(axis=1).astype(float),
        "orders_4": mean("orders", 4),
        "orders_13": orders,
        "orders_course": mean("orders", 4) / (orders + 0.1),
        "customers_13": mean("customers"),
        "bulk_share": mean("bulk_units") / units,
        "price": price,
        "price_course": price_course,
    }


def lessons(panel: DemandPanel, weeks: Iterable[int], share: float, fading: float) -> tuple[pd.DataFrame, np.ndarray]:
    """What was known once each of the weeks was over, and the mean of the four weeks after it, per scale.

    Of the newest week's products a `share` is drawn, of a week earlier `fading` times as many, and so on: so the newest
    weigh most. Drawn by the week's date, so that the same history gives the same lessons.
    """
    numbers = sorted(weeks)
    rows, outcomes = [], []
    for week in numbers:
        products, per, known = features(panel, week)
        drawn = np.random.default_rng(panel.weeks[week].toordinal()).random(len(products))
        kept = drawn < share * fading ** (numbers[-1] - week)
        came = total(panel.sums["units"], week + 1, week + 1 + WEEKS_AHEAD)[products] / WEEKS_AHEAD
        rows.append(known[kept])
        outcomes.append((came / per)[kept])
    return pd.concat(rows, ignore_index=True), np.concatenate(outcomes)
