"""What the whole graph wrote, read by others: deltalake and DuckDB, the manifest of the generated data, Dagster."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.generator.generate import generate
from retail_assets.lakehouse.contracts import partition_column, spark_schema
from retail_assets.lakehouse.table import Table
from retail_assets.landing.drops import MANIFEST
from retail_assets.operations.main_job import Summary
from retail_assets.operations.planning import due_by_themselves
from retail_assets.partitions.cadence import weekly
from retail_assets.partitions.calendar import Calendar
from retail_assets.reports.page import MOST_BYTES, Pages, embedded
from retail_assets_tests.made_shop import STORED, TABLES
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.workbench import Workbench

LAST_DAY = date(2011, 7, 20)
"""200 days before it start on 2 January: seven months, of which churn can score the last two."""

LINES, DAYS = 3_000, 200
KNOWN_LATER = {"churn_evaluation", "clv_holdout", "campaigns", "campaign_results", "price_changes"}
"""Of these, seven months do not yet hold a row: what was foreseen then is not known to have come, nobody was contacted,
and no product was sold often enough."""


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
    first, last = (date.fromisoformat(whole.manifest[day]) for day in ("first_drop", "last_drop"))
    daily = (last - first).days + 1
    expected = {name_of(table): 7 if name_of(table) in monthly else daily for table in TABLES}
    late = ("churn_evaluation", "churn_scores", "customer_clv", "clv_holdout")
    weeks = weekly(Calendar(first, last)).get_partition_keys()
    of_weeks = {
        name_of(table): len(due_by_themselves(table.due, weeks) if table.due else weeks)
        for table in TABLES
        if table.cadence is weekly
    }
    assert made == expected | dict.fromkeys(late, 2) | of_weeks


def test_another_reader_finds_every_table(whole: Whole):
    assert whole.reader.tables == sorted(table.key.path[-1] for table in STORED)


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
        *[f'sum("{column}"::decimal(38, 3))' for column in exact],
        *[f'count(distinct "{column}")' for column in texts],
        *[f'count("{item.name}")' for item in schema],
        *[f'sum("{column}")' for column in floats],
    ]
    other = whole.reader.row(f"select {', '.join(wanted)} from {name}")
    split = len(wanted) - len(floats)
    assert tuple(found)[:split] == other[:split]
    assert other[split:] == pytest.approx(tuple(found)[split:])
    assert (found[0] > 0) == (name not in KNOWN_LATER)


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
    # What warns is told once more without a partition, as it stands now: that is what the UI shows.
    assert {info.check_key.name for info in found if info.partition_key is None} <= warning
    found = [info for info in found if info.partition_key is not None]
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


def test_the_dashboards_figures_are_those_of_the_gold_tables_to_the_penny(whole: Whole):
    pages = Pages(directory=whole.workbench.settings.dashboards)
    listed = whole.reader.rows("SELECT snapshot_month, file, bytes, sha256, as_of_date FROM dashboard ORDER BY 1")
    assert len(listed) == 7
    for month, file, size, digest, as_of in listed:
        content = pages.path("online_retail", f"{month:%Y-%m}").read_bytes()
        assert (Path(file).name, len(content), sha256(content).hexdigest()) == (file, size, digest)
        assert size <= MOST_BYTES
        shown = embedded(content.decode("utf-8"), "figures")
        sold = [sum(shown["sales"][name]) for name in ("orders", "units", "revenue", "returns")]
        assert tuple(sold) == whole.reader.row(
            "SELECT sum(orders), sum(units), sum(revenue) * 1000, sum(returns_value) * 1000 "
            f"FROM daily_metrics WHERE invoice_date < '{as_of}'"
        )
        place = [country["name"] for country in shown["countries"]]
        day, by_country = -1, dict[str, int]()
        first = date.fromisoformat(shown["first_day"])
        for step, country, revenue in zip(
            *(shown["sales"][name] for name in ("day", "country", "revenue")), strict=True
        ):
            day = step if day < 0 else day + step
            if first + timedelta(days=day) >= month:
                by_country[place[country]] = by_country.get(place[country], 0) + revenue
        gold = whole.reader.rows(f"SELECT country, revenue * 1000 FROM geo_metrics WHERE snapshot_month = '{month}'")
        assert {name: revenue for name, revenue in by_country.items() if revenue} == {n: r for n, r in gold if r}
        assert _people_shown(shown) == _people_of(whole.reader, month)
        assert [row[:2] for row in shown["categories"]] == [
            list(row)
            for row in whole.reader.rows(
                "SELECT category, revenue * 1000 FROM category_metrics "
                f"WHERE snapshot_month = '{month}' ORDER BY revenue_rank"
            )
        ]


def _people_shown(shown: dict[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Of all countries, by segment: what the page says of customers, their risk and their value."""
    name = [segment["name"] for segment in shown["segments"]]
    profiles, churn, values = (pd.DataFrame(shown[part]) for part in ("profiles", "churn", "values"))
    risk = churn.groupby("segment")[["customers"]].sum().reset_index()
    tables = {
        "profiles": profiles[profiles["country"] == -1].drop(columns="country"),
        "risk": risk,
        "values": values[values["country"] == -1][["segment", "customers", "value", "again"]],
        "win_back": pd.DataFrame({"segment": shown["write"]["segment"], "id": shown["write"]["id"]}),
        "lost": pd.DataFrame({"segment": shown["lost"]["segment"], "id": shown["lost"]["id"]}),
    }
    return {
        part: sorted((name[segment], *rest) for segment, *rest in rows.itertuples(index=False))
        for part, rows in tables.items()
    }


