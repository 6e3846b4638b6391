"""pipeline_metrics: every materialization once, whatever is killed, repeated or done at once; what it cost is right."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    BackfillPolicy,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    Definitions,
    EventLogRecord,
    SkipReason,
    asset,
    build_sensor_context,
    materialize,
)
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from retail_assets.operations import event_copy
from retail_assets.operations.event_copy import copy_events
from retail_assets.operations.pipeline_metrics import (
    KEY,
    PipelineMetrics,
    keep_pipeline_metrics,
    pipeline_metrics,
    pipeline_metrics_asset,
    pipeline_metrics_sensor,
    place,
)
from retail_assets_tests.operations.homes import home_of

DAYS = DailyPartitionsDefinition("2024-01-01", end_date="2024-01-11")


@asset(key=["shop", "sales"], partitions_def=DAYS, backfill_policy=BackfillPolicy.single_run())
def sales(context: AssetExecutionContext) -> None:
    """Row n of the calendar has n rows; the commit is of a thousand bytes a row."""
    rows = {day: int(day[-2:]) for day in context.partition_keys}
    for day, count in rows.items():
        context.add_asset_metadata({"dagster/partition_row_count": count}, partition_key=day)
    total = sum(rows.values())
    context.add_output_metadata(
        {"rows_written": total, "bytes_written": 1000 * total, "write_seconds": 0.5, "delta_version": 7}
    )


@asset(key=["shop", "notes"])
def notes() -> None:
    """Has no partitions."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with home_of(tmp_path / "home") as instance:
        yield instance


@pytest.fixture
def lakehouse(tmp_path: Path) -> str:
    return str(tmp_path / "lakehouse")


def make(instance: DagsterInstance, first: str, last: str | None = None) -> str:
    tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last or first}
    return materialize([sales], instance=instance, tags=tags).run_id


def rows(lakehouse: str) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    found = DeltaTable(place(lakehouse)).to_pyarrow_table().to_pylist()
    return sorted(found, key=lambda row: row["event_id"])


def test_each_partition_of_a_run_has_its_share(instance, lakehouse):
    run_id = make(instance, "2024-01-01", "2024-01-04")
    keep_pipeline_metrics(instance, lakehouse)
    found = rows(lakehouse)
    assert [(row["partition_key"], row["rows"], row["bytes"]) for row in found] == [
        ("2024-01-01", 1, 1000),
        ("2024-01-02", 2, 2000),
        ("2024-01-03", 3, 3000),
        ("2024-01-04", 4, 4000),
    ]
    assert {row["run_id"] for row in found} == {run_id}
    assert {row["table_name"] for row in found} == {"shop.sales"}
    assert {(row["step_partitions"], row["delta_version"], row["write_seconds"]) for row in found} == {(4, 7, 0.125)}
    (stats,) = instance.get_run_step_stats(run_id)
    assert stats.start_time is not None
    assert stats.end_time is not None
    assert sum(row["seconds"] for row in found) == pytest.approx(stats.end_time - stats.start_time, abs=1e-3)
    assert all(row["materialized_at"].date() == row["materialized_on"] for row in found)


def test_only_what_is_new_is_added_and_nothing_twice(instance, lakehouse, monkeypatch):
    monkeypatch.setattr(event_copy, "EVENTS_AT_ONCE", 3)  # a run's partitions come in several commits
    make(instance, "2024-01-01", "2024-01-04")
    assert keep_pipeline_metrics(instance, lakehouse).rows == 4
    version = keep_pipeline_metrics(instance, lakehouse).version
    make(instance, "2024-01-02")
    materialize([notes], instance=instance)
    copied = keep_pipeline_metrics(instance, lakehouse)
    assert copied.rows == 1
    assert keep_pipeline_metrics(instance, lakehouse).version == copied.version != version
    found = rows(lakehouse)
    assert [row["partition_key"][-2:] for row in found] == ["01", "02", "03", "04", "02"]
    assert [row["step_partitions"] for row in found] == [4, 4, 4, 4, 1]
    assert len({row["event_id"] for row in found}) == 5


