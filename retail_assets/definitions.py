"""What Dagster loads. Only wires: tables and resources, the same in both deployments."""

from typing import Any

from dagster import (
    Definitions,
    EnvVar,
    InitResourceContext,
    JobDefinition,
    ResourceDefinition,
    in_process_executor,
    json_console_logger,
    multiprocess_executor,
    resource,
)
from dagster_pyspark import LazyPySparkResource

from retail_assets.analytics.lifetime_value import Discounting
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.lakehouse.session import MEANING, spark_config
from retail_assets.landing.calendar import calendar_of
from retail_assets.landing.drops import LandingZone
from retail_assets.online_retail import tables as online_retail
from retail_assets.operations.alerts.sensor import alert_sensors
from retail_assets.operations.pipeline_metrics import pipeline_metrics_asset, pipeline_metrics_sensor
from retail_assets.reports.page import Pages
from retail_assets.settings import Settings


def build_definitions(settings: Settings) -> Definitions:
    """The whole asset graph, with the calendar that the landing zone or the environment states."""
    calendar = calendar_of(settings, online_retail.SOURCE.name)
    # On a cluster the session is the runtime's own.
    pyspark = LazyPySparkResource(spark_config=MEANING if settings.catalog else spark_config(settings))
    assets = [table.asset(calendar) for table in online_retail.TABLES]
    return Definitions(
        assets=[*assets, pipeline_metrics_asset()],
        resources={
            "pyspark": pyspark,
            "io_manager": DeltaIOManager(
                pyspark=pyspark,
                root=settings.lakehouse,
                catalog=settings.catalog,
                clustered=settings.clustered,
                # By name, so that the UI shows the name and not the key.
                pseudonym_key=EnvVar("RETAIL_PSEUDONYM_KEY") if settings.pseudonym_key else None,
            ),
            "landing": LandingZone(settings.landing),
            "pages": Pages(directory=settings.dashboards),
            "mlflow": MlflowTracking(
                tracking_uri=settings.mlflow_tracking_uri,
                catalog=settings.catalog if settings.mlflow_tracking_uri == "databricks" else None,
            ),
            "discounting": Discounting(yearly_rate=settings.discount_rate),
            "step_launcher": step_launcher(settings),
        },
        jobs=governance(settings),
        sensors=[
            pipeline_metrics_sensor(settings.lakehouse),
            *alert_sensors(settings.alerts, settings.ui_url, assets),
        ],
        loggers={"console": json_console_logger} if settings.log_format == "json" else None,
        # Locally one Spark session per run, never one per table: a session costs seconds to start. With Databricks the
        # host only waits, for as many steps as are ready.
        executor=multiprocess_executor if settings.databricks else in_process_executor,
    )


def step_launcher(settings: Settings) -> ResourceDefinition:
    """What makes a table's step run elsewhere: nothing locally and on the cluster itself, else Databricks."""
    if not settings.databricks:
        return ResourceDefinition.none_resource("Steps run in this process.")

    @resource(description=f"Steps run on {settings.databricks.host}.")
    def databricks_step_launcher(_context: InitResourceContext) -> Any:
        from retail_assets.databricks.launcher import make_launcher  # needs the SDK, and answers of the workspace

        return make_launcher(settings)

    return databricks_step_launcher


def governance(settings: Settings) -> list[JobDefinition]:
    """The job that keeps Unity Catalog in line, where there is one."""
    if not settings.catalog:
        return []
    from retail_assets.databricks.unity_catalog import governance_job

    return [governance_job(settings, online_retail.TABLES)]


defs = build_definitions(Settings.read())
