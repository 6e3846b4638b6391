"""A few runs over ranges of partitions, and all that an event log holds and answers of them."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.instance.ref import InstanceRef

DAYS = dg.DailyPartitionsDefinition("2009-12-01", end_date="2009-12-13")
RANGE = {
    "dagster/asset_partition_range_start": "2009-12-02",
    "dagster/asset_partition_range_end": "2009-12-11",
}
OURS = """
event_log_storage:
  module: retail_assets.lakehouse.event_log
  class: OpenSqliteEventLogStorage
  config: {}
"""
COMPARED = ("event_logs", "asset_keys", "asset_event_tags", "asset_check_executions")


@contextmanager
def instance_at(home: Path, monkeypatch: pytest.MonkeyPatch, settings: str = OURS) -> Iterator[dg.DagsterInstance]:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(settings)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        yield instance


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""As the main job has it: nobody but the event log hears of events."""

Told = Callable[[dg.AssetExecutionContext, Sequence[dg.AssetCheckEvaluation]], Iterable[Any]]


def as_they_are(
    _: dg.AssetExecutionContext, evaluations: Sequence[dg.AssetCheckEvaluation]
) -> Sequence[dg.AssetCheckEvaluation]:
    """As Dagster's documentation has it: each is yielded."""
    return evaluations


def evaluation(key: dg.AssetKey, day: str | None, name: str = "contract") -> dg.AssetCheckEvaluation:
    """One that fails on the fifth."""
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=name,
        passed=day != "2009-12-05",
        severity=dg.AssetCheckSeverity.WARN,
        partition=day,
        description="It shows" if day == "2009-12-06" else None,
        metadata={"failed": 1, "share": 0.5, "sure": True, "day": day, "why": "100 % – für alle", "rows": {"b": 1}},
    )


def check_output(name: str) -> dg.Output[None]:
    return dg.Output(None, output_name=name)


def scripted_run(instance: dg.DagsterInstance, together: Callable[[Any], Any], told: Told = as_they_are) -> None:
    """Two runs over ranges, then one day alone: data versions, inputs, passing and failing partitioned checks.

    `together` is what the events of a step are stored in, `told` how its evaluations are yielded.
    """

    @dg.asset(
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            dg.AssetCheckSpec("contract", asset="bronze", partitions_def=DAYS),
            dg.AssetCheckSpec("whole", asset="bronze"),
            dg.AssetCheckSpec("usual", asset="bronze"),
        ],
    )
    def bronze(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with together(context.instance):
            yield dg.MaterializeResult(metadata={"rows": 3}, data_version=dg.DataVersion("7"))
            yield from told(context, [evaluation(context.asset_key, day) for day in context.partition_keys])
            yield check_output("bronze_contract")
            # A check that is planned of no partition, and told of each.
            of_each = [evaluation(context.asset_key, day, "usual") for day in [*context.partition_keys, None]]
            yield from told(context, of_each)
            yield check_output("bronze_usual")
            yield dg.AssetCheckResult(check_name="whole", passed=True)

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), deps=[bronze])
    def silver(context: dg.AssetExecutionContext) -> Iterator[Any]:
        context.log_event(dg.AssetObservation("silver", partition="2009-12-03", metadata={"seen": 1}))
        yield dg.MaterializeResult(metadata={"rows": 2})

    job = dg.Definitions([bronze, silver], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    for number, tags in enumerate([RANGE, RANGE, {"dagster/partition": "2009-12-01"}]):
        run_id = f"0000000{number}-0000-4000-8000-000000000000"
        assert job.execute_in_process(QUIET, instance=instance, tags=tags, run_id=run_id).success
    with together(instance):  # as a cluster's: of days that were planned, and of one that was not
        for day in ("2009-12-02", "2009-12-12", "2009-12-03"):
            judged = evaluation(dg.AssetKey("bronze"), day)
            event = DagsterEvent("ASSET_CHECK_EVALUATION", "all", event_specific_data=judged, message="From elsewhere")
            instance.report_dagster_event(event, "00000000-0000-4000-8000-000000000000")
    instance.report_runless_asset_event(dg.AssetMaterialization("elsewhere", partition="x", tags={"a": "b"}))
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey("silver"), check_name="outside", passed=True)
    )


_VOLATILE = re.compile(
    r'"(timestamp|pid|start|end|marker_start|marker_end|log_key|duration_ms|dur)": ("[^"]*"|[0-9.e-]+|null)'
)
_SPENT = re.compile(r"[0-9.]+m?s\b|\(pid: \d+\)|/[^\s\"]*/home_\w+")

Rows = dict[str, list[tuple[Any, ...]]]


def comparable(columns: Sequence[str], found: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows without what differs between any two runs: times, pids, folders."""
    kept = [index for index, name in enumerate(columns) if "timestamp" not in name]
    return [
        tuple(
            _SPENT.sub("", _VOLATILE.sub("", row[index])) if isinstance(row[index], str) else row[index]
            for index in kept
        )
        for row in found
    ]


def rows(home: Path) -> Rows:
    """The tables of all of SQLite's files, ids included."""
    found: Rows = {}
    for file in [*sorted((home / "history" / "runs").glob("*.db")), home / "history" / "runs" / ".db"]:
        connection = sqlite3.connect(file)
        for table in COMPARED:
            cursor = connection.execute(f"SELECT * FROM {table} ORDER BY id")
            found[f"{file.name}:{table}"] = comparable([each[0] for each in cursor.description], cursor)
        connection.close()
    return found


def answers(instance: dg.DagsterInstance) -> dict[str, Any]:
    log, bronze, silver = instance.event_log_storage, dg.AssetKey("bronze"), dg.AssetKey("silver")
    contract = dg.AssetCheckKey(bronze, "contract")
    latest = instance.get_latest_materialization_event(bronze)
    status = instance.fetch_run_status_changes(DagsterEventType.RUN_SUCCESS, limit=10)
    return {
        "materialized": instance.get_materialized_partitions(silver),
        "by partition": log.get_latest_storage_id_by_partition(bronze, DagsterEventType.ASSET_MATERIALIZATION),
        "tags": log.get_latest_tags_by_partition(
            bronze, DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
        ),
        "latest": latest.asset_materialization.partition if latest and latest.asset_materialization else None,
        "records": [
            (record.storage_id, record.partition_key)
            for record in instance.fetch_materializations(bronze, limit=100, ascending=True).records
        ],
        "cursor": instance.fetch_materializations(bronze, limit=7, ascending=True).cursor,
        "checked": sorted(
            (str(info.partition_key), info.latest_execution_status.value, info.latest_check_event_storage_id)
            for info in log.get_asset_check_partition_info([contract])
        ),
        "history": [
            (record.partition, record.status, record.run_id)
            for record in log.get_asset_check_execution_history(contract, limit=100)
        ],
        "status": [(record.storage_id, record.run_id) for record in status.records],
        "runs": {
            run.run_id: [(entry.message and entry.dagster_event_type) for entry in instance.all_logs(run.run_id)]
            for run in instance.get_runs()
        },
    }
