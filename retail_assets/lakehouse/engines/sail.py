"""The embedded engine: Sail, a Spark Connect server in Rust, within this process. Needs no Java.

PySpark is its client. The server listens on the loopback address, on a port of its own choice, and ends with the
process.
"""

import logging
import os
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from dagster_pyspark import LazyPySparkResource
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from retail_assets.lakehouse.engines.engine import SAIL, Engine
from retail_assets.lakehouse.snapshots import Snapshot
from retail_assets.partitions.keys import within

CONFIGURATION = {
    "RUST_LOG": "error",
    # A process that waits for the next drop keeps its session for days.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(30 * 24 * 3600),
}
"""Of the server, from the environment, whose own values win."""


class Sail(Engine):
    """The embedded engine. Tables are read by its own Delta reader."""

    name = SAIL

    def stage(self, frame: DataFrame, directory: Path, by: str) -> None:
        """As a table of Delta of its own: what it writes as plain Parquet, with lists in it, its Delta reader refuses
        later, and of no rows nothing is left."""
        frame.write.format("delta").mode("overwrite").partitionBy(by).save(str(directory))

    def staged(self, directory: Path, schema: T.StructType) -> DataFrame:
        """The rows that `stage` wrote."""
        return self.session.read.format("delta").load(str(directory)).select(*(f"`{name}`" for name in schema.names))

    def read(self, snapshot: Snapshot, partition: str = "", keys: Sequence[date] = ()) -> DataFrame:
        """By version, so that a table that is written meanwhile is read as it was."""
        rows = self.session.read.format("delta").option("versionAsOf", snapshot.version).load(snapshot.place)
        return rows.filter(within(partition, keys)) if keys else rows


@cache
def embedded_session() -> SparkSession:
    """The one session of this process; the server is started for it."""
    for name, value in CONFIGURATION.items():
        os.environ.setdefault(name, value)
    # By this pyspark.sql.functions makes columns for a server instead of for a JVM.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    from pysail.spark import SparkConnectServer

    # What goes wrong is raised. At its end the client asks for a clean-up of models, of which there are none here.
    logging.getLogger("pyspark.sql.connect.logging").setLevel(logging.CRITICAL)
    server = SparkConnectServer()
    server.start(background=True)
    _running.append(server)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    from retail_assets.lakehouse.engines.spark import MEANING

    for name, value in MEANING.items():
        session.conf.set(name, value)
    return session


_running: list[Any] = []
"""The server lives as long as somebody holds it."""


class EmbeddedPySparkResource(LazyPySparkResource):
    """The session of the embedded engine, where tables ask for PySpark's."""

    spark_config: dict[str, Any] = {}

    def _init_session(self) -> None:
        if self._spark_session is None:
            self._spark_session = embedded_session()
