"""What takes the place of Dagster's inner work does what Dagster does. A failure after an upgrade says: it changed."""

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.mapping import time_window
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._serdes import serialize_value
from dagster_shared.serdes.errors import SerializationError

from retail_assets.lakehouse.dagster_internals import (
    _LAYOUTS,
    EventTexts,
    SharedMetadata,
    add_metadata_of_partitions,
    count_months,
    recorded,
)
from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets.partitions.cadence import months_so_far
from retail_assets_tests.lakehouse.scripted_run import (
    DAYS,
    QUIET,
    RANGE,
    Told,
    as_they_are,
    check_output,
    evaluation,
    instance_at,
    scripted_run,
)

KEY = dg.AssetKey(["shop", "sales"])
METADATA = {
    "text": 'in "quotes", 100 % %s {} \\ \n für alle \u2028',
    "nothing": None,
    "yes": True,
    "one": 1,
    "one as a float": 1.0,
    "minus nothing": -0.0,
    "not a number": float("nan"),
    "endless": float("inf"),
    "large": 10**30,
    "path": Path("/data/lake house"),
    "json": {"b": [1, None, {"c": "d"}], "a": True},
    "asset": KEY,
    "when": dg.MetadataValue.timestamp(datetime.datetime(2009, 12, 1, tzinfo=datetime.UTC)),
    "address": dg.MetadataValue.url("https://localhost/a?b=c"),
    "schema": dg.TableSchema([dg.TableColumn("price", "decimal(12,3)")]),
    "lineage": dg.TableColumnLineage({"price": [dg.TableColumnDep(KEY, "unit_price")]}),
    "rows": dg.MetadataValue.table([dg.TableRecord({"price": 1})], dg.TableSchema([dg.TableColumn("price")])),
}


def entry(event: DagsterEvent) -> EventLogEntry:
    return EventLogEntry(None, 10, "", "a run", time.time(), "step", "job", event)


def events_of_all_kinds(instance: dg.DagsterInstance) -> Iterator[EventLogEntry]:
    """Those of the scripted run, and some with whatever metadata can hold."""
    scripted_run(instance, lambda _: nullcontext())
    for run in instance.get_runs():
        yield from instance.all_logs(run.run_id)
    for day in ("2009-12-01", "2009-12-02"):
        made = dg.AssetMaterialization(KEY, "a description", METADATA, day, {"key": "value", "other": "1"})
        yield entry(DagsterEvent("ASSET_MATERIALIZATION", "job", event_specific_data=StepMaterializationData(made)))
        judged = evaluation(KEY, day).with_metadata(METADATA)
        yield entry(DagsterEvent("ASSET_CHECK_EVALUATION", "job", event_specific_data=judged))
    yield EventLogEntry(None, 40, "a line", "a run", time.time())


def test_events_are_written_byte_by_byte_as_dagster_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_at(tmp_path / "home", monkeypatch) as instance:
        events = list(events_of_all_kinds(instance))
    texts = EventTexts()
    assert len({event.dagster_event_type for event in events}) > 12
    for event in [*events, *events]:  # the second time from what is shared
        assert texts.of(event) == serialize_value(event)


