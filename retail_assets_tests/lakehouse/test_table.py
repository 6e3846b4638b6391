"""Tables in real Dagster runs: what is published, what is refused, and what the instance knows of it afterwards.

The shop's sales are read by its takings; what they sell is what the test puts into the till.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
    ResourceDefinition,
    TableColumnDep,
    materialize,
)
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.lakehouse.engines.choice import pyspark_resource
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.settings import Settings
from retail_assets_tests.lakehouse.shop import Till, sales, takings

SALES, TAKINGS = AssetKey(["shop", "sales"]), AssetKey(["shop", "takings"])
FIRST_DAY = "2020-01-30"
DAYS = ["2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02"]


class Shop:
    """A shop with a lakehouse and a Dagster instance of its own."""

    def __init__(self, spark: SparkSession, root: Path, **options: Any) -> None:
        self.root, self.till, self.instance = root, Till(spark), DagsterInstance.ephemeral()
        pyspark = pyspark_resource(Settings.read({**os.environ, "RETAIL_SPARK_DRIVER_MEMORY": "3g"}))
        self.resources = {
            "pyspark": pyspark,
            "io_manager": DeltaIOManager(pyspark=pyspark, root=str(root), **options),
            "till": self.till,
            "step_launcher": ResourceDefinition.none_resource(),
        }
        self.assets = [sales.asset(FIRST_DAY), takings.asset(FIRST_DAY)]

    def run(
        self, first: str | None, last: str | None = None, tables: list[AssetKey] | None = None
    ) -> ExecuteInProcessResult:
        span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return materialize(
            self.assets,
            selection=tables,
            partition_key=None if last else first,
            tags={key: str(value) for key, value in span.items()} if last else None,
            resources=self.resources,
            instance=self.instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def delta(self, table: AssetKey) -> DeltaTable:
        return DeltaTable("/".join([str(self.root), *table.path]))

    def rows(self, table: AssetKey, *columns: str) -> list[tuple[Any, ...]]:
        read = self.delta(table).to_pyarrow_table(columns=list(columns)).to_pylist()
        return sorted(tuple(str(row[column]) for column in columns) for row in read)

    def latest(self, table: AssetKey) -> dict[str, int]:
        """Partition -> storage id of its newest materialization."""
        return dict(
            self.instance.event_log_storage.get_latest_storage_id_by_partition(
                table, DagsterEventType.ASSET_MATERIALIZATION
            )
        )


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(spark, tmp_path)
    yield shop
    shop.instance.dispose()


def sold(ticket: str, day: str, quantity: int = 1, kind: str = "food") -> tuple[str, int, str, str, str]:
    return (ticket, quantity, "2.00", kind, day)


def evaluations(result: ExecuteInProcessResult, table: AssetKey) -> list[AssetCheckEvaluation]:
    """Those of partitions."""
    found = [each for each in result.get_asset_check_evaluations() if each.asset_key == table]
    return [each for each in found if each.partition is not None]


def materializations(shop: Shop, table: AssetKey) -> dict[str, AssetMaterialization]:
    """Partition -> its newest materialization."""
    found = shop.instance.fetch_materializations(AssetRecordsFilter(table), limit=100, ascending=True).records
    return {str(record.partition_key): made for record in found if (made := record.asset_materialization)}


def failure(result: ExecuteInProcessResult, table: AssetKey) -> str:
    [event] = [event for event in result.get_step_failure_events() if event.step_key == "__".join(table.path)]
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message if error else ""


def assert_current(shop: Shop, result: ExecuteInProcessResult, days: list[str]) -> None:
    """One evaluation per check and partition, each pointing at the newest materialization of its partition."""
    for table, checks in ((SALES, ["calm", "contract"]), (TAKINGS, ["contract"])):
        found = evaluations(result, table)
        latest = shop.latest(table)
        assert sorted((str(one.partition), one.check_name) for one in found) == [(d, c) for d in days for c in checks]
        for one in found:
            assert one.target_materialization_data is not None
            assert one.target_materialization_data.storage_id == latest[str(one.partition)]
            assert one.target_materialization_data.run_id == result.run_id
            assert one.passed


def test_each_check_is_told_for_each_partition_and_is_current_after_single_runs_and_ranges(shop: Shop):
    shop.till.rows = [sold("1", DAYS[0]), sold("2", DAYS[1]), sold("3", DAYS[1]), sold("4", DAYS[3])]
    whole = shop.run(DAYS[0], DAYS[3])
    assert whole.success
    assert_current(shop, whole, DAYS)
    before = shop.latest(SALES)
    single = shop.run(DAYS[1])
    assert_current(shop, single, [DAYS[1]])
    after = shop.latest(SALES)
    assert after.pop(DAYS[1]) > before.pop(DAYS[1])
    assert after == before
    assert shop.rows(TAKINGS, "day", "tickets", "amount") == [
        (DAYS[0], "1", "2.000"),
        (DAYS[1], "2", "4.000"),
        (DAYS[3], "1", "2.000"),
    ]


def test_materializations_say_rows_version_and_lineage(shop: Shop):
    shop.till.rows = [sold("1", DAYS[0]), sold("2", DAYS[1]), sold("3", DAYS[1]), sold("4", DAYS[3])]
    assert shop.run(DAYS[0], DAYS[3]).success
    assert shop.run(DAYS[3], tables=[SALES]).success
    made = materializations(shop, SALES)
    shown = {day: {name: value.value for name, value in one.metadata.items()} for day, one in made.items()}
    assert {day: one["dagster/partition_row_count"] for day, one in shown.items()} == dict(
        zip(DAYS, [1, 2, 0, 1], strict=True)
    )
    assert {one["dagster/row_count"] for one in shown.values()} == {4}
    assert shown[DAYS[3]]["rows_written"] == 1
    assert shown[DAYS[3]]["dagster/uri"] == str(shop.root / "shop" / "sales")
    version = shop.delta(SALES).version()
    assert [shown[day]["delta_version"] for day in DAYS] == [version - 1] * 3 + [version]
    assert [(made[day].tags or {})["dagster/data_version"] for day in DAYS] == [str(version - 1)] * 3 + [str(version)]
    takings_shown = materializations(shop, TAKINGS)[DAYS[3]].metadata
    lineage: Any = takings_shown["dagster/column_lineage"].value
    assert set(lineage.deps_by_column["amount"]) == {
        TableColumnDep(SALES, name) for name in ("amount", "quantity", "kind")
    }


def test_a_partition_that_fails_is_not_published_and_the_others_are(shop: Shop):
    shop.till.rows = [sold("1", day) for day in DAYS]
    assert shop.run(DAYS[0], DAYS[3]).success
    before, old = shop.latest(SALES), shop.rows(TAKINGS, "day", "tickets")
    shop.till.rows = [sold("2", day, kind="fuel" if day in DAYS[2:] else "drink") for day in DAYS]
    result = shop.run(DAYS[0], DAYS[3])
    assert not result.success
    message = failure(result, SALES)
    assert message.startswith("shop.sales: 2 of 4 partitions were not published; readers keep what was there before.")
    for day in DAYS[2:]:
        assert f"{day}: check 'contract' failed: Of 1 rows some break a rule: kind: isin(" in message
        assert "(not in 1 rows) (rows: 1, rules: 11, failed_rows: {'kind_isin': 1}" in message
        assert f"{{'kind_isin': ['{day} | 2']}}" in message
    assert shop.rows(SALES, "day", "ticket") == list(zip(DAYS, "2211", strict=True))
    assert shop.rows(TAKINGS, "day", "tickets") == old
    after = shop.latest(SALES)
    assert {day for day in DAYS if after[day] > before[day]} == set(DAYS[:2])
    told = {(str(one.partition), one.check_name): one for one in evaluations(result, SALES)}
    assert {key: one.passed for key, one in told.items()} == {
        (day, check): check == "calm" or day in DAYS[:2] for day in DAYS for check in ("calm", "contract")
    }
    for day in DAYS[:2]:
        target = told[day, "contract"].target_materialization_data
        assert target is not None
        assert target.storage_id == after[day]
    assert told[DAYS[2], "contract"].target_materialization_data is None, "what it judged was never materialized"
    published = materializations(shop, SALES)
    assert (published[DAYS[0]].tags or {})["dagster/data_version"] == str(shop.delta(SALES).version())
    assert "dagster/column_lineage" in published[DAYS[1]].metadata
    skipped = {event.step_key for event in result.all_events if event.event_type == DagsterEventType.STEP_SKIPPED}
    started = {event.step_key for event in result.all_events if event.event_type == DagsterEventType.STEP_START}
    assert "shop__takings" not in started
    assert skipped <= {"shop__takings"}


def test_where_every_partition_fails_nothing_is_written(shop: Shop):
    shop.till.rows = [sold("1", DAYS[0], kind="fuel")]
    result = shop.run(DAYS[0])
    assert not result.success
    assert failure(result, SALES).startswith("shop.sales: 1 of 1 partitions were not published")
    assert not (shop.root / "shop").exists()
    assert shop.latest(SALES) == {}


def test_a_check_that_warns_stops_nothing(shop: Shop):
    shop.till.rows = [sold("1", DAYS[0], quantity=60), sold("2", DAYS[1])]
    result = shop.run(DAYS[0], DAYS[1])
    assert result.success
    calm = {str(one.partition): one for one in evaluations(result, SALES) if one.check_name == "calm"}
    assert {day: (one.passed, one.severity.value) for day, one in calm.items()} == {
        DAYS[0]: (False, "WARN"),
        DAYS[1]: (True, "WARN"),
    }
    assert calm[DAYS[0]].metadata["units"].value == 60
    assert shop.rows(TAKINGS, "day", "tickets") == [(DAYS[0], "1"), (DAYS[1], "1")]


def shown(shop: Shop, name: str) -> tuple[str, str]:
    """What the UI shows of a check that has no partitions: how its newest execution ended, and what that is worth."""
    key = AssetCheckKey(SALES, name)
    log = shop.instance.event_log_storage
    newest = log.get_latest_asset_check_execution_by_key([key])[key]
    assert {record.status.value for record in log.get_asset_check_execution_history(key, 100)} <= {
        "SUCCEEDED",
        "FAILED",
    }, "nothing that was planned is left over"
    assert newest.evaluation is not None
    return newest.status.value, newest.evaluation.severity.value


@pytest.mark.parametrize(("units", "status"), [((60, 1), "SUCCEEDED"), ((1, 60), "FAILED")], ids=["old", "new"])
def test_what_warned_once_is_shown_as_it_stands_now(shop: Shop, units: tuple[int, int], status: str):
    shop.till.rows = [sold(str(number), DAYS[number], quantity=count) for number, count in enumerate(units)]
    assert shop.run(DAYS[0], DAYS[1]).success
    assert shown(shop, "calm") == (status, "WARN")
    specs = {spec.name: spec.partitions_def for spec in shop.assets[0].check_specs}
    assert (specs["calm"] is None, specs["contract"] is None) == (True, False)


def test_what_the_code_is_the_cause_of_is_not_tried_again(shop: Shop):
    shop.till.rows = [("1", 1, "two pounds", "food", DAYS[0])]
    result = shop.run(DAYS[0], tables=[SALES])
    assert "ConversionSyntax" in failure(result, SALES)
    assert not any(event.event_type == DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


def test_a_run_without_a_partition_is_refused_before_anything_is_written(shop: Shop):
    shop.till.rows = [sold("1", DAYS[0])]
    try:
        result = shop.run(None, tables=[SALES])
    except Exception as error:
        assert "partition" in str(error)  # noqa: PT017
    else:
        assert not result.success
        assert "partition" in failure(result, SALES)
    assert not (shop.root / "shop").exists()


def test_reading_a_table_that_was_never_made_says_so(shop: Shop):
    result = shop.run(DAYS[0], tables=[TAKINGS])
    assert not result.success
    assert not any(event.event_type == DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)
    assert (
        failure(result, TAKINGS)
        .strip()
        .endswith(
            f"shop.sales has not been materialized yet; there is no table at {shop.root}/shop/sales. "
            "Materialize it first, or together with what reads it."
        )
    )


def test_a_correction_that_leaves_a_day_empty_empties_it_downstream(shop: Shop):
    shop.till.rows = [sold("1", day) for day in DAYS[:2]]
    assert shop.run(DAYS[0], DAYS[1]).success
    shop.till.rows = shop.till.rows[:1]
    assert shop.run(DAYS[1]).success
    assert shop.rows(SALES, "day", "ticket") == [(DAYS[0], "1")]
    assert shop.rows(TAKINGS, "day", "tickets") == [(DAYS[0], "1")]
