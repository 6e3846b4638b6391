"""churn_evaluation and churn_scores of the published history, made by their own assets in real Dagster runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey, materialize
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from retail_assets.analytics.out_of_time import area_under_roc, calibration_error
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity
from retail_assets.lakehouse.contracts import conform
from retail_assets.landing.calendar import keep_calendar
from retail_assets.settings import Settings
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.operations.as_written import all_rows
from retail_assets_tests.workbench import Workbench

TABLES = ["churn_evaluation", "churn_scores"]
FIRST, LAST = "2010-05-01", "2011-12-01"

pytestmark = pytest.mark.long


class Churn:
    """A lakehouse that holds the customers' months, and runs of the two tables over them."""

    def __init__(self, directory: Path, spark: SparkSession, activity: list[tuple]) -> None:
        self.workbench = Workbench(directory, spark, last_day="2011-12-09")
        self.workbench.drop("2011-12-09", [])
        keep_calendar(self.workbench.settings.landing, "online_retail", date(2009, 12, 1), date(2011, 12, 9))
        columns = (
            "customer_id string, activity_month date, orders bigint, units bigint, revenue decimal(18,3), "
            "returns_value decimal(18,3), active_days bigint, first_purchase_date date, last_purchase_date date, "
            "lines bigint, country string, products array<string>"
        )
        made = [(*row, "United Kingdom", []) for row in activity]
        frame = conform(spark.createDataFrame(made, columns), CustomerMonthActivity)
        frame.coalesce(1).write.format("delta").save(str(self.workbench.path("customer_month_activity")))

    @property
    def reader(self) -> IndependentReader:
        """SQL over the tables as they are now."""
        return IndependentReader(self.workbench.path("churn_scores").parent)

    def run(self, first: str, last: str | None = None) -> dict[str, dict[str, bool]]:
        """Makes both tables for the months; check -> partition -> whether it passed."""
        definitions = self.workbench.definitions()
        span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        result = materialize(
            cast(Any, definitions.assets),
            selection=[AssetKey(["online_retail", table]) for table in TABLES],
            partition_key=None if last else first,
            tags={key: str(value) for key, value in span.items()} if last else None,
            resources=definitions.resources,
            instance=self.workbench.instance,
        )
        assert result.success
        found: dict[str, dict[str, bool]] = {}
        for evaluation in result.get_asset_check_evaluations():
            name = f"{evaluation.asset_key.path[-1]}.{evaluation.check_name}"
            if evaluation.partition:
                found.setdefault(name, {})[evaluation.partition] = evaluation.passed
        return found

    def rows(self, partition: str | None = None) -> dict[str, dict[str, list[str]]]:
        """Table -> partition -> its rows as they were written."""
        found = all_rows(self.workbench.directory / "lakehouse", TABLES)
        return {table: {k: v for k, v in parts.items() if partition in (None, k)} for table, parts in found.items()}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, real_activity) -> Callable[[str], Churn]:
    activity = real_activity.execute(
        "select customer_id, activity_month, orders, units, revenue, returns_value, active_days, "
        "first_purchase_date, last_purchase_date, lines from activity order by all"
    ).fetchall()
    return lambda name: Churn(tmp_path_factory.mktemp(name), spark, activity)


@pytest.fixture(scope="module")
def whole(make: Callable[[str], Churn]) -> tuple[Churn, dict[str, dict[str, bool]]]:
    churn = make("whole")
    return churn, churn.run(FIRST, LAST)


def test_the_published_scores_are_those_that_the_evaluation_judges(whole, real_activity):
    """What was scored, held against what happened by another engine, gives the figures of churn_evaluation."""
    churn, _ = whole
    scores, evaluation = (DeltaTable(str(churn.workbench.path(table))).to_pyarrow_table() for table in reversed(TABLES))
    real_activity.register("scores", scores)
    real_activity.register("evaluation", evaluation)
    happened = real_activity.execute(
        """select s.snapshot_month, s.as_of_date, s.customer_id, any_value(s.churn_probability) as probability,
        any_value(s.model) as model, any_value(s.recency_days) as recency,
        min(a.first_purchase_date) as next_purchase
        from scores s left join activity a
        on a.customer_id = s.customer_id and a.activity_month > s.snapshot_month and a.orders > 0
        where s.as_of_date <= date '2011-09-10' group by all order by s.as_of_date, s.customer_id"""
    ).df()
    window = pd.Timedelta(days=90)
    happened["churned"] = ~(pd.to_datetime(happened.next_purchase) < pd.to_datetime(happened.as_of_date) + window)
    judged = real_activity.execute("select distinct on (evaluated_month, model, population) * from evaluation").df()
    real_activity.unregister("scores")
    real_activity.unregister("evaluation")
    found = {}
    for day, rows in happened.groupby("as_of_date"):
        as_of = pd.Timestamp(str(day))
        churned, probability = rows.churned.to_numpy(), rows.probability.to_numpy()
        found[as_of] = (
            area_under_roc(churned, probability),
            area_under_roc(churned, rows.recency.to_numpy()),
            calibration_error(churned, probability),
        )
        same = judged[(judged.evaluated_as_of_date == as_of) & (judged.population == "all")].set_index("model")
        row = same.loc[rows.model.iloc[0]]
        assert (row.customers, row.churn_rate) == (len(rows), churned.mean())
        assert (row.roc_auc, row.calibration_error) == (found[as_of][0], found[as_of][2])
        assert row.brier_score == np.mean((probability - churned) ** 2)
        assert same.loc["recency_alone"].roc_auc == found[as_of][1]
    months = pd.date_range("2010-12-01", "2011-08-01", freq="MS")
    assert np.mean([found[month][0] for month in months]) >= 0.80
    assert min(found[month][0] - found[month][1] for month in months) >= 0.03
    assert np.mean([found[month][2] for month in months[4:]]) <= 0.06