def test_the_events_of_ranges_are_not_left_to_dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that is written in a way of its own would make them slow again without anybody noticing."""
    with instance_at(tmp_path / "home", monkeypatch) as instance:
        scripted_run(instance, stored_together, recorded)
    known = {kind.__name__ for kind, layout in _LAYOUTS.items() if layout is not None}
    assert {"EventLogEntry", "DagsterEvent", "AssetCheckEvaluation", "AssetMaterialization"} <= known
    assert {"StepMaterializationData", "AssetKey", "TextMetadataValue", "IntMetadataValue"} <= known
    assert {"AssetMaterializationPlannedData", "AssetCheckEvaluationTargetMaterializationData"} <= known


@pytest.mark.parametrize("value", [Decimal("1.5"), object(), {1: "a number as key"}, {"x": {2, 1}}, (1, "b")])
def test_what_is_no_event_is_left_to_dagster(value: Any) -> None:
    try:
        expected = serialize_value(value)
    except SerializationError as error:
        with pytest.raises(SerializationError, match=str(error)):
            EventTexts().of(value)
    else:
        assert EventTexts().of(value) == expected


def run_of(told: Told, run_config: dict[str, Any]) -> tuple[Sequence[DagsterEvent], list[EventLogEntry]]:
    """The events of a run of ten evaluations, as whoever executes it meets them and as they are stored."""

    @dg.asset(
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("contract", asset="sales", partitions_def=DAYS)],
    )
    def sales(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.MaterializeResult()
        yield check_output("sales_contract")
        yield from told(context, [evaluation(context.asset_key, day) for day in context.partition_keys])

    job = dg.Definitions([sales], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    with dg.DagsterInstance.ephemeral() as instance:
        stored: list[EventLogEntry] = []
        run_id = "00000000-0000-4000-8000-000000000000"
        instance.add_event_listener(run_id, stored.append)
        result = job.execute_in_process(run_config, instance=instance, tags=RANGE, run_id=run_id)
        assert [each.dagster_event for each in instance.all_logs(run_id)] == [each.dagster_event for each in stored]
    return result.all_events, stored


def without_times(events: Sequence[DagsterEvent]) -> list[DagsterEvent]:
    kinds = ("ASSET_CHECK_EVALUATION", "ASSET_MATERIALIZATION", "STEP_OUTPUT")
    return [event for event in events if event.event_type_value in kinds]


def test_recorded_evaluations_are_met_and_stored_as_those_that_are_yielded() -> None:
    met, stored = run_of(recorded, QUIET)
    expected_met, expected_stored = run_of(as_they_are, QUIET)
    assert without_times(met) == without_times(expected_met)
    assert [event.event_type for event in met] == [event.event_type for event in expected_met]
    assert len(stored) == len(expected_stored) > 20
    for ours, theirs in zip(stored, expected_stored, strict=True):
        if ours.dagster_event in without_times(met):
            assert ours._replace(timestamp=0) == theirs._replace(timestamp=0)


def test_whoever_else_hears_of_events_hears_of_recorded_evaluations(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[list[str]] = []
    for told in (recorded, as_they_are):
        run_of(told, {"loggers": {"console": {"config": {"log_level": "DEBUG"}}}})
        rows = capfd.readouterr().err.splitlines()
        lines.append([row.partition(" - dagster - ")[2] for row in rows if "ASSET_CHECK_EVALUATION" in row])
    assert lines[0] == lines[1]
    assert len(lines[0]) == 10


def test_recorded_evaluations_are_met_although_the_step_fails_afterwards() -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("contract", asset="sales")])
    def sales(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.Output(None)
        yield check_output("sales_contract")
        judged = [dg.AssetCheckEvaluation(asset_key=context.asset_key, check_name="contract", passed=False)] * 3
        yield from recorded(context, judged)
        raise dg.Failure("refused", allow_retries=False)

    job = dg.Definitions([sales], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(QUIET, instance=instance, raise_on_error=False)
    assert [event.event_type_value for event in result.all_events].count("ASSET_CHECK_EVALUATION") == 3
    assert not result.success


def added_one_by_one(context: dg.AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    for partition, added in metadata.items():
        context.add_asset_metadata(added, partition_key=partition)


def test_metadata_of_partitions_is_shown_as_if_it_was_added_one_by_one() -> None:
    def made(add: Callable[[dg.AssetExecutionContext, Mapping[str, Mapping[str, Any]]], None]) -> dict[str | None, Any]:
        @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
        def sales(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            context.add_asset_metadata({"rows": 0, "kept": True}, partition_key="2009-12-03")
            add(context, {day: {"rows": number} for number, day in enumerate(context.partition_keys)})
            return dg.MaterializeResult(metadata={"of all": "x"})

        job = dg.Definitions([sales], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
        found = job.execute_in_process(QUIET, tags=RANGE).asset_materializations_for_node("sales")
        return {each.partition: each.metadata for each in found}

    expected = made(added_one_by_one)
    assert made(add_metadata_of_partitions) == expected
    assert len({str(metadata) for metadata in expected.values()}) == 10


def test_metadata_of_a_partition_that_is_not_made_is_refused() -> None:
    @dg.asset(partitions_def=DAYS)
    def sales(context: dg.AssetExecutionContext) -> None:
        with pytest.raises(ValueError, match=r"does not make: \['2009-12-04'\]"):
            add_metadata_of_partitions(context, {"2009-12-03": {}, "2009-12-04": {}})

    job = dg.Definitions([sales], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    assert job.execute_in_process(QUIET, partition_key="2009-12-03").success


def test_shared_metadata_is_what_dagster_makes_of_it() -> None:
    shared = SharedMetadata()
    mixed: list[dict[str, Any]] = [METADATA, {"yes": 1, "one": True, "text": "1"}, {"yes": True, "one": 1, "text": 1}]
    for metadata in mixed:
        ours = dg.AssetMaterialization(KEY, metadata=shared.of(metadata)).metadata
        theirs = dg.AssetMaterialization(KEY, metadata=metadata).metadata
        assert [(name, type(value), repr(value)) for name, value in ours.items()] == [
            (name, type(value), repr(value)) for name, value in theirs.items()
        ]
    assert shared.of({"a": "text"})["a"] is shared.of({"b": "text"})["b"]


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> Callable[[dg.TimeWindowPartitionsDefinition, Any, int], Any]:
    """Dagster's own walk through the windows; its place is taken while the test runs."""
    walk = getattr(time_window._offsetted_datetime, "__wrapped__", time_window._offsetted_datetime)
    monkeypatch.setattr(time_window, "_offsetted_datetime", walk)
    count_months()
    assert time_window._offsetted_datetime is not walk
    return walk


