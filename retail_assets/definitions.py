"""What Dagster loads. Only wires: tables and resources, the same in both deployments."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Definitions,
    EnvVar,
    InitResourceContext,
    JobDefinition,
    ResourceDefinition,
    SensorDefinition,
    multiprocess_executor,
    resource,
)

from retail_assets.analytics.fitted_models import FittedModels
from retail_assets.analytics.lifetime_value import Discounting
from retail_assets.analytics.segment_engines import SegmentTraining
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.analytics.win_back import WinBack
from retail_assets.erasure.job import forget_job
from retail_assets.lakehouse.dagster_internals import count_months
from retail_assets.lakehouse.engines.choice import pyspark_resource
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table
from retail_assets.landing.drops import LandingZone
from retail_assets.operations.alerts.sensor import alert_sensors
from retail_assets.operations.arrival import Inbox
from retail_assets.operations.arrival_sensor import arrival_sensor
from retail_assets.operations.automation import automated, following_sensor, month_end
from retail_assets.operations.catch_up import catch_up_job
from retail_assets.operations.erasures import erasures_asset, nothing_left_check
from retail_assets.operations.freshness import with_freshness
from retail_assets.operations.maintenance import maintenance_job, maintenance_schedule
from retail_assets.operations.pipeline_metrics import pipeline_metrics_asset, pipeline_metrics_sensor
from retail_assets.operations.side_by_side_executor import side_by_side_executor
from retail_assets.operations.source_jobs import source_jobs
from retail_assets.operations.warm_runs import keep_runs_warm
from retail_assets.partitions.calendar import Calendar
from retail_assets.reports.page import Pages
from retail_assets.settings import Settings
from retail_assets.shops.description import to_carry
from retail_assets.sources.known import sources_at_work
from retail_assets.sources.source import Source
from retail_assets.streaming.event_zone import zone_of


def build_definitions(settings: Settings) -> Definitions:
    """The whole asset graph, with the calendar that the landing zone or the environment states."""
    count_months()
    sources = [(source, source.calendar(settings)) for source in sources_at_work(settings)]
    stored = [table for source, _ in sources for table in source.stored]
    maintenance = maintenance_job(settings, [table.key for table in stored])
    pyspark = pyspark_resource(settings)
    keys = {table.key for table in stored}
    of_sources = {each[0].name: assets_of(*each, settings, keys) for each in sources}
    assets = [*(asset for of_source in of_sources.values() for asset in of_source), pipeline_metrics_asset()]
    forgetting = forgets(settings, [source for source, _ in sources], lambda: definitions)
    id_columns = {column for source, _ in sources for column in source.id_columns}
    inboxes = [inbox for source, _ in sources for inbox in source.inboxes(settings)]
    catch_up = catch_up_jobs(settings, inboxes, lambda: definitions)
    definitions = Definitions(
        assets=[*assets, *([erasures_asset()] if forgetting else [])],
        asset_checks=[nothing_left_check(settings.lakehouse)] if forgetting else [],
        resources={
            "pyspark": pyspark,
            "io_manager": DeltaIOManager(
                pyspark=pyspark,
                root=settings.lakehouse,
                catalog=settings.catalog,
                clustered=settings.clustered,
                # By name, so that the UI shows the name and not the key.
                pseudonym_key=EnvVar("RETAIL_PSEUDONYM_KEY") if settings.pseudonym_key else None,
                id_columns=sorted(id_columns),
            ),
            "landing": ResourceDefinition.hardcoded_resource(
                zone_of(settings, [source.owner for source, _ in sources]),
                description=f"{LandingZone.__doc__}\n\nIts root is `{settings.landing}`.",
            ),
            "pages": Pages(directory=settings.dashboards, url=settings.dashboards_url),
            "mlflow": MlflowTracking(
                tracking_uri=_tracking_uri(settings),
                catalog=settings.catalog if settings.mlflow_tracking_uri == "databricks" else None,
                answer_seconds=settings.mlflow_seconds,
            ),
            "fitted_models": FittedModels(directory=fitted_models(settings)),
            "discounting": Discounting(yearly_rate=settings.discount_rate),
            "win_back": WinBack(chance=settings.win_back_chance),
            "segment_training": SegmentTraining.model_validate(
                {
                    "transform": settings.segment_transform,
                    # The embedded engine has no library of models: all stays on the driver.
                    "engine": "scikit-learn" if settings.engine == "sail" else settings.segment_engine,
                    "driver_customers": settings.segment_driver_customers,
                }
            ),
            "step_launcher": step_launcher(settings),
        },
        jobs=[
            *(job for name, of_source in of_sources.items() for job in source_jobs(name, of_source)),
            *governance(settings, stored, id_columns),
            *catch_up,
            *forgetting,
            maintenance,
        ],
        schedules=[month_end(settings), maintenance_schedule(maintenance)],
        sensors=[
            *arrival_sensors(settings, inboxes, catch_up),
            following_sensor(settings),
            pipeline_metrics_sensor(settings.lakehouse),
            *alert_sensors(settings.alerts, settings.ui_url, assets),
        ],
        # Locally one Spark session per run, never one per table: a session costs seconds to start. With Databricks the
        # host only waits, for as many steps as are ready.
        executor=multiprocess_executor if settings.databricks else side_by_side_executor,
    )
    return definitions


def assets_of(
    source: Source, calendar: Calendar, settings: Settings, keys: Collection[AssetKey]
) -> list[AssetsDefinition | AssetSpec]:
    """A source's tables, each with what makes it by itself and a freshness policy, and its table of results. `keys`: of
    the tables of all sources."""
    results = source.results
    tables = (table.asset(calendar, results.contract, keys) for table in source.until(calendar.last_day).tables)
    told = [table.asset() for table in (*source.events, results)]
    return [*with_freshness((automated(table, settings) for table in tables), calendar), *told]


def fitted_models(settings: Settings) -> str | None:
    """Where models are kept that need not be fitted again: beside a local lakehouse, else in memory alone."""
    return str(Path(settings.lakehouse).with_name("fitted-models")) if settings.deployment == "local" else None


def _tracking_uri(settings: Settings) -> str:
    """By name where the environment gives it, so that the UI shows the name: a URI may hold a password."""
    uri, variable = settings.mlflow_tracking_uri, "MLFLOW_TRACKING_URI"
    return EnvVar(variable) if os.environ.get(variable) == uri else uri


def step_launcher(settings: Settings) -> ResourceDefinition:
    """What makes a table's step run elsewhere: nothing locally and on the cluster itself, else Databricks."""
    if not settings.databricks:
        return ResourceDefinition.none_resource("Steps run in this process.")

    @resource(description=f"Steps run on {settings.databricks.host}.")
    def databricks_step_launcher(_context: InitResourceContext) -> Any:
        from retail_assets.databricks.launcher import make_launcher  # needs the SDK, and answers of the workspace

        return make_launcher(settings, to_carry(Path(settings.shops)))

    return databricks_step_launcher


