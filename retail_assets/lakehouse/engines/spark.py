"""Spark on a JVM: how a local session is configured, and how tables are read.

The values were measured on two cores; see docs/architecture.md.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from dagster_pyspark import LazyPySparkResource
from dagster_pyspark.resources import spark_session_from_config
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from retail_assets.lakehouse.engines.engine import SPARK, Engine
from retail_assets.lakehouse.engines.jars import CLASS_ARCHIVE, wanted_jars
from retail_assets.lakehouse.snapshots import Snapshot
from retail_assets.partitions.keys import within
from retail_assets.settings import Settings

MEANING: dict[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # As every other reader of Parquet understands it.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""What the tables' code relies on wherever it runs. A session that is there already, as on a cluster, takes these."""


LOGGING = Path(__file__).with_name("log4j2.properties")


def on_this_machine(logging: Path, java_options: Sequence[str] = ()) -> dict[str, str]:
    """Properties of any driver on this machine: every core, quiet, reached by nobody. `with_jars` adds Delta."""
    # -Xlog would print into the user's terminal.
    options = ["-XX:+UseParallelGC", "-XX:ReservedCodeCacheSize=256m", "-Xlog:disable", *java_options]
    options.append(f"-Dlog4j2.configurationFile={logging}")
    return {
        "spark.master": f"local[{os.cpu_count()}]",
        "spark.driver.extraJavaOptions": " ".join(options),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }


def with_jars(config: Mapping[str, str]) -> dict[str, str]:
    """The properties with Delta on the driver's class path; its jars are fetched now if they are not there yet."""
    options, name = config.get("spark.driver.extraJavaOptions", ""), "spark.driver.extraJavaOptions"
    jars = wanted_jars()
    if CLASS_ARCHIVE.exists():
        options += f" -XX:SharedArchiveFile={CLASS_ARCHIVE}"
    # Not spark.jars: only on the class path can class-data sharing see them.
    return {**config, name: options, "spark.driver.extraClassPath": ":".join(str(jar) for jar in jars)}


RELIED_ON = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled")
"""What of MEANING changes rows; a client of Spark Connect has the rest of it anyway, or leaves it to the runtime."""


class RuntimePySparkResource(LazyPySparkResource):
    """The session that a runtime has, of whatever kind: a JVM's own, or a client's of Spark Connect."""

    def _init_session(self) -> None:
        if self._spark_session is not None:
            return
        session = spark_session_from_config(self.spark_config)
        told = {name: session.conf.get(name) for name in RELIED_ON}
        if told != {name: MEANING[name] for name in RELIED_ON}:
            raise RuntimeError(f"This compute does not take {MEANING}; it has {told}, by which rows would differ.")
        self._spark_session = session


class JvmPySparkResource(LazyPySparkResource):
    """The session of Spark on this machine's JVM, which is started, and given what it needs, when first asked for."""

    def _init_session(self) -> None:
        if self._spark_session is None:
            self._spark_session = local_session(self.spark_config)


def local_session(config: Mapping[str, str]) -> SparkSession:
    """The one session of this process."""
    session: SparkSession = spark_session_from_config(with_jars(config))
    return session


def spark_config(settings: Settings, short: bool = False) -> dict[str, str]:
    """Spark properties of the one session that a run uses. Needs no JVM to build.

    `short`: for a session that will do little. Its code is compiled soon and quickly instead of well (C1 alone), which
    takes a third off the CPU time of a day's run and adds a third to that of years; and queries are planned once, not
    again after every stage.
    """
    # Spark takes its workers' Python from the environment only, and would take the system's own.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # A million page faults fewer in a day's run.
    java_options = ["-XX:+UseTransparentHugePages"]
    if short:
        # What lives shortly stays in the same small part of the memory.
        java_options += ["-XX:TieredStopAtLevel=1", "-XX:CompileThresholdScaling=0.1", "-Xmn320m"]
    else:
        # Only what is hot for long is compiled well: by default, compiling takes a fifth of the CPU time of such a run.
        java_options += [
            "-XX:Tier4InvocationThreshold=30000",
            "-XX:Tier4MinInvocationThreshold=6000",
            "-XX:Tier4CompileThreshold=90000",
            "-XX:Tier4BackEdgeThreshold=120000",
        ]
    # Only a short session says so: whoever asks for a session that is there already gives it his own properties.
    planned_once = {"spark.sql.adaptive.enabled": "false"} if short else {}
    return {
        **planned_once,
        **on_this_machine(LOGGING, java_options),
        "spark.app.name": "retail_assets",
        "spark.driver.memory": settings.driver_memory,
        **_master(settings),
        # Tables are small next to a cluster's defaults (200 and 50): each task would cost more than its rows.
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.databricks.delta.snapshotPartitions": "1" if short else "2",
        **MEANING,
        # Files are named to Spark one by one; looking at them is no work for tasks.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        # Month directories are written side by side; by default the rows would be sorted by directory first.
        "spark.sql.maxConcurrentOutputFileWriters": "64",
        # Sets of a group's values are gathered by hashing, also with more than the default of 128 groups.
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
        # Rows under audit are kept for seconds: packing them costs more than it saves.
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        "spark.sql.warehouse.dir": settings.lakehouse,
    }


def _master(settings: Settings) -> dict[str, str]:
    """Properties of a standalone cluster. Its executors see the same directories, and have the same Python, as this
    process; they read and write plain Parquet, and need no jar."""
    if settings.spark_master == "local":
        return {}
    return {
        "spark.master": settings.spark_master,
        "spark.executor.memory": settings.executor_memory,
        "spark.executorEnv.PYSPARK_PYTHON": sys.executable,
    }


FEW_FILES = 1_000
"""Up to so many files are named to Spark one by one; more it finds by itself."""


class Spark(Engine):
    """Spark on a JVM. To look into Delta's log takes it a second or two and several jobs, whatever the size: the
    log is read without it, and it is handed the files."""

    name = SPARK

    def stage(self, frame: DataFrame, directory: Path, by: str) -> None:
        """As plain Parquet: a table of Delta would cost it a second."""
        frame.write.mode("overwrite").partitionBy(by).parquet(str(directory))

    def staged(self, directory: Path, schema: T.StructType) -> DataFrame:
        """The rows that `stage` wrote."""
        if not any(directory.rglob("*.parquet")):
            return self.session.createDataFrame([], schema)
        return self.session.read.schema(schema).parquet(str(directory)).select(*(f"`{name}`" for name in schema.names))

    def read(self, snapshot: Snapshot, partition: str = "", keys: Sequence[date] = ()) -> DataFrame:
        """The files that may hold the partitions; by Delta's own reader where its files alone do not say what a table's
        rows are, and of very many files."""
        files = [file for file in snapshot.files(partition) if not keys or file.may_hold(keys)]
        place, schema = snapshot.place, snapshot.schema
        # In Spark's paths some characters stand for others.
        if not snapshot.plain or len(files) > FEW_FILES or set(place) & set("*?[]{}\\"):
            rows = self.session.read.format("delta").option("versionAsOf", snapshot.version).load(place)
        elif not files:
            return self.session.createDataFrame([], schema)
        else:
            reader = self.session.read.schema(schema).option("basePath", place)
            names = [f"`{name}`" for name in schema.names]
            rows = reader.parquet(*(str(Path(place, file.path)) for file in files)).select(*names)
        return rows.filter(within(partition, keys)) if keys else rows
