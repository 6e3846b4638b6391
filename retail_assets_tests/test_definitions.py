"""What Dagster loads: light, valid, and with all that the UI shows of a table."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    LocalFileCodeReference,
    TableSchema,
    TimeWindowPartitionsDefinition,
    build_resources,
    multiprocess_executor,
)
from dagster._core.definitions.step_launcher import StepLauncher
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._serdes import serialize_value

from retail_assets.cli import prepare_dagster_home
from retail_assets.definitions import build_definitions
from retail_assets.lakehouse.contracts import origins
from retail_assets.lakehouse.event_log import OpenSqliteEventLogStorage
from retail_assets.landing.calendar import keep_calendar
from retail_assets.operations.freshness import DAILY, MONTHLY
from retail_assets.operations.side_by_side_executor import side_by_side_executor
from retail_assets.project import project_root
from retail_assets.settings import Settings
from retail_assets_tests.made_shop import TABLES

YESTERDAY = datetime.now(tz=UTC).date() - timedelta(days=1)


def environment(directory: Path, **variables: str) -> dict[str, str]:
    return {
        "RETAIL_LANDING": str(directory / "landing"),
        "RETAIL_LAKEHOUSE": str(directory / "lakehouse"),
        **variables,
    }


def assets(variables: Mapping[str, str]) -> dict[str, AssetsDefinition]:
    """Table -> its asset, with the calendar that these settings state."""
    graph = build_definitions(Settings.read(variables)).resolve_asset_graph()
    return {asset.key.path[-1]: asset for asset in graph.assets_defs if asset.is_executable and asset.keys}


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> dict[str, AssetsDefinition]:
    """The assets over a closed calendar."""
    directory = tmp_path_factory.mktemp("closed")
    keep_calendar(str(directory / "landing"), "online_retail", *_days("2009-12-01", "2011-12-09"))
    return assets(environment(directory))


def _days(first: str, last: str):
    return datetime.fromisoformat(first).date(), datetime.fromisoformat(last).date()


def process_environment(directory: Path) -> dict[str, str]:
    home = directory / "dagster"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETAIL_", "DAGSTER_"))}
    return {**kept, **environment(directory), "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}


DATABRICKS = {
    "RETAIL_DEPLOYMENT": "databricks",
    "RETAIL_LANDING": "/Volumes/retail/landing/drops",
    "RETAIL_CATALOG": "retail",
    "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2009-12-01",
    "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-12-09",
}
HOST = {
    **DATABRICKS,
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": "secret",
    "RETAIL_DATABRICKS_CLUSTER_ID": "0123-456789-abcdefgh",
}
CLUSTER = {**DATABRICKS, "RETAIL_ON_CLUSTER": "1"}

LOADED = """
import json, socket, sys

def no_network(*arguments, **options):
    raise OSError("definitions must load without network")

