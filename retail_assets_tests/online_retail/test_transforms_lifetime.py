"""customer_clv and clv_holdout: rows of a month, and both assets in real runs over customers drawn at random."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey, ExecuteInProcessResult
from pyspark.sql import SparkSession

from retail_assets.analytics.lifetime_holdout import Holdout
from retail_assets.analytics.lifetime_value import (
    BgNbd,
    GammaGamma,
    LifetimeModel,
    discounted,
    month_ends,
)
from retail_assets.customers.clv_holdout import holdouts
from retail_assets.customers.customer_clv import MODELLED, CustomerClv, customer_clv
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity
from retail_assets.lakehouse.contracts import conform
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.evaluation import evaluate
from retail_assets.settings import Settings
from retail_assets_tests.online_retail.frames import bought, frame
from retail_assets_tests.workbench import Workbench

MARCH = date(2011, 3, 1)
MODEL = LifetimeModel(
    BgNbd(r=0.8, alpha=70.0, a=0.15, b=5.0, log_likelihood=0.0, customers=2),
    GammaGamma(p=2.5, q=3.5, v=400.0, log_likelihood=0.0, customers=2),
)
SUMMARIES = pd.DataFrame(
    {
        "snapshot_month": MARCH,
        "as_of_date": date(2011, 4, 1),
        "customer_id": ["a", "b"],
        "frequency": [0, 4],
        "recency": [0, 70],
        "age": [20, 100],
        "mean_value": [50.0, 20.0],
        "spend": [50.0, 100.0],
    }
)


def test_a_customers_value_is_that_of_the_expected_purchases_each_discounted_by_its_month(spark: SparkSession):
    rows = customer_clv(SUMMARIES, MODEL, yearly_rate=0.1)
    a, b = (rows.iloc[number] for number in (0, 1))
    gone = 0.15 / (5 + 4 - 1) * ((70 + 100) / (70 + 70)) ** (0.8 + 4)
    assert (a.probability_alive, b.probability_alive) == (1.0, pytest.approx(1 / (1 + gone)))
    months = np.diff(MODEL.expected_purchases(SUMMARIES, month_ends()), axis=1)
    assert b.expected_purchases_12m == pytest.approx(months[1].sum())
    assert b.expected_average_value == pytest.approx(2.5 * (400 + 5 * 20) / (2.5 * 5 + 2.5))
    assert b.clv_12m == pytest.approx(float(discounted(months, 0.1)[1]) * b.expected_average_value)
    assert 0.9 < b.clv_12m / (b.expected_purchases_12m * b.expected_average_value) < 1
    assert (a.naive_clv_12m, b.naive_clv_12m) == (pytest.approx(50 / 20 * 365), pytest.approx(365.0))
    undiscounted = customer_clv(SUMMARIES, MODEL, yearly_rate=0.0).iloc[1]
    assert undiscounted.clv_12m == pytest.approx(b.expected_purchases_12m * b.expected_average_value)
    table = conform(as_table(spark.range(1), CustomerClv, [rows]), CustomerClv)
    (evaluation,) = evaluate(table, CustomerClv).values()
    assert (evaluation.rows, evaluation.failed) == (2, {})


def test_a_month_without_a_model_has_the_naive_projection_only(spark: SparkSession):
    table = conform(
        as_table(spark.range(1), CustomerClv, [customer_clv(SUMMARIES, None, yearly_rate=0.1)]), CustomerClv
    )
    assert evaluate(table, CustomerClv)["2011-03-01"].failed == {}
    for row in table.collect():
        assert [row[name] for name in MODELLED] == [None] * 4
        assert row.naive_clv_12m > 0


def test_a_month_ends_the_windows_before_which_three_months_are_known():
    first = date(2009, 12, 1)
    assert holdouts(date(2010, 4, 1), date(2010, 5, 1), first) == []
    spring = Holdout(date(2010, 3, 1), (date(2010, 4, 1), date(2010, 5, 1), date(2010, 6, 1)))
    assert holdouts(date(2010, 5, 1), date(2010, 6, 1), first) == [spring]
    found = holdouts(date(2011, 8, 1), date(2011, 9, 1), first)
    assert [(window.as_of, len(window.ends), window.ends[-1]) for window in found] == [
        (date(2011, 6, 1), 3, date(2011, 9, 1)),
        (date(2011, 3, 1), 6, date(2011, 9, 1)),
        (date(2010, 9, 1), 12, date(2011, 9, 1)),
    ]
    # In a running month a window ends with the newest drop.
    running = holdouts(date(2011, 12, 1), date(2011, 12, 10), first)[0]
    assert (running.as_of, running.ends[-1], running.days) == (date(2011, 10, 1), date(2011, 12, 10), [31, 61, 70])


def drawn(customers: int = 400, months: int = 10) -> list[dict[str, Any]]:
    """Customer months from January 2010 on: some buy often, some leave, values differ."""
    random = np.random.default_rng(7)
    end, purchases = 30 * months, []
    for number in range(customers):
        day, rate, value = random.uniform(0, end * 0.7), random.gamma(0.9, 1 / 30), random.gamma(3, 40)
        while day < end:
            purchases.append((f"{number:04d}", date(2010, 1, 1) + timedelta(days=int(day)), random.gamma(3, value / 3)))
            if random.random() < 0.15:
                break
            day += 1 + random.exponential(1 / max(rate, 1e-3))
    days = pd.DataFrame(purchases, columns=["customer", "day", "value"])
    days["month"] = days["day"].map(lambda day: f"{day:%Y-%m}")
    return [
        bought(
            str(customer),
            str(month),
            orders=len(part),
            revenue=f"{part['value'].sum():.3f}",
            active_days=part["day"].nunique(),
            first_purchase_date=str(part["day"].min()),
            last_purchase_date=str(part["day"].max()),
        )
        for (customer, month), part in days.groupby(["customer", "month"])
    ]


class Lake:
    """customer_month_activity as given, and what the two tables make of it."""

    def __init__(self, directory: Path, spark: SparkSession, activity: list[dict[str, Any]], store: Path) -> None:
        self.workbench = Workbench(directory, spark, last_day="2010-10-31")
        self.workbench.settings = Settings.read(
            {**self.workbench.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{store / 'mlflow.db'}"}
        )
        self.workbench.drop("2010-01-01", [])
        self.workbench.drop("2010-10-27", [])
        self.put(activity)
        self.job = self.workbench.definitions().resolve_implicit_global_asset_job_def()

    def put(self, activity: list[dict[str, Any]]) -> None:
        rows = frame(self.workbench.spark, CustomerMonthActivity, activity).coalesce(1)
        path = str(self.workbench.path("customer_month_activity"))
        rows.write.format("delta").mode("overwrite").partitionBy("activity_month").save(path)

    def run(self, first: str, last: str, *tables: str) -> ExecuteInProcessResult:
        return self.job.execute_in_process(
            asset_selection=[AssetKey(["online_retail", table]) for table in tables],
            instance=self.workbench.instance,
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def rows(self, table: str, month: str | None = None) -> pd.DataFrame:
        found = self.workbench.table(table).toPandas()
        keys = ["snapshot_month", "customer_id"] if table == "customer_clv" else list(found.columns)
        found = found.sort_values([name for name in _KEYS if name in keys], ignore_index=True)
        return found if month is None else found[found["snapshot_month"].astype(str) == month].reset_index(drop=True)


_KEYS = ["snapshot_month", "horizon_months", "slice", "number", "customer_id"]
FIRST, LAST = "2010-06-01", "2010-10-01"


Made = tuple[Lake, ExecuteInProcessResult]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models are tracked: to make such a store takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, store: Path) -> Iterator[Made]:
    """Five months of both tables, made in one run."""
    lake = Lake(tmp_path_factory.mktemp("lifetime"), spark, drawn(), store)
    yield lake, lake.run(FIRST, LAST, "customer_clv", "clv_holdout")
    lake.workbench.instance.dispose()


def test_both_tables_are_made_and_pass_their_checks(lake: Made):
    of, result = lake
    evaluations = [found for found in result.get_asset_check_evaluations() if found.partition]
    assert [(found.check_name, found.partition) for found in evaluations if not found.passed] == []
    assert len(evaluations) == 5 * (4 + 5)
    clv, windows = of.rows("customer_clv"), of.rows("clv_holdout")
    assert clv["clv_12m"].notna().all()
    assert sorted(set(clv["as_of_date"].astype(str)))[-1] == "2010-10-28"  # the day after the newest drop
    whole = windows[windows["slice"] == "all"]
    ends = zip(whole["snapshot_month"].astype(str), whole["horizon_months"], strict=True)
    assert list(ends) == [
        ("2010-06-01", 3), ("2010-07-01", 3), ("2010-08-01", 3), ("2010-09-01", 3), ("2010-09-01", 6),
        ("2010-10-01", 3), ("2010-10-01", 6),
    ]  # fmt: skip


def test_a_month_made_again_alone_is_the_same_bit_for_bit(lake: Made):
    of, _ = lake
    before = {table: of.rows(table) for table in ("customer_clv", "clv_holdout")}
    assert of.run("2010-09-01", "2010-09-01", "customer_clv", "clv_holdout").success
    for table, rows in before.items():
        pd.testing.assert_frame_equal(of.rows(table), rows, check_exact=True)


def test_every_month_and_window_is_tracked(lake: Made):
    from mlflow import MlflowClient

    of, _ = lake
    of.run("2010-09-01", "2010-10-01", "customer_clv", "clv_holdout")
    store = of.workbench.settings.mlflow_tracking_uri
    client = MlflowClient(store, store)

    def runs(experiment: str, level: str) -> dict[str, Any]:
        found = client.get_experiment_by_name(experiment)
        assert found is not None
        tagged = client.search_runs([found.experiment_id], f"tags.level = '{level}'")
        return {str(run.info.run_name): run.data for run in tagged}

    months = runs("online_retail/customer_clv", "month")
    assert {"2010-09-01", "2010-10-01"} <= set(months)
    assert months["2010-09-01"].params == {"yearly_discount_rate": "0.1", "at_bounds": "a"}
    september = of.rows("customer_clv", "2010-09-01")
    assert months["2010-09-01"].metrics["clv_12m"] == pytest.approx(september["clv_12m"].sum())
    assert 0 < months["2010-09-01"].metrics["mean_chance_of_leaving"] < 0.4
    windows = runs("online_retail/clv_holdout", "candidate")
    assert set(windows) == {"3 months", "6 months"}
    assert windows["6 months"].metrics["rank_correlation"] > 0


def test_what_is_bought_after_a_month_changes_nothing_of_it(lake: Made):
    of, _ = lake
    before = {table: of.rows(table, "2010-08-01") for table in ("customer_clv", "clv_holdout")}
    later = [row for row in drawn() if row["activity_month"] < "2010-09-01"]
    later += [bought(f"{number:04d}", "2010-09", revenue="99999.000") for number in range(400)]
    of.put(later)
    assert of.run("2010-08-01", "2010-09-01", "customer_clv", "clv_holdout").success
    for table, rows in before.items():
        pd.testing.assert_frame_equal(of.rows(table, "2010-08-01"), rows, check_exact=True)
    assert of.rows("customer_clv", "2010-09-01")["mean_value"].max() > 1_000  # it was planted


def test_too_few_customers_have_no_model_and_the_check_says_so(tmp_path: Path, spark: SparkSession, store: Path):
    of = Lake(tmp_path, spark, [bought("a", "2010-01"), bought("a", "2010-02"), bought("b", "2010-05")], store)
    result = of.run("2010-06-01", "2010-06-01", "customer_clv", "clv_holdout")
    assert result.success
    found = {one.asset_key.path[-1]: one for one in result.get_asset_check_evaluations() if "models" in one.check_name}
    assert [one.passed for one in found.values()] == [True, True]
    said = {table: one.metadata["explanation"].value for table, one in found.items()}
    assert said["customer_clv"] == "1 customers to learn from, fewer than 20"
    assert said["clv_holdout"] == "as of 2010-04-01: 1 customers to learn from, fewer than 20"
    assert of.rows("customer_clv")[MODELLED].isna().all(axis=None)
    assert of.rows("clv_holdout").empty
