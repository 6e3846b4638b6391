"""product_affinities: which products were bought together in each month, as association rules."""

from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.affinities import MIN_BASKETS, MIN_SUPPORT, pair_rules
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.product_metrics import ProductMetrics
from retail_assets.lakehouse.checks import RECONCILIATION, Audit, Evidence, RuleResult, Verdict, check, nothing_to_judge
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Integer,
    Real,
    Text,
    column,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import monthly, same_window

_BASKETS = [(CleanTransactions, "invoice_no", "stock_code")]
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}


class ProductAffinities(Contract):
    """Association rules between two products, from the baskets of the month: who buys one tends to buy the other.

    A basket is an invoice with product lines. A pair is listed both ways if it is in at least 1 % of the month's
    baskets and in at least five, and is bought together more often than by chance (lift above 1); the 300 products in
    most baskets are compared.
    """

    antecedent: Text = column("Stock code of the product that is bought", origin=_BASKETS)
    consequent: Text = column("Stock code of the product that goes with it", origin=_BASKETS)
    antecedent_description: Text = column("Its description", nullable=True, origin=(ProductMetrics, "description"))
    consequent_description: Text = column("Its description", nullable=True, origin=(ProductMetrics, "description"))
    baskets: Count = column("Baskets of the month", ge=1, origin=_BASKETS)
    antecedent_baskets: Count = column("Baskets with the first product", ge=MIN_BASKETS, origin=_BASKETS)
    consequent_baskets: Count = column("Baskets with the second product", ge=MIN_BASKETS, origin=_BASKETS)
    together_baskets: Count = column("Baskets with both", ge=MIN_BASKETS, origin=_BASKETS)
    support: Real = column("Share of all baskets that have both", ge=MIN_SUPPORT, le=1.0, origin=_BASKETS)
    confidence: Real = column("Share of the first product's baskets that have the second", origin=_BASKETS, **_SHARE)
    lift: Real = column("Confidence per share of all baskets that have the second", gt=1.0, origin=_BASKETS)
    rule_rank: Integer = column("Rank by lift, then support, then codes", ge=1, origin=_BASKETS)
    snapshot_month: Day = partition("First day of the month", origin=(CleanTransactions, "invoice_date"))

    class Config:
        unique = ["snapshot_month", "antecedent", "consequent"]

    @row_rule("Both are in no more baskets than either, and either in no more than there are")
    def counts_nest() -> Column:
        either = [F.col("antecedent_baskets"), F.col("consequent_baskets")]
        return (F.col("together_baskets") <= F.least(*either)) & (F.greatest(*either) <= F.col("baskets"))


def product_affinities(transactions: DataFrame, products: DataFrame) -> DataFrame:
    """The rules of every month of the transactions; descriptions are those of `products` (product_metrics)."""
    sold = transactions.filter("line_type = 'product'").select(
        F.trunc("invoice_date", "MM").alias("snapshot_month"),
        F.col("invoice_no").alias("basket"),
        F.col("stock_code").alias("item"),
    )
    rules = pair_rules(sold, within="snapshot_month")
    for side in ("antecedent", "consequent"):
        described = products.select(
            "snapshot_month", F.col("stock_code").alias(side), F.col("description").alias(f"{side}_description")
        )
        rules = rules.join(described, ["snapshot_month", side], "left")
    best_first = Window.partitionBy("snapshot_month").orderBy(
        F.desc("lift"), F.desc("support"), "antecedent", "consequent"
    )
    return rules.withColumn("rule_rank", F.row_number().over(best_first))


def _miscounted(audit: Audit) -> DataFrame:
    """Of each month the sides of rules whose counts are not those of silver and of product_metrics."""
    sold = audit.inputs["transactions"].filter("line_type = 'product'")
    invoices = sold.groupBy(F.trunc("invoice_date", "MM").alias("snapshot_month")).agg(
        F.count_distinct("invoice_no").alias("invoices")
    )
    orders = audit.inputs["products"].select("snapshot_month", F.col("stock_code").alias("item"), "orders")
    sides = audit.frame.select(
        "snapshot_month",
        "baskets",
        F.explode(
            F.array(
                F.struct(F.col("antecedent").alias("item"), F.col("antecedent_baskets").alias("counted")),
                F.struct(F.col("consequent").alias("item"), F.col("consequent_baskets").alias("counted")),
            )
        ).alias("side"),
    ).select("snapshot_month", "baskets", "side.*")
    return (
        sides.join(invoices, "snapshot_month", "left")
        .join(orders, ["snapshot_month", "item"], "left")
        .groupBy("snapshot_month")
        .agg(
            F.count_if(~F.col("baskets").eqNullSafe(F.col("invoices"))).alias("wrong_baskets"),
            F.count_if(~F.col("counted").eqNullSafe(F.col("orders"))).alias("wrong_products"),
        )
    )


@check(
    "Baskets are the month's invoices in silver, and each product's baskets its orders in product_metrics",
    asks=_miscounted,
    family=RECONCILIATION,
)
def baskets_agree(month: Evidence) -> Verdict:
    """The counts that rules are made of are those of other tables: no basket lost, none counted twice."""
    if not month.asked:
        return nothing_to_judge("The month has no rules")
    wrong, sides = month.asked[0], 2 * month.rows
    results = [
        RuleResult.within(rule, wrong[rule], f"{wrong[rule]} of {sides} sides of rules {words}", upper=0)
        for rule, words in (
            ("wrong_baskets", "stand beside other baskets than the month has invoices"),
            ("wrong_products", "count other baskets of their product than it has orders"),
        )
    ]
    return Verdict.of(results, {"rules": month.rows} | {rule.rule: rule.observed for rule in results})


@table(
    ProductAffinities,
    monthly,
    layer=GOLD,
    reads={"transactions": (CleanTransactions, same_window), "products": (ProductMetrics, same_window)},
    checks=[baskets_agree],
)
def build(transactions: DataFrame, products: DataFrame) -> DataFrame:
    """The window's months."""
    return product_affinities(transactions, products)