def catch_up_jobs(
    settings: Settings, inboxes: Sequence[Inbox], definitions: Callable[[], Definitions]
) -> list[JobDefinition]:
    """The job that makes what has arrived, and what follows from it; locally, where one process makes all tables."""
    return [catch_up_job(settings, inboxes, definitions)] if settings.deployment == "local" else []


def forgets(
    settings: Settings, sources: Sequence[Source], definitions: Callable[[], Definitions]
) -> list[JobDefinition]:
    """The job that forgets customers; locally, where everything that is stored can be searched."""
    return [forget_job(settings, sources, definitions)] if settings.deployment == "local" else []


def arrival_sensors(
    settings: Settings, inboxes: Sequence[Inbox], catch_up: Sequence[JobDefinition]
) -> list[SensorDefinition]:
    """The sensor of each directory in the landing zone; none where only the cluster can list it."""
    if settings.only_cluster_sees_landing:
        return []
    return [arrival_sensor(settings, inbox, next(iter(catch_up), None)) for inbox in inboxes]


def governance(
    settings: Settings, stored: Sequence[Table | ResultsTable], id_columns: Collection[str]
) -> list[JobDefinition]:
    """The job that keeps Unity Catalog in line, where there is one."""
    if not settings.catalog:
        return []
    from retail_assets.databricks.unity_catalog import governance_job

    return [governance_job(settings, stored, id_columns)]


keep_runs_warm()
defs = build_definitions(Settings.read())
