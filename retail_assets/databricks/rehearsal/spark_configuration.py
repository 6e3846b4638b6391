"""How Spark is configured on a cluster of the rehearsal: Databricks' defaults, in the size of this machine."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from retail_assets.lakehouse.engines.spark import LOGGING, on_this_machine, with_jars


def cluster_configuration(
    directory: Path, metastore: str, warehouse: Path, asked_for: Mapping[str, str]
) -> dict[str, str]:
    """Spark properties of a cluster's JVM; `asked_for` is its `spark_conf`, which comes before everything here.

    Puts what the JVM has to read, and could not see in the checkout, into the cluster's `directory`.
    """
    return {
        # Databricks brings Delta as the format of every table, and a catalog that outlives the cluster.
        **with_jars(on_this_machine(Path(shutil.copy(LOGGING, directory)))),
        "spark.app.name": "Databricks Shell",
        "spark.driver.memory": "4g",
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
