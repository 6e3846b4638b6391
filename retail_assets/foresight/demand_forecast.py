"""demand_forecast: what will sell in the next four weeks, of each product, family, country and the shop."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.demand_bands import INTERMITTENT, NEW, QUANTILES, STEADY, VOLUMES, bands
from retail_assets.analytics.demand_models import LEARNED, MODELS
from retail_assets.analytics.demand_outcomes import (
    ALL,
    COUNTRY,
    FAMILY,
    HORIZONS,
    LEVELS,
    PRODUCT,
    SHOP,
    champion,
    long,
    past_errors,
    said_by,
    where,
)
from retail_assets.analytics.demand_panel import panel_of
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.foresight.demand_candidates import EXPERIMENT, MODEL, DemandCandidates, on_driver, week_alias
from retail_assets.foresight.forecast_evaluation import ForecastEvaluation
from retail_assets.foresight.product_demand import ProductDemand
from retail_assets.lakehouse.checks import CROSS_COLUMN, Evidence, RuleResult, Verdict, check
from retail_assets.lakehouse.contracts import Contract, Day, Expression, Real, Text, column, partition, row_rule
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, Owner, table
from retail_assets.partitions.cadence import NEWEST, is_origin, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

WEEKS_OF_COUNTRIES = 26
"""The shares of countries in a product are those of so many weeks."""

_SAID = [(DemandCandidates, "week_1", "week_2", "week_3", "week_4", "model"), (ForecastEvaluation, "wape", "bias")]
_BANDS = [*_SAID, (ProductDemand, "units")]


class DemandForecast(Contract):
    """One row for each week, item and horizon: how many units will be sold in a week to come, or in all four.

    Items are products sold within 13 weeks, their families, countries and the shop. The last three are sums of
    products, so that everything adds up. The bands hold 80 % (10 to 90) and 90 % (5 to 95) of outcomes, by how far
    off forecasts of earlier weeks were; NULL where fewer than three of these are closed, and of countries.
    """

    level: Text = column("What is forecast", isin=list(LEVELS))
    item: Text = column(
        "Code of the product, name of the family or country, or shop", origin=(DemandCandidates, "stock_code")
    )
    description: Text = column("Of a product", nullable=True, origin=(DemandCandidates, "description"))
    family: Text = column("Of a product", nullable=True, origin=(DemandCandidates, "family"))
    horizon: Text = column("Weeks ahead, or total: all four together", isin=list(HORIZONS))
    units: Real = column("Units that will be sold, in the mean", ge=0, origin=_SAID)
    quantile_05: Real = column("So few in one of 20 cases", nullable=True, ge=0, origin=_BANDS)
    quantile_10: Real = column("So few in one of 10 cases", nullable=True, ge=0, origin=_BANDS)
    quantile_90: Real = column("More in one of 10 cases", nullable=True, ge=0, origin=_BANDS)
    quantile_95: Real = column("More in one of 20 cases", nullable=True, ge=0, origin=_BANDS)
    model: Text = column("The model that scores", isin=list(MODELS), origin=(DemandCandidates, "model"))
    volume: Text = column(
        "Class of a product by units a week",
        isin=[*VOLUMES, FAMILY, COUNTRY, SHOP],
        origin=(DemandCandidates, "volume"),
    )
    pattern: Text = column(
        "new, intermittent or steady", isin=[NEW, INTERMITTENT, STEADY, ALL], origin=(DemandCandidates, "pattern")
    )
    reason: Text = column("Of a product, what the forecast goes by, in words", nullable=True, origin=_SAID)
    as_of_date: Day = column("The Monday from which on it is forecast", origin=(DemandCandidates, "as_of_date"))
    week: Day = partition("Monday of the last week that is known", origin=(DemandCandidates, "week"))

    class Config:
        unique = ["week", "level", "item", "horizon"]

    @row_rule("Quantiles are in order")
    def quantiles_in_order() -> Column:
        """Of those that there are."""
        low, high = F.col("quantile_05") <= F.col("quantile_10"), F.col("quantile_90") <= F.col("quantile_95")
        return low & high & (F.col("quantile_10") <= F.col("quantile_90"))


def demand_forecast(
    candidates: pd.DataFrame, demand: pd.DataFrame, shares: pd.DataFrame, model: str, week: date
) -> pd.DataFrame:
    """The rows of one week. `candidates`: of the week and earlier ones; `shares`: of countries in each product
    (stock_code, country, share)."""
    said = said_by(candidates[candidates["week"] <= week], model)
    own = said[said["week"] == week]
    forecast = long(own)
    past = past_errors(said[said["week"] < week], panel_of(demand, week))
    told = pd.concat([forecast, bands(forecast, past)], axis=1)
    told = pd.concat([told, _countries(forecast, shares)], ignore_index=True)
    about = own.set_index("stock_code")
    reasons = pd.Series([reason(row) for row in own.to_dict("records")], index=about.index, dtype=object)
    product = told["level"] == PRODUCT
    for name, of in (("description", about["description"]), ("family", about["family"]), ("reason", reasons)):
        told[name] = told["item"].map(of).where(product, None)
    return told.assign(model=model, as_of_date=week + timedelta(weeks=1), week=week)


def _countries(forecast: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    products = forecast[forecast["level"] == PRODUCT]
    split = products.merge(shares, left_on="item", right_on="stock_code")
    split["units"] = split["units"] * split["share"]
    summed = split.groupby(["week", "country", "horizon"], sort=True)["units"].sum().reset_index()
    named = summed.rename(columns={"country": "item"}).assign(level=COUNTRY, volume=COUNTRY, pattern=ALL)
    return named.assign(**dict.fromkeys(QUANTILES, np.nan))


def reason(product: Mapping[Any, Any]) -> str:
    """What a product's forecast goes by: for people who ask why."""
    weekly_units, known = float(product["weekly_units"]), int(product["weeks_known"])
    if product["pattern"] == NEW:
        return f"new: sold for {known} week{'s' if known > 1 else ''}, {weekly_units * 13 / known:,.0f} units a week"
    sold_in = min(13, known) - min(int(product["weeks_without"]), min(13, known))
    told = f"sold in {sold_in} of {min(13, known)} weeks, {weekly_units:,.1f} units a week"
    last_year = product["last_year_units"]
    if isinstance(last_year, float) and not np.isnan(last_year) and known > 52:
        told += f"; in these weeks of last year {last_year:,.1f}"
    return told if weekly_units >= 1 else f"{told}: so few that nobody can tell"


