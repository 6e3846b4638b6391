"""demand_candidates: what every model said of each product's next four weeks, once a week was over."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.demand_bands import INTERMITTENT, NEW, STEADY, VOLUMES, pattern_of, volume_of
from retail_assets.analytics.demand_features import features
from retail_assets.analytics.demand_models import AHEAD, MODELS, WEEKS_TO_LEARN, forecasts, learned, why_not_learned
from retail_assets.analytics.demand_panel import ACTIVE_WEEKS, MEASURES, DemandPanel, mean_of, panel_of
from retail_assets.analytics.fitted_models import FittedModels
from retail_assets.analytics.threads import one_thread
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.foresight.product_demand import ProductDemand
from retail_assets.lakehouse.checks import RECONCILIATION, Audit, Evidence, RuleResult, Verdict, check
from retail_assets.lakehouse.contracts import Contract, Day, Integer, Real, Text, column, partition
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, Owner, table
from retail_assets.partitions.cadence import NEWEST, ORIGINS, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

EXPERIMENT, MODEL = "{}/demand_forecast", "{}.demand_forecast"

_UNITS = (ProductDemand, "units")
_ALL = [(ProductDemand, "week", *MEASURES, "family")]


class DemandCandidates(Contract):
    """One row for each week, product and model: units in each of the four weeks after that week.

    Products sold within 13 weeks. Nothing that came after the week is known to any model, so that these rows, held
    beside what came, are what would have been said at the time. Made by themselves: the newest week and every fourth of
    half a year; others where they are asked for.
    """

    stock_code: Text = column("Product", origin=(ProductDemand, "stock_code"))
    description: Text = column("Its last description", nullable=True, origin=(ProductDemand, "description"))
    family: Text = column("Its family", origin=(ProductDemand, "family"))
    model: Text = column("The model", isin=list(MODELS), origin=_ALL)
    week_1: Real = column("Units in the first week after", ge=0, origin=_ALL)
    week_2: Real = column("Units in the second week after", ge=0, origin=_ALL)
    week_3: Real = column("Units in the third week after", ge=0, origin=_ALL)
    week_4: Real = column("Units in the fourth week after", ge=0, origin=_ALL)
    weekly_units: Real = column("Mean units a week of the last 13", ge=0, origin=_UNITS)
    last_year_units: Real = column(
        "Mean units a week in last year's same four weeks; NULL without a last year", nullable=True, ge=0, origin=_UNITS
    )
    weeks_known: Integer = column("Weeks since the first sale", ge=1, origin=_UNITS)
    weeks_without: Integer = column("Of the last 13 weeks, those without a sale", ge=0, le=13, origin=_UNITS)
    volume: Text = column("Class by units a week of the last 13", isin=list(VOLUMES), origin=_UNITS)
    pattern: Text = column(
        "new: in its first four weeks; intermittent: a quarter of the last 13 without a sale; or steady",
        isin=[NEW, INTERMITTENT, STEADY],
        origin=_UNITS,
    )
    as_of_date: Day = column("The Monday after the week, from which on it is forecast")
    week: Day = partition("Monday of the last week that is known", origin=(ProductDemand, "week"))

    class Config:
        unique = ["week", "stock_code", "model"]


def demand_candidates(panel: DemandPanel, model: Any | None) -> pd.DataFrame:
    """The rows of the panel's last week."""
    number, week = len(panel.weeks) - 1, panel.weeks[-1]
    products, _, known = features(panel, number)
    weekly_units = mean_of(panel.sums["units"], number, ACTIVE_WEEKS)[products]
    scale = np.exp(known["log_scale"].to_numpy())
    described = pd.DataFrame(
        {
            "stock_code": panel.products[products],
            "description": panel.descriptions[products],
            "family": panel.families[products],
            "weekly_units": weekly_units,
            "last_year_units": known["ahead_last_year"].to_numpy() * scale,
            "weeks_known": known["weeks_since_first_sale"].to_numpy(),
            "weeks_without": (panel.units[products, max(number - ACTIVE_WEEKS + 1, 0) :] == 0).sum(axis=1),
            "volume": volume_of(weekly_units),
            "pattern": pattern_of(known["weeks_since_first_sale"].to_numpy(), known["share_without"].to_numpy()),
            "as_of_date": week + timedelta(weeks=1),
            "week": week,
        }
    )
    made = forecasts(panel, model).merge(described, on="stock_code", validate="many_to_one")
    return made.astype({"weeks_known": int, "weeks_without": int})


