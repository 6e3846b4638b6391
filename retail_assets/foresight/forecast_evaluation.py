"""forecast_evaluation: what was forecast four weeks ago beside what came, for every model and class of products."""

from datetime import date, timedelta

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.demand_bands import INTERMITTENT, NEW, STEADY, VOLUMES
from retail_assets.analytics.demand_models import LAST_YEAR, LEARNED, MODELS, SEASONAL, SMOOTHED
from retail_assets.analytics.demand_outcomes import ALL, FAMILY, PRODUCT, SHOP, TOP, evaluation
from retail_assets.analytics.demand_panel import panel_of
from retail_assets.foresight.demand_candidates import DemandCandidates, on_driver
from retail_assets.foresight.product_demand import ProductDemand
from retail_assets.lakehouse.checks import MODEL_QUALITY, WARN, Evidence, RuleResult, Verdict, check, nothing_to_judge
from retail_assets.lakehouse.contracts import Contract, Count, Day, Expression, Real, Text, column, partition
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import NEWEST, ORIGINS, WEEKS_AHEAD, weekly, weeks_before, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

_SAID = (DemandCandidates, "week_1", "week_2", "week_3", "week_4", "model")
_CAME = (ProductDemand, "units")
_BOTH = [_SAID, _CAME]

LARGEST_BIAS, COVERAGE_80, COVERAGE_90 = 0.22, (0.74, 0.86), (0.85, 0.94)
"""What is worth a word. Reached on Online Retail II at every of eight origins."""

_WEEKS_OF_ERRORS = 52


class ForecastEvaluation(Contract):
    """One row for each week, level, class and model: the forecasts that were made four weeks before the week was over,
    beside what was sold in the four weeks.

    Measures are of the four weeks' total. WAPE is Σ |forecast − sold| / Σ sold, bias Σ (forecast − sold) / Σ sold:
    above 0 what lies, below what was short. Coverage is of the bands that would have been told with the forecast, from
    the errors of origins that were closed by then. `smoothed` and `last_year` are the cheap rules to be better than.
    """

    origin: Day = column("Monday of the last week that was known", origin=(DemandCandidates, "week"))
    level: Text = column("What is forecast", isin=[PRODUCT, FAMILY, SHOP], origin=_SAID)
    product_class: Text = column(
        "Which products: all, the 300 of most units in 26 weeks, of a volume or a pattern",
        isin=[ALL, TOP, *VOLUMES, NEW, INTERMITTENT, STEADY],
        origin=(DemandCandidates, "volume", "pattern"),
    )
    model: Text = column("The model", isin=list(MODELS), origin=(DemandCandidates, "model"))
    items: Count = column("Products, or families, that were forecast", ge=1, origin=_SAID)
    forecast_units: Real = column("Units forecast", ge=0, origin=_SAID)
    sold_units: Real = column("Units sold", ge=0, origin=_CAME)
    wape: Real = column("Weighted absolute percentage error; NULL where nothing was sold", nullable=True, origin=_BOTH)
    bias: Real = column("Bias; NULL where nothing was sold", nullable=True, origin=_BOTH)
    rmsse: Real = column("Root mean squared scaled error, of all products", nullable=True, ge=0, origin=_BOTH)
    coverage_80: Real = column("Share within the band of 80 %; NULL without one", nullable=True, origin=_BOTH)
    coverage_90: Real = column("Share within the band of 90 %; NULL without one", nullable=True, origin=_BOTH)
    week: Day = partition("Monday of the last of the four weeks", origin=(ProductDemand, "week"))

    class Config:
        unique = ["week", "level", "product_class", "model"]


def forecast_evaluation(candidates: pd.DataFrame, demand: pd.DataFrame, week: date) -> pd.DataFrame:
    """The rows of one week; none where nothing was forecast four weeks before it."""
    origin = week - timedelta(weeks=WEEKS_AHEAD)
    said = candidates[candidates["week"] <= origin]
    found = evaluation(said, panel_of(demand, week), origin)
    return found.rename(columns={"class": "product_class"}).assign(origin=origin, week=week)


def _of(level: str, product_class: str, measure: str, model: str) -> Expression:
    def measured() -> Column:
        wanted = (F.col("level") == level) & (F.col("product_class") == product_class) & (F.col("model") == model)
        return F.max(F.when(wanted, F.col(measure)))

    return measured


_JUDGED = [model for model in MODELS if model != LAST_YEAR]


@check(
    "The best model of products is better than smoothing",
    measures={model: _of(PRODUCT, ALL, "wape", model) for model in _JUDGED},
    family=MODEL_QUALITY,
    severity=WARN,
)
def better_than_smoothing(week: Evidence) -> Verdict:
    """WAPE of the model that would score against that of the cheap rule."""
    if not week.rows or week.measures[SMOOTHED] is None:
        return nothing_to_judge("Nothing was forecast four weeks before, or nothing was sold")
    own = LEARNED if week.measures[LEARNED] is not None else SEASONAL
    observed, cheap = week.measures[own], week.measures[SMOOTHED]
    told = f"WAPE of {own} is {observed:.3f}, of smoothing {cheap:.3f}"
    return Verdict.within(observed, told, upper=cheap)


@check(
    f"All products together are forecast within {LARGEST_BIAS:.0%} of what was sold, and bands hold what they promise",
    measures={
        name: _of(PRODUCT, ALL, measure, model)
        for model in (LEARNED, SEASONAL)
        for name, measure in [(f"{model}_{m}", m) for m in ("bias", "coverage_80", "coverage_90")]
    },
    family=MODEL_QUALITY,
    severity=WARN,
)
def bias_and_coverage(week: Evidence) -> Verdict:
    """Of the learned model, or of the seasonal one where nothing was learned."""
    if not week.rows:
        return nothing_to_judge("Nothing was forecast four weeks before")
    own = LEARNED if week.measures[f"{LEARNED}_bias"] is not None else SEASONAL
    bounds = {"bias": (-LARGEST_BIAS, LARGEST_BIAS), "coverage_80": COVERAGE_80, "coverage_90": COVERAGE_90}
    seen = {name: week.measures[f"{own}_{name}"] for name in bounds}
    results = [
        RuleResult.within(name, value, f"{name} of {own} is {value:.3f}", lower=bounds[name][0], upper=bounds[name][1])
        for name, value in seen.items()
        if value is not None
    ]
    return Verdict.of(results) if results else nothing_to_judge("Nothing was sold in the four weeks")


@table(
    ForecastEvaluation,
    weekly,
    layer=ML,
    reads={
        "demand": (ProductDemand, weeks_so_far),
        "candidates": (DemandCandidates, weeks_before(WEEKS_AHEAD + _WEEKS_OF_ERRORS, WEEKS_AHEAD)),
    },
    due=[NEWEST, ORIGINS],
    checks=[better_than_smoothing, bias_and_coverage],
)
def build(demand: DataFrame, candidates: DataFrame, window: PartitionWindow) -> Built:
    """Week by week, from what was said and what came."""
    said, came = candidates.toPandas(), on_driver(demand)
    rows = [forecast_evaluation(said, came, week) for week in window.days] if len(said) else []
    return Built(as_table(demand, ForecastEvaluation, [found for found in rows if len(found)]))
