"""segment_summary: each month's segments by every scheme: how large, how they buy, what they bring, what to do."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.segmentation import LABEL_ACTIONS
from retail_assets.customers.customer_segments import CustomerSegments
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Expression,
    Money,
    Real,
    Text,
    column,
    partition,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import monthly, same_window

CLUSTERS, RFM, VALUE_ENGAGEMENT = SCHEMES = ("clusters", "rfm", "value_engagement")

_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}
_SEGMENT = (CustomerSegments, "label", "rfm_segment", "value_segment", "engagement_segment")
_RECENCY, _FREQUENCY, _MONETARY = ((CustomerSegments, name) for name in ("recency_days", "frequency", "monetary"))


class SegmentSummary(Contract):
    """One row for each month, scheme and segment that has customers.

    Three schemes over the same customers: `clusters` (k-means), `rfm` (the grid of ten), `value_engagement` (twelve by
    the medians). Within a month and scheme, customers and revenue add up to all customers and all their revenue.
    """

    scheme: Text = column("How customers are divided", isin=list(SCHEMES))
    segment: Text = column("Name of the segment", origin=_SEGMENT)
    customers: Count = column("Customers in the segment", ge=1, origin=(CustomerSegments, "customer_id"))
    share: Real = column("Share of the month's customers", origin=(CustomerSegments, "customer_id"), **_SHARE)
    mean_recency_days: Real = column("Mean days since the last purchase", unit="days", ge=1, origin=_RECENCY)
    median_recency_days: Real = column("Median days since the last purchase", unit="days", ge=1, origin=_RECENCY)
    mean_frequency: Real = column("Mean of distinct invoices", unit="orders", ge=1, origin=_FREQUENCY)
    median_frequency: Real = column("Median of distinct invoices", unit="orders", ge=1, origin=_FREQUENCY)
    mean_monetary: Real = column("Mean value of product lines", unit=CURRENCY, ge=0, origin=_MONETARY)
    median_monetary: Real = column("Median value of product lines", unit=CURRENCY, ge=0, origin=_MONETARY)
    revenue: Money = column(
        "Value of product lines of all the segment's customers", unit=CURRENCY, ge=0, origin=_MONETARY
    )
    revenue_share: Real = column("Share of the revenue of the month's customers so far", origin=_MONETARY, **_SHARE)
    recommended_action: Text = column("What to do about customers of this segment", origin=_SEGMENT)
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(CustomerSegments, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "scheme", "segment"]


def segment_summary(segments: DataFrame) -> DataFrame:
    """The customers of each month, three times: once by each scheme."""
    by_scheme = segments.select(
        "snapshot_month",
        "recency_days",
        "frequency",
        "monetary",
        F.inline(
            F.array(
                _in(CLUSTERS, F.col("label"), _cluster_action(F.col("label"))),
                _in(RFM, F.col("rfm_segment"), F.col("recommended_action")),
                _in(
                    VALUE_ENGAGEMENT,
                    F.concat_ws(", ", F.concat(F.col("value_segment"), F.lit(" value")), F.col("engagement_segment")),
                    F.col("value_engagement_action"),
                ),
            )
        ),
    )
    measured = by_scheme.groupBy("snapshot_month", "scheme", "segment", "recommended_action").agg(
        F.count("*").alias("customers"),
        # Sums of whole numbers and of decimals: the same in whatever order rows come.
        (F.sum("recency_days") / F.count("*")).alias("mean_recency_days"),
        F.median("recency_days").alias("median_recency_days"),
        (F.sum("frequency") / F.count("*")).alias("mean_frequency"),
        F.median("frequency").alias("median_frequency"),
        (F.sum("monetary").cast("double") / F.count("*")).alias("mean_monetary"),
        F.median(F.col("monetary").cast("double")).alias("median_monetary"),
        F.sum("monetary").cast("decimal(18,3)").alias("revenue"),
    )
    totals = segments.groupBy("snapshot_month").agg(
        F.count("*").alias("all_customers"), F.sum("monetary").cast("double").alias("all_revenue")
    )
    shares = {
        "share": F.col("customers") / F.col("all_customers"),
        "revenue_share": F.when(
            F.col("all_revenue") > 0, F.col("revenue").cast("double") / F.col("all_revenue")
        ).otherwise(0.0),
    }
    return measured.join(totals, "snapshot_month").withColumns(shares).drop("all_customers", "all_revenue")


def _in(scheme: str, segment: Column, action: Column) -> Column:
    return F.struct(F.lit(scheme).alias("scheme"), segment.alias("segment"), action.alias("recommended_action"))


def _cluster_action(label: Column) -> Column:
    return F.coalesce(*(F.when(label == name, action) for name, action in LABEL_ACTIONS.items()))


def _all_customers(audit: Audit) -> DataFrame:
    sums = [
        total.alias(f"{scheme}_{name}")
        for scheme in SCHEMES
        for name, total in (("customers", F.count("*")), ("revenue", F.sum("monetary")))
    ]
    return audit.inputs["segments"].groupBy("snapshot_month").agg(*sums)


def _sum_in(scheme: str, name: str) -> Expression:
    return lambda: F.sum(F.when(F.col("scheme") == scheme, F.col(name)))


@table(
    SegmentSummary,
    monthly,
    layer=GOLD,
    reads={"segments": (CustomerSegments, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "By every scheme the segments hold every customer once, and all their revenue",
            ours={f"{scheme}_{name}": _sum_in(scheme, name) for scheme in SCHEMES for name in ("customers", "revenue")},
            theirs=_all_customers,
        )
    ],
)
def build(segments: DataFrame) -> DataFrame:
    """The window's segments."""
    return segment_summary(segments)
