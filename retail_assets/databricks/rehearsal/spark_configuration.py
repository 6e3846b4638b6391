"""How Spark is configured on a cluster of the rehearsal: Databricks' defaults, in the size of this machine."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from retail_assets.lakehouse import session
from retail_assets.lakehouse.jars import CLASS_ARCHIVE, jar_files


def cluster_configuration(
    directory: Path, metastore: str, warehouse: Path, asked_for: Mapping[str, str]
) -> dict[str, str]:
    """Spark properties of a cluster's JVM; `asked_for` is its `spark_conf`, which comes before everything here.

    Puts what the JVM has to read, and could not see in the checkout, into the cluster's `directory`.
    """
    logging = shutil.copy(Path(session.__file__).with_name("log4j2.properties"), directory)
    java_options = ["-XX:+UseParallelGC", "-XX:ReservedCodeCacheSize=256m", "-Xlog:disable"]
    java_options.append(f"-Dlog4j2.configurationFile={logging}")
    if CLASS_ARCHIVE.exists():
        java_options.append(f"-XX:SharedArchiveFile={CLASS_ARCHIVE}")
    return {
        "spark.master": f"local[{os.cpu_count()}]",
        "spark.app.name": "Databricks Shell",
        "spark.driver.memory": "4g",
        "spark.driver.extraClassPath": ":".join(str(jar) for jar in jar_files()),
        "spark.driver.extraJavaOptions": " ".join(java_options),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Databricks brings Delta as the format of every table, and a catalog that outlives the cluster.
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.sources.default": "delta",
        "spark.sql.catalogImplementation": "hive",
        "spark.hadoop.hive.metastore.uris": metastore,
        "spark.sql.warehouse.dir": warehouse.as_uri(),
        "spark.sql.session.timeZone": "Etc/UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.shuffle.partitions": "4",
        "spark.databricks.delta.snapshotPartitions": "2",
        **asked_for,
    }
