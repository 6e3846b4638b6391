"""Upkeep: rows stay, versions within the retention stay readable, what nobody needs goes, and the UI says so.

The tables here are written by the deltalake package; `test_spark_reads_on_after_upkeep` has Spark write and read.
"""

import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, OpDefinition
from deltalake import DeltaTable, write_deltalake

from retail_assets.definitions import build_definitions
from retail_assets.lakehouse.maintenance import maintain_in_catalog, maintain_path
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets.lakehouse.provenance import origins
from retail_assets.operations.maintenance import maintenance_job
from retail_assets.partitions.keys import DIRECTORY, PARTITION
from retail_assets.settings import SettingError, Settings
from retail_assets_tests.operations.homes import home_of

DAY_SECONDS = 24 * 3600
SALES = AssetKey(["shop", "sales"])


BY_MONTH = {PARTITION: "day", DIRECTORY: "month"}


def write_days(place: str, days: range) -> None:
    for day in days:
        rows = pa.table({"month": ["2024-01"] * 2, "day": [day, day], "units": [1, 2]})
        write_deltalake(place, rows, partition_by=["month"], mode="append")


def replace_day(place: str, day: int, units: list[int]) -> None:
    rows = pa.table({"month": ["2024-01"] * len(units), "day": [day] * len(units), "units": units})
    write_deltalake(place, rows, mode="overwrite", predicate=f"day = {day}")


def rows(place: str, version: int | None = None) -> list[dict[str, Any]]:
    found = DeltaTable(place, version=version).to_pyarrow_table().to_pylist()
    return sorted(found, key=lambda row: (row["day"], row["units"]))


def age(log: Path, days: float, version: int) -> None:
    """Makes a log's entries up to a version look as if they were written so many days ago."""
    moment = time.time() - days * DAY_SECONDS
    for file in log.iterdir():
        if file.name[:20].isdecimal() and int(file.name[:20]) <= version:
            os.utime(file, (moment, moment))


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "lakehouse" / "shop" / "sales")


def test_small_files_become_one_and_the_rows_stay(place):
    write_days(place, range(1, 11))
    before = rows(place)
    upkeep = maintain_path(place, 30)
    assert (upkeep.files_before, upkeep.files_after, upkeep.files_compacted) == (10, 1, 10)
    assert upkeep.bytes_after < upkeep.bytes_before
    assert rows(place) == before
    assert upkeep.delta_version == DeltaTable(place).version()
    again = maintain_path(place, 30)
    assert (again.files_compacted, again.files_vacuumed, again.delta_version) == (0, 0, upkeep.delta_version)


def test_versions_within_the_retention_stay_readable(place):
    write_days(place, range(1, 4))
    replace_day(place, 2, [9])
    as_it_was = [rows(place, version) for version in range(4)]
    assert maintain_path(place, 30).files_vacuumed == 0
    assert [rows(place, version) for version in range(4)] == as_it_was
    assert len(as_it_was[3]) == 5


def test_what_a_killed_write_left_goes_once_it_is_old_and_not_before(place):
    write_days(place, range(1, 4))
    old, new = (Path(place, "month=2024-01", f"part-{name}.parquet") for name in ("old", "new"))
    for file in (old, new):
        file.write_bytes(b"half a file")
    os.utime(old, (time.time() - 31 * DAY_SECONDS,) * 2)
    upkeep = maintain_path(place, 30)
    assert upkeep.files_vacuumed == 1
    assert not old.exists()
    assert new.exists(), "a write that goes on has such files, too"


def test_the_log_before_an_old_checkpoint_is_cleaned(place):
    write_days(place, range(1, 6))
    checkpointed = maintain_path(place, 30).delta_version
    write_days(place, range(6, 8))
    expected = rows(place)
    age(Path(place, "_delta_log"), 31, checkpointed)
    upkeep = maintain_path(place, 30)
    assert upkeep.log_entries_removed == checkpointed
    assert rows(place) == expected
    newest = upkeep.delta_version
    assert rows(place, newest - 1) == expected
    assert len(rows(place, newest - 2)) == 12, "written after the log's old part"


def test_the_retention_is_written_into_the_table_for_every_engine(place):
    write_days(place, range(1, 2))
    maintain_path(place, 45)
    configuration = DeltaTable(place).metadata().configuration
    assert configuration["delta.deletedFileRetentionDuration"] == "interval 45 days"
    assert configuration["delta.logRetentionDuration"] == "interval 45 days"


def test_a_log_that_remembers_what_rows_were_made_from_is_not_cut(spark, tmp_path):
    tables, name = PathTables(spark, str(tmp_path)), ("shop", "sales")
    for day in (1, 2):
        key = date(2024, 1, day)
        rows, origin = days_frame(spark, day, units=day), {str(key): f"drop {day}"}
        tables.replace(name, rows, BY_MONTH, [key], origin)
    place = tables.place(name)
    remembered = [("2024-01-02", "drop 2"), ("2024-01-01", "drop 1")]
    assert [(origin.partition, origin.says) for origin in origins(place)] == remembered
    checkpointed = maintain_path(place, 30).delta_version
    tables.replace(name, days_frame(spark, 3, units=3), BY_MONTH, [date(2024, 1, 3)])
    age(Path(place, "_delta_log"), 31, checkpointed)
    assert maintain_path(place, 30).log_entries_removed == 0
    assert [(origin.partition, origin.says) for origin in origins(place)] == remembered
    configuration = DeltaTable(place).metadata().configuration
    assert configuration["delta.logRetentionDuration"] == "interval 3650 days"
    assert configuration["delta.deletedFileRetentionDuration"] == "interval 30 days"


