"""segment_model: which groups of customers there are, found anew each month by k-means over RFM."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetExecutionContext, MetadataValue
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.champions import panel
from retail_assets.analytics.segment_engines import OnDriver, OnSpark, SegmentTraining, segment, segment_on_spark
from retail_assets.analytics.segmentation import FEATURES, SEED, Segmentation
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.snapshots import Dated
from retail_assets.lakehouse.checks import reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Real,
    Text,
    column,
    partition,
)
from retail_assets.lakehouse.driver_rows import as_table, by_partition
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import monthly, same_window
from retail_assets.partitions.keys import PartitionWindow

MODEL = "{}.segment_model"
"""What a source's models are registered as."""

EXPERIMENT = "{}/segment_model"
"""The experiment of a source's models."""


_RFM = [(CustomerRfm, *FEATURES)]
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


def _real(description: str, **options: Any) -> Any:
    return column(description, origin=_RFM, **options)


class SegmentModel(Contract):
    """One row for each month and cluster: where its centroid lies, how many customers it has, what it is called.

    k-means over recency, frequency and monetary, by default their logarithms, standardised; the number of clusters is
    searched from 2 to 10 and chosen by silhouette among candidates that are stable and have no tiny cluster. A measure
    in which fewer than a twentieth of the customers differ (frequency, where nearly all buy once) is held at the value
    of the others, its floor and its cap: it tells no clusters apart. Labels
    follow from where the centroid lies, never from its number. With the scaling that every row repeats, a customer can
    be given to its cluster anywhere, and the model be made again. Whether it scores is decided by segment_champion.
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
    monetary: Real = _real("Monetary value of the centroid", unit=CURRENCY)
    recency_scaled: Real = _real("Recency of the centroid, scaled")
    frequency_scaled: Real = _real("Frequency of the centroid, scaled")
    monetary_scaled: Real = _real("Monetary value of the centroid, scaled")
    transform: Text = column("What is done to measures before they are standardised", isin=["log", "winsorised"])
    recency_floor: Real = _real("Recency counts as at least this", unit="days")
    recency_cap: Real = _real("Recency counts as at most this; infinite for logarithms", unit="days")
    recency_mean: Real = _real("Mean of transformed recency over the customers")
    recency_deviation: Real = _real("Standard deviation of transformed recency", gt=0)
    frequency_floor: Real = _real("Frequency counts as at least this", unit="orders")
    frequency_cap: Real = _real("Frequency counts as at most this; infinite for logarithms", unit="orders")
    frequency_mean: Real = _real("Mean of transformed frequency")
    frequency_deviation: Real = _real("Standard deviation of transformed frequency", gt=0)
    monetary_floor: Real = _real("Monetary value counts as at least this", unit=CURRENCY)
    monetary_cap: Real = _real("Monetary value counts as at most this; infinite for logarithms", unit=CURRENCY)
    monetary_mean: Real = _real("Mean of transformed monetary value")
    monetary_deviation: Real = _real("Standard deviation of transformed monetary value", gt=0)
    engine: Text = column("What found the clusters", isin=[OnDriver.name, OnSpark.name])
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
        engine=segmentation.engine,
        snapshot_month=month,
    )


def month_alias(month: date) -> str:
    """The alias of a month's newest version in the registry."""
    return f"month-{month:%Y-%m}"


def definition(segmentation: Segmentation) -> dict[str, Any]:
    """What the model's inputs are and what happens to them: kept with the model, and as parameters of its run."""
    return {
        "features": ", ".join(FEATURES),
        "transform": segmentation.scaling.transform,
        "transform_in_words": segmentation.scaling.in_words(),
        "engine": segmentation.engine,
        "seed": SEED,
    }


def _track(
    tracked: TrackedRun, segmentation: Segmentation, example: pd.DataFrame, month: date, registered_as: str
) -> dict[str, Any]:
    """A run per month and candidate in MLflow, the chosen model registered; returns what the UI shows of it."""
    chosen, described = segmentation.chosen, definition(segmentation)
    with tracked.month(str(month)):
        tracked.log({**described, "rule": segmentation.rule}, asdict(chosen) if chosen else {"clusters": 1})
        for candidate in segmentation.candidates:
            with tracked.candidate(f"k={candidate.clusters}"):
                metrics = asdict(candidate)
                tracked.log({"clusters": metrics.pop("clusters"), "snapshot_month": month}, metrics)
        # Which version is the champion is decided where it scores: segment_champion.
        registered = tracked.register(
            segmentation.model, registered_as, example[FEATURES], False, month_alias(month), described
        )
    return {
        "clusters": len(segmentation.clusters),
        "chosen_by": segmentation.rule,
        "transform": segmentation.scaling.in_words(),
        "engine": segmentation.engine,
        "silhouette": round(chosen.silhouette, 4) if chosen else None,
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


@table(
    SegmentModel,
    monthly,
    layer=ML,
    kinds=["scikitlearn", "mlflow"],
    reads={"rfm": (CustomerRfm, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "The clusters hold every customer of the month's RFM once",
            ours={"customers": lambda: F.sum("customers")},
            theirs=lambda audit: audit.inputs["rfm"].groupBy("snapshot_month").agg(F.count("*").alias("customers")),
        ),
    ],
)
def build(
    rfm: DataFrame,
    window: PartitionWindow,
    segment_training: SegmentTraining,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
    source: Dated,
) -> Built:
    """Trains month by month: on the driver, or where a month has more customers than are set for that, on Spark."""
    customers = rfm.select(
        "snapshot_month", "customer_id", "recency_days", "frequency", F.col("monetary").cast("double").alias("monetary")
    )
    counts = {row["snapshot_month"]: row["count"] for row in customers.groupBy("snapshot_month").count().collect()}
    large = [month for month in window.days if month in counts and segment_training.on_spark(counts[month])]
    small = [month for month in window.days if month in counts and month not in large]
    on_driver = customers.filter(F.col("snapshot_month").isin(small)).toPandas() if small else None
    at_hand = {} if on_driver is None else by_partition(on_driver, "snapshot_month")
    rows, shown = [], {}
    with mlflow.run(context, EXPERIMENT.format(source.name)) as tracked:
        for month in sorted(counts):
            if month in at_hand:
                segmentation = segment(at_hand[month], segment_training.transform)
                example = at_hand[month].head(5)
            else:
                of_month = customers.filter(F.col("snapshot_month") == F.lit(month))
                segmentation = segment_on_spark(of_month, segment_training.transform)
                example = of_month.orderBy("customer_id").limit(5).toPandas()
            rows.append(segment_model(segmentation, month))
            shown[str(month)] = _track(tracked, segmentation, example, month, MODEL.format(source.name))
    return Built(as_table(rfm, SegmentModel, rows), metadata=shown)


def panel_of(customers: DataFrame, models: Mapping[date, pd.DataFrame]) -> pd.DataFrame:
    """`snapshot_month` and FEATURES of the customers that models are compared on, on the driver; `models`: the rows of
    each month's model."""
    sizes = {month: int(rows["customers"].sum()) for month, rows in models.items()}
    kept = panel(customers, sizes, "snapshot_month").withColumn("monetary", F.col("monetary").cast("double"))
    # In order: Spark's own changes from run to run, and so would sums.
    return kept.select("snapshot_month", *FEATURES).toPandas().sort_values(FEATURES)
