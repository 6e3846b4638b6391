"""What Dagster loads. Only wires: tables and resources."""

from dagster import Definitions, in_process_executor
from dagster_pyspark import LazyPySparkResource

from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.lakehouse.session import spark_config
from retail_assets.landing.calendar import read_calendar
from retail_assets.landing.drops import LandingZone
from retail_assets.online_retail import tables as online_retail
from retail_assets.settings import Settings


def build_definitions(settings: Settings) -> Definitions:
    """The whole asset graph, with the calendar that the landing zone or the environment states."""
    calendar = read_calendar(settings.landing, online_retail.SOURCE.name, settings.calendars)
    pyspark = LazyPySparkResource(spark_config=spark_config(settings))
    return Definitions(
        assets=[table.asset(calendar) for table in online_retail.TABLES],
        resources={
            "pyspark": pyspark,
            "io_manager": DeltaIOManager(pyspark=pyspark, root=settings.lakehouse),
            "landing": LandingZone(settings.landing),
            "mlflow": MlflowTracking(tracking_uri=settings.mlflow_tracking_uri),
        },
        # One Spark session per run, never one per table: a session costs seconds to start.
        executor=in_process_executor,
    )


defs = build_definitions(Settings.read())
