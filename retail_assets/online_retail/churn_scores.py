"""churn_scores: how likely each customer is not to buy in the next 90 days, with only what was known at the time."""

from dataclasses import asdict
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetCheckSeverity, AssetExecutionContext, MetadataValue
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.churn import (
    CHURN_FEATURES,
    DEPTH,
    SEED,
    TREES,
    WINDOW_DAYS,
    ChurnModel,
    churn_feature_frame,
    fit_churn,
    score,
    with_churn_risk,
)
from retail_assets.analytics.tracking import MlflowTracking, TrackedRun
from retail_assets.lakehouse.checks import Audit, TableCheck, Verdict, all_known
from retail_assets.lakehouse.contracts import Contract, Count, Day, Flag, Integer, Real, Text, column, partition
from retail_assets.lakehouse.table import Built, PartitionWindow, table
from retail_assets.landing.drops import LandingZone
from retail_assets.online_retail.customer_month_activity import CustomerMonthActivity
from retail_assets.online_retail.snapshots import snapshots
from retail_assets.operations.partitions import monthly_after, months_so_far

MODEL = "online_retail.churn_scores"
PREDICTED_FROM = 0.5

MONTHS_OF_HISTORY = 5
"""Two outcome windows of 90 days must have closed before the first score: earlier months have no partition."""

AUC_FLOOR = 0.6
AUC_CEILING = 0.95
"""Above this a model knows its own answer: a feature reaches past the as-of date."""

_ACTIVITY = [(CustomerMonthActivity, "orders", "revenue", "returns_value", "first_purchase_date", "last_purchase_date")]
_PROBABILITY: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


class ChurnScores(Contract):
    """Each customer's probability of buying nothing in the 90 days after the as-of date.

    A random forest, trained for each month on the newest snapshots whose 90 days were over at the month's as-of date.
    Features come from before the as-of date of their snapshot, outcomes from after it. Months with too little
    history to train on have no partition.
    """

    customer_id: Text = column("Customer", origin=(CustomerMonthActivity, "customer_id"))
    as_of_date: Day = column("As-of date of the snapshot")
    churn_probability: Real = column("Probability of no purchase in the next 90 days", origin=_ACTIVITY, **_PROBABILITY)
    churn_prediction: Flag = column("Whether the probability is at least one half", origin=_ACTIVITY)
    churn_risk: Text = column(
        "High: the top 20 % by probability; Medium: the next 30 %; Low: the rest",
        isin=["High", "Medium", "Low"],
        origin=_ACTIVITY,
    )
    recency_days: Integer = column(
        "Days since the last purchase", unit="days", ge=1, origin=(CustomerMonthActivity, "last_purchase_date")
    )
    frequency: Count = column("Distinct invoices", ge=1, origin=(CustomerMonthActivity, "orders"))
    monetary: Real = column("Value of product lines", unit="GBP", origin=(CustomerMonthActivity, "revenue"))
    snapshot_month: Day = partition("First day of the snapshot's month")

    class Config:
        unique = ["snapshot_month", "customer_id"]


def _score(features: pd.DataFrame, as_of: dict[date, date]) -> tuple[pd.DataFrame, dict[date, ChurnModel | None]]:
    """Scores and models of the months in `as_of`; months that cannot be trained for have no scores."""
    models: dict[date, ChurnModel | None] = {}
    scored = []
    for month, day in as_of.items():
        past = features[features["snapshot_month"] < month]
        models[month] = model = fit_churn(past, day, CHURN_FEATURES)
        if model is not None:
            rows = features[features["snapshot_month"] == month]
            scored.append(rows.assign(churn_probability=score(model, rows)))
    empty = features.head(0).assign(churn_probability=pd.Series(dtype="float64"))
    return pd.concat(scored) if scored else empty, models


def _track(tracked: TrackedRun, model: ChurnModel, example: pd.DataFrame, month: str) -> dict[str, Any]:
    validation = asdict(model.validation)
    validated_on = validation.pop("as_of_date")
    with tracked.month(month):
        tracked.log(
            {
                "trees": TREES,
                "depth": DEPTH,
                "seed": SEED,
                "window_days": WINDOW_DAYS,
                "features": ", ".join(model.features),
                "trained_on": ", ".join(map(str, model.training_dates)),
                "training_rows": model.training_rows,
                "validated_on": validated_on,
            },
            {name: float(value) for name, value in validation.items()}
            | {f"importance_{name}": value for name, value in model.importances.items()},
        )
        registered = tracked.register(model.forest, MODEL, example[list(model.features)].head(5))
    strongest = sorted(model.importances.items(), key=lambda item: -item[1])
    return {
        "roc_auc": validation["roc_auc"],
        "recency_alone_roc_auc": validation["recency_roc_auc"],
        "brier_score": validation["brier_score"],
        "top_decile_lift": validation["top_decile_lift"],
        "validated_on": str(validated_on),
        "mlflow_run": registered.run_id,
        "registered_model": registered.uri,
        "feature_importance": MetadataValue.md(
            "\n".join(["| feature | importance |", "| --- | --- |", *(f"| {n} | {v:.3f} |" for n, v in strongest)])
        ),
    }


