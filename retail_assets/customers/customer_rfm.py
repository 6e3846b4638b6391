"""customer_rfm: how recently, how often and for how much each customer bought, as of each month's end."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.rfm import ENGAGEMENTS, RFM_SEGMENTS, VALUES, with_rfm_scores, with_value_and_engagement
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.snapshots import Dated, snapshots, so_far
from retail_assets.lakehouse.checks import Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Text,
    column,
    days_between,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, months_so_far
from retail_assets.partitions.keys import PartitionWindow

_SCORE: dict[str, Any] = {"in_range": {"min_value": 1, "max_value": 5}}
_RECENCY = (CustomerMonthActivity, "last_purchase_date")
_FREQUENCY = (CustomerMonthActivity, "orders")
_MONETARY = (CustomerMonthActivity, "revenue")


class CustomerRfm(Contract):
    """Recency, frequency and monetary value of every customer with a purchase, as of each month's end.

    From all product lines before the as-of date. Scores are quintiles among the snapshot's customers, 5 the best;
    equal values always get equal scores. The RFM segment is one of ten on the grid of recency and frequency
    scores; value and engagement, by the medians, make twelve more.
    """

    customer_id: Text = column("Customer", origin=(CustomerMonthActivity, "customer_id"))
    as_of_date: Day = column("First day after the month, but not later than the day after the newest drop")
    country: Text = column("Country of the customer's last line", origin=(CustomerMonthActivity, "country"))
    recency_days: Integer = column("Days from the last purchase to the as-of date", unit="days", ge=1, origin=_RECENCY)
    frequency: Count = column("Distinct invoices", ge=1, origin=_FREQUENCY)
    monetary: Money = column("Value of product lines", unit=CURRENCY, ge=0, origin=_MONETARY)
    net_monetary: Money = column(
        "Value less cancellations", unit=CURRENCY, origin=[(CustomerMonthActivity, "revenue", "returns_value")]
    )
    avg_order_value: Money = column(
        "Monetary value per invoice", unit=CURRENCY, ge=0, origin=[(CustomerMonthActivity, "revenue", "orders")]
    )
    units: Count = column("Units bought", ge=1, origin=(CustomerMonthActivity, "units"))
    distinct_products: Count = column("Different stock codes bought", ge=1, origin=(CustomerMonthActivity, "products"))
    first_purchase_date: Day = column("First purchase", origin=(CustomerMonthActivity, "first_purchase_date"))
    last_purchase_date: Day = column("Last purchase", origin=_RECENCY)
    tenure_days: Integer = column(
        "Days from the first purchase to the as-of date",
        unit="days",
        ge=1,
        origin=(CustomerMonthActivity, "first_purchase_date"),
    )
    r_score: Integer = column("Recency score, 5 the most recent fifth", origin=_RECENCY, **_SCORE)
    f_score: Integer = column("Frequency score, 5 the most frequent fifth", origin=_FREQUENCY, **_SCORE)
    m_score: Integer = column("Monetary score, 5 the fifth of highest value", origin=_MONETARY, **_SCORE)
    rfm_score: Text = column("The three scores side by side", str_matches="^[1-5]{3}$")
    rfm_segment: Text = column("Named segment", isin=sorted(set(RFM_SEGMENTS.values())), origin=[_RECENCY, _FREQUENCY])
    value_segment: Text = column(
        "Against the median monetary value: more than twice it High, above it Growing, else Base",
        isin=list(VALUES),
        origin=_MONETARY,
    )
    engagement_segment: Text = column(
        "Against the medians of recency and frequency: recent and frequent, frequent only, recent only, or neither",
        isin=list(ENGAGEMENTS),
        origin=[_RECENCY, _FREQUENCY],
    )
    snapshot_month: Day = partition("First day of the snapshot's month")

    class Config:
        unique = ["snapshot_month", "customer_id"]

    @row_rule("The last purchase lies before the as-of date, and not before the first")
    def dates_in_order() -> Column:
        return (F.col("last_purchase_date") < F.col("as_of_date")) & (
            F.col("first_purchase_date") <= F.col("last_purchase_date")
        )


def customer_rfm(activity: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and customer with a purchase by then."""
    sums = (
        so_far(activity, of)
        .groupBy("snapshot_month", "as_of_date", "customer_id")
        .agg(
            F.max_by("country", "activity_month").alias("country"),
            F.sum("orders").alias("frequency"),
            F.sum("revenue").cast("decimal(18,3)").alias("monetary"),
            F.sum(F.col("revenue") - F.col("returns_value")).cast("decimal(18,3)").alias("net_monetary"),
            F.sum("units").alias("units"),
            F.min("first_purchase_date").alias("first_purchase_date"),
            F.max("last_purchase_date").alias("last_purchase_date"),
        )
        .filter("frequency > 0")
    )
    measured = sums.join(_distinct_products(activity, of), ["snapshot_month", "customer_id"]).withColumns(
        {
            "recency_days": days_between("last_purchase_date", "as_of_date"),
            "tenure_days": days_between("first_purchase_date", "as_of_date"),
            "avg_order_value": (F.col("monetary") / F.col("frequency")).cast("decimal(18,3)"),
        }
    )
    return with_value_and_engagement(with_rfm_scores(measured, within="snapshot_month"), within="snapshot_month")


def _distinct_products(activity: DataFrame, of: DataFrame) -> DataFrame:
    """Different products each customer had bought by each snapshot: each counts from the month it was first bought."""
    bought = activity.select("customer_id", "activity_month", F.explode("products").alias("stock_code"))
    first = bought.groupBy("customer_id", "stock_code").agg(F.min("activity_month").alias("activity_month"))
    new = first.groupBy("customer_id", "activity_month").agg(F.count("*").alias("new_products"))
    return (
        so_far(new, of).groupBy("snapshot_month", "customer_id").agg(F.sum("new_products").alias("distinct_products"))
    )


def _months_before(audit: Audit) -> DataFrame:
    """Σ of each month, added up to every snapshot: the sums RFM must have, found another way."""
    months = audit.inputs["activity"].groupBy("activity_month")
    sums = months.agg(F.sum("revenue").alias("monetary"), F.sum("orders").alias("frequency"))
    every = so_far(sums, audit.partitions()).groupBy("snapshot_month")
    return every.agg(F.sum("monetary").alias("monetary"), F.sum("frequency").alias("frequency"))


@table(
    CustomerRfm,
    monthly,
    layer=GOLD,
    reads={"activity": (CustomerMonthActivity, months_so_far)},
    checks=[
        reconciles(
            "reconciliation",
            "Σ monetary and Σ frequency are the revenue and the orders of all months so far, to the last decimal",
            ours={"monetary": lambda: F.sum("monetary"), "frequency": lambda: F.sum("frequency")},
            theirs=_months_before,
        ),
        all_known(
            "customers_known",
            "Every customer is known from silver",
            ["customer_id"],
            lambda inputs: inputs["activity"],
        ),
    ],
)
def build(activity: DataFrame, window: PartitionWindow, landing: LandingZone, source: Dated) -> DataFrame:
    """The window's snapshots, from every month up to each."""
    return customer_rfm(activity, snapshots(activity.sparkSession, window, landing, source))
