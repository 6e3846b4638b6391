"""product_metrics: what was sold of each product in each month, and how much each product counts."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.abc_classes import with_abc_class
from retail_assets.analytics.categories import CATEGORIES, category
from retail_assets.analytics.growth import growth
from retail_assets.customers.snapshots import as_of_dates, in_as_long
from retail_assets.invoices.clean_transactions import CleanTransactions, sums_of_lines
from retail_assets.invoices.invoice_rules import is_product
from retail_assets.invoices.sales import SALES, is_sale, sales
from retail_assets.lakehouse.checks import Audit, reconciles
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
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import Shop

_CODES = (CleanTransactions, "stock_code")
_TOTALS = [(CleanTransactions, "line_total", "line_type")]
_INVOICES = (CleanTransactions, "invoice_no")
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


class ProductMetrics(Contract):
    """One row for each month and product sold or returned in it: sales, returns, rank and ABC class.

    The description is the month's commonest; the category follows from it by the rules of `analytics/categories.py`.
    Class A holds the products that make the first 80 % of the month's revenue, the one that reaches it included, B
    those up to 95 %, C the rest.
    """

    stock_code: Text = column("Product", origin=_CODES)
    description: Text = column(
        "Commonest description of the month; the first by alphabet of several",
        nullable=True,
        origin=(CleanTransactions, "description"),
    )
    category: Text = column("Category", isin=CATEGORIES, origin=(CleanTransactions, "description"))
    revenue: Money = column("Value of product lines", unit=CURRENCY, ge=0, origin=_TOTALS)
    units: Count = column("Units sold", ge=0, origin=(CleanTransactions, "quantity"))
    orders: Count = column("Distinct invoices that sell it", ge=0, origin=_INVOICES)
    customers: Count = column("Distinct known customers who bought it", ge=0, origin=(CleanTransactions, "customer_id"))
    # May be negative: a cancellation of positive quantity (the published data has one) takes returns back.
    returns_value: Money = column("Value of cancelled lines, sign reversed", unit=CURRENCY, origin=_TOTALS)
    return_rate: Real = column("Returns value per revenue", nullable=True, origin=_TOTALS)
    average_price: Money = column("Revenue per unit", unit=CURRENCY, nullable=True, origin=_TOTALS)
    revenue_share: Real = column("Share of the month's revenue", nullable=True, origin=_TOTALS, **_SHARE)
    revenue_rank: Integer = column("Rank by revenue; of equal revenues the lower code first", ge=1, origin=_TOTALS)
    category_rank: Integer = column("Rank by revenue within the category", ge=1, origin=_TOTALS)
    abc_class: Text = column("ABC class by cumulative revenue", isin=["A", "B", "C"], origin=_TOTALS)
    month_over_month_growth: Real = column(
        "Revenue against the month before; of an unfinished month against as many days of it",
        nullable=True,
        origin=_TOTALS,
    )
    snapshot_month: Day = partition("First day of the month", origin=(CleanTransactions, "invoice_date"))

    class Config:
        unique = ["snapshot_month", "stock_code"]


def product_metrics(transactions: DataFrame, rules: InvoiceRules, ends: Mapping[date, date] | None = None) -> DataFrame:
    """One row per month and product, for every month of the transactions; growth where the month before is there.
    `ends`: the months' as-of dates, by which unfinished ones are known."""
    lines, compared = _of_products(transactions, rules), in_as_long(F.col("invoice_date"), ends or {})
    keys = ["snapshot_month", "stock_code"]
    sums = lines.groupBy(keys).agg(
        *sales(*SALES),
        money(F.sum(F.when(is_sale() & compared, F.col("line_total")))).alias("part"),
    )
    earlier = sums.select(
        F.add_months("snapshot_month", 1).alias("snapshot_month"), "stock_code", F.col("part").alias("before")
    )
    described = (
        sums.drop("part")
        .join(_descriptions(lines), keys, "left")
        .withColumn("category", category(F.col("description")))
    )
    within_category = Window.partitionBy("snapshot_month", "category").orderBy(F.desc("revenue"), "stock_code")
    revenue = F.col("revenue")
    return (
        with_abc_class(described.join(earlier, keys, "left"), "snapshot_month", "stock_code")
        .withColumns(
            {
                "return_rate": F.when(revenue > 0, ratio(F.col("returns_value"), revenue)),
                "average_price": F.when(F.col("units") > 0, money(revenue / F.col("units"))),
                "category_rank": F.row_number().over(within_category),
                "month_over_month_growth": growth(revenue, F.col("before")),
            }
        )
        .drop("before", "part")
    )


def _of_products(transactions: DataFrame, rules: InvoiceRules) -> DataFrame:
    """Sales and cancellations of products, with their month."""
    cancelled = F.col("is_cancellation") & is_product(F.col("stock_code"), rules)
    wanted = (F.col("line_type") == "product") | cancelled
    return transactions.filter(wanted).withColumn("snapshot_month", F.trunc("invoice_date", "MM"))


def _descriptions(lines: DataFrame) -> DataFrame:
    counts = lines.filter("trim(description) <> ''").groupBy("snapshot_month", "stock_code", "description").count()
    best = F.min(F.struct((-F.col("count")).alias("order"), "description"))["description"]
    return counts.groupBy("snapshot_month", "stock_code").agg(best.alias("description"))


def sums_of_products(audit: Audit) -> DataFrame:
    """Revenue, returns and units of all products of each month in silver."""
    lines, month = _of_products(audit.inputs["transactions"], audit.source.rules), F.col("snapshot_month")
    return sums_of_lines(lines, "snapshot_month", month, "revenue", "returns_value", "units")


@table(
    ProductMetrics,
    monthly,
    layer=GOLD,
    reads={"transactions": (CleanTransactions, preceding(1))},
    checks=[
        reconciles(
            "reconciliation",
            "Revenue, returns and units of all products are those of the month in silver, to the last decimal",
            ours={
                "revenue": lambda: F.sum("revenue"),
                "returns_value": lambda: F.sum("returns_value"),
                "units": lambda: F.sum("units"),
            },
            theirs=sums_of_products,
        )
    ],
)
def build(transactions: DataFrame, window: PartitionWindow, landing: LandingZone, source: Shop) -> DataFrame:
    """The window's months; the month before them is read for growth only."""
    every = product_metrics(transactions, source.rules, as_of_dates(window, landing, source))
    return every.filter(F.col("snapshot_month").isin([F.lit(month) for month in window.days]))
