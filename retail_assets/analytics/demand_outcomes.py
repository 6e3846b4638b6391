"""What was forecast beside what came: at every level, for errors, measures and the choice of the model that scores."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd

from retail_assets.analytics.demand_bands import TOTAL, bands, covered, errors
from retail_assets.analytics.demand_models import AHEAD, LAST_YEAR, LEARNED, MODELS, SEASONAL, SMOOTHED
from retail_assets.analytics.demand_panel import DemandPanel
from retail_assets.partitions.cadence import WEEKS_AHEAD, is_origin

PRODUCT, FAMILY, COUNTRY, SHOP = "product", "family", "country", "shop"
LEVELS = (PRODUCT, FAMILY, COUNTRY, SHOP)
HORIZONS = (*(str(number) for number in range(1, WEEKS_AHEAD + 1)), TOTAL)
"""Weeks ahead; and all of them together."""

ALL = "all"
TOP = "top 300"
TOP_PRODUCTS, TOP_WEEKS = 300, 26
"""The products of most units in so many weeks before: what a shop lives of."""

WEIGHT_OF_BIAS = 0.5
"""What a unit of bias counts beside a unit of WAPE where models are compared. By WAPE alone a median wins, which
forecasts a third too little: every product is most often right, and the shelves are empty."""

ORIGINS_TO_JUDGE, FEWEST_ORIGINS = 6, 3
"""The closed origins by which a model is chosen: half a year of them; with fewer than three nothing is."""


def said_by(candidates: pd.DataFrame, model: str) -> pd.DataFrame:
    """What the model said, of rows of `demand_candidates`; of weeks at which nothing was learned yet, for LEARNED what
    SEASONAL said, which would have been gone by."""
    candidates = candidates.sort_values(["week", "stock_code"], kind="stable", ignore_index=True)
    own = candidates[candidates["model"] == model]
    if model != LEARNED:
        return own
    learned_at = set(own["week"])
    return candidates[
        (candidates["model"] == LEARNED) | ((candidates["model"] == SEASONAL) & ~candidates["week"].isin(learned_at))
    ]


def long(said: pd.DataFrame) -> pd.DataFrame:
    """A row for each week, item and horizon: `week, level, item, volume, pattern, horizon, units`. Families and the
    shop are sums of products, which come in the order that they are given in."""
    wide = said.assign(**{TOTAL: said[AHEAD].sum(axis=1)}).rename(columns=dict(zip(AHEAD, HORIZONS, strict=False)))
    weeks = list(HORIZONS)
    keys = ["week", "level", "item", "volume", "pattern"]
    products = wide.assign(level=PRODUCT, item=wide["stock_code"])
    families = wide.groupby(["week", "family"], sort=True)[weeks].sum().reset_index()
    families = families.assign(level=FAMILY, item=families["family"], volume=FAMILY, pattern=ALL)
    shop = wide.groupby("week", sort=True)[weeks].sum().reset_index()
    shop = shop.assign(level=SHOP, item=SHOP, volume=SHOP, pattern=ALL)
    every = pd.concat([part[keys + weeks] for part in (products, families, shop)], ignore_index=True)
    return every.melt(id_vars=keys, value_vars=weeks, var_name="horizon", value_name="units")


def where(rows: pd.DataFrame, holds: Callable[[date], bool]) -> np.ndarray:
    """Which rows are of a `week` for which it holds; none of no rows."""
    return np.array([holds(week) for week in rows["week"]], dtype=bool)


def sold_after(said: pd.DataFrame, panel: DemandPanel) -> pd.DataFrame:
    """The rows of `said` with what came instead: AHEAD, in units, of weeks that are all over in the panel."""
    ahead = timedelta(weeks=WEEKS_AHEAD)
    over = said[where(said, lambda day: day + ahead <= panel.weeks[-1])]
    week = np.array([(day - panel.weeks[0]).days // 7 for day in over["week"]], dtype=int)
    row = np.searchsorted(panel.products, over["stock_code"].to_numpy(dtype=str))
    came = {name: panel.units[row, week + number] for number, name in enumerate(AHEAD, start=1)}
    return over.assign(**came)


def past_errors(said: pd.DataFrame, panel: DemandPanel) -> pd.DataFrame:
    """How far off the forecasts of closed origins were: `long` rows with an `error`. Origins are every fourth week,
    whatever else was forecast, so that the same history has the same errors."""
    closed = said[where(said, is_origin)]
    came = sold_after(closed, panel)
    forecast = long(closed[closed["week"].isin(set(came["week"]))])
    return forecast.assign(error=errors(forecast["units"].to_numpy(), long(came)["units"].to_numpy()))


def evaluation(candidates: pd.DataFrame, panel: DemandPanel, origin: date) -> pd.DataFrame:
    """How each model's forecasts of `origin` compare with what came, by level and class: rows of
    `forecast_evaluation`. `candidates`: those of the origin and of earlier ones, from which the bands are that would
    have been told. Nothing in the panel after the four weeks is looked at."""
    known = _cut(panel, origin)
    found = []
    for model in MODELS:
        said = said_by(candidates, model)
        own = said[said["week"] == origin]
        if own.empty or set(own["model"]) != {model}:
            continue
        past = past_errors(said[said["week"] < origin], known)
        forecast = long(own)
        came = long(sold_after(own, panel))["units"]
        told = pd.concat([forecast, bands(forecast, past)], axis=1).assign(sold=came)
        scale = _naive_scale(known)
        found += [
            {"model": model, **measured, "rmsse": _rmsse(own, panel, origin, scale) if measured["class"] == ALL
             and measured["level"] == PRODUCT else None}
            for measured in _by_class(told[told["horizon"] == TOTAL], known)
        ]  # fmt: skip
    return pd.DataFrame(found)


def _by_class(told: pd.DataFrame, known: DemandPanel) -> list[dict[str, object]]:
    """Measures of all products, of the top, of each class of volume and of new ones; of families and of the shop."""
    products = told[told["level"] == PRODUCT]
    recent = known.units[:, -TOP_WEEKS:].sum(axis=1)
    top = known.products[np.argsort(-recent, kind="stable")[:TOP_PRODUCTS]]
    parts = [(PRODUCT, ALL, products), (PRODUCT, TOP, products[products["item"].isin(top)])]
    parts += [(PRODUCT, str(volume), rows) for volume, rows in products.groupby("volume")]
    parts += [(PRODUCT, str(pattern), rows) for pattern, rows in products.groupby("pattern")]
    parts += [(level, ALL, told[told["level"] == level]) for level in (FAMILY, SHOP)]
    return [{"level": level, "class": of, **_measures(rows)} for level, of, rows in parts if len(rows)]


def _measures(rows: pd.DataFrame) -> dict[str, float | int | None]:
    """WAPE = Σ |forecast − sold| / Σ sold and bias = Σ (forecast − sold) / Σ sold; None where nothing was sold."""
    forecast, sold = rows["units"].to_numpy(), rows["sold"].to_numpy()
    per = sold.sum()
    return {
        "items": len(rows),
        "forecast_units": float(forecast.sum()),
        "sold_units": float(per),
        "wape": float(np.abs(forecast - sold).sum() / per) if per else None,
        "bias": float((forecast - sold).sum() / per) if per else None,
        "coverage_80": covered(sold, rows, "quantile_10", "quantile_90"),
        "coverage_90": covered(sold, rows, "quantile_05", "quantile_95"),
    }


def _naive_scale(known: DemandPanel) -> np.ndarray:
    """Mean squared change from week to week of each product since its first sale."""
    changes = np.diff(known.units, axis=1) ** 2
    since = np.arange(changes.shape[1]) >= known.first_week[:, None]
    return np.asarray((changes * since).sum(axis=1) / np.maximum(since.sum(axis=1), 1))


def _rmsse(own: pd.DataFrame, panel: DemandPanel, origin: date, scale: np.ndarray) -> float | None:
    """Mean over products of √(mean squared error of the four weeks / that of saying last week's), as in the M5
    competition."""
    squared = (own[AHEAD].to_numpy() - sold_after(own, panel)[AHEAD].to_numpy()) ** 2
    known = _cut(panel, origin).products
    per = scale[np.searchsorted(known, own["stock_code"].to_numpy(dtype=str))]
    return float(np.sqrt(squared.mean(axis=1)[per > 0] / per[per > 0]).mean()) if (per > 0).any() else None


def _cut(panel: DemandPanel, week: date) -> DemandPanel:
    """The panel as it was known once `week` was over."""
    weeks = [day for day in panel.weeks if day <= week]
    sold = {name: values[:, : len(weeks)] for name, values in panel.sold.items()}
    there = (sold["units"] > 0).any(axis=1)
    sold = {name: values[there] for name, values in sold.items()}
    return DemandPanel(panel.products[there], weeks, sold, panel.families[there], panel.descriptions[there])


def champion(evaluated: pd.DataFrame, available: set[str]) -> tuple[str, str]:
    """The model that scores, and why, in words: of those that are `available`, the one whose WAPE and half of whose
    absolute bias come to least, in the mean of the last half year's closed origins; of shorter evaluation LEARNED, or
    else SEASONAL. Last year as it was is held against, and never scores. `evaluated`: origin, model,
    wape, bias of all products."""
    available = available - {LAST_YEAR}
    default = LEARNED if LEARNED in available else SEASONAL
    judged = evaluated[evaluated["model"].isin(available) & evaluated["wape"].notna()]
    newest = sorted(set(judged["origin"]))[-ORIGINS_TO_JUDGE:]
    of_model = {
        model: rows[rows["origin"].isin(newest)] for model, rows in judged.groupby("model") if model in available
    }
    enough = {model: rows for model, rows in of_model.items() if len(rows) >= FEWEST_ORIGINS}
    if default not in enough:
        return default, f"too few closed origins to choose by: {len(of_model.get(default, ()))} of {FEWEST_ORIGINS}"
    scores = {
        str(model): float(rows["wape"].mean() + WEIGHT_OF_BIAS * rows["bias"].abs().mean())
        for model, rows in enough.items()
    }
    best = min(scores, key=lambda model: (scores[model], model != default))
    cheap = f", {SMOOTHED} {scores[SMOOTHED]:.3f}" if SMOOTHED in scores and best != SMOOTHED else ""
    return best, f"WAPE and half the bias of {len(newest)} origins: {best} {scores[best]:.3f}{cheap}"
