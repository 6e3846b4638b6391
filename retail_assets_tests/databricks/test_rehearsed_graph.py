"""`retail rehearse`: the whole graph through the launcher, against a local run on the same drops."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterEventType, RunsFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from retail_assets.databricks.rehearsal.deployment import deployment_environment, landing_directory
from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets.landing.calendar import read_calendar
from retail_assets.project import project_root
from retail_assets_tests.made_shop import TABLES
from retail_assets_tests.operations.as_written import OF_A_YOUNG_HISTORY, all_rows
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.homes import opened

pytestmark = [pytest.mark.long, pytest.mark.jvm]

# Enough history for churn scores, which need months whose outcome is known, and enough baskets for product affinities.
SIZE = ("--lines", "12000", "--days", "260")


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


def test_every_check_is_current_in_every_partition(rehearsed):
    with opened(rehearsed.directory / "dagster_home") as instance:
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


def test_governance_describes_and_grants_once(rehearsed):
    with Workspace(rehearsed.directory) as workspace:
        for changes in (True, False):
            result = dagster(rehearsed, workspace, "job", "execute", "--job", "unity_catalog_governance")
            assert result.returncode == 0, result.stdout + result.stderr
            described, granted = (metadata_of(rehearsed, step) for step in ("describe_tables", "grant_access"))
            assert described["not_there_yet"].value == granted["not_there_yet"].value == "none"
            assert (described["changes"].value > 0, granted["changes"].value > 0) == (changes, changes)
            if changes:
                log_cut = "'delta.logRetentionDuration' = 'interval 30 days'"
                cut = [line for line in described["statements"].value.splitlines() if log_cut in line]
                assert cut
                assert not any("`raw_invoices`" in line for line in cut), "its log says where every day is from"
                analysts = "GRANT SELECT ON TABLE spark_catalog.online_retail.customer_rfm TO `analysts`"
                assert analysts in granted["statements"].value
                assert "clean_transactions TO `analysts`" not in granted["statements"].value


def test_a_model_that_fails_remotely_ends_failed(rehearsed):
    artifacts = rehearsed.directory / "mlflow-artifacts"
    kept = artifacts.rename(artifacts.with_name("kept"))
    artifacts.touch()  # no model can be written there
    try:
        with Workspace(rehearsed.directory) as workspace:
            with opened(rehearsed.directory / "dagster_home") as instance:
                months = instance.get_materialized_partitions(AssetKey(["online_retail", "segment_model"]))
            result = dagster(
                rehearsed,
                workspace,
                *("asset", "materialize", "--select", "key:online_retail/segment_model", "--partition", max(months)),
            )
    finally:
        artifacts.unlink()
        kept.rename(artifacts)
    assert result.returncode != 0
    with sqlite3.connect(rehearsed.directory / "mlflow.db") as store:
        # The Dagster run's, and in it the month's, which was tried twice; the candidates had come to their end.
        outer = "SELECT status FROM runs WHERE name NOT LIKE 'k=%' ORDER BY start_time DESC, rowid DESC LIMIT 3"
        assert store.execute(outer).fetchall() == [("FAILED",)] * 3


@pytest.mark.parametrize("compute", ["standard", "serverless"])
def test_compute_without_a_jvm_makes_the_same_tables(compute: str, tmp_path: Path):
    """Neither py4j nor RDDs can be imported there, and serverless compute refuses what Databricks' refuses."""
    directory, command = tmp_path / "workspace", RetailCommand(tmp_path)
    young = ("--lines", "2000", "--days", "70")
    result = command("rehearse", "--compute", compute, *young, "--directory", str(directory))
    assert result.returncode == 0, result.stdout + result.stderr
    local = command("run", RETAIL_LANDING=str(directory / "volumes/spark_catalog/rehearsal/landing"))
    assert local.returncode == 0, local.stdout + local.stderr
    (directory / "as_path").mkdir()
    (directory / "as_path/online_retail").symlink_to(directory / "warehouse/online_retail.db")
    remote = all_rows(directory / "as_path", OF_A_YOUNG_HISTORY)
    assert remote == all_rows(command.lakehouse, OF_A_YOUNG_HISTORY)
    assert not list((directory / "warehouse/online_retail.db").glob("_staged_*"))


def dagster(rehearsed: Rehearsed, workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Dagster's own command on the rehearsal's deployment."""
    calendar = read_calendar(str(landing_directory(workspace)), "online_retail", {})
    environment = (
        rehearsed.local.environment
        | deployment_environment(workspace)
        | {
            "RETAIL_ONLINE_RETAIL_FIRST_DAY": str(calendar.first_day),
            "RETAIL_ONLINE_RETAIL_LAST_DAY": str(calendar.last_day or "open"),
        }
    )
    command = [sys.executable, "-m", "dagster", *arguments, "--module-name", "retail_assets.definitions"]
    return subprocess.run(command, env=environment, cwd=project_root(), capture_output=True, text=True, timeout=600)


def metadata_of(rehearsed: Rehearsed, step: str) -> Mapping[str, Any]:
    """What the step's newest success shows."""
    with opened(rehearsed.directory / "dagster_home") as instance:
        [run] = instance.get_runs(RunsFilter(job_name="unity_catalog_governance"), limit=1)
        for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_OUTPUT):
            if entry.step_key == step:
                return entry.get_dagster_event().step_output_data.metadata
    raise AssertionError(f"{step} made no output")


def test_nothing_stays_staged(rehearsed):
    assert not list((rehearsed.directory / "volumes/spark_catalog/rehearsal/staging").iterdir())
