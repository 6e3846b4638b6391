"""customer_segments: each customer's segment, by the month's model and by rule, and what to do about it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.rfm import (
    ENGAGEMENTS,
    RFM_SEGMENTS,
    VALUES,
    recommended_action,
    value_engagement_action,
)
from retail_assets.analytics.segment_assignment import nearest_cluster
from retail_assets.analytics.segmentation import FEATURES, LABELS
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.segment_champion import SegmentChampion
from retail_assets.customers.segment_model import SegmentModel
from retail_assets.lakehouse.checks import Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Real,
    Text,
    column,
    partition,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import monthly, months_so_far, same_window

_MODEL = [(CustomerRfm, *FEATURES), (SegmentModel, "recency_scaled", "frequency_scaled", "monetary_scaled")]


class CustomerSegments(Contract):
    """Every customer of the month's RFM with the nearest cluster of the model that scores the month, the RFM segment by
    rule, and the segment by value and engagement.

    The model is the champion's: the month's own, or where that failed a gate the newest before it that passed.
    """

    customer_id: Text = column("Customer", origin=(CustomerRfm, "customer_id"))
    as_of_date: Day = column("As-of date of the snapshot", origin=(CustomerRfm, "as_of_date"))
    cluster: Integer = column("Nearest cluster, 0 the most valuable", ge=0, origin=_MODEL)
    label: Text = column(
        "Name of the cluster, stable from month to month",
        isin=list(LABELS),
        origin=(SegmentChampion, "label"),
    )
    model_month: Day = column("Month whose model scored", origin=(SegmentChampion, "champion_month"))
    distance: Real = column("Distance to the centroid in scaled units", ge=0, origin=_MODEL)
    rfm_segment: Text = column(
        "Segment by rule", isin=sorted(set(RFM_SEGMENTS.values())), origin=(CustomerRfm, "rfm_segment")
    )
    recommended_action: Text = column("What to do about customers of this segment", origin=(CustomerRfm, "rfm_segment"))
    value_segment: Text = column("Segment by value", isin=list(VALUES), origin=(CustomerRfm, "value_segment"))
    engagement_segment: Text = column(
        "Segment by engagement", isin=list(ENGAGEMENTS), origin=(CustomerRfm, "engagement_segment")
    )
    value_engagement_action: Text = column(
        "What to do about customers of this value and engagement",
        origin=(CustomerRfm, "value_segment", "engagement_segment"),
    )
    recency_days: Integer = column("Days since the last purchase", unit="days", origin=(CustomerRfm, "recency_days"))
    frequency: Count = column("Distinct invoices", origin=(CustomerRfm, "frequency"))
    monetary: Money = column("Value of product lines", unit=CURRENCY, origin=(CustomerRfm, "monetary"))
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(CustomerRfm, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "customer_id"]


def customer_segments(rfm: DataFrame, champion: DataFrame, model: DataFrame) -> DataFrame:
    """Each RFM row with its cluster by the centroids of the month's champion; none is left out, none is in two."""
    columns = [name for name in CustomerSegments.to_schema().columns if name in rfm.columns]
    placed = nearest_cluster(rfm.select(columns), models_in_force(champion, model), on="snapshot_month")
    return placed.withColumns(
        {
            "recommended_action": recommended_action(F.col("rfm_segment")),
            "value_engagement_action": value_engagement_action(F.col("value_segment"), F.col("engagement_segment")),
        }
    ).select(*CustomerSegments.to_schema().columns)


def models_in_force(champion: DataFrame, model: DataFrame) -> DataFrame:
    """The champion's rows of the model table beside each month that it scores, with the labels in force."""
    centroids = model.drop("label").withColumnRenamed("snapshot_month", "model_month")
    decided = champion.select("snapshot_month", F.col("champion_month").alias("model_month"), "cluster", "label")
    return decided.join(centroids, ["model_month", "cluster"])


def _customers_of_rfm(audit: Audit) -> DataFrame:
    return (
        audit.inputs["rfm"]
        .groupBy("snapshot_month")
        .agg(F.count("*").alias("customers"), F.sum("monetary").alias("monetary"), F.count("*").alias("in_clusters"))
    )


@table(
    CustomerSegments,
    monthly,
    layer=GOLD,
    reads={
        "rfm": (CustomerRfm, same_window),
        "champion": (SegmentChampion, same_window),
        "model": (SegmentModel, months_so_far),
    },
    history=["model"],
    checks=[
        reconciles(
            "total_and_disjoint",
            "Every customer of RFM is in exactly one segment and one cluster, and segments hold their money",
            ours={
                "customers": lambda: F.count("*"),
                "monetary": lambda: F.sum("monetary"),
                "in_clusters": lambda: F.count("cluster"),
            },
            theirs=_customers_of_rfm,
        ),
        all_known(
            "customers_known",
            "Every customer is one of the month's RFM",
            ["snapshot_month", "customer_id"],
            lambda inputs: inputs["rfm"],
        ),
    ],
)
def build(rfm: DataFrame, champion: DataFrame, model: DataFrame) -> DataFrame:
    """The window's customers, placed by the models in force."""
    return customer_segments(rfm, champion, model)
