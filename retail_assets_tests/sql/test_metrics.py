"""The metric layer: every metric by every grouping is the same in DuckDB, on the engine of tables, and in gold."""

import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from retail_assets import metrics
from retail_assets.sql.door import Door
from retail_assets.sql.tables import tables_in


@pytest.fixture(scope="module")
def door(lakehouse: Path) -> Door:
    return Door(str(lakehouse))


def rows(door: Door, query: str) -> list[tuple[Any, ...]]:
    answer = door.answer(query)
    assert answer is not None
    return answer.fetchall()


GROUPINGS = [(sheet, name) for sheet in metrics.SHEETS for name in sheet.groupings]


@pytest.mark.parametrize(("sheet", "name"), GROUPINGS, ids=[f"{s.table}-{name}" for s, name in GROUPINGS])
def test_every_metric_by_every_grouping_is_the_same_on_both_sides(sheet, name, door, lakehouse, spark):
    sources = [table.source for table in tables_in(str(lakehouse)) if table.name == sheet.table]
    assert sources
    for source in sources:
        found = rows(door, f"FROM {source}_metrics.{name}")
        spark.read.format("delta").load(str(lakehouse / source / sheet.table)).createOrReplaceTempView("rows_of_sheet")
        wanted = [tuple(row) for row in spark.sql(sheet.query("rows_of_sheet", sheet.groupings[name])).collect()]
        assert len(found) > 0
        assert _comparable(found) == _comparable(wanted)


@pytest.mark.parametrize("sheet", metrics.SHEETS, ids=[sheet.table for sheet in metrics.SHEETS])
def test_every_metric_by_every_dimension_alone_is_the_same_on_both_sides(sheet, door, lakehouse, spark):
    source = next(table.source for table in tables_in(str(lakehouse)) if table.name == sheet.table)
    spark.read.format("delta").load(str(lakehouse / source / sheet.table)).createOrReplaceTempView("rows_of_sheet")
    for dimension in sheet.dimensions:
        found = rows(door, sheet.query(f'"{source}"."{sheet.table}"', (dimension,)))
        wanted = [tuple(row) for row in spark.sql(sheet.query("rows_of_sheet", (dimension,))).collect()]
        assert len(found) > 0
        assert _comparable(found) == _comparable(wanted), dimension


@pytest.mark.long
@pytest.mark.jvm
@pytest.mark.parametrize("sheet", metrics.SHEETS, ids=[sheet.table for sheet in metrics.SHEETS])
def test_metric_views_of_spark_say_the_same(sheet, door, lakehouse, spark):
    source = next(table.source for table in tables_in(str(lakehouse)) if table.name == sheet.table)
    spark.sql(f"CREATE TABLE {sheet.table} USING delta LOCATION '{lakehouse / source / sheet.table}'")
    spark.sql(metrics.metric_view(sheet, f"{sheet.table}_metrics", sheet.table))
    try:
        for name, dimensions in sheet.groupings.items():
            chosen = [*dimensions, *(f"MEASURE({each})" for each in sheet.expressions)]
            by = f" GROUP BY {', '.join(dimensions)}" if dimensions else ""
            told = spark.sql(f"SELECT {', '.join(chosen)} FROM {sheet.table}_metrics{by}").collect()
            assert _comparable(map(tuple, told)) == _comparable(rows(door, f"FROM {source}_metrics.{name}"))
    finally:
        spark.sql(f"DROP VIEW {sheet.table}_metrics")
        spark.sql(f"DROP TABLE {sheet.table}")


def _comparable(found: Iterable[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Counts and money in full, real numbers to twelve digits: engines add them up in another order."""
    return sorted(tuple(f"{value:.12g}" if isinstance(value, float) else str(value) for value in row) for row in found)


def test_by_day_it_is_what_daily_metrics_says_of_every_day(door):
    names = "orders, customers, units, revenue, returns_value, average_order_value"
    gold = rows(door, f"SELECT invoice_date, {names} FROM online_retail.daily_metrics WHERE orders > 0 ORDER BY ALL")
    told = rows(
        door,
        f"SELECT day, {names.replace('customers', 'active_customers')} FROM online_retail_metrics.by_day ORDER BY ALL",
    )
    assert len(gold) == 6
    assert told == gold


def test_by_country_it_is_what_geo_metrics_says_of_every_month(door):
    names = "orders, customers, units, revenue, returns_value, return_rate, average_order_value"
    gold = rows(door, f"SELECT snapshot_month, country, {names} FROM online_retail.geo_metrics ORDER BY ALL")
    told = rows(
        door,
        f"SELECT month, country, {names.replace('customers', 'active_customers')} "
        "FROM online_retail_metrics.by_month_and_country ORDER BY ALL",
    )
    assert {row[1] for row in gold} == {"France", "United Kingdom"}
    assert told == gold


def test_by_product_it_is_what_product_metrics_says_of_every_month(door):
    names = "orders, customers, units, revenue, returns_value, return_rate"
    gold = rows(door, f"SELECT snapshot_month, stock_code, {names} FROM online_retail.product_metrics ORDER BY ALL")
    told = rows(
        door,
        f"SELECT month, product, {names.replace('customers', 'active_customers')} "
        "FROM online_retail_metrics.by_month_and_product WHERE product <> 'POST' ORDER BY ALL",
    )
    assert {row[1] for row in gold} == {"22423", "85123A"}
    assert told == gold


def test_customers_of_a_segment_are_those_of_the_rfm_snapshot(door):
    gold = rows(
        door,
        "SELECT snapshot_month, rfm_segment, count(*), sum(monetary) FROM online_retail.customer_rfm "
        "GROUP BY ALL ORDER BY ALL",
    )
    told = rows(
        door,
        "SELECT month, segment, customers, value_so_far FROM online_retail_metrics.customers_by_month_and_segment "
        "ORDER BY ALL",
    )
    assert told == gold


def test_the_marketplace_the_models_and_net_revenue_come_to_known_figures(door):
    assert rows(door, "SELECT revenue, orders, active_customers, units FROM olist_metrics.in_all") == [
        (Decimal("8.503"), 3, 2, 4)
    ]
    # Half a thousandth is rounded up, as in gold, though the double lies below it: 1.003 / 2 = 0.5015.
    assert rows(door, "SELECT average_order_value FROM olist_metrics.by_month ORDER BY month") == [
        (Decimal("0.502"),),
        (Decimal("7.500"),),
    ]
    assert [row[0] for row in rows(door, "SELECT churn_rate FROM olist_metrics.churn_by_month ORDER BY month")] == [
        0.5,
        0.5,
    ]
    (month, empty) = rows(door, "SELECT lifetime_value FROM olist_metrics.lifetime_value_by_month ORDER BY month")
    assert math.isclose(month[0], Decimal("3.000"), abs_tol=0.002)
    assert empty == (Decimal(0),)
    ((revenue, returned, net),) = rows(
        door, "SELECT revenue, returns_value, net_revenue FROM online_retail_metrics.in_all"
    )
    assert returned > 0
    assert net == revenue - returned


def test_what_each_metric_is_can_be_asked(door):
    told = {row[0]: row for row in rows(door, "FROM online_retail_metrics.definitions")}
    assert set(told) == {metric.name for sheet in (metrics.SALES, metrics.CUSTOMERS) for metric in sheet.metrics}
    assert told["return_rate"][1:4] == ("Returns value per revenue", "share", "online_retail.clean_transactions")
    assert "by_month_and_country" in told["return_rate"][4]
