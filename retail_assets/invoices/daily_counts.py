"""daily_counts: rows per layer and day, and whether the day is like the days before it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.bronze_daily_quality import BronzeDailyQuality
from retail_assets.invoices.bronze_silver_comparison import BronzeSilverComparison
from retail_assets.invoices.day_anomalies import ANOMALIES, DAYS_BEFORE, observed_days
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Real,
    Text,
    column,
    month_directory,
    partition,
)
from retail_assets.lakehouse.layers import QUALITY
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import daily, preceding
from retail_assets.partitions.keys import PartitionWindow


class DailyCounts(Contract):
    """Rows of every calendar day, layer by layer, closed days included.

    Its checks compare the day with the days before it: volume, columns, distribution, repeated and missing values,
    and which countries and stock codes there are.
    """

    bronze_rows: Count = column("Landed rows", ge=0, origin=(BronzeSilverComparison, "bronze_records"))
    silver_rows: Count = column("Clean lines", ge=0, origin=(BronzeSilverComparison, "silver_records"))
    quarantined_rows: Count = column("Rows in quarantine", ge=0, origin=(BronzeSilverComparison, "quarantined_records"))
    duplicate_rows: Count = column(
        "Landed rows that repeat another", ge=0, origin=(BronzeSilverComparison, "duplicate_records")
    )
    duplicate_rate: Real = column(
        "Of the landed rows, those that repeat another; NULL without rows",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
        origin=[(BronzeSilverComparison, "duplicate_records", "bronze_records")],
    )
    orders: Count = column("Distinct invoices of clean lines", ge=0, origin=(BronzeSilverComparison, "silver_invoices"))
    invoice_date: Day = partition("Calendar day", origin=(BronzeSilverComparison, "invoice_date"))
    invoice_month: Text = month_directory("the day")

    class Config:
        unique = ["invoice_date"]


def daily_counts(comparison: DataFrame) -> DataFrame:
    """One row for each day of `comparison`."""
    return comparison.select(
        "invoice_date",
        F.col("bronze_records").alias("bronze_rows"),
        F.col("silver_records").alias("silver_rows"),
        F.col("quarantined_records").alias("quarantined_rows"),
        F.col("duplicate_records").alias("duplicate_rows"),
        F.when(F.col("bronze_records") > 0, F.col("duplicate_records") / F.col("bronze_records")).alias(
            "duplicate_rate"
        ),
        F.col("silver_invoices").alias("orders"),
    )


@table(
    DailyCounts,
    daily,
    layer=QUALITY,
    reads={
        "quality": (BronzeDailyQuality, preceding(DAYS_BEFORE)),
        "comparison": (BronzeSilverComparison, preceding(DAYS_BEFORE)),
    },
    checks=ANOMALIES,
)
def build(quality: DataFrame, comparison: DataFrame, window: PartitionWindow) -> Built:
    """The window's days; what the checks compare them with is read once, for all of them."""
    own = comparison.filter(F.col("invoice_date").isin(window.days))
    return Built(daily_counts(own), findings={"days": observed_days(quality, comparison)})