def _out_of_time() -> TableCheck:
    def verdicts(audit: Audit) -> dict[str, Verdict]:
        found = {}
        for key in audit.keys:
            model: ChurnModel | None = audit.findings["models"].get(key)
            if model is None:
                problem = "No model: fewer than two snapshots had a known outcome, or all customers had the same one"
                found[key] = Verdict(False, {"problem": problem})
                continue
            auc = model.validation.roc_auc
            found[key] = Verdict(
                AUC_FLOOR <= auc <= AUC_CEILING,
                {
                    "roc_auc": auc,
                    "lower_bound": AUC_FLOOR,
                    "upper_bound": AUC_CEILING,
                    "recency_alone_roc_auc": model.validation.recency_roc_auc,
                    "validated_on": str(model.validation.as_of_date),
                },
            )
        return found

    return TableCheck(
        "out_of_time_auc",
        f"On the newest snapshot with a known outcome, not trained on, ROC AUC lies in {AUC_FLOOR} to {AUC_CEILING}: "
        "below, the scores say nothing; above, the model knows its own answer",
        verdicts,
        blocking=False,
        severity=AssetCheckSeverity.WARN,
    )


def _everyone_scored() -> TableCheck:
    def verdicts(audit: Audit) -> dict[str, Verdict]:
        buyers = audit.inputs["activity"].filter("orders > 0").select("customer_id", "activity_month")
        first = buyers.groupBy("customer_id").agg(F.min("activity_month").alias("first_month"))
        month = F.col("first_month") <= F.col("snapshot_month")
        counts = audit.partitions().join(first, month).groupBy("snapshot_month").count().collect()
        expected = {str(row["snapshot_month"]): row["count"] for row in counts}
        found = {}
        for key in audit.keys:
            scored = audit.evaluations[key].rows if key in audit.evaluations else 0
            wanted = expected.get(key, 0) if audit.findings["models"].get(key) else 0
            found[key] = Verdict(scored == wanted, {"scored": scored, "customers": expected.get(key, 0)})
        return found

    return TableCheck(
        "everyone_scored", "Every customer with a purchase so far has one score, or there is no model", verdicts
    )


@table(
    ChurnScores,
    monthly_after(MONTHS_OF_HISTORY),
    group="ml",
    kinds=["scikitlearn", "mlflow"],
    reads={"activity": (CustomerMonthActivity, months_so_far)},
    checks=[
        _out_of_time(),
        _everyone_scored(),
        all_known(
            "customers_known", "Every customer is known from silver", ["customer_id"], lambda inputs: inputs["activity"]
        ),
    ],
)
def build(
    activity: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
) -> Built:
    """Trains on the driver, month by month, on features of every snapshot so far, which Spark makes at once."""
    spark = activity.sparkSession
    wanted = {row["snapshot_month"]: row["as_of_date"] for row in snapshots(spark, window, landing).collect()}
    first = activity.agg(F.min("activity_month")).first()
    earliest = first[0] if first and first[0] else window.days[0]
    every = snapshots(spark, PartitionWindow(_months(earliest, window.days[-1])), landing)
    features = churn_feature_frame(activity, every).toPandas()
    scored, models = _score(features, wanted)
    shown = {}
    with mlflow.run(context, "online_retail/churn_scores") as tracked:
        for month, model in models.items():
            if model is not None:
                shown[str(month)] = _track(tracked, model, features, str(month))
    columns = [
        "snapshot_month",
        "as_of_date",
        "customer_id",
        "churn_probability",
        "recency_days",
        "frequency",
        "monetary",
    ]
    frame = spark.createDataFrame(
        scored[columns],
        "snapshot_month date, as_of_date date, customer_id string, churn_probability double, recency_days int, "
        "frequency int, monetary double",
    ).withColumn("churn_prediction", F.col("churn_probability") >= PREDICTED_FROM)
    return Built(
        with_churn_risk(frame, within="snapshot_month"),
        findings={"models": {str(month): model for month, model in models.items()}},
        metadata=shown,
    )


def _months(first: date, last: date) -> list[str]:
    """The first days of the months from one to the other."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    numbers = (first.year * 12 + first.month - 1 + n for n in range(count))
    return [date(number // 12, number % 12 + 1, 1).isoformat() for number in numbers]
