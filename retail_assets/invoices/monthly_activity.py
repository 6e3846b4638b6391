"""monthly_activity: the month in figures for the board: orders, net sales, users, and how large invoices are."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.snapshots import Dated, as_of_dates, in_as_long
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Money,
    Real,
    column,
    money,
    money_of_real,
    partition,
    ratio,
    row_rule,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, months_so_far, preceding
from retail_assets.partitions.keys import PartitionWindow

TYPICAL_SHARE = 0.85
"""Invoices up to this percentile are the typical ones: beyond it a few wholesale orders hide the rest."""

_INVOICES = [(CleanTransactions, "invoice_no", "line_type")]
_TOTALS = [(CleanTransactions, "line_total")]
_USERS = [(CustomerMonthActivity, "customer_id", "activity_month")]


def _amount(description: str, **options: Any) -> Any:
    return column(description, unit=CURRENCY, nullable=True, origin=_TOTALS, **options)


class MonthlyActivity(Contract):
    """One row per month: placed and cancelled orders, net sales and growth, users, distribution of invoice amounts.

    A placed order is an invoice with product or service lines; its amount is the sum of these lines.
    """

    placed_orders: Count = column("Distinct invoices with product or service lines", ge=0, origin=_INVOICES)
    cancelled_orders: Count = column("Distinct cancellation invoices", ge=0, origin=_INVOICES)
    net_sales: Money = column("Sum of all line totals, cancellations included", unit=CURRENCY, origin=_TOTALS)
    net_sales_growth: Real = column(
        "(this month − last month) / last month; of an unfinished month against as many days of the last",
        nullable=True,
        origin=_TOTALS,
    )
    active_users: Count = column("Customers with any line in the month", ge=0, origin=_USERS)
    new_users: Count = column("Active users never seen before the month", ge=0, origin=_USERS)
    existing_users: Count = column("Active users seen before the month", ge=0, origin=_USERS)
    invoice_min: Money = _amount("Smallest invoice amount")
    invoice_max: Money = _amount("Largest invoice amount")
    invoice_mean: Money = _amount("Mean invoice amount")
    invoice_median: Money = _amount("Median invoice amount")
    invoice_mode: Money = _amount("Most frequent invoice amount; the smallest of several")
    typical_limit: Money = _amount("85th percentile of invoice amounts")
    typical_max: Money = _amount("Largest invoice amount up to the 85th percentile")
    typical_mean: Money = _amount("Mean invoice amount up to the 85th percentile")
    typical_median: Money = _amount("Median invoice amount up to the 85th percentile")
    typical_mode: Money = _amount("Most frequent invoice amount up to the 85th percentile; the smallest of several")
    snapshot_month: Day = partition("First day of the month")

    class Config:
        unique = ["snapshot_month"]

    @row_rule("Every active user is new or existing")
    def users_add_up() -> Column:
        return F.col("active_users") == F.col("new_users") + F.col("existing_users")


def monthly_activity(
    transactions: DataFrame, activity: DataFrame, months: DataFrame, ends: Mapping[date, date] | None = None
) -> DataFrame:
    """One row for each of `months` (snapshot_month), from their transactions and those of the month before. `ends`: the
    months' as-of dates, by which unfinished ones are known."""
    lines = transactions.withColumn("snapshot_month", F.trunc("invoice_date", "MM"))
    placed = F.col("line_type").isin("product", "service")
    totals = lines.groupBy("snapshot_month").agg(
        F.size(F.collect_set(F.when(placed, F.col("invoice_no")))).alias("placed_orders"),
        F.size(F.collect_set(F.when(F.col("is_cancellation"), F.col("invoice_no")))).alias("cancelled_orders"),
        F.sum("line_total").alias("net_sales"),
    )
    counted = F.when(in_as_long(F.col("invoice_date"), ends or {}), F.col("line_total"))
    last = lines.groupBy(F.add_months("snapshot_month", 1).alias("snapshot_month")).agg(F.sum(counted).alias("before"))
    growth = F.when(F.col("before") != 0, ratio(F.col("net_sales") - F.col("before"), F.col("before")))
    invoices = lines.filter(placed).groupBy("snapshot_month", "invoice_no").agg(F.sum("line_total").alias("amount"))
    joined = (
        months.select("snapshot_month")
        .join(totals, "snapshot_month", "left")
        .join(last, "snapshot_month", "left")
        .join(_users(activity), "snapshot_month", "left")
        .join(_distribution(invoices), "snapshot_month", "left")
    )
    whole = ("placed_orders", "cancelled_orders", "active_users", "new_users", "existing_users")
    return (
        joined.withColumn("net_sales_growth", growth)
        .withColumn("net_sales", money(F.col("net_sales")))
        .fillna(0, list(whole))
        .drop("before")
    )