def _people_of(reader: IndependentReader, month: date) -> dict[str, list[tuple[Any, ...]]]:
    """The same, from the gold tables."""

    def named(action: str) -> list[tuple[Any, ...]]:
        return reader.rows(
            "SELECT rfm_segment, customer_id FROM actions JOIN customer_rfm USING (customer_id, snapshot_month) "
            f"WHERE snapshot_month = '{month}' AND action = '{action}' ORDER BY 1, 2"
        )

    return {
        "profiles": reader.rows(
            "SELECT rfm_segment, count(*), sum(monetary) * 1000, median(recency_days), median(frequency), "
            f"median(monetary * 1000) FROM customer_rfm WHERE snapshot_month = '{month}' GROUP BY 1 ORDER BY 1"
        ),
        "risk": reader.rows(
            "SELECT rfm_segment, count(*) FROM churn_scores JOIN customer_rfm USING (customer_id, snapshot_month) "
            f"WHERE snapshot_month = '{month}' GROUP BY 1 ORDER BY 1"
        ),
        "values": reader.rows(
            "SELECT rfm_segment, count(*), sum(clv_12m::DECIMAL(18,3)) * 1000, "
            "count(*) FILTER (customer_rfm.frequency > 1) "
            "FROM customer_clv JOIN customer_rfm USING (customer_id, snapshot_month) "
            f"WHERE snapshot_month = '{month}' AND probability_alive IS NOT NULL GROUP BY 1 ORDER BY 1"
        ),
        "win_back": named("win_back"),
        "lost": named("lost"),
    }


def test_a_page_names_the_versions_of_the_tables_it_was_made_from(whole: Whole):
    source = whole.workbench.path("raw_invoices").parent
    newest = Pages(directory=whole.workbench.settings.dashboards).newest("online_retail")
    assert newest is not None
    assert newest.name == "online_retail-2011-07.html"
    shown = embedded(newest.read_text(encoding="utf-8"), "figures")
    last = whole.manifest["last_drop"]
    assert (shown["month"], shown["newest_day"]) == ("2011-07", last)
    assert date.fromisoformat(shown["as_of"]) == date.fromisoformat(last) + timedelta(days=1)
    versions = {entry["table"]: entry["version"] for entry in shown["tables"]}
    assert {"online_retail.customer_rfm", "online_retail.daily_metrics", "online_retail.churn_scores"} <= set(versions)
    assert versions == {
        name: DeltaTable(str(source / name.removeprefix("online_retail."))).version() for name in versions
    }
