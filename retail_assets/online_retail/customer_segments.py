"""customer_segments: each customer's segment, by the month's model and by rule, and what to do about it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.rfm import RFM_SEGMENTS, recommended_action
from retail_assets.analytics.segmentation import FEATURES, LABELS, nearest_cluster
from retail_assets.lakehouse.checks import Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import Contract, Count, Day, Integer, Money, Real, Text, column, partition
from retail_assets.lakehouse.table import table
from retail_assets.online_retail.customer_rfm import CustomerRfm
from retail_assets.online_retail.segment_model import SegmentModel
from retail_assets.operations.partitions import monthly, same_window

_MODEL = [(CustomerRfm, *FEATURES), (SegmentModel, "recency_scaled", "frequency_scaled", "monetary_scaled")]


class CustomerSegments(Contract):
    """Every customer of the month's RFM with the nearest cluster of the month's model and the rule-based segment."""

    customer_id: Text = column("Customer", origin=(CustomerRfm, "customer_id"))
    as_of_date: Day = column("As-of date of the snapshot", origin=(CustomerRfm, "as_of_date"))
    cluster: Integer = column("Nearest cluster, 0 the most valuable", ge=0, origin=_MODEL)
    label: Text = column(
        "Name of the cluster, stable from month to month",
        isin=["All customers", *LABELS],
        origin=(SegmentModel, "label"),
    )
    distance: Real = column("Distance to the centroid in scaled units", ge=0, origin=_MODEL)
    rfm_segment: Text = column(
        "Segment by rule", isin=sorted(set(RFM_SEGMENTS.values())), origin=(CustomerRfm, "rfm_segment")
    )
    recommended_action: Text = column("What to do about customers of this segment", origin=(CustomerRfm, "rfm_segment"))
    recency_days: Integer = column("Days since the last purchase", unit="days", origin=(CustomerRfm, "recency_days"))
    frequency: Count = column("Distinct invoices", origin=(CustomerRfm, "frequency"))
    monetary: Money = column("Value of product lines", unit="GBP", origin=(CustomerRfm, "monetary"))
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(CustomerRfm, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "customer_id"]


def customer_segments(rfm: DataFrame, model: DataFrame) -> DataFrame:
    """Each RFM row with its cluster by the month's centroids; none is left out, none is in two."""
    columns = [name for name in CustomerSegments.to_schema().columns if name in rfm.columns]
    placed = nearest_cluster(rfm.select(columns), model, on="snapshot_month")
    return placed.withColumn("recommended_action", recommended_action(F.col("rfm_segment")))


def _customers_of_both(audit: Audit) -> DataFrame:
    rfm = audit.inputs["rfm"].groupBy("snapshot_month")
    model = audit.inputs["model"].groupBy("snapshot_month").agg(F.sum("customers").alias("in_clusters"))
    return rfm.agg(F.count("*").alias("customers"), F.sum("monetary").alias("monetary")).join(
        model, "snapshot_month", "left"
    )


@table(
    CustomerSegments,
    monthly,
    group="gold",
    reads={"rfm": (CustomerRfm, same_window), "model": (SegmentModel, same_window)},
    checks=[
        reconciles(
            "total_and_disjoint",
            "Every customer of RFM is in exactly one segment and one cluster, and segments hold their money",
            ours={
                "customers": lambda: F.count("*"),
                "monetary": lambda: F.sum("monetary"),
                "in_clusters": lambda: F.count("cluster"),
            },
            theirs=_customers_of_both,
        ),
        all_known(
            "customers_known",
            "Every customer is one of the month's RFM",
            ["snapshot_month", "customer_id"],
            lambda inputs: inputs["rfm"],
        ),
    ],
)
def build(rfm: DataFrame, model: DataFrame) -> DataFrame:
    """The window's customers, placed by the window's models."""
    return customer_segments(rfm, model)
