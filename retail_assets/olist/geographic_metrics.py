"""geographic_metrics: orders, deliveries and reviews of each city so far, and where it lies."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import REFERENTIAL_INTEGRITY, WARN, Evidence, Verdict, check, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Real,
    Text,
    column,
    money,
    partition,
    ratio,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.measures import summed
from retail_assets.lakehouse.table import table
from retail_assets.lakehouse.written_values import written_real
from retail_assets.olist.months_so_far import (
    in_month,
    mean_of,
    months_of,
    orders_so_far,
    so_far,
)
from retail_assets.olist.orders import Orders
from retail_assets.olist.orders_master import OrdersMaster
from retail_assets.olist.raw_geolocation import RawGeolocation
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import all_of_it, monthly, months_so_far
from retail_assets.partitions.keys import PartitionWindow

SOUTH, NORTH, WEST, EAST = -33.8, 5.3, -74.0, -32.3
"""Brazil lies within these degrees; 31 of the million published points do not."""

_PLACE = ["customer_city", "customer_state"]
_VALUE = (OrdersMaster, "order_total_value")
_REVIEWS = (OrdersMaster, "review_score")
_DELIVERIES = (OrdersMaster, "delivery_days")
_POINTS = [(RawGeolocation, "geolocation_lat", "geolocation_lng"), (Orders, "customer_zip_code_prefix")]


class GeographicMetrics(Contract):
    """One row for each snapshot and city that was ordered from by then, with its state: cities of one name are many.

    A city lies where its customers do on the average: each at the mean of the published points of the zip code, those
    outside Brazil left out.
    """

    customer_city: Text = column("City", origin=(Orders, "customer_city"))
    customer_state: Text = column("State", origin=(Orders, "customer_state"))
    latitude: Real = column(
        "Mean latitude of the orders", unit="degrees", nullable=True, origin=_POINTS, ge=SOUTH, le=NORTH
    )
    longitude: Real = column(
        "Mean longitude of the orders", unit="degrees", nullable=True, origin=_POINTS, ge=WEST, le=EAST
    )
    orders: Count = column("Orders placed", ge=1, origin=(Orders, "order_id"))
    located_orders: Count = column("Of these, orders of a zip code with a point", ge=0, origin=_POINTS)
    customers: Count = column("Different customers", ge=1, origin=(Orders, "customer_unique_id"))
    delivered_orders: Count = column("Orders delivered", ge=0, origin=(OrdersMaster, "order_id"))
    revenue: Money = column("Value of the orders delivered", unit=CURRENCY, ge=0, origin=_VALUE)
    average_order_value: Money = column("Revenue per delivered order", unit=CURRENCY, nullable=True, origin=_VALUE)
    average_delivery_days: Real = column(
        "Mean days from purchase to delivery", unit="days", nullable=True, origin=_DELIVERIES
    )
    late_share: Real = column(
        "Share of deliveries after the promised day",
        nullable=True,
        origin=(OrdersMaster, "delivery_delay_days"),
        ge=0.0,
        le=1.0,
    )
    review_score: Real = column("Mean score", nullable=True, origin=_REVIEWS, in_range={"min_value": 1, "max_value": 5})
    month_orders: Count = column("Orders placed in the snapshot's own month", ge=0, origin=(Orders, "order_id"))
    month_revenue: Money = column(
        "Value of the delivered orders of the snapshot's own month", unit=CURRENCY, ge=0, origin=_VALUE
    )
    snapshot_month: Day = partition("First day of the snapshot's month", origin=(Orders, "purchase_month"))

    class Config:
        unique = ["snapshot_month", "customer_city", "customer_state"]


def geographic_metrics(orders: DataFrame, delivered: DataFrame, geolocation: DataFrame, of: DataFrame) -> DataFrame:
    """One row for each snapshot of `of` and city of the orders by then; `delivered` is their orders_master."""
    keys = ["purchase_month", *_PLACE]
    located = orders.join(zip_codes(geolocation), "customer_zip_code_prefix", "left")
    placed = located.groupBy(keys).agg(
        F.count("*").alias("orders"),
        F.count("latitude").alias("located_orders"),
        F.sum("latitude").alias("latitudes"),
        F.sum("longitude").alias("longitudes"),
    )
    sums = delivered.groupBy(keys).agg(
        F.count("*").alias("delivered_orders"),
        F.sum("order_total_value").alias("revenue"),
        F.count("delivery_days").alias("deliveries"),
        F.sum("delivery_days").alias("all_delivery_days"),
        F.count_if(F.col("delivery_delay_days") > 0).alias("late"),
        F.count("review_score").alias("reviews"),
        F.sum("review_score").alias("scores"),
    )
    added_up = (
        "orders", "located_orders", "latitudes", "longitudes", "delivered_orders", "deliveries", "all_delivery_days",
        "late", "reviews", "scores",
    )  # fmt: skip
    first = orders.groupBy(*_PLACE, "customer_unique_id").agg(F.min("purchase_month").alias("purchase_month"))
    customers = so_far(first, of).groupBy("snapshot_month", *_PLACE).agg(F.count("*").alias("customers"))
    every = (
        so_far(placed.join(sums, keys, "left"), of)
        .groupBy("snapshot_month", *_PLACE)
        .agg(
            *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in added_up),
            money(F.sum("revenue")).alias("revenue"),
            in_month("orders").alias("month_orders"),
            in_month("revenue").alias("month_revenue"),
        )
        .join(customers, ["snapshot_month", *_PLACE])
    )
    value = (F.col("revenue") / F.col("delivered_orders")).cast("decimal(18,3)")
    return every.withColumns(
        {
            "latitude": _degrees("latitudes"),
            "longitude": _degrees("longitudes"),
            "average_order_value": F.when(F.col("delivered_orders") > 0, value),
            "average_delivery_days": mean_of("all_delivery_days", "deliveries"),
            "late_share": mean_of("late", "deliveries"),
            "review_score": mean_of("scores", "reviews"),
        }
    ).drop("latitudes", "longitudes", "deliveries", "all_delivery_days", "late", "reviews", "scores")


def zip_codes(geolocation: DataFrame) -> DataFrame:
    """Where each zip code lies: the mean of its points in Brazil, `latitude` and `longitude` in millionths of a degree,
    whole ones, as these add up to the same in any order."""
    points = sound(geolocation).select(
        F.col("geolocation_zip_code_prefix").alias("customer_zip_code_prefix"),
        written_real("geolocation_lat").alias("latitude"),
        written_real("geolocation_lng").alias("longitude"),
    )
    in_brazil = points.filter(F.col("latitude").between(SOUTH, NORTH) & F.col("longitude").between(WEST, EAST))

    def middle(name: str) -> Column:
        millionths = F.sum(F.floor(F.col(name) * 1_000_000))
        return F.floor(ratio(millionths, F.count("*"))).alias(name)

    return in_brazil.groupBy("customer_zip_code_prefix").agg(middle("latitude"), middle("longitude"))


def _degrees(total: str) -> Column:
    return mean_of(total, "located_orders") / 1_000_000


@check(
    "Orders are of a zip code that geolocation has a point of, but for at most one in a hundred",
    measures=summed("orders", "located_orders"),
    family=REFERENTIAL_INTEGRITY,
    severity=WARN,
)
def zip_codes_located(month: Evidence) -> Verdict:
    """So few orders are nowhere that the places of cities can be trusted."""
    orders, located = month.total("orders"), month.total("located_orders")
    told = f"{orders - located} of {orders} orders are of a zip code without a point in Brazil"
    return Verdict.within(orders - located, told, upper=max(1, orders // 100))


@table(
    GeographicMetrics,
    monthly,
    layer=GOLD,
    reads={
        "orders": (Orders, months_so_far),
        "delivered": (OrdersMaster, months_so_far),
        "geolocation": (RawGeolocation, all_of_it),
    },
    checks=[
        reconciles(
            "reconciliation",
            "Orders placed and delivered, and their value, are those of all months so far, to the last decimal",
            ours=summed("orders", "delivered_orders", "revenue"),
            theirs=lambda audit: orders_so_far(audit, "delivered_orders", "revenue"),
        ),
        zip_codes_located,
    ],
)
def build(orders: DataFrame, delivered: DataFrame, geolocation: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's snapshots, from every month up to each."""
    return geographic_metrics(orders, delivered, geolocation, months_of(orders.sparkSession, window))
