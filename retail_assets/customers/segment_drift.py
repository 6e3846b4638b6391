"""segment_drift: what changed since the month before: customers' segments, the models, the features, the centroids."""

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from retail_assets.analytics.champions import AGREEMENT_FLOOR, ENOUGH_CUSTOMERS, overlap
from retail_assets.analytics.clustering_measures import adjusted_rand_index
from retail_assets.analytics.drift import psi_bound, quantile_psi
from retail_assets.analytics.segmentation import FEATURES, centres_of, placed, scaling_of
from retail_assets.customers.customer_segments import CustomerSegments
from retail_assets.customers.segment_model import SegmentModel, panel_of
from retail_assets.lakehouse.checks import (
    DISTRIBUTION_DRIFT,
    WARN,
    Evidence,
    RuleResult,
    TableCheck,
    Verdict,
    check,
    nothing_to_judge,
    too_few,
)
from retail_assets.lakehouse.contracts import Contract, Count, Day, Expression, Flag, Real, Text, column, partition
from retail_assets.lakehouse.driver_rows import as_table, by_partition
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import monthly, preceding
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.partitions.months import months_later

TRANSITION, MOVED, AGREEMENT, PSI, CENTROID = MEASURES = (
    "transition",
    "moved_share",
    "model_agreement",
    "psi",
    "centroid_movement",
)
EVERYONE = "all customers"
NEW = "New customers of the month"

# Online Retail II, 2010-03 … 2011-12: shares of 0.05 to 0.39, but for January 2011 (0.57), when who had bought for
# Christmas was no longer recent; centroids 0.03 to 0.6.
MOVED_AT_MOST = 0.5
CENTROID_AT_MOST = 1.0
"""In standard deviations of the month before."""
PSI_AT_MOST = 0.25
"""Where a change of distribution is commonly called large; for few customers what chance explains is allowed, too."""

HISTORY_DAYS = 90
"""Nobody can have been away for longer than the data go back: in so many days from their beginning recency spreads, and
centroids with it, whatever customers do (Online Retail II: an index of 2.8 and 1.0, then 0.2). No bound holds there."""


class SegmentDrift(Contract):
    """One row for each month and figure that compares it with the month before.

    `transition`: customers of one segment that are in this or another now, and their share of it. `moved_share`: share
    of the customers of both months whose segment changed. `model_agreement`: adjusted Rand index of the two months' own
    models on this month's customers. `psi`: population stability index of each feature, over quantiles of the month
    before. `centroid_movement`: how far the centroid of each cluster of the month's own model lies from that of the
    cluster before which shares most customers with it. The first month has no rows.
    """

    measure: Text = column("Which figure", isin=list(MEASURES))
    item: Text = column("Segment in the month before, feature, or all customers", origin=(CustomerSegments, "label"))
    to_segment: Text = column(
        "Segment now; NULL but for transitions", nullable=True, origin=(CustomerSegments, "label")
    )
    customers: Count = column(
        "Customers of the transition; NULL otherwise", nullable=True, ge=1, origin=(CustomerSegments, "customer_id")
    )
    value: Real = column(
        "The figure",
        origin=[
            (CustomerSegments, "label", *FEATURES),
            (SegmentModel, "recency_scaled", "frequency_scaled", "monetary_scaled"),
        ],
    )
    bound: Real = column("What the figure should not exceed, or for model_agreement not fall below", nullable=True)
    within_bound: Flag = column("Whether it keeps its bound; NULL where there is none", nullable=True)
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(CustomerSegments, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "measure", "item", "to_segment"]


def transitions(segments: DataFrame) -> DataFrame:
    """`snapshot_month, before, now, customers`: every customer of a month by its segment then and the month before."""
    earlier = segments.select(
        F.add_months("snapshot_month", 1).alias("snapshot_month"), "customer_id", F.col("label").alias("before")
    )
    return (
        segments.select("snapshot_month", "customer_id", F.col("label").alias("now"))
        .join(earlier, ["snapshot_month", "customer_id"], "left")
        .groupBy("snapshot_month", F.coalesce("before", F.lit(NEW)).alias("before"), "now")
        .agg(F.count("*").alias("customers"))
    )


def movements(moves: pd.DataFrame) -> pd.DataFrame:
    """The rows of transitions and of the share moved, from one month's `before, now, customers`."""
    ordered = moves.sort_values(["before", "now"])
    shares = ordered["customers"] / ordered.groupby("before")["customers"].transform("sum")
    rows = [
        _row(TRANSITION, before, float(share), to_segment=now, customers=int(customers))
        for before, now, customers, share in zip(
            ordered["before"], ordered["now"], ordered["customers"], shares, strict=True
        )
    ]
    known = ordered[ordered["before"] != NEW]
    moved = known[known["before"] != known["now"]]["customers"].sum() / known["customers"].sum()
    return pd.DataFrame([*rows, _row(MOVED, EVERYONE, float(moved), MOVED_AT_MOST)], dtype=object)


