"""Snapshots that hold everything up to a month: sums of months, added up."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import Audit
from retail_assets.lakehouse.contracts import ratio
from retail_assets.partitions.keys import PartitionWindow


def months_of(spark: SparkSession, window: PartitionWindow) -> DataFrame:
    """The window's months as rows: `snapshot_month DATE`."""
    return spark.createDataFrame([(day,) for day in window.days], "snapshot_month date")


def so_far(monthly: DataFrame, of: DataFrame) -> DataFrame:
    """Rows with a `purchase_month` beside every snapshot of `of` that they lie before or in: the columns of both."""
    return monthly.join(F.broadcast(of), F.col("purchase_month") <= F.col("snapshot_month"))


def number_of_rows() -> Column:
    """As F.count("*") has it, but as something that could be NULL: counts alone Sail (0.7.2) cannot add up `so_far`."""
    return F.sum(F.lit(1))


def sums_so_far(monthly: DataFrame, of: DataFrame, *amounts: str) -> DataFrame:
    """Of every snapshot of `of`, the sums of amounts over all rows with a `purchase_month` by then."""
    return so_far(monthly, of).groupBy("snapshot_month").agg(*(F.sum(name).alias(name) for name in amounts))


def orders_so_far(audit: Audit, delivered: str, value: str) -> DataFrame:
    """Of every snapshot under audit: `orders` placed so far, those `delivered` and their `value`, found month by month;
    what is held against these reads "orders" and "delivered"."""
    placed = audit.inputs["orders"].groupBy("purchase_month").agg(number_of_rows().alias("orders"))
    in_the_end = (
        audit.inputs["delivered"]
        .groupBy("purchase_month")
        .agg(number_of_rows().alias(delivered), F.sum("order_total_value").alias(value))
    )
    of = audit.partitions()
    return sums_so_far(placed, of, "orders").join(
        sums_so_far(in_the_end, of, delivered, value), "snapshot_month", "left"
    )


def in_month(amount: str) -> Column:
    """Of rows `so_far`, the sum of a column over the snapshot's own month alone."""
    own = F.when(F.col("purchase_month") == F.col("snapshot_month"), F.col(amount))
    return F.coalesce(F.sum(own), F.lit(0))


def mean_of(total: str, number: str) -> Column:
    """The mean of what was added up to `total`, so `number` values; NULL of none."""
    return F.when(F.col(number) > 0, ratio(F.col(total), F.col(number)))
