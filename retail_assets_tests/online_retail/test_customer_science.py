"""From customer_rfm to segments in real runs: what scores, what MLflow holds, and that all of it can be made again."""

import json
import subprocess
import sys
from datetime import date

import pytest
from dagster import AssetCheckSeverity, DagsterInstance
from mlflow import MlflowClient
from pyspark.sql import SparkSession

from retail_assets.analytics.segmentation import FEATURES
from retail_assets.customers import segment_model
from retail_assets_tests.analytics.test_champions import garbage
from retail_assets_tests.analytics.test_segmentation import made_customers
from retail_assets_tests.online_retail.customer_science import keep_rfm, make
from retail_assets_tests.operations.as_written import rows
from retail_assets_tests.workbench import Workbench

MODEL, EXPERIMENT = (name.format("online_retail") for name in (segment_model.MODEL, segment_model.EXPERIMENT))

TABLES = ["segment_model", "segment_champion", "customer_segments", "segment_drift", "segment_summary"]
JANUARY, FEBRUARY, MARCH = (date(2011, month, 1) for month in (1, 2, 3))
COUNT = 1_000  # enough for models of two months to be compared


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession):
    """Three months in one backfill: the last is garbage."""
    workbench = Workbench(tmp_path_factory.mktemp("science"), spark, DagsterInstance.ephemeral(), "2011-03-31")
    workbench.environment["RETAIL_ONLINE_RETAIL_FIRST_DAY"] = "2011-01-01"
    workbench.settings = workbench.settings.read(workbench.environment)
    good = made_customers(COUNT)
    older = good.assign(recency_days=good.recency_days + 28)
    keep_rfm(workbench, {JANUARY: good, FEBRUARY: older, MARCH: garbage(COUNT)})
    result = make(workbench, TABLES, str(JANUARY), str(MARCH))
    assert result.success
    return workbench, result


def written(workbench: Workbench) -> dict:
    return {table: rows(workbench.directory / "lakehouse", table) for table in TABLES}


def test_garbage_is_scored_by_the_champion_and_the_check_names_the_gate(backfilled):
    workbench, result = backfilled
    scored = workbench.table("customer_segments").groupBy("snapshot_month", "model_month").count().collect()
    assert {(row.snapshot_month, row.model_month): row["count"] for row in scored} == {
        (JANUARY, JANUARY): COUNT, (FEBRUARY, FEBRUARY): COUNT, (MARCH, FEBRUARY): COUNT,
    }  # fmt: skip
    checks = {
        check.partition: check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "champion_gates" and check.partition
    }
    assert {key: check.passed for key, check in checks.items()} == {
        str(JANUARY): True, str(FEBRUARY): True, str(MARCH): False,
    }  # fmt: skip
    refused = checks[str(MARCH)]
    assert refused.severity == AssetCheckSeverity.WARN
    assert "agreement_with_champion" in refused.metadata["failed_gates"].value
    assert refused.metadata["scored_by_the_model_of"].value == str(FEBRUARY)


def test_the_registry_shows_versions_by_month_their_gates_and_the_champion(backfilled):
    workbench, _ = backfilled
    uri = workbench.settings.mlflow_tracking_uri
    client = MlflowClient(uri, uri)
    versions = {
        month: client.get_model_version_by_alias(MODEL, f"month-{month:%Y-%m}") for month in (JANUARY, FEBRUARY, MARCH)
    }
    assert client.get_model_version_by_alias(MODEL, "champion").version == versions[FEBRUARY].version
    assert versions[JANUARY].tags == {"gates": "passed", "agreement_with_champion": "no champion before"}
    assert versions[MARCH].tags["gates"].startswith("failed: ")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    levels = [run.data.tags.get("level", "run") for run in runs.values()]
    assert {level: levels.count(level) for level in levels} == {"run": 1, "month": 3, "candidate": 27}
    for run in runs.values():
        parent = runs.get(run.data.tags.get("mlflow.parentRunId", ""))
        assert (parent.data.tags.get("level", "run") if parent else None) == {
            "candidate": "month", "month": "run", "run": None,
        }[run.data.tags.get("level", "run")]  # fmt: skip
        if run.data.tags.get("level") == "month":
            assert run.data.params["features"] == ", ".join(FEATURES)
            assert run.data.params["transform_in_words"].startswith("log1p of each measure")


def test_the_registered_champion_predicts_in_a_new_process_without_this_package_what_the_table_says(backfilled):
    workbench, _ = backfilled
    customers = workbench.table("customer_segments").where(f"snapshot_month = '{MARCH}'").toPandas()
    customers[FEATURES].astype("float64").to_csv(workbench.directory / "customers.csv", index=False)
    program = f"""
import json, sys
sys.modules["retail_assets"] = None
import mlflow, pandas
mlflow.set_tracking_uri({workbench.settings.mlflow_tracking_uri!r})
model = mlflow.pyfunc.load_model("models:/{MODEL}@champion")
told = [model.metadata.metadata["transform"], model.metadata.signature.inputs.input_names(), len(model.input_example)]
print(json.dumps([told, model.predict(pandas.read_csv("customers.csv")).tolist()]))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=workbench.directory, capture_output=True, text=True, check=True
    )
    told, predicted = json.loads(result.stdout)
    assert told == ["log", FEATURES, 5]
    assert predicted == customers.cluster.tolist()


@pytest.mark.long
def test_months_made_again_in_another_order_and_after_the_registry_was_wiped_are_the_same_bit_for_bit(backfilled):
    workbench, _ = backfilled
    before = written(workbench)
    uri = workbench.settings.mlflow_tracking_uri
    for month in (MARCH, JANUARY):
        assert make(workbench, TABLES, str(month)).success
    assert written(workbench) == before
    # January made again leaves the champion of the newest month in force.
    client = MlflowClient(uri, uri)
    champion = client.get_model_version_by_alias(MODEL, "champion").version
    assert champion == client.get_model_version_by_alias(MODEL, "month-2011-02").version

    # An empty registry in its place: MLflow keeps the connection to the one before for as long as the process lives.
    uri = f"sqlite:///{workbench.directory / 'wiped.db'}"
    workbench.settings = workbench.settings.read({**workbench.environment, "MLFLOW_TRACKING_URI": uri})
    assert make(workbench, TABLES[1:], str(MARCH)).success
    assert written(workbench) == before
    # The champion is registered again, from the rows of its table.
    restored = MlflowClient(uri, uri).get_model_version_by_alias(MODEL, "champion")
    assert (str(restored.version), sorted(restored.aliases)) == ("1", ["champion", "month-2011-02"])
