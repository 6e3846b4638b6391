"""Products by what they bring: rank, share and ABC class (after Pareto's rule)."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import ratio

A_SHARE = 0.80
B_SHARE = 0.95
"""By cumulative revenue: A the first 80 %, B the next 15 %, C the rest, and whatever brings nothing."""


def with_abc_class(products: DataFrame, within: str, key: str) -> DataFrame:
    """Adds `revenue_rank`, `revenue_share` and `abc_class` of each product (`key`) by its `revenue`, within each value
    of a column. Of equal revenue the lower key is first: the same rows always get the same ranks. Products of equal
    revenue have one class, that of the one in their middle."""
    by_revenue = Window.partitionBy(within).orderBy(F.desc("revenue"), key)
    revenue, whole = F.col("revenue"), F.col("whole")
    equals = F.count(F.lit(1)).over(Window.partitionBy(within, "revenue"))
    with_equals = F.sum("revenue").over(Window.partitionBy(within).orderBy(F.desc("revenue")))  # and all before them
    # Of what comes before a product: the one that reaches 80 % is still A. Doubled, so that a middle is a whole number.
    twice_before_it = with_equals * 2 - revenue * (equals + 1)
    abc = (
        F.when(revenue <= 0, "C")
        .when(twice_before_it < whole * F.lit(2 * A_SHARE).cast("decimal(3,2)"), "A")
        .when(twice_before_it < whole * F.lit(2 * B_SHARE).cast("decimal(3,2)"), "B")
        .otherwise("C")
    )
    return (
        products.withColumn("whole", F.sum("revenue").over(Window.partitionBy(within)))
        .withColumns(
            {
                "revenue_share": F.when(whole > 0, ratio(revenue, whole)),
                "revenue_rank": F.row_number().over(by_revenue),
                "abc_class": abc,
            }
        )
        .drop("whole")
    )
