"""Time travel: what a table was, is told, is shown, and is put back; Dagster's records say what is there."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from dagster import AssetKey, AssetMaterialization, AssetRecordsFilter, DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from deltalake import DeltaTable, write_deltalake

from retail_assets.cli import main
from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets.lakehouse.provenance import origins
from retail_assets.operations.main_job import PROCESS_TAG
from retail_assets.operations.time_travel import (
    TravelRefused,
    history,
    plan_restoration,
    read_rows,
    restore,
    version_at,
)
from retail_assets.partitions.keys import DIRECTORY, PARTITION
from retail_assets_tests.operations.homes import home_of

SALES, NAME = AssetKey(["shop", "sales"]), ("shop", "sales")
LAYOUT = {PARTITION: "day", DIRECTORY: "month"}
ACTIVITY = "monthly_activity"
DAYS = [date(2024, 1, day) for day in (1, 2, 3)]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with home_of(tmp_path / "home") as instance:
        yield instance


def told(instance: DagsterInstance, key: AssetKey, partition: str, version: int, **metadata: Any) -> None:
    """A materialization as a run would have left it."""
    instance.report_runless_asset_event(
        AssetMaterialization(
            key,
            partition=partition,
            metadata={"delta_version": version, **metadata},
            tags={DATA_VERSION_TAG: str(version)},
        )
    )


# What one types. The table is the product's by name, written by the deltalake package: no JVM is needed.


@pytest.fixture
def retail(tmp_path, monkeypatch):
    for name, path in {"RETAIL_LAKEHOUSE": "lakehouse", "RETAIL_LANDING": "landing", "DAGSTER_HOME": "home"}.items():
        monkeypatch.setenv(name, str(tmp_path / path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.fixture
def place(tmp_path) -> str:
    """Two months; then the first is corrected."""
    path = str(tmp_path / "lakehouse" / "online_retail" / ACTIVITY)
    for month, country, tags in (("2024-01-01", "EIRE", ["a"]), ("2024-02-01", "France", None)):
        rows = {"snapshot_month": [month] * 2, "country": [country] * 2, "units": [1, 2], "tags": [tags, tags]}
        write_deltalake(path, pa.table(rows, schema=_schema()), mode="append")
    corrected = {"snapshot_month": ["2024-01-01"], "country": ["EIRE"], "units": [7], "tags": [None]}
    write_deltalake(
        path, pa.table(corrected, schema=_schema()), mode="overwrite", predicate="snapshot_month = '2024-01-01'"
    )
    return path


@pytest.fixture
def results(tmp_path) -> None:
    """What checks came to: a table that steps write beside their own."""
    rows = {"rule": ["units_ge", "units_not_null"], "status": ["failed", "passed"]}
    write_deltalake(str(tmp_path / "lakehouse" / "online_retail" / "dq_results"), pa.table(rows))


def _schema() -> pa.Schema:
    return pa.schema(
        [
            ("snapshot_month", pa.string()),
            ("country", pa.string()),
            ("units", pa.int32()),
            ("tags", pa.list_(pa.string())),
        ]
    )


def cells(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.output)))


def test_rows_are_read_as_they_are_and_as_they_were(retail, place):
    assert sorted(row["units"] for row in cells(retail("read", ACTIVITY))) == ["1", "2", "7"]
    then = cells(retail("read", f"online_retail.{ACTIVITY}", "--version", "1", "--where", "country = 'EIRE'"))
    assert sorted((row["units"], row["tags"]) for row in then) == [("1", '["a"]'), ("2", '["a"]')]
    assert len(cells(retail("read", ACTIVITY, "--limit", "2"))) == 2


def test_what_checks_came_to_is_read_and_told_as_any_table(retail, results):
    assert cells(retail("read", "dq_results", "--where", "status = 'failed'")) == [
        {"rule": "units_ge", "status": "failed"}
    ]
    shown = retail("history", "online_retail.dq_results")
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.output.splitlines()[1:]] == ["0"]
    profiled = retail("profile", "dq_results")
    assert "dq_results: 2 rows" in profiled.output


def test_rows_are_read_as_of_a_time(retail, place):
    commits = DeltaTable(place).history()
    moment = datetime.fromtimestamp(commits[1]["timestamp"] / 1000, UTC)
    assert version_at(place, moment) == 1
    assert version_at(place, moment + timedelta(days=1)) == 2
    with pytest.raises(TravelRefused, match="its log begins at"):
        version_at(place, moment - timedelta(days=1))
    assert "its log begins at" in retail("read", ACTIVITY, "--as-of", "2001-01-01").output


def test_the_history_says_when_what_and_by_which_run(retail, place, tmp_path):
    with home_of(tmp_path / "home") as instance:
        key = AssetKey(["online_retail", ACTIVITY])
        told(instance, key, "2024-01-01", 0)
        told(instance, key, "2024-01-01", 2)
        found = history(instance, place, key)
    assert [version.version for version in found] == [2, 1, 0]
    assert [version.partitions for version in found] == [["2024-01-01"], [], ["2024-01-01"]]
    assert [version.rows for version in found] == [1, 2, 2]
    assert {version.operation for version in found} == {"WRITE"}
    assert all(abs(version.at - datetime.now(UTC)) < timedelta(minutes=5) for version in found)
    shown = retail("history", ACTIVITY, "--limit", "2")
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.output.splitlines()[1:]] == ["2", "1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["read", "nonsense"], "No table is called nonsense"),
        (["read", "online_retail.customer_rfm"], "There is no table"),
        (["history", "online_retail.customer_rfm"], "There is no table"),
        (["read", ACTIVITY, "--where", "colour = 'red'"], "cannot be answered"),
        (["read", ACTIVITY, "--version", "9"], "Its log goes from version 0 to 2"),
        (["read", ACTIVITY, "--version", "1", "--as-of", "2024-01-01"], "exclude each other"),
        (["restore", ACTIVITY, "--version", "9"], "Its log goes from version 0 to 2"),
        (["restore", ACTIVITY], "Say what to go back to"),
        (["restore", "dq_results", "--version", "0"], "not put back"),
        (["drops"], "There is no table"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(retail, place, results, arguments, says):
    result = retail(*arguments)
    assert result.exit_code != 0
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_version_whose_files_are_gone_is_told_so(place):
    DeltaTable(place).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(TravelRefused, match="can no longer be read"):
        read_rows(place, 1, "units = 1", None)
    assert read_rows(place, None, None, None).num_rows == 3


# Putting back, with Spark as the product writes.


def written(tables: PathTables, day: date, units: int, note: str | None = None, drop: str | None = None) -> int:
    schema = "id string, units int, money decimal(18,3), at timestamp, day date, month string"
    rows = [("a", units, None, datetime(2024, 1, 1, 12, 0, 0, 123456), day, "2024-01")]
    frame = tables._spark.createDataFrame(rows, schema)
    if note is not None:
        from pyspark.sql import functions as F

        frame = frame.withColumn("note", F.lit(note))
    provenance = None if drop is None else {str(day): [{"path": drop}]}
    return tables.replace(NAME, frame, {PARTITION: "day", DIRECTORY: "month"}, [day], provenance).version


def units(tables: PathTables) -> dict[date, int]:
    return {row.day: row.units for row in tables.read(NAME).collect()}


def test_a_main_job_that_was_killed_does_not_keep_a_table_from_being_put_back(retail, place, spark, tmp_path):
    with home_of(tmp_path / "home") as instance:
        killed = create_run_for_test(instance, status=DagsterRunStatus.STARTED, tags={PROCESS_TAG: "1"})
        going_on = create_run_for_test(instance, status=DagsterRunStatus.STARTED)
        refused = retail("restore", ACTIVITY, "--version", "1", "--yes")
        assert refused.exit_code == 2, refused.output
        assert "A run is in progress" in refused.output
        instance.report_run_failed(going_on)
        restored = retail("restore", ACTIVITY, "--version", "1", "--yes")
        assert restored.exit_code == 0, restored.output
        assert "Done: version 3, 2 rows put back" in restored.output
        run = instance.get_run_by_id(killed.run_id)
        assert run is not None
        assert run.status == DagsterRunStatus.FAILURE
    assert sorted(row["units"] for row in cells(retail("read", ACTIVITY))) == ["1", "1", "2", "2"]


def test_what_differs_goes_back_in_one_commit_and_dagster_knows(spark, tmp_path, instance):
    tables = PathTables(spark, str(tmp_path / "lakehouse"))
    for number, day in enumerate(DAYS[:2], start=1):
        told(instance, SALES, str(day), written(tables, day, number), drops=[f"{day}:as it was"])
    good = DeltaTable(tables.place(NAME)).version()
    told(instance, SALES, str(DAYS[0]), written(tables, DAYS[0], 99, note="wrong"), drops=["corrected"])
    told(instance, SALES, str(DAYS[2]), written(tables, DAYS[2], 3, note="later"))
    before = DeltaTable(tables.place(NAME)).version()

    restoration = plan_restoration(tables, NAME, LAYOUT, good)
    assert (restoration.changed, restoration.not_in_version) == (["2024-01-01"], ["2024-01-03"])
    going_on = create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    with pytest.raises(TravelRefused, match="in progress"):
        restore(tables, instance, restoration, LAYOUT)
    instance.report_run_failed(going_on)
    commit = restore(tables, instance, restoration, LAYOUT)

    assert commit is not None
    assert (commit.version, commit.rows, commit.table_rows) == (before + 1, 1, 3)
    assert units(tables) == {DAYS[0]: 1, DAYS[1]: 2, DAYS[2]: 3}
    assert {row.note for row in tables.read(NAME).filter("units < 3").collect()} == {None}
    (newest,) = instance.fetch_materializations(AssetRecordsFilter(SALES), limit=1).records
    assert newest.partition_key == "2024-01-01"
    materialization = newest.asset_materialization
    assert materialization is not None
    assert materialization.tags is not None
    assert materialization.tags[DATA_VERSION_TAG] == str(commit.version)
    shown = {name: value.value for name, value in materialization.metadata.items()}
    assert (shown["delta_version"], shown["restored_from_version"]) == (commit.version, good)
    assert (shown["dagster/partition_row_count"], shown["dagster/row_count"]) == (1, 3)
    assert shown["drops"] == ["2024-01-01:as it was"], "the drops whose rows are back"
    assert history(instance, tables.place(NAME), SALES, 1)[0].restored_from == good
    again = plan_restoration(tables, NAME, LAYOUT, good)
    assert again.changed == []
    assert restore(tables, instance, again, LAYOUT) is None
    assert DeltaTable(tables.place(NAME)).version() == commit.version

    one = plan_restoration(tables, NAME, LAYOUT, before, ["2024-01-01"])
    assert (one.changed, one.not_in_version) == (["2024-01-01"], [])
    with pytest.raises(TravelRefused, match="has no rows of 2024-02-01"):
        plan_restoration(tables, NAME, LAYOUT, before, ["2024-02-01"])


def test_rows_that_are_put_back_bring_along_what_they_were_made_from(spark, tmp_path, instance):
    tables = PathTables(spark, str(tmp_path / "lakehouse"))
    written(tables, DAYS[0], 1, drop="first.csv")
    written(tables, DAYS[0], 2, drop="second.csv")
    good = written(tables, DAYS[1], 3, drop="other.csv")
    written(tables, DAYS[0], 4, drop="corrected.csv")
    commit = restore(tables, instance, plan_restoration(tables, NAME, LAYOUT, good), LAYOUT)
    assert commit is not None
    newest = {origin.partition: origin for origin in reversed(list(origins(tables.place(NAME))))}
    assert {day: (origin.version, origin.says) for day, origin in newest.items()} == {
        "2024-01-01": (commit.version, [{"path": "second.csv"}]),
        "2024-01-02": (good, [{"path": "other.csv"}]),
    }
