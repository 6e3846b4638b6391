"""What is derived from a contract says what the contract says; what does not fit it is refused with a remedy."""

import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from dagster import AssetKey, TableColumnDep
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse.asset_metadata import column_lineage, column_schema, layout
from retail_assets.lakehouse.contracts import (
    Contract,
    ContractViolation,
    Day,
    Text,
    column,
    conform,
    origins,
    partition,
    partition_column,
    rules,
    spark_schema,
    table_name,
    unique_key,
    written_schema,
)
from retail_assets.lakehouse.table import Table
from retail_assets.partitions.cadence import whole
from retail_assets.project import project_root
from retail_assets.settings import Settings
from retail_assets.sources.known import known_sources
from retail_assets_tests.lakehouse.shop import Sales, Takings, frame

GOOD = ("1", 2, "3.50", "food", "2020-01-31")

EVERY = [table for source in known_sources(Settings.read({})).values() for table in source.tables]
"""The tables of all sources."""

CONTRACTS = {table_name(table.contract): table.contract for table in EVERY}


def test_the_written_schema_has_the_types_nullability_and_comments_of_the_contract():
    described = [(f.name, f.dataType.simpleString(), f.nullable, f.metadata["comment"]) for f in spark_schema(Sales)]
    assert described == [
        ("ticket", "string", False, "Number of the ticket"),
        ("quantity", "int", False, "Units"),
        ("amount", "decimal(18,3)", True, "What was paid [GBP]"),
        ("kind", "string", True, "What it is"),
        ("day", "date", False, "Day of the sale"),
        ("month", "string", False, "Month of the sale (yyyy-MM), by which the files are laid out"),
    ]


def test_a_table_is_named_after_its_module_and_laid_out_by_its_roles():
    assert table_name(Sales) == ("shop", "sales")
    assert layout(Sales) == {"partition_expr": "day", "directory": "month"}
    assert layout(Takings) == {"partition_expr": "day"}


def test_the_ui_sees_types_descriptions_units_and_rules_of_each_column():
    columns = {column.name: column for column in column_schema(Sales).columns}
    assert (columns["amount"].type, columns["amount"].description) == ("decimal(18,3)", "What was paid [GBP]")
    assert columns["amount"].constraints.nullable
    assert columns["amount"].constraints.other == ["in_range(0, 1000)"]
    assert not columns["quantity"].constraints.nullable
    assert columns["quantity"].constraints.other == ["greater_than_or_equal_to(1)", "less_than_or_equal_to(100)"]
    assert not columns["ticket"].constraints.unique, "unique only together with the day"


def test_the_ui_sees_which_columns_each_column_is_made_from():
    lineage, sold = column_lineage(Takings).deps_by_column, AssetKey(["shop", "sales"])
    assert {name: set(columns) for name, columns in lineage.items()} == {
        "tickets": {TableColumnDep(sold, "ticket")},
        "amount": {TableColumnDep(sold, "amount"), TableColumnDep(sold, "quantity"), TableColumnDep(sold, "kind")},
        "day": {TableColumnDep(sold, "day")},
    }
    assert column_lineage(Sales).deps_by_column == {}
    described = {column.name: column.description for column in column_schema(Takings).columns}
    assert str(described["tickets"]).endswith(" (from sales: ticket)")


def test_a_frame_takes_the_order_precision_and_month_of_its_contract(spark: SparkSession):
    shuffled = frame(spark, [GOOD]).select(
        F.col("quantity").cast("bigint"), "day", "kind", F.col("amount").cast("decimal(10,2)"), "ticket"
    )
    fitted = conform(shuffled, Sales)
    assert fitted.columns == ["ticket", "quantity", "amount", "kind", "day", "month"]
    assert [tuple(row) for row in fitted.collect()] == [
        ("1", 2, Decimal("3.500"), "food", date(2020, 1, 31), "2020-01")
    ]
    assert [f.dataType for f in fitted.schema] == [f.dataType for f in spark_schema(Sales)]
    assert [(f.dataType, f.metadata) for f in written_schema(Sales)] == [
        (f.dataType, {**f.metadata, "required": not f.nullable}) for f in spark_schema(Sales)
    ]


def test_a_number_too_large_for_its_column_is_an_error_not_another_number(spark: SparkSession):
    large = frame(spark, [GOOD]).withColumn("quantity", F.lit(3_000_000_000))
    with pytest.raises(Exception, match=r"OVERFLOW|Can't cast value 3000000000"):
        conform(large, Sales).collect()