socket.socket.connect = socket.getaddrinfo = no_network
import psutil
import retail_assets.definitions
from pyspark import SparkContext
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "children": [child.name() for child in psutil.Process().children(recursive=True)],
    "gateway": SparkContext._gateway is not None,
}))
"""


@pytest.mark.parametrize("deployment", [{}, HOST, CLUSTER], ids=["local", "databricks", "cluster"])
def test_definitions_load_without_a_jvm_without_network_and_without_heavy_libraries(tmp_path, deployment):
    loaded = json.loads(
        subprocess.run(
            [sys.executable, "-c", LOADED],
            env={**process_environment(tmp_path), **deployment},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
    )
    heavy = {"mlflow", "dagster_mlflow", "sklearn", "scipy", "databricks", "dagster_databricks", "delta", "deltalake"}
    heavy |= {"altair", "vl_convert"}
    assert heavy.isdisjoint(loaded["modules"])
    assert "python_calamine" not in loaded["modules"]
    assert loaded["children"] == []
    assert loaded["gateway"] is False


@pytest.mark.parametrize("deployment", [{}, HOST], ids=["local", "databricks"])
def test_dagster_finds_the_definitions_valid(tmp_path, deployment):
    program = Path(sys.executable).parent / "dagster"
    result = subprocess.run(
        [program, "definitions", "validate", "--workspace", project_root() / "workspace.yaml"],
        env={**process_environment(tmp_path), **deployment},
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Validation successful for code location retail_assets" in result.stdout + result.stderr


def test_the_ui_shows_of_secrets_the_variables_that_hold_them(tmp_path, monkeypatch):
    secrets = {
        "MLFLOW_TRACKING_URI": "postgresql://mlflow:hunter2@db/mlflow",
        "RETAIL_PSEUDONYM_KEY": "a key of 32 characters or longer, hunter2",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    definitions = build_definitions(Settings.read(environment(tmp_path, **secrets)))
    shown = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "hunter2" not in shown
    assert all(name in shown for name in secrets)


def test_customers_ids_are_swapped_on_their_way_into_what_people_read(tmp_path):
    manager = (build_definitions(Settings.read(environment(tmp_path))).resources or {})["io_manager"]
    assert (manager.id_columns, manager.pseudonymous_layers) == (["customer_id"], ["gold", "ml", "report"])


@pytest.mark.parametrize("given", ["", "http://me:hunter2@mlflow"])
def test_models_are_tracked_where_the_variable_says_or_beside_the_lakehouse(tmp_path, monkeypatch, given):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    definitions = build_definitions(Settings.read(environment(tmp_path, MLFLOW_TRACKING_URI=given)))
    with build_resources({"mlflow": dict(definitions.resources or {})["mlflow"]}) as resources:
        assert resources.mlflow.tracking_uri == (given or f"sqlite:///{tmp_path}/mlflow.db")


def test_every_table_is_an_asset_in_its_group(closed):
    groups: dict[str, set[str]] = {}
    for name, asset in closed.items():
        groups.setdefault(asset.group_names_by_key[asset.key], set()).add(name)
    assert groups == {
        "bronze": {"raw_invoices"},
        "silver": {
            "quarantined_invoices",
            "clean_transactions",
            "customer_month_activity",
            "campaigns",
            "product_demand",
        },
        "gold": {
            "actions",
            "campaign_results",
            "clv_holdout",
            "customer_clv",
            "customer_rfm",
            "customer_segments",
            "segment_drift",
            "segment_summary",
            "daily_metrics",
            "geo_metrics",
            "price_changes",
            "price_tiers",
            "monthly_activity",
            "product_metrics",
            "category_metrics",
            "product_affinities",
            "demand_forecast",
            "reorder_hints",
        },
        "ml": {
            "segment_model",
            "segment_champion",
            "churn_evaluation",
            "churn_scores",
            "demand_candidates",
            "forecast_evaluation",
            "reorder_evaluation",
            "customer_recommendations",
            "recommendation_evaluation",
            "price_elasticity",
        },
        "quality": {"bronze_daily_quality", "bronze_silver_comparison", "daily_counts"},
        "report": {"dashboard"},
    }
    assert all(asset.key == AssetKey(["online_retail", name]) for name, asset in closed.items())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.key.path[-1])
def test_the_ui_has_all_there_is_to_say_of_a_table(closed, table):
    name = table.key.path[-1]
    asset = closed[name]
    spec = asset.get_asset_spec(table.key)
    assert spec.description == inspect.getdoc(table.contract)
    assert spec.owners
    assert {"pyspark", "delta"} <= spec.kinds
    assert spec.metadata["dagster/table_name"] == f"online_retail.{name}"

    schema = spec.metadata["dagster/column_schema"]
    assert isinstance(schema, TableSchema)
    assert [column.name for column in schema.columns] == list(table.contract.to_schema().columns)
    assert all(column.description and column.type for column in schema.columns)

    # The picture travels with the definitions of every table: it is to stay small.
    drawn = spec.metadata.get("column_lineage")
    assert (drawn is None) == (not any(origins(table.contract).values()))
    assert drawn is None or len(drawn.value) < 16_000

    (reference,) = spec.metadata["dagster/code_references"].code_references
    assert isinstance(reference, LocalFileCodeReference)
    source = Path(reference.file_path)
    assert source.name == f"{name}.py"
    assert reference.line_number is not None
    assert source.read_text().splitlines()[reference.line_number - 1].startswith("@table(")

    checks = list(asset.check_specs)
    assert [check.name for check in checks] == [check.name for check in table.checks]
    assert checks[0].name == "contract"
    # What warns is shown as it stands now, not as red for as long as any partition ever warned.
    assert all(check.partitions_def == (asset.partitions_def if check.blocking else None) for check in checks)
    assert all(check.description for check in checks)
    (node,) = asset.op.pool if isinstance(asset.op.pool, tuple) else (asset.op.pool,)
    assert node == f"write_online_retail_{name}"


def test_the_results_of_checks_are_an_asset_that_steps_of_others_write(tmp_path):
    graph = build_definitions(Settings.read(environment(tmp_path))).resolve_asset_graph()
    node = graph.get(AssetKey(["online_retail", "dq_results"]))
    assert not node.is_executable
    assert node.group_name == "quality"
    assert node.description
    assert node.owners
    assert node.metadata["dagster/table_name"] == "online_retail.dq_results"
    assert all(column.description for column in node.metadata["dagster/column_schema"].columns)


def test_only_where_drops_are_still_to_come_is_a_table_late(closed, tmp_path):
    assert all(asset.get_asset_spec(asset.key).freshness_policy is None for asset in closed.values())
    keep_calendar(str(tmp_path / "landing"), "online_retail", YESTERDAY - timedelta(days=100), None)
    policies = {
        name: asset.get_asset_spec(asset.key).freshness_policy for name, asset in assets(environment(tmp_path)).items()
    }
    assert policies["raw_invoices"] == policies["daily_counts"] == DAILY
    assert policies["customer_rfm"] == policies["churn_scores"] == MONTHLY
    assert None not in policies.values()


# Deployments ---------------------------------------------------------------------------------------------------------


def test_both_deployments_and_the_cluster_have_the_same_graph(closed):
    expected = {name: asset.partitions_def for name, asset in closed.items()}
    for deployment in (HOST, CLUSTER):
        assert {name: asset.partitions_def for name, asset in assets(deployment).items()} == expected


def test_only_the_host_of_the_databricks_deployment_launches_steps_side_by_side(tmp_path):
    local, host, cluster = (
        build_definitions(Settings.read(variables)) for variables in (environment(tmp_path), HOST, CLUSTER)
    )
    kinds = [build_resources(dict(definitions.resources or {})) for definitions in (local, cluster)]
    for opened in kinds:
        with opened as resources:
            assert resources.step_launcher is None
    executors = [definitions.executor for definitions in (local, host, cluster)]
    assert executors == [side_by_side_executor, multiprocess_executor, side_by_side_executor]
    with build_resources({"step_launcher": (host.resources or {})["step_launcher"]}) as resources:
        assert isinstance(resources.step_launcher, StepLauncher)


def test_governance_is_a_job_where_there_is_a_catalog(tmp_path):
    jobs = [
        {job.name for job in build_definitions(Settings.read(variables)).jobs or []}
        for variables in (environment(tmp_path), HOST, CLUSTER)
    ]
    of_the_source = {"online_retail_days", "online_retail_months", "online_retail_scores"}
    assert [found - of_the_source for found in jobs] == [
        {"catch_up", "forget", "maintenance"},
        *[{"maintenance", "unity_catalog_governance"}] * 2,
    ]
    assert all(of_the_source <= found for found in jobs)


def test_drops_are_looked_for_where_this_machine_sees_them(tmp_path):
    def sensors(variables: Mapping[str, str]) -> set[str]:
        return {sensor.name for sensor in build_definitions(Settings.read(variables)).sensors or []}

    a_disk_of_a_mac = environment(tmp_path, RETAIL_LANDING="/Volumes/data/landing")
    assert sensors(environment(tmp_path)) - sensors(HOST) == {"online_retail_arrivals"}
    assert "online_retail_arrivals" in sensors(a_disk_of_a_mac)
    assert "online_retail_arrivals" in sensors({**HOST, "RETAIL_LANDING": "s3://bucket/landing"})


# The calendar --------------------------------------------------------------------------------------------------------


def partitions(asset: AssetsDefinition) -> list[str]:
    assert isinstance(asset.partitions_def, TimeWindowPartitionsDefinition)
    return list(asset.partitions_def.get_partition_keys())


def test_a_closed_calendar_ends_at_its_last_day(closed):
    days, months = partitions(closed["raw_invoices"]), partitions(closed["customer_rfm"])
    assert (days[0], days[-1], len(days)) == ("2009-12-01", "2011-12-09", 739)
    assert (months[0], months[-1], len(months)) == ("2009-12-01", "2011-12-01", 25)
    assert partitions(closed["churn_evaluation"])[0] == partitions(closed["churn_scores"])[0] == "2010-05-01"
    assert partitions(closed["customer_clv"])[0] == "2010-05-01"
    assert partitions(closed["clv_holdout"])[0] == "2010-05-01"


def test_an_open_calendar_goes_on_to_yesterday_and_the_running_month(tmp_path):
    keep_calendar(str(tmp_path / "landing"), "online_retail", YESTERDAY - timedelta(days=100), None)
    open_ended = assets(environment(tmp_path))
    days, months = partitions(open_ended["raw_invoices"]), partitions(open_ended["customer_rfm"])
    assert (days[0], days[-1]) == (str(YESTERDAY - timedelta(days=100)), str(YESTERDAY))
    assert months[0] == str((YESTERDAY - timedelta(days=100)).replace(day=1))
    assert months[-1] == str((YESTERDAY + timedelta(days=1)).replace(day=1))


def test_the_environment_overrides_the_calendar_of_the_landing_zone(tmp_path):
    keep_calendar(str(tmp_path / "landing"), "online_retail", *_days("2009-12-01", "2011-12-09"))
    overridden = assets(environment(tmp_path, RETAIL_ONLINE_RETAIL_LAST_DAY="2010-01-15"))
    assert partitions(overridden["raw_invoices"])[0] == "2009-12-01"
    assert partitions(overridden["raw_invoices"])[-1] == "2010-01-15"
    assert partitions(overridden["customer_rfm"]) == ["2009-12-01", "2010-01-01"]


def test_a_calendar_that_ends_with_a_month_has_no_month_after_it(tmp_path):
    keep_calendar(str(tmp_path / "landing"), "online_retail", *_days("2010-01-31", "2010-02-28"))
    assert partitions(assets(environment(tmp_path))["customer_rfm"]) == ["2010-01-01", "2010-02-01"]


# dagster.yaml --------------------------------------------------------------------------------------------------------


def test_dagster_yaml_gives_one_run_one_writer_per_table_and_no_multiplied_retries(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    home = prepare_dagster_home()
    assert (home / "dagster.yaml").resolve() == project_root() / "dagster.yaml"
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        assert isinstance(instance.event_log_storage, OpenSqliteEventLogStorage)
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 1
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        assert instance.run_retries_max_retries == 1
        assert instance.run_retries_retry_on_asset_or_op_failure is False
        assert instance.telemetry_enabled is False
        # The default becomes the limit of every pool when it is first used.
        assert instance.event_log_storage.initialize_concurrency_limit_to_default("write_online_retail_raw_invoices")
        pool = instance.event_log_storage.get_concurrency_info("write_online_retail_raw_invoices")
        assert pool.slot_count == 1
