"""`retail rehearse`: the whole graph through the launcher, against a local run on the same drops."""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import AssetCheckKey, DagsterEventType, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from retail_assets.online_retail.tables import TABLES
from retail_assets_tests.operations.as_written import all_rows
from retail_assets_tests.operations.command import RetailCommand

pytestmark = pytest.mark.long

# Enough history for churn scores, which need months whose outcome is known.
SIZE = ("--lines", "6000", "--days", "260")


@dataclass(frozen=True)
class Rehearsed:
    directory: Path
    said: str
    local: RetailCommand


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A rehearsal, and a local run on the drops that it made."""
    home = tmp_path_factory.mktemp("rehearsed")
    directory = home / "workspace"
    command = RetailCommand(home)
    result = command("rehearse", *SIZE, "--directory", str(directory))
    assert result.returncode == 0, result.stdout + result.stderr
    local = command("run", RETAIL_LANDING=str(directory / "volumes/spark_catalog/rehearsal/landing"))
    assert local.returncode == 0, local.stdout + local.stderr
    return Rehearsed(directory, result.stdout + result.stderr, command)


def test_every_table_equals_that_of_a_local_run_row_by_row(rehearsed):
    (rehearsed.directory / "as_path").mkdir()
    (rehearsed.directory / "as_path/online_retail").symlink_to(rehearsed.directory / "warehouse/online_retail.db")
    remote, local = all_rows(rehearsed.directory / "as_path"), all_rows(rehearsed.local.lakehouse)
    assert set(remote) == {table.key.path[-1] for table in TABLES}
    assert all(rows for rows in local.values())
    assert remote == local


def test_every_check_is_current_in_every_partition(rehearsed, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(rehearsed.directory / "dagster_home"))
    with DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        for table in TABLES:
            newest = storage.get_latest_storage_id_by_partition(table.key, DagsterEventType.ASSET_MATERIALIZATION)
            assert newest
            keys = [AssetCheckKey(table.key, check.name) for check in table.checks]
            found = storage.get_asset_check_partition_info(keys)
            assert {(info.check_key, info.partition_key) for info in found} == {
                (key, partition) for key in keys for partition in newest
            }
            assert all(info.is_current for info in found)
            assert {info.latest_execution_status for info in found} <= {
                AssetCheckExecutionRecordStatus.SUCCEEDED,
                AssetCheckExecutionRecordStatus.FAILED,
            }


def test_models_are_tracked_with_their_final_status(rehearsed):
    with sqlite3.connect(rehearsed.directory / "mlflow.db") as store:
        statuses = Counter(status for (status,) in store.execute("SELECT status FROM runs"))
        models = {name for (name,) in store.execute("SELECT name FROM registered_models")}
        parameters, metrics = (store.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("params", "metrics"))
    assert set(statuses) == {"FINISHED"}
    assert len(models) == 2
    assert parameters
    assert metrics


def test_it_says_what_ran_where(rehearsed):
    for table in TABLES:
        assert f"retail {'.'.join(table.key.path)}" in rehearsed.said
    assert "REST calls were answered" in rehearsed.said


def test_nothing_stays_staged(rehearsed):
    assert not list((rehearsed.directory / "volumes/spark_catalog/rehearsal/staging").iterdir())
