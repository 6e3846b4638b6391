"""churn_scores: how likely each customer is not to buy in the next 90 days, with only what was known at the time."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.analytics.churn import (
    CHURN_FEATURES,
    FOREST,
    KINDS,
    MONTHS_TO_SCORE,
    SEED,
    TRAINING_SNAPSHOTS,
    WINDOW_DAYS,
    Calibration,
    ChurnModel,
    RollingOrigin,
    calibrated_classifier,
    churn_feature_frame,
    with_churn_risk,
)
from retail_assets.analytics.churn_evaluation import ALL
from retail_assets.analytics.fitted_models import FittedModels
from retail_assets.analytics.returning import KnownOutcomes, outcomes
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.churn_evaluation import MONTHS_OF_HISTORY, ChurnEvaluation, without_a_model
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.snapshots import Dated, as_of_dates, snapshots_since
from retail_assets.lakehouse.checks import (
    MODEL_QUALITY,
    RECONCILIATION,
    WARN,
    Audit,
    Evidence,
    Verdict,
    all_known,
    check,
)
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Flag,
    Integer,
    Real,
    Text,
    column,
    partition,
)
from retail_assets.lakehouse.driver_rows import by_partition
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly_after, months_so_far, same_window
from retail_assets.partitions.keys import PartitionWindow

PREDICTED_FROM = 0.5

_ACTIVITY = [(CustomerMonthActivity, "orders", "revenue", "returns_value", "first_purchase_date", "last_purchase_date")]
_MADE_OF = [*_ACTIVITY, (ChurnEvaluation, "model", "scores", "calibration_slope")]
_PROBABILITY: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


class ChurnScores(Contract):
    """Each customer's probability of buying nothing in the 90 days after the as-of date.

    The model that `churn_evaluation` chose for the month, trained on the newest snapshots whose 90 days were over at
    the month's as-of date, and calibrated. Features come from before the as-of date of their snapshot, outcomes from
    after it. Months with too little history to train on have no partition; months by which hardly any customer came
    back (fewer than a twentieth within 90 days) have no rows, as there is no leaving to foresee.
    """

    customer_id: Text = column("Customer", origin=(CustomerMonthActivity, "customer_id"))
    as_of_date: Day = column("As-of date of the snapshot")
    churn_probability: Real = column("Probability of no purchase in the next 90 days", origin=_MADE_OF, **_PROBABILITY)
    model: Text = column(
        "The kind of model that scored: random_forest, or gradient_boosting",
        isin=list(KINDS),
        origin=(ChurnEvaluation, "model", "scores"),
    )
    churn_prediction: Flag = column("Whether the probability is at least one half", origin=_ACTIVITY)
    churn_risk: Text = column(
        "Band by rank among the month's customers, whatever the probability: High: the top 20 %; Medium: the next "
        "30 %; Low: the rest. The level is churn_probability itself",
        isin=["High", "Medium", "Low"],
        origin=_ACTIVITY,
    )
    recency_days: Integer = column(
        "Days since the last purchase", unit="days", ge=1, origin=(CustomerMonthActivity, "last_purchase_date")
    )
    frequency: Count = column("Distinct invoices", ge=1, origin=(CustomerMonthActivity, "orders"))
    monetary: Real = column("Value of product lines", unit=CURRENCY, origin=(CustomerMonthActivity, "revenue"))
    snapshot_month: Day = partition("First day of the snapshot's month")

    class Config:
        unique = ["snapshot_month", "customer_id"]


@dataclass(frozen=True)
class Scored:
    """The customers of a month with their `churn_probability`, and what made it: of the model's own `probability`."""

    rows: pd.DataFrame
    probability: np.ndarray
    model: ChurnModel
    calibration: Calibration


def score(origin: RollingOrigin, rows: pd.DataFrame, day: date, kind: str, slope: float) -> Scored | None:
    """Scores `rows`, the snapshot of `day`, by the model made on that day; None if history has not two outcomes."""
    model = origin.model(kind, day)
    if model is None:
        return None
    calibration = origin.calibration(kind, day, slope)
    probability = model.probability(rows)
    scored = rows.assign(churn_probability=calibration.apply(probability), model=kind)
    return Scored(scored, probability, model, calibration)


def _track(tracked: TrackedRun, scored: Scored, month: str, registered_as: str) -> dict[str, Any]:
    """A run per month in MLflow, with the calibrated model, registered; returns what the UI shows of it."""
    model, calibration = scored.model, scored.calibration
    with tracked.month(month):
        tracked.log(
            {
                "model": model.kind,
                **KINDS[model.kind],
                "seed": SEED,
                "window_days": WINDOW_DAYS,
                "features": ", ".join(model.features),
                "trained_on": ", ".join(map(str, model.training_dates)),
                "training_rows": model.training_rows,
            },
            {
                "calibration_slope": calibration.slope,
                "newest_known_churn_rate": calibration.churn_rate,
                "mean_probability": float(scored.rows["churn_probability"].mean()),
            },
        )
        classifier = calibrated_classifier(model, calibration, scored.rows, scored.probability)
        registered = tracked.register(classifier, registered_as, scored.rows[list(model.features)].head(5))
    return {
        "model": model.kind,
        "trained_on": ", ".join(map(str, model.training_dates)),
        "calibration_slope": calibration.slope,
        "newest_known_churn_rate": calibration.churn_rate,
        "mlflow_run": registered.run_id,
        "registered_model": registered.uri,
    }


