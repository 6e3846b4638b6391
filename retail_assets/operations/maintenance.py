"""The job `maintenance`: upkeep of every table, once a week, with what was done shown at each table.

Locally every table has a step of its own in the table's pool, as a table may have one writer only; no step needs a JVM.
In a catalog, which takes several writers, one step on the cluster does all, as every step there is another job. A table
whose upkeep fails, as when another's commit came in between, is named at the end and does not keep the others from
theirs; next week's run does it again.
"""

from collections.abc import Sequence
from typing import Any

from dagster import (
    AssetKey,
    AssetObservation,
    DefaultScheduleStatus,
    ExecuteInProcessResult,
    Failure,
    JobDefinition,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    ScheduleDefinition,
    job,
    op,
)

from retail_assets.lakehouse.asset_metadata import pool_of
from retail_assets.lakehouse.maintenance import Upkeep, maintain_in_catalog, maintain_path
from retail_assets.operations import pipeline_metrics
from retail_assets.settings import Settings

WEEKLY = "0 3 * * 0"
"""Sundays at 03:00 UTC."""


def maintenance_job(settings: Settings, keys: Sequence[AssetKey]) -> JobDefinition:
    """The job over the tables `keys` and over pipeline_metrics, which lies on the host in any deployment.

    Loading it needs neither Spark nor the deltalake package.
    """
    local = [pipeline_metrics.KEY] if settings.catalog else [*keys, pipeline_metrics.KEY]
    steps = [
        _local_step(key, "/".join([settings.lakehouse.rstrip("/"), *key.path]), settings.retention_days)
        for key in local
    ]
    if settings.catalog:
        steps.append(_catalog_step(settings.catalog, keys, settings.retention_days))

    @job(name="maintenance", description=__doc__)
    def maintenance() -> None:
        for step in steps:
            step()

    return maintenance


def maintenance_schedule(maintenance: JobDefinition) -> ScheduleDefinition:
    """Every week."""
    return ScheduleDefinition(
        job=maintenance,
        description="Compacts and vacuums every table once a week.",
        cron_schedule=WEEKLY,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
    )


def done_by(result: ExecuteInProcessResult) -> dict[AssetKey, dict[str, Any]]:
    """What a run of the job did, by table."""
    observations = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    return {
        observation.asset_key: {name: value.value for name, value in observation.metadata.items()}
        for observation in observations
    }


def _observation(key: AssetKey, upkeep: Upkeep) -> AssetObservation:
    return AssetObservation(key, metadata=upkeep.metadata(), description="Upkeep: compaction, vacuum, log clean-up")


def _local_step(key: AssetKey, place: str, days: int) -> OpDefinition:
    @op(
        name="__".join(["maintain", *key.path]),
        description=f"Compacts and vacuums {'.'.join(key.path)} and cleans its log.",
        pool=pool_of(key),
        out=Out(Nothing),
        tags={"kind": "delta"},
    )
    def maintain(context: OpExecutionContext) -> None:
        from deltalake import DeltaTable

        if not DeltaTable.is_deltatable(place):
            context.log.info(f"{'.'.join(key.path)} has not been made yet.")
            return
        upkeep = maintain_path(place, days)
        context.log_event(_observation(key, upkeep))
        context.add_output_metadata(upkeep.metadata())

    return maintain


def _catalog_step(catalog: str, keys: Sequence[AssetKey], days: int) -> OpDefinition:
    @op(
        name="maintain_catalog",
        description="OPTIMIZE and VACUUM for every table of the catalog.",
        required_resource_keys={"step_launcher", "pyspark"},
        out=Out(Nothing),
    )
    def maintain(context: OpExecutionContext) -> None:
        from retail_assets.lakehouse.catalog_tables import CatalogTables

        spark, failed = context.resources.pyspark.spark_session, []
        for key in keys:
            if not CatalogTables(spark, catalog).exists(key.path):
                context.log.info(f"{'.'.join(key.path)} has not been made yet.")
                continue
            try:
                upkeep = maintain_in_catalog(spark, catalog, key.path, days)
            except Exception as error:  # one table's trouble must not keep the others from their upkeep
                failed.append(f"{'.'.join(key.path)}: {str(error).strip().splitlines()[0]}")
                continue
            context.log_event(_observation(key, upkeep))
        if failed:
            raise Failure("Upkeep failed for " + "; ".join(failed), allow_retries=False)

    return maintain