def changes(
    model: pd.DataFrame, model_before: pd.DataFrame, customers: pd.DataFrame, customers_before: pd.DataFrame
) -> pd.DataFrame:
    """The rows about models and features: of a month's own model and customers against those of the month before."""
    model, model_before = model.sort_values("cluster"), model_before.sort_values("cluster")
    now, then = (placed(one, customers) for one in (model, model_before))
    agreement = adjusted_rand_index(then, now)
    rows = [_row(AGREEMENT, EVERYONE, agreement, AGREEMENT_FLOOR)]
    young = customers_before["recency_days"].max() < HISTORY_DAYS
    for feature in FEATURES:
        index = quantile_psi(customers_before[feature], customers[feature])
        bound = max(PSI_AT_MOST, psi_bound(len(customers_before), len(customers)))
        rows.append(_row(PSI, feature, index, None if young and feature == "recency_days" else bound))
    # In the units of the month before, so that a change of the scaling itself is seen.
    centres = scaling_of(model_before).scaled(model[FEATURES].to_numpy("float64"))
    distance = {
        (one, other): float(np.linalg.norm(centres[one] - centres_of(model_before)[other]))
        for one, other, _ in overlap(now, then)
    }
    names = list(model_before["label"])
    rows += [
        _row(CENTROID, names[other], value, None if young else CENTROID_AT_MOST)
        for (_, other), value in sorted(distance.items())
    ]
    return pd.DataFrame(rows, dtype=object)


def _row(
    measure: str,
    item: str,
    value: float,
    bound: float | None = None,
    to_segment: str | None = None,
    customers: int | None = None,
) -> dict[str, object]:
    return {
        "measure": measure,
        "item": item,
        "to_segment": to_segment,
        "customers": customers,
        "value": value,
        "bound": bound,
        "within_bound": None if bound is None else bool(value >= bound if measure == AGREEMENT else value <= bound),
    }


def _within_bounds(name: str, promise: str, *measures: str, of_customers: int = 0) -> TableCheck:
    """That figures of these measures keep the bounds that stand beside them, if the month has so many customers."""

    def figures() -> Column:
        told = F.struct("measure", "item", "value", "bound", "within_bound")
        return F.collect_list(F.when(F.col("measure").isin(*measures), told))

    def customers() -> Column:
        return F.sum(F.when(F.col("measure") == TRANSITION, F.col("customers")))

    wanted: dict[str, Expression] = {"figures": figures, "customers": customers}

    @check(promise, name=name, measures=wanted, family=DISTRIBUTION_DRIFT, severity=WARN)
    def holds(month: Evidence) -> Verdict:
        if not month.measures["figures"]:
            return nothing_to_judge(_NO_MONTH_BEFORE)
        seen = month.measures["customers"] or 0
        if seen < of_customers:
            return too_few(seen, of_customers, "customers")
        rows = sorted(month.measures["figures"], key=lambda row: (measures.index(row["measure"]), row["item"]))
        return Verdict.of([_rule(row) for row in rows])

    return holds


_NO_MONTH_BEFORE = "There is no month before it to compare with"


def _rule(row: Row) -> RuleResult:
    measure, item, value, bound = row["measure"], row["item"], row["value"], row["bound"]
    if bound is None:
        told = f"{measure} of {item}: {value:.3f}, of less than {HISTORY_DAYS} days before, where it can only grow"
        return RuleResult(f"{measure} of {item}", True, value, explanation=told)
    lower, upper = (bound, None) if measure == AGREEMENT else (None, bound)
    told = f"{measure} of {item}: {value:.3f}, bound {bound:.3f}"
    return RuleResult(f"{measure} of {item}", bool(row["within_bound"]), value, lower, upper, told)


@table(
    SegmentDrift,
    monthly,
    layer=GOLD,
    reads={"segments": (CustomerSegments, preceding(1)), "model": (SegmentModel, preceding(1))},
    history=["segments", "model"],
    checks=[
        _within_bounds(
            "segments_hold",
            f"At most {MOVED_AT_MOST:.0%} of the customers changed segment, the month's own model agrees with the one "
            f"before (adjusted Rand index at least {AGREEMENT_FLOOR}), and no centroid moved by more than "
            f"{CENTROID_AT_MOST} standard deviations (judged from {ENOUGH_CUSTOMERS:,} customers on)",
            MOVED,
            AGREEMENT,
            CENTROID,
            of_customers=ENOUGH_CUSTOMERS,
        ),
        _within_bounds(
            "features_hold",
            f"No feature's distribution changed by a population stability index over {PSI_AT_MOST}, or what chance "
            "explains where there are few customers",
            PSI,
        ),
    ],
)
def build(segments: DataFrame, model: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's months, each against the month before it."""
    models = by_partition(model.toPandas(), "snapshot_month")
    moves = by_partition(transitions(segments).toPandas(), "snapshot_month")
    customers = by_partition(panel_of(segments, models), "snapshot_month")
    rows = []
    for month in window.days:
        before = months_later(month, -1)
        if all(month in known and before in known for known in (models, moves, customers)):
            changed = changes(models[month], models[before], customers[month], customers[before])
            rows += [part.assign(snapshot_month=month) for part in (movements(moves[month]), changed)]
    return as_table(segments, SegmentDrift, rows)
