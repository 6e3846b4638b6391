"""What the whole graph wrote, read by others: deltalake and DuckDB, the manifest of the generated data, Dagster."""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.contracts import partition_column, spark_schema
from retail_assets.lakehouse.table import Table
from retail_assets.online_retail.generate import MANIFEST, generate
from retail_assets.online_retail.tables import TABLES
from retail_assets.operations.main_job import Summary
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.workbench import Workbench

LAST_DAY = date(2011, 7, 20)
"""200 days before it start on 2 January: seven months, of which churn can score the last two."""

LINES, DAYS = 3_000, 200


class Whole:
    """A lakehouse that one run of the main job made from generated drops."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench
        self.manifest: Mapping[str, Any] = generate(workbench.zone, lines=LINES, days=DAYS, last_day=LAST_DAY, seed=7)
        self.summary: Summary = workbench.run()
        self.reader = IndependentReader(workbench.path("raw_invoices").parent)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Whole:
    return Whole(Workbench(tmp_path_factory.mktemp("whole"), spark, last_day=str(LAST_DAY)))


def name_of(table: Table) -> str:
    return table.key.path[-1]


def test_one_run_makes_every_partition_of_every_table(whole: Whole):
    assert whole.summary.failures == []
    assert not whole.summary.waiting
    made = {key.path[-1]: len(table.partitions) for key, table in whole.summary.tables.items()}
    monthly = {name_of(table) for table in TABLES if partition_column(table.contract) != "invoice_date"}
    first = date.fromisoformat(whole.manifest["first_drop"])
    daily = (LAST_DAY - first).days + 1
    expected = {name_of(table): 7 if name_of(table) in monthly else daily for table in TABLES}
    late = ("churn_evaluation", "churn_scores", "customer_clv", "clv_holdout")
    assert made == expected | dict.fromkeys(late, 2)


def test_another_reader_finds_every_table(whole: Whole):
    assert whole.reader.tables == sorted(name_of(table) for table in TABLES)


@pytest.mark.parametrize("table", TABLES, ids=name_of)
def test_another_reader_counts_and_sums_as_spark_does(whole: Whole, table: Table):
    name, schema = name_of(table), spark_schema(table.contract)
    exact = [item.name for item in schema if isinstance(item.dataType, T.IntegralType | T.DecimalType)]
    floats = [item.name for item in schema if isinstance(item.dataType, T.DoubleType)]
    texts = [item.name for item in schema if isinstance(item.dataType, T.StringType | T.DateType | T.BooleanType)]
    (found,) = (
        whole.workbench.table(name)
        .agg(
            F.count("*"),
            *[F.sum(F.col(column).cast("decimal(38,3)")) for column in exact],
            *[F.count_distinct(column) for column in texts],
            *[F.count(item.name) for item in schema],
            *[F.sum(column) for column in floats],
        )
        .collect()
    )
    wanted = [
        "count(*)",
        *[f"sum({column}::decimal(38, 3))" for column in exact],
        *[f"count(distinct {column})" for column in texts],
        *[f"count({item.name})" for item in schema],
        *[f"sum({column})" for column in floats],
    ]
    other = whole.reader.row(f"select {', '.join(wanted)} from {name}")
    split = len(wanted) - len(floats)
    assert tuple(found)[:split] == other[:split]
    assert other[split:] == pytest.approx(tuple(found)[split:])
    assert found[0] > 0


def test_the_manifest_lies_beside_the_drops_as_it_was_returned(whole: Whole):
    assert json.loads((whole.workbench.zone / MANIFEST).read_text()) == whole.manifest


def test_every_row_that_was_made_is_found_where_it_belongs(whole: Whole):
    manifest, reader = whole.manifest, whole.reader
    assert reader.row("select count(*), count(distinct invoice_date) from raw_invoices") == (
        manifest["landed_lines"],
        manifest["days_with_a_drop"],
    )
    clean, copies = reader.row("select count(*), sum(landed_rows)::int from clean_transactions")
    assert (clean, copies - clean) == (manifest["clean_lines"], manifest["duplicate_lines"])
    assert manifest["duplicate_lines"] > 0
    reasons = reader.rows("select reasons, count(*) from quarantined_invoices group by all")
    assert {tuple(found): rows for found, rows in reasons} == {
        (reason,): rows for reason, rows in manifest["quarantined"].items()
    }
    assert clean + manifest["quarantined_lines"] + manifest["duplicate_lines"] == LINES


def test_every_pound_that_was_made_is_found_in_its_line_type(whole: Whole):
    manifest, reader = whole.manifest, whole.reader
    types = reader.rows("select line_type, count(*), sum(line_total) from clean_transactions group by all")
    kinds = ("product", "cancellation", "service", "adjustment")
    assert {kind: (lines, money) for kind, lines, money in types} == {
        kind: (manifest[f"{kind}_lines"], Decimal(manifest["line_total"][kind])) for kind in kinds
    }
    copies = "select sum(line_total * (landed_rows - 1)) from clean_transactions"
    assert reader.row(copies) == (Decimal(manifest["line_total"]["duplicate"]),)
    product = Decimal(manifest["line_total"]["product"])
    for table in ("daily_metrics", "geo_metrics"):
        assert reader.row(f"select sum(revenue) from {table}") == (product,), table
    net = sum(Decimal(manifest["line_total"][kind]) for kind in kinds)
    assert reader.row("select sum(net_sales) from monthly_activity") == (net,)


def test_every_customer_that_was_made_is_found_in_every_customer_table(whole: Whole):
    manifest, reader = whole.manifest, whole.reader
    for table in ("clean_transactions", "customer_month_activity", "customer_rfm", "customer_segments", "churn_scores"):
        assert reader.row(f"select count(distinct customer_id) from {table}") == (manifest["customers"],), table
    newest = "where snapshot_month = '2011-07-01'"
    for table in ("customer_rfm", "customer_segments", "churn_scores", "customer_clv"):
        assert reader.row(f"select count(*) from {table} {newest}") == (manifest["customers"],), table
    assert reader.row(f"select sum(customers)::int from segment_model {newest}") == (manifest["customers"],)
    without = "select count(*) from clean_transactions where customer_id is null"
    assert reader.row(without) == (manifest["clean_lines_without_customer"],)
    assert reader.row(f"{without} and line_type = 'product'") == (manifest["product_lines_without_customer"],)


def test_every_order_country_and_product_that_was_made_is_found(whole: Whole):
    manifest, reader = whole.manifest, whole.reader
    placed, cancelled = reader.row(
        """select count(distinct invoice_no) filter (line_type in ('product', 'service')),
        count(distinct invoice_no) filter (line_type = 'cancellation') from clean_transactions"""
    )
    assert (placed, cancelled) == (manifest["orders"], manifest["cancellation_invoices"])
    months = reader.row("select sum(placed_orders)::int, sum(cancelled_orders)::int from monthly_activity")
    assert months == (placed, cancelled)
    assert reader.row("select count(distinct country) from geo_metrics") == (manifest["countries"],)
    products = "select count(distinct stock_code) from clean_transactions where line_type = 'product'"
    assert reader.row(products) == (manifest["products"],)


@pytest.mark.parametrize("table", TABLES, ids=name_of)
def test_dagster_knows_a_current_verdict_of_every_check_for_every_partition(whole: Whole, table: Table):
    instance: DagsterInstance = whole.workbench.instance
    partitions = instance.get_materialized_partitions(table.key)
    assert partitions == whole.summary.tables[AssetKey(table.key.path)].partitions
    warning = {check.name for check in table.checks if not check.blocking}
    keys = [AssetCheckKey(table.key, check.name) for check in table.checks]
    found = instance.event_log_storage.get_asset_check_partition_info(keys)
    assert {(info.check_key.name, info.partition_key) for info in found} == {
        (key.name, partition) for key in keys for partition in partitions
    }
    assert len(found) == len(keys) * len(partitions)
    for info in found:
        where = (info.check_key.name, info.partition_key)
        assert info.latest_materialization_storage_id is not None, where
        assert info.is_current, where
        if info.check_key.name not in warning:
            assert info.latest_execution_status == AssetCheckExecutionRecordStatus.SUCCEEDED, where
        else:
            assert info.latest_execution_status != AssetCheckExecutionRecordStatus.PLANNED, where
