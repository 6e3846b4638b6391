"""The usual PySpark script: CSV → bronze → silver by date → RFM → geography → K-means → random forest, all defaults.

    python benchmarks/notebook_style.py HISTORY.csv OUTPUT_DIRECTORY [--as-of 2011-12-10]

What a data scientist would write in a notebook, and no slower: nothing is inferred twice, what is read again is
cached, the Delta jars are already on disk. Nothing is tuned either: the session is Spark's own (200 shuffle
partitions, 1 GB for the driver, its UI on). The last line is the figures it arrived at, as JSON.
"""

import argparse
import json

from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import BinaryClassificationEvaluator, ClusteringEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.engines.jars import wanted_jars

parser = argparse.ArgumentParser()
parser.add_argument("history")
parser.add_argument("output")
parser.add_argument("--as-of", default="2011-12-10")
arguments = parser.parse_args()

spark = (
    SparkSession.builder.appName("online retail")
    .config("spark.jars", ",".join(str(jar) for jar in wanted_jars()))
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .getOrCreate()
)


def save(frame: DataFrame, name: str, *partition_columns: str) -> DataFrame:
    frame.write.format("delta").mode("overwrite").partitionBy(*partition_columns).save(f"{arguments.output}/{name}")
    return spark.read.format("delta").load(f"{arguments.output}/{name}")


# Bronze: the file as it is.
SOURCE_COLUMNS = [
    "invoice_no",
    "stock_code",
    "description",
    "quantity",
    "invoice_ts",
    "unit_price",
    "customer_id",
    "country",
]
bronze = save(
    spark.read.csv(arguments.history, header=True, escape='"')
    .toDF(*SOURCE_COLUMNS)
    .withColumn("ingested_at", F.current_timestamp()),
    "bronze",
)

# Silver: typed, valid, without exact duplicates.
clean = (
    bronze.dropDuplicates(SOURCE_COLUMNS)
    .withColumn("invoice_no", F.trim("invoice_no"))
    .withColumn("stock_code", F.trim("stock_code"))
    .withColumn("quantity", F.col("quantity").try_cast("int"))
    .withColumn("unit_price", F.col("unit_price").try_cast("decimal(12,3)"))
    .withColumn("invoice_ts", F.col("invoice_ts").try_cast("timestamp"))
    .withColumn("customer_id", F.regexp_replace("customer_id", r"\.0$", ""))
    .withColumn("is_cancellation", F.col("invoice_no").startswith("C"))
    .where(F.col("invoice_no").rlike("^[A-Za-z]?[0-9]{6}$"))
    .where(F.col("stock_code") != "")
    .where((F.col("quantity") > 0) | ((F.col("quantity") < 0) & F.col("is_cancellation")))
    .where(F.col("unit_price") >= 0)
    .where(F.col("invoice_ts").isNotNull())
    .withColumn("invoice_date", F.to_date("invoice_ts"))
    .withColumn("line_total", (F.col("quantity") * F.col("unit_price")).cast("decimal(18,3)"))
    .withColumn(
        "line_type",
        F.when(F.col("is_cancellation"), "cancellation")
        .when(F.col("invoice_no").rlike("^[A-Za-z]"), "adjustment")
        .when(F.col("stock_code").rlike("^([0-9]{5}[A-Za-z]*|PADS)$"), "product")
        .otherwise("service"),
    )
)
silver = save(clean, "silver", "invoice_date")
products = silver.where(F.col("line_type") == "product")

# RFM of every customer on one day.
rfm = (
    products.where(F.col("customer_id").isNotNull() & (F.col("invoice_date") < arguments.as_of))
    .groupBy("customer_id")
    .agg(
        F.max("country").alias("country"),
        F.datediff(F.lit(arguments.as_of).cast("date"), F.max("invoice_date")).alias("recency_days"),
        F.countDistinct("invoice_no").alias("frequency"),
        F.sum("line_total").alias("monetary"),
        F.sum("quantity").alias("units"),
        F.countDistinct("stock_code").alias("distinct_products"),
        F.datediff(F.lit(arguments.as_of).cast("date"), F.min("invoice_date")).alias("tenure_days"),
    )
    .withColumn("avg_order_value", F.col("monetary") / F.col("frequency"))
    .withColumn("r_score", F.ntile(5).over(Window.orderBy(F.desc("recency_days"))))
    .withColumn("f_score", F.ntile(5).over(Window.orderBy("frequency")))
    .withColumn("m_score", F.ntile(5).over(Window.orderBy("monetary")))
    .withColumn("rfm_score", F.concat("r_score", "f_score", "m_score"))
)
rfm = save(rfm, "customer_rfm").cache()

# Geography.
returns = silver.where("is_cancellation").groupBy("country").agg((-F.sum("line_total")).alias("returns_value"))
geo = (
    products.groupBy("country")
    .agg(
        F.countDistinct("invoice_no").alias("orders"),
        F.countDistinct("customer_id").alias("customers"),
        F.sum("quantity").alias("units"),
        F.sum("line_total").alias("revenue"),
    )
    .join(returns, "country", "left")
    .fillna(0, ["returns_value"])
    .withColumn("avg_order_value", F.col("revenue") / F.col("orders"))
    .withColumn("return_rate", F.col("returns_value") / F.col("revenue"))
    .withColumn("revenue_share", F.col("revenue") / F.sum("revenue").over(Window.partitionBy()))
)
geo = save(geo, "geo_metrics")

# Segments: the k with the best silhouette.
assembled = VectorAssembler(inputCols=["recency_days", "frequency", "monetary"], outputCol="rfm_vector").transform(rfm)
scaler = StandardScaler(inputCol="rfm_vector", outputCol="features", withMean=True)
scaled = scaler.fit(assembled).transform(assembled).cache()
silhouettes, models = {}, {}
for k in range(2, 9):
    models[k] = KMeans(k=k, seed=42).fit(scaled)
    silhouettes[k] = ClusteringEvaluator().evaluate(models[k].transform(scaled))
best_k = max(silhouettes, key=lambda k: silhouettes[k])
segments = models[best_k].transform(scaled).select("customer_id", F.col("prediction").alias("cluster"))
save(segments, "customer_segments")

# Churn: no order for 90 days, told from everything but recency.
FEATURES = ["frequency", "monetary", "units", "distinct_products", "tenure_days", "avg_order_value"]
labelled = (
    VectorAssembler(inputCols=FEATURES, outputCol="features")
    .transform(rfm)
    .withColumn("label", (F.col("recency_days") > 90).cast("int"))
)
train, test = labelled.randomSplit([0.8, 0.2], seed=42)
forest = RandomForestClassifier(numTrees=100, maxDepth=5, seed=42).fit(train)
area_under_curve = BinaryClassificationEvaluator().evaluate(forest.transform(test))
scores = forest.transform(labelled).select(
    "customer_id", vector_to_array(F.col("probability"))[1].alias("churn_probability"), "prediction"
)
save(scores, "churn_scores")

customers, monetary = rfm.agg(F.count("*"), F.sum("monetary")).collect()[0]
figures = {
    "clean_rows": silver.count(),
    "customers": customers,
    "monetary": str(monetary),
    "countries": geo.count(),
    "best_k": best_k,
    "silhouette": round(silhouettes[best_k], 3),
    "churn_auc": round(area_under_curve, 3),
}
print(json.dumps(figures))
spark.stop()
