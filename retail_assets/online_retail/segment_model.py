"""segment_model: which groups of customers there are, found anew each month by k-means over RFM."""

from dataclasses import asdict
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetCheckSeverity, AssetExecutionContext, MetadataValue
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.segmentation import FEATURES, SEED, SMALLEST_SHARE, Segmentation, segment
from retail_assets.analytics.tracking import MlflowTracking, TrackedRun
from retail_assets.lakehouse.checks import Audit, TableCheck, Verdict, reconciles
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Integer,
    Real,
    Text,
    column,
    partition,
    spark_schema,
)
from retail_assets.lakehouse.table import Built, PartitionWindow, table
from retail_assets.online_retail.customer_rfm import CustomerRfm
from retail_assets.operations.partitions import monthly, same_window

MODEL = "online_retail.segment_model"
SILHOUETTE_FLOOR = 0.2
"""Below this, groups lie within each other; real data: 0.3 to 0.5."""

_RFM = [(CustomerRfm, *FEATURES)]
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


def _real(description: str, **options: Any) -> Any:
    return column(description, origin=_RFM, **options)


class SegmentModel(Contract):
    """One row for each month and cluster: where its centroid lies, how many customers it has, what it is called.

    k-means over the logarithms of recency, frequency and monetary, standardised; the number of clusters is searched
    from 2 to 10 and chosen by silhouette among candidates that are stable and have no tiny cluster. Labels follow
    from where the centroid lies, never from its number. With the scaling that every row repeats, a customer can be
    given to its cluster anywhere.
    """

    cluster: Integer = column("Number of the cluster, 0 the most valuable", ge=0)
    label: Text = column("Name, from where the centroid lies", origin=_RFM)
    clusters: Integer = column("Clusters of the month's model (k)", ge=1)
    customers: Count = column("Customers in the cluster", ge=0, origin=(CustomerRfm, "customer_id"))
    share: Real = column("Share of the month's customers", **_SHARE)
    silhouette: Real = column("Mean silhouette of the model, on a fixed sample; NULL with one cluster", nullable=True)
    stability: Real = column("Mean adjusted Rand index against models of bootstrap samples", nullable=True)
    value_score: Real = _real("Mean of scaled frequency, monetary and recency reversed: what clusters are ordered by")
    recency_days: Real = _real("Recency of the centroid", unit="days")
    frequency: Real = _real("Frequency of the centroid", unit="orders")
    monetary: Real = _real("Monetary value of the centroid", unit="GBP")
    recency_scaled: Real = _real("Recency of the centroid, scaled")
    frequency_scaled: Real = _real("Frequency of the centroid, scaled")
    monetary_scaled: Real = _real("Monetary value of the centroid, scaled")
    recency_mean: Real = _real("Mean of log1p(recency) over the customers")
    recency_deviation: Real = _real("Standard deviation of log1p(recency)", gt=0)
    frequency_mean: Real = _real("Mean of log1p(frequency)")
    frequency_deviation: Real = _real("Standard deviation of log1p(frequency)", gt=0)
    monetary_mean: Real = _real("Mean of log1p(monetary)")
    monetary_deviation: Real = _real("Standard deviation of log1p(monetary)", gt=0)
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(CustomerRfm, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "cluster"]


def segment_model(segmentation: Segmentation, month: date) -> pd.DataFrame:
    """The rows of one month: one per cluster."""
    chosen = segmentation.chosen
    return segmentation.model_rows().assign(
        clusters=len(segmentation.clusters),
        silhouette=chosen.silhouette if chosen else None,
        stability=chosen.stability if chosen else None,
        snapshot_month=month,
    )


