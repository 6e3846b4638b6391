"""Which cluster each customer is in: by Spark, from the few rows of the model table, wherever the customers' rows are.

It agrees with what the model's own pipeline predicts.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.segmentation import DIMENSIONS


def nearest_cluster(customers: DataFrame, model: DataFrame, on: str, key: str = "customer_id") -> DataFrame:
    """Adds `cluster`, `label` and `distance` (Euclidean, scaled) of the nearest cluster to each customer.

    `model` holds the rows of `Segmentation.model_rows`, for each value of the column `on` (a snapshot's date, say)
    its own; `on` and `key` identify a customer's row. Of equally near clusters the lower is taken. All three are
    null where `model` has no row for the customer's `on`.
    """

    # In a struct of their own: the model's table names centroids as the customers' table names measures.
    models = model.select(on, F.struct(*(name for name in model.columns if name != on)).alias("model"))

    def square(dimension: str) -> Column:
        measure = F.col(DIMENSIONS[dimension]).cast("double")
        bounded = F.least(F.greatest(measure, f"model.{dimension}_floor"), f"model.{dimension}_cap")
        value = F.when(F.col("model.transform") == "log", F.log1p(bounded)).otherwise(bounded)
        scaled = (value - F.col(f"model.{dimension}_mean")) / F.col(f"model.{dimension}_deviation")
        return F.pow(scaled - F.col(f"model.{dimension}_scaled"), F.lit(2.0))

    return (
        customers.join(models, on, "left")
        .select(
            *customers.columns,
            F.col("model.cluster").alias("cluster"),
            F.col("model.label").alias("label"),
            *([F.col("model.model_month").alias("model_month")] if "model_month" in model.columns else []),
            F.sqrt(square("recency") + square("frequency") + square("monetary")).alias("distance"),
        )
        .withColumn("nearness", F.row_number().over(Window.partitionBy(on, key).orderBy("distance", "cluster")))
        .where("nearness = 1")
        .drop("nearness")
    )