def _users(activity: DataFrame) -> DataFrame:
    first = activity.groupBy("customer_id").agg(F.min("activity_month").alias("first_month"))
    new = F.col("first_month") == F.col("activity_month")
    return (
        activity.join(first, "customer_id")
        .groupBy(F.col("activity_month").alias("snapshot_month"))
        .agg(
            F.count("*").alias("active_users"),
            F.count_if(new).alias("new_users"),
            F.count_if(~new).alias("existing_users"),
        )
    )


def _distribution(invoices: DataFrame) -> DataFrame:
    """Of invoice amounts per month: all, and those up to the 85th percentile."""
    limits = invoices.groupBy("snapshot_month").agg(F.percentile("amount", F.lit(TYPICAL_SHARE)).alias("typical_limit"))
    amount = F.col("amount")
    is_typical = amount <= F.col("typical_limit")
    typical = F.when(is_typical, amount)
    # The lowest of the commonest, which F.mode gives from Spark 4 on only.
    commonest_first = F.struct((-F.col("times")).alias("order"), amount)
    same_amount = Window.partitionBy("snapshot_month", "amount")
    return (
        invoices.withColumn("times", F.count("*").over(same_amount))
        .join(limits, "snapshot_month")
        .groupBy("snapshot_month")
        .agg(
            F.min(amount).alias("invoice_min"),
            F.max(amount).alias("invoice_max"),
            _mean(amount).alias("invoice_mean"),
            F.median(amount).alias("invoice_median"),
            F.min(commonest_first)["amount"].alias("invoice_mode"),
            F.max("typical_limit").alias("typical_limit"),
            F.max(typical).alias("typical_max"),
            _mean(typical).alias("typical_mean"),
            F.median(typical).alias("typical_median"),
            F.min(F.when(is_typical, commonest_first))["amount"].alias("typical_mode"),
        )
    ).withColumns({name: money_of_real(F.col(name)) for name in ("typical_limit", "invoice_median", "typical_median")})


def _mean(amount: Column) -> Column:
    return (F.sum(amount) / F.count(amount)).cast("decimal(18,3)")


def _net_sales(audit: Audit) -> DataFrame:
    lines = audit.inputs["transactions"].groupBy(F.trunc("invoice_date", "MM").alias("snapshot_month"))
    return lines.agg(F.sum("line_total").alias("net_sales"))


@table(
    MonthlyActivity,
    monthly,
    layer=GOLD,
    reads={
        "transactions": (CleanTransactions, preceding(1)),
        "activity": (CustomerMonthActivity, months_so_far),
    },
    checks=[
        reconciles(
            "reconciliation",
            "Net sales are the sum of all line totals of the month's clean transactions, to the last decimal",
            ours={"net_sales": lambda: F.sum("net_sales")},
            theirs=_net_sales,
        )
    ],
)
def build(
    transactions: DataFrame, activity: DataFrame, window: PartitionWindow, landing: LandingZone, source: Dated
) -> DataFrame:
    """The window's months."""
    months = transactions.sparkSession.createDataFrame([(month,) for month in window.days], "snapshot_month date")
    return monthly_activity(transactions, activity, months, as_of_dates(window, landing, source))
