"""price_tiers: at which prices each product sells, and from which quantity on."""

from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.foresight.weeks import as_of
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Flag,
    Integer,
    Real,
    Text,
    UnitPrice,
    column,
    partition,
    ratio,
    row_rule,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import NEWEST, preceding, weekly
from retail_assets.partitions.keys import PartitionWindow

WEEKS = 13
"""Weeks whose lines tell what a product costs."""

_LINES = (CleanTransactions, "unit_price", "quantity")


class PriceTiers(Contract):
    """One row for each product and price at which it was sold in the thirteen weeks: the dearest is tier 1.

    The usual price is that of most lines, of several the dearest. A lower price whose lines are, in the median, of more
    units than those at the usual price is a step by quantity; one whose lines are not is something else: another kind
    of customer, a sale, a mistake.
    """

    stock_code: Text = column("Product", origin=(CleanTransactions, "stock_code"))
    tier: Integer = column("Place among its prices, the dearest first", ge=1, origin=_LINES)
    unit_price: UnitPrice = column("Price of a unit", unit=CURRENCY, gt=0, origin=_LINES)
    is_usual: Flag = column("Whether it is the usual price", origin=_LINES)
    is_step: Flag = column("Whether it is a step by quantity", origin=_LINES)
    lines: Count = column("Lines at this price", ge=1, origin=_LINES)
    share: Real = column("Share of the product's lines", gt=0, le=1.0, origin=_LINES)
    units: Count = column("Units at this price", ge=1, origin=_LINES)
    least_quantity: Count = column("Units of the smallest line", ge=1, origin=_LINES)
    median_quantity: Real = column("Median of the units of its lines", ge=1, origin=_LINES)
    discount: Real = column("How far it lies below the usual price, as a share of it; above it negative", origin=_LINES)
    spread: Real = column("Of the product: the dearest price by the cheapest", ge=1, origin=_LINES)
    week: Day = partition("Monday of the newest of the thirteen weeks", origin=(CleanTransactions, "invoice_date"))

    class Config:
        unique = ["week", "stock_code", "tier"]

    @row_rule("The usual price is no step, and none is dearer than it")
    def steps_lie_below() -> Any:
        return ~F.col("is_step") | (~F.col("is_usual") & (F.col("discount") > 0))


def price_tiers(lines: DataFrame) -> DataFrame:
    """`lines`: product lines at a price, with the `week` they are read for; a line may be there for several weeks."""
    of = Window.partitionBy("week", "stock_code")
    usual_first = of.orderBy(F.desc("lines"), F.desc("unit_price"))
    tiers = lines.groupBy("week", "stock_code", "unit_price").agg(
        F.count("*").alias("lines"),
        F.sum("quantity").alias("units"),
        F.min("quantity").alias("least_quantity"),
        F.percentile("quantity", F.lit(0.5)).alias("median_quantity"),
    )
    usual = F.col("usual")
    return (
        tiers.withColumn("is_usual", F.row_number().over(usual_first) == 1)
        .withColumn("usual", F.max(F.when(F.col("is_usual"), F.struct("unit_price", "median_quantity"))).over(of))
        .withColumns(
            {
                "tier": F.row_number().over(of.orderBy(F.desc("unit_price"))),
                "share": ratio(F.col("lines"), F.sum("lines").over(of)),
                "discount": 1 - ratio(F.col("unit_price"), usual["unit_price"]),
                "spread": ratio(F.max("unit_price").over(of), F.min("unit_price").over(of)),
                "is_step": (F.col("unit_price") < usual["unit_price"])
                & (F.col("median_quantity") > usual["median_quantity"]),
            }
        )
        .drop("usual")
    )


def _lines(transactions: DataFrame, weeks: list[Any]) -> DataFrame:
    of = transactions.sparkSession.createDataFrame([(week, as_of(week)) for week in weeks], "week date, as_of date")
    sold = transactions.filter("line_type = 'product' AND unit_price > 0")
    known = (F.col("invoice_date") < F.col("as_of")) & (F.col("invoice_date") >= F.date_add("as_of", -7 * WEEKS))
    return sold.join(F.broadcast(of), known)


def _sold(audit: Audit) -> DataFrame:
    lines = _lines(audit.inputs["transactions"], audit.days).groupBy("week")
    return lines.agg(F.count("*").alias("lines"), F.sum("quantity").alias("units"))


@table(
    PriceTiers,
    weekly,
    layer=GOLD,
    reads={"transactions": (CleanTransactions, preceding(WEEKS - 1))},
    due=[NEWEST],
    checks=[
        reconciles(
            "reconciliation",
            "Lines and units of all tiers are those of the thirteen weeks' product lines at a price in silver",
            ours={"lines": lambda: F.sum("lines"), "units": lambda: F.sum("units")},
            theirs=_sold,
        )
    ],
)
def build(transactions: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's weeks, each with the twelve before it."""
    return price_tiers(_lines(transactions, window.days))
