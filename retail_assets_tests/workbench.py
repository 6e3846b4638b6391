"""A whole lakehouse in a temporary directory: real landing zone, real Delta tables, real Dagster runs."""

import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from dagster import AssetKey, DagsterInstance, Definitions
from pyspark.sql import DataFrame, SparkSession

from retail_assets.definitions import build_definitions
from retail_assets.operations.main_job import Observer, Summary, run_main_job
from retail_assets.operations.planning import Request
from retail_assets.settings import Settings
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import sources_at_work

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"


class Workbench:
    """A landing zone to drop files into, a lakehouse that the main job fills, and readers of its tables."""

    def __init__(
        self,
        directory: Path,
        spark: SparkSession,
        instance: DagsterInstance | None = None,
        last_day: str = "2011-12-31",
        source: str = "online_retail",
    ) -> None:
        self.directory, self.source = directory, source
        self.spark = spark
        self.environment = {
            "RETAIL_ENGINE": os.environ["RETAIL_ENGINE"],
            "RETAIL_LANDING": str(directory / "landing"),
            "RETAIL_LAKEHOUSE": str(directory / "lakehouse"),
            "RETAIL_SPARK_DRIVER_MEMORY": "3g",
        }
        if source == "online_retail":
            # A closed calendar: an open one would go on for years after these drops.
            self.environment["RETAIL_ONLINE_RETAIL_LAST_DAY"] = last_day
        self.settings = Settings.read(self.environment)
        self.instance = instance or DagsterInstance.ephemeral()
        self.zone = directory / "landing" / source
        self.zone.mkdir(parents=True, exist_ok=True)

    def drop(self, day: str, lines: Iterable[str], header: str = HEADER, name: str | None = None) -> Path:
        """Puts a drop of that day into the landing zone."""
        path = self.zone / (name or f"online_retail_{day}.csv")
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    def definitions(self) -> Definitions:
        """The asset graph with the calendar that the landing zone has now."""
        return build_definitions(self.settings)

    def run(
        self,
        tables: Sequence[str] | None = None,
        first: str | None = None,
        last: str | None = None,
        everything: bool = False,
        newest_month_only: bool = False,
    ) -> Summary:
        """The main job, as `retail run` makes it."""
        keys = frozenset(AssetKey([self.source, table]) for table in tables) if tables else None
        request = Request(_day(first), _day(last), keys, everything, newest_month_only)
        arrived = arrivals(self.settings, self.instance, sources_at_work(self.settings))
        return run_main_job(
            self.definitions(), self.instance, arrived.landed, request, Observer(), places=arrived.places
        )

    def path(self, table: str) -> Path:
        """Where a table lies."""
        return self.directory / "lakehouse" / self.source / table

    def table(self, table: str) -> DataFrame:
        """A table as it is now."""
        return self.spark.read.format("delta").load(str(self.path(table)))


def line(
    invoice: str = "500001",
    code: str = "85123A",
    quantity: object = 1,
    when: str = "2011-01-04 10:00:00",
    price: object = "2.55",
    customer: str = "13085",
    country: str = "United Kingdom",
    description: str = "WHITE HANGING HEART",
) -> str:
    """One invoice line in the published order of columns."""
    return f"{invoice},{code},{description},{quantity},{when},{price},{customer},{country}"


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