def test_a_run_that_goes_on_is_waited_for(instance, lakehouse):
    earlier = make(instance, "2024-01-01")
    going_on = instance.get_run_by_id(make(instance, "2024-01-02"))
    make(instance, "2024-01-03")
    started = DagsterEvent(DagsterEventType.PIPELINE_START.value, going_on.job_name)
    instance.run_storage.handle_run_event(going_on.run_id, started)
    assert instance.get_run_by_id(going_on.run_id).status == DagsterRunStatus.STARTED
    keep_pipeline_metrics(instance, lakehouse)
    assert [row["run_id"] for row in rows(lakehouse)] == [earlier]
    instance.report_run_failed(going_on)
    keep_pipeline_metrics(instance, lakehouse)
    assert [row["partition_key"][-2:] for row in rows(lakehouse)] == ["01", "02", "03"]


@pytest.mark.parametrize("there_is_a_table", [True, False])
def test_two_that_copy_at_once_add_each_event_once(instance, lakehouse, there_is_a_table):
    make(instance, "2024-01-01")
    if there_is_a_table:
        keep_pipeline_metrics(instance, lakehouse)
    make(instance, "2024-01-02", "2024-01-10")
    together = threading.Barrier(2)
    errors = []

    def copy() -> None:
        try:
            together.wait()
            keep_pipeline_metrics(instance, lakehouse)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=copy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [int(row["partition_key"][-2:]) for row in rows(lakehouse)] == list(range(1, 11))


@pytest.mark.parametrize("there_is_a_table", [True, False])
def test_what_another_copies_between_the_look_at_the_watermark_and_the_write_is_not_added_again(
    instance, lakehouse, monkeypatch, there_is_a_table
):
    monkeypatch.setattr(event_copy, "EVENTS_AT_ONCE", 3)
    make(instance, "2024-01-01")
    if there_is_a_table:
        keep_pipeline_metrics(instance, lakehouse)
    make(instance, "2024-01-02", "2024-01-08")

    def overtaken(instance: DagsterInstance, records: Sequence[EventLogRecord]) -> list[dict[str, Any]]:
        keep_pipeline_metrics(instance, lakehouse)
        return pipeline_metrics(instance, records)

    copied = copy_events(instance, place(lakehouse), PipelineMetrics, DagsterEventType.ASSET_MATERIALIZATION, overtaken)
    assert copied.rows == 0
    assert [int(row["partition_key"][-2:]) for row in rows(lakehouse)] == list(range(1, 9))


def test_the_watermark_is_in_the_commit_of_the_rows(instance, lakehouse, monkeypatch):
    """Killed before the commit nothing has happened; killed after it, the watermark is there with the rows."""
    make(instance, "2024-01-01")

    class Killed(BaseException):
        pass

    import deltalake

    write = deltalake.write_deltalake

    def killed_before(*args: Any, **options: Any) -> None:
        raise Killed

    def killed_after(*args: Any, **options: Any) -> None:
        write(*args, **options)
        raise Killed

    for killed in (killed_before, killed_after):
        monkeypatch.setattr(deltalake, "write_deltalake", killed)
        with pytest.raises(Killed):
            keep_pipeline_metrics(instance, lakehouse)
    monkeypatch.setattr(deltalake, "write_deltalake", write)
    assert keep_pipeline_metrics(instance, lakehouse).rows == 0
    assert [row["partition_key"] for row in rows(lakehouse)] == ["2024-01-01"]


def test_another_home_is_counted_from_its_own_start(instance, lakehouse, tmp_path):
    make(instance, "2024-01-01", "2024-01-03")
    keep_pipeline_metrics(instance, lakehouse)
    with home_of(tmp_path / "another") as another:
        make(another, "2024-01-02")
        assert keep_pipeline_metrics(another, lakehouse).rows == 1
    assert len(rows(lakehouse)) == 4
    assert keep_pipeline_metrics(instance, lakehouse).rows == 0


def test_the_sensor_adds_what_runs_made_and_starts_none(instance, lakehouse):
    make(instance, "2024-01-05")
    tell = pipeline_metrics_sensor(lakehouse)
    context = build_sensor_context(
        instance=instance, definitions=Definitions(assets=[sales, pipeline_metrics_asset()], sensors=[tell])
    )
    skipped = tell(context)
    assert isinstance(skipped, SkipReason)
    assert "1 rows were added" in str(skipped.skip_message)
    event = instance.get_latest_materialization_event(KEY)
    assert event is not None
    assert event.asset_materialization.metadata["rows_written"].value == 1