def on_driver(demand: DataFrame) -> pd.DataFrame:
    """`product_demand` on the driver, money as numbers: a row a week and product, 2,000 a week on Online Retail II."""
    kept = ("week", "stock_code", "description", "family", *MEASURES)
    return demand.withColumn("revenue", F.col("revenue").cast("double")).select(*kept).toPandas()


def _active(audit: Audit) -> DataFrame:
    """Of each week under audit, the products sold in the 13 weeks up to it."""
    sold = audit.inputs["demand"].filter("units > 0").select(F.col("week").alias("sold_in"), "stock_code")
    since = F.date_add("week", -7 * (ACTIVE_WEEKS - 1))
    near = audit.partitions().join(sold, (F.col("sold_in") <= F.col("week")) & (F.col("sold_in") >= since))
    return near.groupBy("week").agg(F.count_distinct("stock_code").alias("products"))


@check(
    "Every product sold within 13 weeks has one row of each model that there is",
    measures={
        "models": lambda: F.count_distinct("model"),
        "products": lambda: F.count_distinct("stock_code"),
    },
    asks=_active,
    family=RECONCILIATION,
)
def all_products(week: Evidence) -> Verdict:
    """Products of the rows against those of silver, and rows against products and models."""
    wanted = week.asked[0]["products"] if week.asked else 0
    products, models = week.total("products"), week.total("models")
    told = f"{products} products forecast of {wanted} that were sold within 13 weeks"
    rows = f"{week.rows} rows of {products} products and {models} models"
    return Verdict.of(
        [
            RuleResult.within("products", products, told, lower=wanted, upper=wanted),
            RuleResult.within("rows", week.rows, rows, lower=products * models, upper=products * models),
        ]
    )


@table(
    DemandCandidates,
    weekly,
    layer=ML,
    kinds=["scikitlearn", "mlflow"],
    reads={"demand": (ProductDemand, weeks_so_far)},
    due=[NEWEST, ORIGINS],
    checks=[all_products],
)
def build(
    demand: DataFrame,
    window: PartitionWindow,
    mlflow: MlflowTracking,
    fitted_models: FittedModels,
    context: AssetExecutionContext,
    source: Owner,
) -> Built:
    """Learns and forecasts on the driver, week by week, each from what was known by then."""
    history, rows = on_driver(demand), []
    shown: dict[str, Mapping[str, Any]] = {}
    with mlflow.run(context, EXPERIMENT.format(source.name)) as tracked, one_thread():
        for week in window.days:
            panel = panel_of(history, week)
            if not panel.active(len(panel.weeks) - 1).size:
                continue
            model = learned(panel, fitted_models.fitted)
            rows.append(demand_candidates(panel, model))
            shown[str(week)] = {"not_learned_as": why_not_learned(panel) or "it was"}
            if model is not None:
                shown[str(week)] = _track(tracked, model, panel, week, MODEL.format(source.name))
    return Built(as_table(demand, DemandCandidates, rows), metadata=shown)


def week_alias(week: date) -> str:
    """The alias of a week's newest version in the registry."""
    return f"week-{week}"


def _track(tracked: TrackedRun, model: Any, panel: DemandPanel, week: date, registered_as: str) -> Mapping[str, Any]:
    """A run a week in MLflow, the learned model registered; returns what the UI shows of it."""
    products, _, known = features(panel, len(panel.weeks) - 1)
    with tracked.month(str(week)):
        settings = {name: value for name, value in model.estimators[0][1].get_params().items() if value is not None}
        tracked.log(
            {**settings, "weeks_of_history": len(panel.weeks), "weeks_to_learn": WEEKS_TO_LEARN},
            {"products": float(len(products))},
        )
        registered = tracked.register(model, registered_as, known.head(5), False, week_alias(week))
    return {"mlflow_run": registered.run_id, "registered_model": registered.uri, "products": len(products)}


def total_of(rows: pd.DataFrame) -> np.ndarray:
    """Units of the four weeks together, of rows with AHEAD."""
    return np.asarray(rows[AHEAD].sum(axis=1).to_numpy())
