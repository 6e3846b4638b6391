"""Products by what they bring: rank, share and ABC class (after Pareto's rule)."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import ratio

A_SHARE = 0.80
B_SHARE = 0.95
"""By cumulative revenue: A the first 80 %, B the next 15 %, C the rest, and whatever brings nothing."""


def with_abc_class(products: DataFrame, within: str, key: str) -> DataFrame:
    """Adds `revenue_rank`, `revenue_share` and `abc_class` of each product (`key`) by its `revenue`, within each value
    of a column. Of equal revenue the lower key is first: the same rows always get the same ranks."""
    by_revenue = Window.partitionBy(within).orderBy(F.desc("revenue"), key)
    so_far = F.sum("revenue").over(by_revenue.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    revenue, whole = F.col("revenue"), F.col("whole")
    # Of what comes before a product: the one that reaches 80 % is still A.
    before_it = so_far - revenue
    abc = (
        F.when(revenue <= 0, "C")
        .when(before_it < whole * F.lit(A_SHARE).cast("decimal(3,2)"), "A")
        .when(before_it < whole * F.lit(B_SHARE).cast("decimal(3,2)"), "B")
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
