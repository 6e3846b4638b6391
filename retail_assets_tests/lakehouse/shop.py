"""A small shop's tables to hold the machinery against: sales by day, and what they come to by day."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from dagster import DailyPartitionsDefinition
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import WARN, Evidence, Verdict, check
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Text,
    column,
    month_directory,
    partition,
    row_rule,
    spark_schema,
)
from retail_assets.lakehouse.layers import GOLD, SILVER
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import same_window
from retail_assets.partitions.keys import PartitionWindow


class Sales(Contract):
    """What was sold, by day."""

    __module__ = "lake.shop.sales"

    ticket: Text = column("Number of the ticket", str_matches=r"[0-9]+")
    quantity: Integer = column("Units", ge=1, le=100)
    amount: Money = column("What was paid", unit="GBP", nullable=True, in_range={"min_value": 0, "max_value": 1000})
    kind: Text = column("What it is", nullable=True, isin=["food", "drink"])
    day: Day = partition("Day of the sale")
    month: Text = month_directory("the sale")

    class Config:
        unique = ["day", "ticket"]

    @row_rule("Nothing is sold below 0.01 a unit")
    def worth_something() -> Column:
        return F.col("amount") >= F.col("quantity") * 0.01


class Takings(Contract):
    """What a day's sales come to."""

    __module__ = "lake.shop.takings"

    tickets: Count = column("Tickets", origin=(Sales, "ticket"))
    amount: Money = column("Sum of what was paid", unit="GBP", origin=[(Sales, "amount", "quantity"), (Sales, "kind")])
    day: Day = partition("Day", origin=(Sales, "day"))


Row = tuple[str | None, int | None, str | None, str | None, str | None]
"""ticket, quantity, amount, kind, day"""


def frame(spark: SparkSession, rows: Iterable[Row]) -> DataFrame:
    """Sales, with their month."""
    fields = [field for field in spark_schema(Sales) if field.name != "month"]
    schema = type(spark_schema(Sales))([type(field)(field.name, field.dataType) for field in fields])
    typed = [
        (t, q, None if a is None else Decimal(a), k, None if d is None else date.fromisoformat(d))
        for t, q, a, k, d in rows
    ]
    return spark.createDataFrame(typed, schema).withColumn("month", F.date_format("day", "yyyy-MM"))


class Till:
    """A resource: the rows that a test wants the shop to have sold."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.rows: list[Row] = []


@check("A day sells fewer than 50 units", measures={"units": lambda: F.sum("quantity")}, severity=WARN)
def calm(day: Evidence) -> Verdict:
    """Units of the day."""
    units = int(day.total("units"))
    return Verdict.within(units, f"{units} units", upper=49, metadata={"units": units})


def daily(first_day: str) -> DailyPartitionsDefinition:
    """Seven days."""
    return DailyPartitionsDefinition(start_date=first_day, end_date="2020-02-03")


@table(Sales, daily, layer=SILVER, checks=[calm])
def sales(window: PartitionWindow, till: Till) -> DataFrame:
    """The till's rows of the days of the window."""
    return frame(till.spark, [row for row in till.rows if row[4] in window.keys])


@table(Takings, daily, layer=GOLD, reads={"sold": (Sales, same_window)})
def takings(sold: DataFrame) -> DataFrame:
    """One row a day."""
    sums: list[Any] = [F.count("*").alias("tickets"), F.coalesce(F.sum("amount"), F.lit(0)).alias("amount")]
    return sold.groupBy("day").agg(*sums).withColumn("amount", F.col("amount").cast("decimal(18,3)"))