def country_shares(demand: DataFrame, week: date) -> pd.DataFrame:
    """Of each product, the shares of countries in the units of the last weeks: `stock_code, country, share`."""
    since = week - timedelta(weeks=WEEKS_OF_COUNTRIES - 1)
    recent = demand.filter((F.col("week") >= F.lit(since)) & (F.col("week") <= F.lit(week)))
    sold = recent.select("stock_code", F.explode("country_units").alias("country", "units"))
    units = sold.groupBy("stock_code", "country").agg(F.sum("units").cast("double").alias("units")).toPandas()
    units = units.sort_values(["stock_code", "country"], ignore_index=True)
    whole = units.groupby("stock_code")["units"].transform("sum")
    return units.assign(share=units["units"] / whole).loc[whole > 0, ["stock_code", "country", "share"]]


_SLACK = 1e-6
"""Of what sums in another order may differ by, per unit."""


def _total(level: str, of_weeks: bool) -> Expression:
    def summed() -> Column:
        horizon = F.col("horizon") != "total" if of_weeks else F.col("horizon") == "total"
        return F.coalesce(F.sum(F.when((F.col("level") == level) & horizon, F.col("units"))), F.lit(0.0))

    return summed


@check(
    "Products, families, countries and the shop come to the same, and so do the weeks and the total",
    measures={
        **{level: _total(level, False) for level in LEVELS},
        **{f"{level}_weeks": _total(level, True) for level in LEVELS},
    },
    family=CROSS_COLUMN,
)
def sums_agree(week: Evidence) -> Verdict:
    """Each sum against that of the products' totals."""
    of = {name: float(week.total(name)) for level in LEVELS for name in (level, f"{level}_weeks")}
    wanted, slack = of[PRODUCT], _SLACK * max(1.0, of[PRODUCT])
    return Verdict.of(
        [
            RuleResult.within(
                name, value, f"{name}: {value:.3f} units, where the products' come to {wanted:.3f}",
                lower=wanted - slack, upper=wanted + slack,
            )
            for name, value in of.items()
        ]
    )  # fmt: skip


@table(
    DemandForecast,
    weekly,
    layer=GOLD,
    kinds=["mlflow"],
    reads={
        "demand": (ProductDemand, weeks_so_far),
        "candidates": (DemandCandidates, weeks_so_far),
        "evaluation": (ForecastEvaluation, weeks_so_far),
    },
    history=["candidates", "evaluation"],
    due=[NEWEST],
    checks=[sums_agree],
)
def build(
    demand: DataFrame,
    candidates: DataFrame,
    evaluation: DataFrame,
    window: PartitionWindow,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
    source: Owner,
) -> Built:
    """Chooses the model of each week and tells what it says; the registry's alias follows the newest."""
    said, came, rows, shown = candidates.toPandas(), on_driver(demand), [], {}
    judged = evaluation.filter("level = 'product' AND product_class = 'all'").toPandas()
    chosen: dict[date, str] = {}
    for week in window.days:
        own = said[said["week"] == week]
        if own.empty:
            continue
        known = judged[where(judged, _origins_until(week))]
        chosen[week], why = champion(known, set(own["model"]))
        rows.append(demand_forecast(said, came, country_shares(demand, week), chosen[week], week))
        shown[str(week)] = {"model": chosen[week], "chosen_by": why}
    _mirror(mlflow, context, source.name, chosen)
    return Built(as_table(demand, DemandForecast, rows), metadata=shown)


def _origins_until(week: date) -> Callable[[date], bool]:
    return lambda day: day <= week and is_origin(day)


def _mirror(mlflow: MlflowTracking, context: AssetExecutionContext, name: str, chosen: Mapping[date, str]) -> None:
    """The champion's alias to the version of the newest week that the learned model scores."""
    learned = [week for week, model in chosen.items() if model == LEARNED]
    if not learned:
        return
    with mlflow.run(context, EXPERIMENT.format(name)) as tracked:
        version = tracked.version(MODEL.format(name), week_alias(max(learned)))
        if version is not None:
            tracked.promote(MODEL.format(name), version, str(max(learned)))