@check(
    "There was enough history to learn from, if customers come back at all",
    family=MODEL_QUALITY,
    severity=WARN,
)
def model_made(month: Evidence) -> Verdict:
    """What the month's model was trained on, if there is one."""
    learnt_from = month.found("training_rows") or 0
    if not learnt_from:
        told = "0 customers to learn from: no snapshot had a known outcome, or all customers had the same one"
        return without_a_model(month.found("returning"), Verdict.within(0, told, lower=1))
    return Verdict.within(learnt_from, f"Learnt from {learnt_from} outcomes of customers", lower=1)


def _buyers_so_far(audit: Audit) -> DataFrame:
    buyers = audit.inputs["activity"].filter("orders > 0").select("customer_id", "activity_month")
    first = buyers.groupBy("customer_id").agg(F.min("activity_month").alias("first_month"))
    known = audit.partitions().join(first, F.col("first_month") <= F.col("snapshot_month"))
    return known.groupBy("snapshot_month").agg(F.count("*").alias("customers"))


@check(
    "Every customer with a purchase so far has one score, or there is no model",
    asks=_buyers_so_far,
    family=RECONCILIATION,
)
def everyone_scored(month: Evidence) -> Verdict:
    """Customers scored against customers known."""
    customers = month.asked[0]["customers"] if month.asked else 0
    wanted = customers if month.found("training_rows") else 0
    told = f"{month.rows} scored, where {wanted} of {customers} customers are to be"
    metadata = {"scored": month.rows, "customers": customers}
    return Verdict.within(month.rows, told, lower=wanted, upper=wanted, metadata=metadata)


@table(
    ChurnScores,
    monthly_after(MONTHS_OF_HISTORY),
    layer=ML,
    kinds=["scikitlearn", "mlflow"],
    reads={"activity": (CustomerMonthActivity, months_so_far), "evaluation": (ChurnEvaluation, same_window)},
    checks=[
        model_made,
        everyone_scored,
        all_known(
            "customers_known", "Every customer is known from silver", ["customer_id"], lambda inputs: inputs["activity"]
        ),
    ],
)
def build(
    activity: DataFrame,
    evaluation: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Dated,
    mlflow: MlflowTracking,
    fitted_models: FittedModels,
    context: AssetExecutionContext,
) -> Built:
    """Trains on the driver, month by month, on features of the snapshots it learns from, which Spark makes at once."""
    spark = activity.sparkSession
    wanted = as_of_dates(window, landing, source)
    chosen = {
        row["snapshot_month"]: (row["model"], row["calibration_slope"])
        for row in evaluation.filter(F.col("scores") & (F.col("population") == ALL)).collect()
    }
    since = snapshots_since(activity, window, landing, source, MONTHS_TO_SCORE)
    known_by = KnownOutcomes(outcomes(activity, since, WINDOW_DAYS).toPandas(), WINDOW_DAYS, TRAINING_SNAPSHOTS)
    history = churn_feature_frame(activity, since if known_by.any_enough else since.limit(0)).toPandas()
    origin = RollingOrigin(history, CHURN_FEATURES, known=fitted_models)
    by_month = by_partition(history.sort_values("customer_id", kind="stable"), "snapshot_month")
    returning = {str(month): known_by.known(day) for month, day in wanted.items()}
    parts, learnt_from, shown = [], {}, {month: known.shown() for month, known in returning.items()}
    with mlflow.run(context, f"{source.name}/churn_scores") as tracked:
        for month, day in wanted.items():
            kind, slope = chosen.get(month, (FOREST, 1.0))
            scored = score(origin, by_month[month], day, kind, slope) if month in by_month else None
            if scored is not None:
                shown[str(month)] |= _track(tracked, scored, str(month), f"{source.name}.churn_scores")
                parts.append(scored.rows)
                learnt_from[str(month)] = scored.model.training_rows
    findings = {"training_rows": learnt_from, "returning": returning}
    return Built(churn_scores(spark, parts), findings=findings, metadata=shown)


def churn_scores(spark: SparkSession, scored: list[pd.DataFrame]) -> DataFrame:
    """The table's rows of scored months: prediction and band of risk beside the probability."""
    columns = {
        "snapshot_month": "date",
        "as_of_date": "date",
        "customer_id": "string",
        "churn_probability": "double",
        "model": "string",
        "recency_days": "int",
        "frequency": "int",
        "monetary": "double",
    }
    schema = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    rows = (
        spark.createDataFrame(pd.concat(scored)[list(columns)], schema) if scored else spark.createDataFrame([], schema)
    )
    predicted = rows.withColumn("churn_prediction", F.col("churn_probability") >= PREDICTED_FROM)
    return with_churn_risk(predicted, within="snapshot_month")
