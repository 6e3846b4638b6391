"""category_metrics: what was sold of each category of products in each month."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.categories import CATEGORIES
from retail_assets.analytics.growth import growth
from retail_assets.customers.snapshots import Dated, as_of_dates, in_as_long
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.product_metrics import ProductMetrics, sums_of_products
from retail_assets.lakehouse.checks import reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Real,
    Text,
    column,
    money,
    partition,
    ratio,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, preceding
from retail_assets.partitions.keys import PartitionWindow

_CATEGORY = (ProductMetrics, "category")
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


class CategoryMetrics(Contract):
    """One row for each month and category with a product sold or returned: sales, returns, products, growth."""

    category: Text = column("Category of products", isin=CATEGORIES, origin=_CATEGORY)
    products: Count = column("Products sold", ge=0, origin=[_CATEGORY, (ProductMetrics, "units")])
    class_a_products: Count = column("Of these in ABC class A", ge=0, origin=(ProductMetrics, "abc_class"))
    revenue: Money = column("Value of product lines", unit=CURRENCY, ge=0, origin=(ProductMetrics, "revenue"))
    units: Count = column("Units sold", ge=0, origin=(ProductMetrics, "units"))
    orders: Count = column(
        "Distinct invoices with a product of it", ge=0, origin=[_CATEGORY, (CleanTransactions, "invoice_no")]
    )
    customers: Count = column(
        "Distinct known customers who bought of it", ge=0, origin=[_CATEGORY, (CleanTransactions, "customer_id")]
    )
    returns_value: Money = column(
        "Value of cancelled lines, sign reversed", unit=CURRENCY, origin=(ProductMetrics, "returns_value")
    )
    return_rate: Real = column(
        "Returns value per revenue", nullable=True, origin=[(ProductMetrics, "returns_value", "revenue")]
    )
    revenue_share: Real = column(
        "Share of the month's revenue", nullable=True, origin=(ProductMetrics, "revenue"), **_SHARE
    )
    revenue_rank: Integer = column(
        "Rank by revenue; of equal revenues by name", ge=1, origin=(ProductMetrics, "revenue")
    )
    top_product: Text = column(
        "Stock code of the highest revenue", origin=[(ProductMetrics, "stock_code", "category_rank")]
    )
    top_product_description: Text = column(
        "Its description", nullable=True, origin=[(ProductMetrics, "description", "category_rank")]
    )
    month_over_month_growth: Real = column(
        "Revenue against the month before; of an unfinished month against as many days of it",
        nullable=True,
        origin=[(ProductMetrics, "revenue"), (CleanTransactions, "line_total")],
    )
    snapshot_month: Day = partition("First day of the month", origin=(ProductMetrics, "snapshot_month"))

    class Config:
        unique = ["snapshot_month", "category"]


def category_metrics(
    products: DataFrame, transactions: DataFrame, ends: Mapping[date, date] | None = None
) -> DataFrame:
    """One row per month and category of `products` (product_metrics), with who bought from their transactions. `ends`:
    the months' as-of dates, by which unfinished ones are known."""
    keys = ["snapshot_month", "category"]
    best = F.col("category_rank") == 1
    sums = products.groupBy(keys).agg(
        F.count_if(F.col("orders") > 0).alias("products"),
        F.count_if(F.col("abc_class") == "A").alias("class_a_products"),
        money(F.sum("revenue")).alias("revenue"),
        F.sum("units").alias("units"),
        money(F.sum("returns_value")).alias("returns_value"),
        F.max(F.when(best, F.col("stock_code"))).alias("top_product"),
        F.max(F.when(best, F.col("description"))).alias("top_product_description"),
    )
    revenue, whole_month = F.col("revenue"), F.col("whole_month")
    by_revenue = Window.partitionBy("snapshot_month").orderBy(F.desc("revenue"), "category")
    return (
        sums.join(_bought(products, transactions), keys, "left")
        .join(_before(products, transactions, ends or {}), keys, "left")
        .fillna(0, ["orders", "customers"])
        .withColumn("whole_month", F.sum("revenue").over(Window.partitionBy("snapshot_month")))
        .withColumns(
            {
                "return_rate": F.when(revenue > 0, ratio(F.col("returns_value"), revenue)),
                "revenue_share": F.when(whole_month > 0, ratio(revenue, whole_month)),
                "revenue_rank": F.row_number().over(by_revenue),
                "month_over_month_growth": growth(revenue, F.col("before")),
            }
        )
        .drop("before", "whole_month")
    )


def _placed(products: DataFrame, transactions: DataFrame) -> DataFrame:
    """Sold lines with their category."""
    sold = transactions.filter("line_type = 'product'").withColumn("snapshot_month", F.trunc("invoice_date", "MM"))
    return sold.join(
        F.broadcast(products.select("snapshot_month", "stock_code", "category")), ["snapshot_month", "stock_code"]
    )


def _before(products: DataFrame, transactions: DataFrame, ends: Mapping[date, date]) -> DataFrame:
    """Of each category what the month before brought, in as many days as the month has so far."""
    counted = F.when(in_as_long(F.col("invoice_date"), ends), F.col("line_total"))
    month = F.add_months("snapshot_month", 1).alias("snapshot_month")
    return _placed(products, transactions).groupBy(month, "category").agg(money(F.sum(counted)).alias("before"))


def _bought(products: DataFrame, transactions: DataFrame) -> DataFrame:
    """Distinct invoices and customers: an invoice with two products of a category counts once."""
    return (
        _placed(products, transactions)
        .groupBy("snapshot_month", "category")
        .agg(
            F.size(F.collect_set("invoice_no")).alias("orders"), F.size(F.collect_set("customer_id")).alias("customers")
        )
    )


@table(
    CategoryMetrics,
    monthly,
    layer=GOLD,
    reads={"products": (ProductMetrics, preceding(1)), "transactions": (CleanTransactions, preceding(1))},
    checks=[
        reconciles(
            "reconciliation",
            "Revenue, returns and units of all categories are those of the month in silver, to the last decimal",
            ours={
                "revenue": lambda: F.sum("revenue"),
                "returns_value": lambda: F.sum("returns_value"),
                "units": lambda: F.sum("units"),
            },
            theirs=sums_of_products,
        )
    ],
)
def build(
    products: DataFrame, transactions: DataFrame, window: PartitionWindow, landing: LandingZone, source: Dated
) -> DataFrame:
    """The window's months; the month before them is read for growth only."""
    every = category_metrics(products, transactions, as_of_dates(window, landing, source))
    return every.filter(F.col("snapshot_month").isin([F.lit(month) for month in window.days]))
