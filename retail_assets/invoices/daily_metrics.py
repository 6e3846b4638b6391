"""daily_metrics: the shop's day in figures, with moving averages and growth over the same span before."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.growth import growth
from retail_assets.invoices.clean_transactions import CleanTransactions, sums_of_lines
from retail_assets.invoices.sales import SALES, sales
from retail_assets.lakehouse.checks import reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Real,
    Text,
    column,
    days_between,
    money,
    month_directory,
    partition,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import daily, preceding
from retail_assets.partitions.keys import PartitionWindow

DAYS_BEFORE = 366 + 31
"""A year and a month: what the growth over the month a year ago needs."""

_TOTALS = [(CleanTransactions, "line_total", "line_type")]


class DailyMetrics(Contract):
    """Orders, customers, units and revenue of every calendar day, closed days included, from product lines.

    Averages are over the days since the first transaction where these are fewer, and 0 before it. Growth compares the
    month to date with the same span of the month before, and of the same month a year before; it is NULL where nothing
    was sold in that span.
    """

    orders: Count = column("Distinct invoices with product lines", ge=0, origin=(CleanTransactions, "invoice_no"))
    customers: Count = column("Distinct known customers", ge=0, origin=(CleanTransactions, "customer_id"))
    units: Count = column("Units sold", ge=0, origin=(CleanTransactions, "quantity"))
    revenue: Money = column("Value of product lines", unit=CURRENCY, ge=0, origin=_TOTALS)
    # May be negative: a cancellation of positive quantity (the published data has one) takes returns back.
    returns_value: Money = column("Value of cancelled lines, sign reversed", unit=CURRENCY, origin=_TOTALS)
    average_order_value: Money = column("Revenue per order", unit=CURRENCY, nullable=True, origin=_TOTALS)
    revenue_7_day_average: Money = column(
        "Mean daily revenue of the last 7 calendar days", unit=CURRENCY, origin=_TOTALS
    )
    revenue_30_day_average: Money = column(
        "Mean daily revenue of the last 30 calendar days", unit=CURRENCY, origin=_TOTALS
    )
    orders_7_day_average: Real = column(
        "Mean daily orders of the last 7 calendar days", origin=(CleanTransactions, "invoice_no")
    )
    orders_30_day_average: Real = column(
        "Mean daily orders of the last 30 calendar days", origin=(CleanTransactions, "invoice_no")
    )
    revenue_month_to_date: Money = column(
        "Revenue from the first of the month to the day", unit=CURRENCY, origin=_TOTALS
    )
    month_over_month_growth: Real = column(
        "Month to date against the same span of the month before", nullable=True, origin=_TOTALS
    )
    year_over_year_growth: Real = column(
        "Month to date against the same span a year before", nullable=True, origin=_TOTALS
    )
    invoice_date: Day = partition("Calendar day", origin=(CleanTransactions, "invoice_date"))
    invoice_month: Text = month_directory("the day")

    class Config:
        unique = ["invoice_date"]


def daily_metrics(transactions: DataFrame, days: DataFrame) -> DataFrame:
    """One row for each of `days` (column invoice_date), from transactions of these days and DAYS_BEFORE before."""
    traded = F.min("invoice_date").alias("traded_on")
    sums = transactions.groupBy("invoice_date").agg(*sales(*SALES), traded)
    known = _every_day(transactions, days).join(sums, "invoice_date", "left").fillna(0)
    known = known.withColumns({name: money(F.col(name)) for name in ("revenue", "returns_value")})
    in_order = Window.orderBy("invoice_date")
    # As far back as a day reads that is made alone: the same days come out however they are grouped into runs.
    began = F.min("traded_on").over(in_order.rowsBetween(-DAYS_BEFORE, 0))

    def average(name: str, span: int) -> Column:
        total = F.sum(name).over(in_order.rowsBetween(1 - span, 0))
        return F.coalesce(total / F.least(F.lit(span), days_between(began, "invoice_date") + 1), F.lit(0))

    month = Window.partitionBy(F.trunc("invoice_date", "MM")).orderBy("invoice_date")
    moving = known.select(
        "*",
        F.when(F.col("orders") > 0, F.col("revenue") / F.col("orders"))
        .cast("decimal(18,3)")
        .alias("average_order_value"),
        average("revenue", 7).cast("decimal(18,3)").alias("revenue_7_day_average"),
        average("revenue", 30).cast("decimal(18,3)").alias("revenue_30_day_average"),
        average("orders", 7).alias("orders_7_day_average"),
        average("orders", 30).alias("orders_30_day_average"),
        F.sum("revenue").over(month).cast("decimal(18,3)").alias("revenue_month_to_date"),
    ).drop("traded_on")
    to_date = moving.select(F.col("invoice_date").alias("day"), F.col("revenue_month_to_date").alias("before"))
    for months, name in ((1, "month_over_month_growth"), (12, "year_over_year_growth")):
        earlier = to_date.select(F.col("day"), F.col("before"))
        joined = moving.join(earlier, F.add_months("invoice_date", -months) == F.col("day"), "left")
        grown = growth(F.col("revenue_month_to_date"), F.col("before"))
        moving = joined.withColumn(name, grown).drop("day", "before")
    return moving.join(days, "invoice_date", "left_semi")


def _every_day(transactions: DataFrame, days: DataFrame) -> DataFrame:
    """Every calendar day from the first transaction to the last of `days`: closed days count in averages."""
    bounds = transactions.select("invoice_date").unionByName(days.select("invoice_date"))
    first_and_last = bounds.agg(F.min("invoice_date").alias("first"), F.max("invoice_date").alias("last"))
    return first_and_last.select(F.explode(F.sequence("first", "last")).alias("invoice_date"))


@table(
    DailyMetrics,
    daily,
    layer=GOLD,
    reads={"transactions": (CleanTransactions, preceding(DAYS_BEFORE))},
    checks=[
        reconciles(
            "reconciliation",
            "Revenue, returns and units are those of the clean transactions of the day, to the last decimal",
            ours={
                "revenue": lambda: F.sum("revenue"),
                "returns_value": lambda: F.sum("returns_value"),
                "units": lambda: F.sum("units"),
            },
            theirs=lambda audit: sums_of_lines(
                audit.inputs["transactions"],
                "invoice_date",
                F.col("invoice_date"),
                "revenue",
                "returns_value",
                "units",
            ),
        )
    ],
)
def build(transactions: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's days."""
    days = transactions.sparkSession.createDataFrame([(day,) for day in window.days], "invoice_date date")
    return daily_metrics(transactions, days)
