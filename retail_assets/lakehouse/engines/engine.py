"""What differs between the engines that run the tables' code, behind one small interface.

Tables are written in PySpark's DataFrame API, which an engine serves; what an engine stores is ordinary Delta, so that
a lakehouse begun with one is continued with another. Only this room knows which engine it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

if TYPE_CHECKING:
    from retail_assets.lakehouse.snapshots import Snapshot

SAIL = "sail"
SPARK = "spark"


class Engine(ABC):
    """One engine and its session."""

    def __init__(self, session: SparkSession) -> None:
        self.session = session

    @abstractmethod
    def stage(self, frame: DataFrame, directory: Path, by: str) -> None:
        """Computes the rows and writes them as Parquet files, in one directory for each value of the column `by`. Of no
        rows there may be no file, and no directory."""

    @abstractmethod
    def staged(self, directory: Path, schema: T.StructType) -> DataFrame:
        """The rows that `stage` wrote."""

    @abstractmethod
    def read(self, snapshot: "Snapshot", partition: str = "", keys: Sequence[date] = ()) -> DataFrame:
        """The rows of a table's version; of the partitions `keys` if there are any, else all."""


def is_client(session: SparkSession) -> bool:
    """Whether it is a client's of Spark Connect, without a JVM of its own."""
    return type(session).__module__.startswith("pyspark.sql.connect")


def plain(schema: T.StructType) -> T.StructType:
    """The same columns, without what their metadata says of them and without a promise that they hold no NULL."""
    return T.StructType([T.StructField(field.name, field.dataType, True) for field in schema])