@pytest.mark.parametrize("days", ["6", "0", "-1", "a month", "1.5"])
def test_a_retention_that_is_too_short_is_refused_at_start_up(days):
    with pytest.raises(SettingError, match="RETAIL_RETENTION_DAYS"):
        Settings.read({"RETAIL_RETENTION_DAYS": days})


def test_the_retention_reaches_the_cluster():
    settings = Settings.read({"RETAIL_RETENTION_DAYS": "90"})
    assert settings.retention_days == 90
    assert settings.remote_environment["RETAIL_RETENTION_DAYS"] == "90"
    assert Settings.read({}).retention_days == 30


def test_the_job_shows_at_each_table_what_was_done(place, tmp_path):
    write_days(place, range(1, 6))
    settings = Settings.read({"RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse"), "RETAIL_LANDING": str(tmp_path)})
    never_made = AssetKey(["shop", "returns"])
    job = maintenance_job(settings, [SALES, never_made])
    with home_of(tmp_path / "home") as instance:
        assert job.execute_in_process(instance=instance).success
        shown = observed(instance, SALES)
        assert observed(instance, never_made) is None
    assert shown is not None
    assert {name: shown[name] for name in ("files_before", "files_after", "files_compacted")} == {
        "files_before": 5,
        "files_after": 1,
        "files_compacted": 5,
    }
    assert shown["seconds"] >= 0


def observed(instance: DagsterInstance, key: AssetKey) -> dict[str, Any] | None:
    records = instance.fetch_observations(AssetRecordsFilter(key), limit=1).records
    if not records:
        return None
    observation = records[0].asset_observation
    assert observation is not None
    return {name: value.value for name, value in observation.metadata.items()}


def test_upkeep_waits_for_whoever_writes_the_table(tmp_path):
    """Every local step is in its table's pool, the one that the table's own step is in."""
    settings = Settings.read({"RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse"), "RETAIL_LANDING": str(tmp_path)})
    definitions = build_definitions(settings)
    job = definitions.get_job_def("maintenance")
    pools = {
        node.name.removeprefix("maintain__"): node.definition.pool
        for node in job.graph.nodes
        if isinstance(node.definition, OpDefinition)
    }
    graph = definitions.resolve_asset_graph()
    writers = {
        "__".join(asset.key.path): asset.op.pool for asset in graph.assets_defs if asset.is_executable and asset.keys
    }
    assert writers
    assert {name: pools[name] for name in writers} == writers
    assert None not in writers.values()


def test_the_maintenance_runs_every_week(tmp_path):
    settings = Settings.read({"RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse"), "RETAIL_LANDING": str(tmp_path)})
    schedule = build_definitions(settings).get_schedule_def("maintenance_schedule")
    assert schedule.cron_schedule == "0 3 * * 0"
    assert schedule.execution_timezone == "UTC"


def test_spark_reads_on_after_upkeep(spark, tmp_path):
    tables = PathTables(spark, str(tmp_path))
    name = ("shop", "sales")
    for day in (1, 2, 3):
        tables.replace(name, days_frame(spark, day, units=day), BY_MONTH, [date(2024, 1, day)])
    before = sorted(map(str, tables.read(name).collect()))
    upkeep = maintain_path(tables.place(name), 30)
    assert upkeep.files_compacted >= 3
    assert upkeep.files_after == 1
    assert sorted(map(str, tables.read(name).collect())) == before
    commit = tables.replace(name, days_frame(spark, 2, units=20), BY_MONTH, [date(2024, 1, 2)])
    assert (commit.rows, commit.table_rows) == (1, 3)
    assert sorted(row.units for row in tables.read(name).collect()) == [1, 3, 20]
    assert sorted(row.units for row in tables.read(name, upkeep.delta_version).collect()) == [1, 2, 3]


def days_frame(spark, day: int, units: int):
    from decimal import Decimal

    return spark.createDataFrame(
        [("a", units, Decimal("1.125"), {"x": "y"}, ["r"], date(2024, 1, day), "2024-01")],
        "id string, units int, money decimal(18,3), extra map<string,string>, reasons array<string>, day date, "
        "month string",
    )


@pytest.mark.long
def test_the_catalog_is_kept_by_sql(spark):
    spark.sql("CREATE DATABASE IF NOT EXISTS upkeep")
    spark.sql("DROP TABLE IF EXISTS upkeep.sales")
    for day in (1, 2, 3):
        days_frame(spark, day, units=day).write.format("delta").mode("append").saveAsTable("upkeep.sales")
    try:
        upkeep = maintain_in_catalog(spark, "spark_catalog", ("upkeep", "sales"), 30)
        assert upkeep.files_before >= 3
        assert upkeep.files_after == 1
        assert upkeep.files_compacted == upkeep.files_before
        assert upkeep.files_vacuumed == 0
        (detail,) = spark.sql("DESCRIBE DETAIL upkeep.sales").select("properties").collect()
        assert detail.properties["delta.deletedFileRetentionDuration"] == "interval 30 days"
        assert sorted(row.units for row in spark.table("upkeep.sales").collect()) == [1, 2, 3]
    finally:
        spark.sql("DROP DATABASE upkeep CASCADE")