UTC_MONTHS = dg.MonthlyPartitionsDefinition("2009-12-01", end_offset=1)


@pytest.mark.parametrize("offset", [-600, -13, -12, -1, 0, 1, 11, 12, 25])
@pytest.mark.parametrize(
    "windows",
    [
        UTC_MONTHS,
        dg.MonthlyPartitionsDefinition("2009-12-01", timezone="Europe/Berlin"),
        dg.MonthlyPartitionsDefinition("2009-12-01", day_offset=3),
        dg.MonthlyPartitionsDefinition("2009-12-01", exclusions=[datetime.datetime(2010, 1, 1)]),
        dg.DailyPartitionsDefinition("2009-12-01"),
        dg.WeeklyPartitionsDefinition("2009-12-01"),
    ],
)
def test_months_are_counted_to_where_dagster_walks(
    walked: Callable[..., datetime.datetime], windows: dg.TimeWindowPartitionsDefinition, offset: int
) -> None:
    for key in windows.get_partition_keys(datetime.datetime(2011, 4, 1, tzinfo=datetime.UTC))[:20]:
        window = windows.time_window_for_partition_key(key)
        for moment in (window.start, window.end):
            assert time_window._offsetted_datetime(windows, moment, offset) == walked(windows, moment, offset)


def test_every_month_so_far_is_read_as_before_and_no_month_is_walked(
    walked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = dg.MonthlyPartitionsDefinition("2009-12-01", end_date="2012-01-01")
    asked = windows.subset_with_partition_keys(["2010-03-01", "2010-04-01"])
    steps: list[int] = []
    original = dg.TimeWindowPartitionsDefinition.get_prev_partition_window

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        steps.append(1)
        return original(self, *arguments, **named)

    monkeypatch.setattr(dg.TimeWindowPartitionsDefinition, "get_prev_partition_window", counted)
    mapped = months_so_far.get_upstream_mapped_partitions_result_for_partitions(asked, windows, windows)
    assert sorted(mapped.partitions_subset.get_partition_keys()) == [
        "2009-12-01",
        "2010-01-01",
        "2010-02-01",
        "2010-03-01",
        "2010-04-01",
    ]
    assert len(steps) < 5