def test_doubles_become_money_by_what_is_written_halves_away_from_zero(spark: SparkSession):
    sales = frame(spark, [(str(n), 2, "0", "food", "2020-01-31") for n in range(3)])
    real = F.element_at(F.array(F.lit(4.0005), F.lit(-4.0005), F.lit(4.00049)), F.col("ticket").cast("int") + 1)
    fitted = conform(sales.withColumn("amount", real), Sales)
    assert sorted(row.amount for row in fitted.collect()) == [Decimal("-4.001"), Decimal("4.000"), Decimal("4.001")]


def test_a_frame_of_another_shape_is_refused_naming_table_columns_and_remedy(spark: SparkSession):
    other = frame(spark, [GOOD]).drop("kind").withColumn("day", F.lit("2020-01-31")).withColumn("colour", F.lit("red"))
    with pytest.raises(ContractViolation) as refused:
        conform(other, Sales)
    assert str(refused.value) == (
        "shop.sales does not have the shape of its contract Sales: column kind is missing; column colour is not in the "
        "contract; column day is string, not date. Change the transform or the contract, so that both say the same."
    )


def test_fractions_are_not_cut_to_whole_numbers(spark: SparkSession):
    fraction = frame(spark, [GOOD]).withColumn("quantity", F.lit(1.5))
    with pytest.raises(ContractViolation, match="column quantity is double, not int"):
        conform(fraction, Sales)


def test_a_contract_without_a_partition_and_a_rule_without_translation_are_named():
    class Nowhere(Contract):
        a: Text = column("A")

    class Contained(Contract):
        a: Text = column("A", str_contains="b")
        day: Day = partition("Day")

    with pytest.raises(TypeError, match=r"Nowhere declares no partition\(\) column"):
        partition_column(Nowhere)
    with pytest.raises(TypeError, match=r"Contained.a: no translation for pandera's check 'str_contains'"):
        rules(Contained)


@pytest.mark.parametrize("table", EVERY, ids=lambda table: ".".join(table.key.path))
def test_every_table_describes_its_columns_and_derives_them_from_columns_that_exist(table: Table):
    contract = table.contract
    assert contract.__doc__
    fields = contract.to_schema().columns
    assert [name for name, field in fields.items() if not field.description] == []
    assert partition_column(contract) in fields
    assert set(unique_key(contract)) <= set(fields)
    within_a_partition = partition_column(contract) in unique_key(contract) or table.cadence is whole
    assert not unique_key(contract) or within_a_partition, "unique within a partition"
    assert [rule.name for rule in rules(contract)] == list(dict.fromkeys(rule.name for rule in rules(contract)))
    made_from: list[tuple[str, Any]] = [(name, origin) for name, found in origins(contract).items() for origin in found]
    for name, (origin, *sources) in made_from:
        assert table_name(origin) in CONTRACTS, f"{name} comes from an unknown table"
        assert sources, f"{name} names no columns of {origin.__name__}"
        assert set(sources) <= set(CONTRACTS[table_name(origin)].to_schema().columns), (
            f"{name} comes from unknown columns"
        )


@pytest.mark.parametrize("table", EVERY, ids=lambda table: ".".join(table.key.path))
def test_a_table_reads_the_tables_that_its_columns_come_from(table: Table):
    read = {table_name(contract) for contract, _ in table.reads.values()}
    made_from = {table_name(origin) for found in origins(table.contract).values() for origin, *_ in found}
    assert made_from - {table_name(table.contract)} <= read


WITHOUT_COLUMNS = """
import importlib, inspect, pkgutil
from pyspark.sql import functions
from pyspark.sql.classic.column import Column as Classic
from pyspark.sql.connect.column import Column as Connect

def refused(*arguments, **named):
    raise SystemExit("A Column is made before anybody knows for which engine")

for kind in (Classic, Connect):
    kind.__new__ = refused
for name, function in vars(functions).items():
    if inspect.isfunction(function):
        setattr(functions, name, refused)

import retail_assets.definitions
from retail_assets import analytics, customers, dashboards, invoices
from retail_assets.lakehouse.contracts import rules
from retail_assets_tests.made_shop import TABLES

for room in (invoices, customers, dashboards, analytics):
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
print(sum(len(rules(table.contract)) + sum(len(check.measures) for check in table.checks) for table in TABLES))
"""


def test_definitions_make_no_column_as_the_engine_is_not_known_yet():
    command = [sys.executable, "-c", WITHOUT_COLUMNS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project_root())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 300, "rules and measures, none of them made"