def _track(tracked: TrackedRun, segmentation: Segmentation, customers: pd.DataFrame, month: str) -> dict[str, Any]:
    """A run per month and candidate in MLflow, the chosen model registered; returns what the UI shows of it."""
    chosen = segmentation.chosen
    with tracked.month(month):
        tracked.log(
            {
                "features": ", ".join(FEATURES),
                "transform": "log1p, standardised",
                "seed": SEED,
                "rule": segmentation.rule,
            },
            asdict(chosen) if chosen else {"clusters": 1},
        )
        for candidate in segmentation.candidates:
            with tracked.candidate(f"k={candidate.clusters}"):
                metrics = asdict(candidate)
                tracked.log({"clusters": metrics.pop("clusters"), "snapshot_month": month}, metrics)
        registered = tracked.register(segmentation.model, MODEL, customers[FEATURES].head(5))
    return {
        "clusters": len(segmentation.clusters),
        "chosen_by": segmentation.rule,
        "silhouette": chosen.silhouette if chosen else None,
        "mlflow_run": registered.run_id,
        "registered_model": registered.uri,
        "candidates": MetadataValue.md(_candidates(segmentation)),
    }


def _candidates(segmentation: Segmentation) -> str:
    rows = [
        f"| {c.clusters} | {c.silhouette:.3f} | {c.calinski_harabasz:.0f} | {c.davies_bouldin:.3f} | {c.inertia:.0f} "
        f"| {c.smallest_share:.1%} | {c.stability:.2f} |"
        for c in segmentation.candidates
    ]
    head = "| k | silhouette | Calinski–Harabasz | Davies–Bouldin | inertia | smallest share | stability |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows])


def _floors() -> TableCheck:
    def verdicts(audit: Audit) -> dict[str, Verdict]:
        found = {}
        for key in audit.keys:
            clusters = audit.measure(key, "model_clusters")
            silhouette, share = audit.measure(key, "model_silhouette"), audit.measure(key, "model_smallest_share")
            metadata = {
                "clusters": clusters,
                "silhouette": silhouette,
                "silhouette_floor": SILHOUETTE_FLOOR,
                "smallest_share": share,
                "smallest_share_floor": SMALLEST_SHARE,
            }
            good = clusters > 1 and silhouette >= SILHOUETTE_FLOOR and share >= SMALLEST_SHARE
            found[key] = Verdict(good or key not in audit.evaluations, metadata)
        return found

    return TableCheck(
        "model_floors",
        f"At least two clusters, silhouette at least {SILHOUETTE_FLOOR}, no cluster under {SMALLEST_SHARE:.0%}",
        verdicts,
        measures={
            "model_clusters": lambda: F.max("clusters"),
            "model_silhouette": lambda: F.min("silhouette"),
            "model_smallest_share": lambda: F.min("share"),
        },
        blocking=False,
        severity=AssetCheckSeverity.WARN,
    )


@table(
    SegmentModel,
    monthly,
    group="ml",
    kinds=["scikitlearn", "mlflow"],
    reads={"rfm": (CustomerRfm, same_window)},
    checks=[
        _floors(),
        reconciles(
            "reconciliation",
            "The clusters hold every customer of the month's RFM once",
            ours={"customers": lambda: F.sum("customers")},
            theirs=lambda audit: audit.inputs["rfm"].groupBy("snapshot_month").agg(F.count("*").alias("customers")),
        ),
    ],
)
def build(rfm: DataFrame, window: PartitionWindow, mlflow: MlflowTracking, context: AssetExecutionContext) -> Built:
    """Trains on the driver, month by month: customer tables are small even where invoices are not."""
    customers = rfm.select(
        "snapshot_month", "customer_id", "recency_days", "frequency", F.col("monetary").cast("double").alias("monetary")
    ).toPandas()
    by_month = dict(tuple(customers.groupby("snapshot_month")))
    rows, shown = [], {}
    with mlflow.run(context, "online_retail/segment_model") as tracked:
        for key, month in zip(window.keys, window.days, strict=True):
            if month in by_month:
                segmentation = segment(by_month[month])
                rows.append(segment_model(segmentation, month))
                shown[key] = _track(tracked, segmentation, by_month[month], key)
    return Built(_frame(rfm, rows), metadata=shown)


def _frame(rfm: DataFrame, rows: list[pd.DataFrame]) -> DataFrame:
    schema = spark_schema(SegmentModel)
    records = [tuple(row) for frame in rows for row in frame[schema.fieldNames()].astype(object).to_numpy().tolist()]
    return rfm.sparkSession.createDataFrame(records, schema)
