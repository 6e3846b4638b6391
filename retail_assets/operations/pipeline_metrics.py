"""pipeline_metrics: what each partition of each table cost, from Dagster's own event log.

`retail run` adds what it made when it is done; the sensor adds what other runs made. Both may come at any time and as
often as they like: `event_copy` knows where the last one stopped. The table lies beside Dagster's storage, in the local
lakehouse, also where the other tables are on a cluster: only the host knows the event log.
"""

import inspect
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetMaterialization,
    AssetSpec,
    DagsterEventType,
    DagsterInstance,
    DefaultSensorStatus,
    EventLogRecord,
    MetadataValue,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from retail_assets.lakehouse.asset_metadata import asset_key, named_columns, written_asset
from retail_assets.lakehouse.contracts import Contract, Count, Day, Moment, Real, Text, column, partition, table_name
from retail_assets.lakehouse.layers import QUALITY
from retail_assets.operations.event_copy import Copied, copy_events, home

SENSOR_SECONDS = 300


class PipelineMetrics(Contract):
    """One row per partition, table and run that made it: rows, bytes and seconds, as Dagster and Delta counted them.

    A step that makes several partitions at once is timed as one: its seconds are shared evenly among them, its bytes by
    their rows, so that sums over any partitions of a step are right.
    """

    table_name: Text = column("Table that was made, with its source")
    partition_key: Text = column("Partition that was made: its day, or the first day of its month")
    run_id: Text = column("Dagster run that made it; NULL for what was reported outside a run", nullable=True)
    materialized_at: Moment = column("When it was made", unit="UTC")
    materialized_on: Day = partition("Day on which it was made, in UTC")
    rows: Count = column("Rows of the partition", nullable=True, ge=0)
    bytes: Count = column("Bytes written, the partition's share", nullable=True, unit="bytes", ge=0)
    seconds: Real = column("Time that the step took, the partition's share", nullable=True, unit="s", ge=0)
    write_seconds: Real = column("Time that the commit took, the partition's share", nullable=True, unit="s", ge=0)
    step_partitions: Count = column("Partitions that the run made of the table", ge=1)
    delta_version: Count = column("Version of the table that holds it", nullable=True, ge=0)
    dagster_home: Text = column("The Dagster storage whose event log says so")
    event_id: Count = column("The event's id there")

    class Config:
        unique = ["dagster_home", "event_id"]


KEY = asset_key(PipelineMetrics)


def pipeline_metrics(instance: DagsterInstance, records: Sequence[EventLogRecord]) -> list[dict[str, Any]]:
    """The rows of these materializations, in their order; those without a partition have none."""
    records = [record for record in records if record.partition_key is not None]
    run_ids = {record.run_id for record in records if record.run_id}
    seconds = {run_id: _step_seconds(instance, run_id) for run_id in run_ids}
    partitions = _partitions_made(instance, run_ids)
    storage = home(instance)
    found = []
    for record in records:
        materialization, dagster_event = record.asset_materialization, record.event_log_entry.get_dagster_event()
        assert materialization is not None
        shown: dict[str, Any] = {name: value.value for name, value in materialization.metadata.items()}
        made = partitions.get((record.run_id, materialization.asset_key.to_string()), 1)
        taken = seconds.get(record.run_id, {}).get(str(dagster_event.step_key))
        at = datetime.fromtimestamp(record.timestamp, UTC)
        written = shown.get("write_seconds")
        found.append(
            {
                "table_name": ".".join(materialization.asset_key.path),
                "partition_key": record.partition_key,
                "run_id": record.run_id or None,
                "materialized_at": at,
                "materialized_on": at.date(),
                "rows": shown.get("dagster/partition_row_count"),
                "bytes": _share_of_bytes(shown, made),
                "seconds": None if taken is None else taken / made,
                "write_seconds": None if written is None else written / made,
                "step_partitions": made,
                "delta_version": shown.get("delta_version"),
                "dagster_home": storage,
                "event_id": record.storage_id,
            }
        )
    return found


def _share_of_bytes(shown: Mapping[str, Any], partitions: int) -> int | None:
    if shown.get("bytes_written") is None:
        return None
    rows = shown.get("rows_written")
    # A file without rows has bytes, too.
    share = shown.get("dagster/partition_row_count", 0) / rows if rows else 1 / partitions
    return round(shown["bytes_written"] * share)


_STEP_BEGAN = {DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED}
_STEP_ENDED = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE}


def _step_seconds(instance: DagsterInstance, run_id: str) -> dict[str, float]:
    """Step -> how long its last attempt took."""
    began: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for record in instance.get_records_for_run(run_id, of_type=_STEP_BEGAN | _STEP_ENDED).records:
        event = record.event_log_entry.get_dagster_event()
        step = str(event.step_key)
        if event.event_type in _STEP_BEGAN:
            began[step] = record.timestamp
        elif step in began:
            seconds[step] = record.timestamp - began[step]
    return seconds


def _partitions_made(instance: DagsterInstance, run_ids: set[str]) -> dict[tuple[str, str], int]:
    """(run, asset) -> how many partitions of the asset the run made."""
    import sqlalchemy
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage, events = instance.event_log_storage, SqlEventLogStorageTable.c
    assert isinstance(storage, SqlEventLogStorage), "every storage of Dagster's own is one"
    query = (
        sqlalchemy.select(events.run_id, events.asset_key, sqlalchemy.func.count())
        .where(events.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value)
        .where(events.run_id.in_(run_ids))
        .group_by(events.run_id, events.asset_key)
    )
    with storage.index_connection() as connection:
        return {(run_id, key): count for run_id, key, count in connection.execute(query)}


def place(lakehouse: str) -> str:
    """Where the table lies, under the root of the tables."""
    return "/".join([lakehouse.rstrip("/"), *table_name(PipelineMetrics)])


def keep_pipeline_metrics(instance: DagsterInstance, lakehouse: str) -> Copied:
    """Adds to the table what was made since it was last told, and tells Dagster of the table."""
    copied = copy_events(
        instance, place(lakehouse), PipelineMetrics, DagsterEventType.ASSET_MATERIALIZATION, pipeline_metrics
    )
    if copied.rows:
        instance.report_runless_asset_event(
            AssetMaterialization(
                KEY,
                metadata={
                    "rows_written": MetadataValue.int(copied.rows),
                    "delta_version": MetadataValue.int(copied.version or 0),
                    "dagster/uri": place(lakehouse),
                },
            )
        )
    return copied


def pipeline_metrics_asset() -> AssetSpec:
    """The table in the graph. It has no step of its own, and no partitions."""
    return written_asset(PipelineMetrics, QUALITY, named_columns(PipelineMetrics))


def pipeline_metrics_sensor(lakehouse: str) -> SensorDefinition:
    """Adds what runs of the daemon made; starts no run for it."""

    @sensor(
        name="pipeline_metrics",
        description=inspect.getdoc(pipeline_metrics_sensor),
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def tell(context: SensorEvaluationContext) -> SkipReason:
        copied = keep_pipeline_metrics(context.instance, lakehouse)
        return SkipReason(f"{copied.rows} rows were added, of {copied.events} new events.")

    return tell
