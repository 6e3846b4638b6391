"""What checks come to is a table: a row per run, partition, table and rule, each once, whatever was killed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.lakehouse import table as table_module
from retail_assets.lakehouse.evaluation import evaluate
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets.lakehouse.results import CheckResults, keep_results
from retail_assets.lakehouse.snapshots import Snapshot
from retail_assets_tests.lakehouse.shop import sales, takings
from retail_assets_tests.lakehouse.test_table import DAYS, FIRST_DAY, SALES, TAKINGS, Shop, sold

RESULTS = AssetKey(["shop", "dq_results"])


class DqResults(CheckResults):
    """The shop's results."""

    __module__ = "lake.shop.dq_results"


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(spark, tmp_path)
    shop.assets = [sales.asset(FIRST_DAY, DqResults), takings.asset(FIRST_DAY, DqResults)]
    yield shop
    shop.instance.dispose()


def results(shop: Shop, **wanted: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shop.delta(RESULTS).to_pyarrow_table().to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_every_rule_of_every_partition_has_a_row_with_its_family_bounds_and_version(shop: Shop, spark: SparkSession):
    shop.till.rows = [sold("1", DAYS[0], quantity=60), sold("2", DAYS[1], kind="fuel"), sold("3", DAYS[2])]
    run = shop.run(DAYS[0], DAYS[2], [SALES])
    assert not run.success
    rows = results(shop)
    assert {row["run_id"] for row in rows} == {run.run_id}
    assert {row["table_name"] for row in rows} == {"shop.sales"}
    rules = {row["rule"] for row in rows if row["check_name"] == "contract"}
    assert Counter(row["partition_key"] for row in rows) == dict.fromkeys(DAYS[:3], len(rules) + 1)
    families = {row["rule"]: (row["family"], row["column_name"]) for row in rows}
    assert families["ticket_not_null"] == ("completeness", "ticket")
    assert families["kind_isin"] == ("validity", "kind")
    assert families["unique_key"] == ("uniqueness", None)
    assert families["worth_something"] == ("cross-column", None)

    [bad] = results(shop, rule="kind_isin", partition_key=DAYS[1])
    assert (bad["status"], bad["severity"], bad["blocking"]) == ("failed", "ERROR", True)
    assert (bad["observed"], bad["lower"], bad["upper"], bad["rows"], bad["failed_rows"]) == (1, None, 0, 1, 1)
    assert bad["sample_keys"] == [f"{DAYS[1]} | 2"]
    assert (bad["published"], bad["delta_version"]) == (False, None)
    [warned] = results(shop, rule="calm", partition_key=DAYS[0])
    assert (warned["status"], warned["severity"], warned["blocking"]) == ("failed", "WARN", False)
    version = shop.delta(SALES).version()
    assert (warned["published"], warned["delta_version"]) == (True, version)
    failed = [(row["partition_key"], row["rule"]) for row in rows if row["status"] == "failed"]
    assert sorted(failed) == [(DAYS[0], "calm"), (DAYS[1], "kind_isin")]

    written = PathTables(spark, str(shop.root)).read(RESULTS.path)
    assert {key: each.failed for key, each in evaluate(written, DqResults).items() if each.failed} == {}
    schema = Snapshot(str(shop.root.joinpath(*RESULTS.path))).schema
    assert schema["observed"].metadata["comment"] == "What was found"


def test_each_run_has_its_own_rows_and_dagster_knows_of_the_table(shop: Shop):
    shop.till.rows = [sold("1", DAYS[0])]
    first, second = shop.run(DAYS[0]), shop.run(DAYS[0])
    keys = [
        (row["run_id"], row["table_name"], row["partition_key"], row["check_name"], row["rule"])
        for row in results(shop)
    ]
    assert len(keys) == len(set(keys))
    per_run = Counter((key[0], key[1]) for key in keys)
    assert set(per_run) == {(run.run_id, name) for run in (first, second) for name in ("shop.sales", "shop.takings")}
    event = shop.instance.get_latest_materialization_event(RESULTS)
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["dagster/row_count"].value == len(keys)
    assert shown["rows_written"].value == sum(key[0] == second.run_id and key[1] == "shop.takings" for key in keys)
    assert {"files_written", "bytes_written"}.isdisjoint(shown), "not known where several may append at once"
    assert set(shop.latest(SALES)) == set(shop.latest(TAKINGS)) == {DAYS[0]}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_step_that_dies_around_the_write_of_its_results_has_made_nothing_and_is_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, moment: str
):
    shop.till.rows = [sold("1", DAYS[0])]

    def dies(*arguments: Any) -> None:
        if moment == "after":
            keep_results(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(table_module, "keep_results", dies)
        died = shop.run(DAYS[0], tables=[SALES])
    assert not died.success
    assert shop.latest(SALES) == {}
    made = shop.run(DAYS[0], tables=[SALES])
    assert made.success
    rows = results(shop)
    assert {row["run_id"] for row in rows} == {made.run_id} | ({died.run_id} if moment == "after" else set())
    assert len(rows) == len({(row["run_id"], row["partition_key"], row["rule"]) for row in rows})


def test_a_step_tried_again_in_the_same_run_replaces_its_rows(shop: Shop, spark: SparkSession):
    shop.till.rows = [sold("1", DAYS[0])]
    run = shop.run(DAYS[0])
    before = sorted(map(str, results(shop)))
    own = results(shop, table_name="shop.sales")
    again = [
        tuple(row[name] for name in DeltaTable(str(shop.root / "shop/dq_results")).schema().to_arrow().names)
        for row in own
    ]
    commit = keep_results(PathTables(spark, str(shop.root)), DqResults, run.run_id, "shop.sales", True, again)
    assert sorted(map(str, results(shop))) == before
    assert commit.table_rows == len(before)