def test_every_month_has_its_evaluation_once_its_outcome_is_known(whole):
    churn, _ = whole
    rows = churn.reader.rows(
        """select evaluated_as_of_date, min(as_of_date), count(distinct model), count(distinct population)
        from churn_evaluation group by all order by 1"""
    )
    assert [row[0] for row in rows] == [date(2010 + n // 12, n % 12 + 1, 1) for n in range(3, 21)]
    assert all((as_of - evaluated).days >= 90 for evaluated, as_of, _, _ in rows)
    assert {row[3] for row in rows} == {2}
    assert all(models == 4 for evaluated, _, models, _ in rows if evaluated > date(2010, 6, 1))  # BG/NBD takes a while
    assert churn.reader.row("select count(distinct snapshot_month) from churn_evaluation") == (19,)
    assert churn.reader.row("select count(*) from churn_evaluation where scores and population = 'all'") == (19,)


def test_checks_warn_of_the_first_winter_and_of_nothing_else(whole):
    _, checks = whole
    failed = {name: [key for key, passed in found.items() if not passed] for name, found in checks.items()}
    winter = failed.pop("churn_evaluation.calibrated")
    assert {"2011-02-01", "2011-03-01"} <= set(winter)  # as-of 2010-12 and 2011-01 are known by then
    assert not {"2011-07-01", "2011-08-01", "2011-09-01", "2011-10-01"} & set(winter)
    assert not any(failed.values()), failed


def test_a_month_alone_after_the_store_of_models_is_lost_is_that_of_the_backfill(whole, make):
    churn, _ = whole
    other = make("alone")
    other.run("2011-06-01")
    assert other.rows() == churn.rows("2011-06-01")
    store = f"sqlite:///{other.workbench.directory / 'another.db'}"
    other.workbench.settings = Settings.read({**other.workbench.environment, "MLFLOW_TRACKING_URI": store})
    other.run("2011-06-01")
    assert other.rows() == churn.rows("2011-06-01")


LOAD = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
rows = [json.loads(line) for line in sys.stdin]
import pandas
model = mlflow.sklearn.load_model("models:/online_retail.churn_scores@champion")
assert not [name for name in sys.modules if name.startswith("retail_assets")]
print(json.dumps(model.predict_proba(pandas.DataFrame(rows))[:, 1].tolist()))
"""


def test_the_registered_model_predicts_what_was_scored_in_a_process_without_this_package(whole, tmp_path):
    from mlflow import MlflowClient

    from retail_assets.analytics.churn import CHURN_FEATURES, churn_feature_frame

    churn, _ = whole
    spark = churn.workbench.spark
    snapshot = spark.createDataFrame([(date(2011, 12, 1), date(2011, 12, 10))], "snapshot_month date, as_of_date date")
    features = churn_feature_frame(churn.workbench.table("customer_month_activity"), snapshot)
    scores = churn.workbench.table("churn_scores").filter(F.col("snapshot_month") == "2011-12-01")
    rows = features.join(scores.select("customer_id", "churn_probability"), "customer_id").limit(200).toPandas()
    assert len(rows) == 200
    uri = churn.workbench.settings.mlflow_tracking_uri
    lines = "\n".join(json.dumps(row) for row in rows[CHURN_FEATURES].astype("float64").to_dict("records"))
    (tmp_path / "load.py").write_text(LOAD)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "load.py"), uri],
        input=lines, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(rows.churn_probability.tolist(), abs=1e-9)

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("online_retail/churn_evaluation")
    assert experiment is not None
    runs = client.search_runs(
        [experiment.experiment_id], "tags.level = 'month' and tags.partition = '2011-12-01'", max_results=5
    )
    assert len(runs) == 1
    children = client.search_runs(
        [experiment.experiment_id], f"tags.mlflow.parentRunId = '{runs[0].info.run_id}'", max_results=10
    )
    by_model = {run.data.params["model"]: run.data.metrics for run in children}
    assert set(by_model) == {"random_forest", "gradient_boosting", "recency_alone", "bg_nbd_alive"}
    assert {"all_roc_auc", "active_roc_auc"} <= set.intersection(*(set(metrics) for metrics in by_model.values()))
