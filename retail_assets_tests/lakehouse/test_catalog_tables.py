"""Tables by name in a catalog keep every promise that tables by path keep, and some of their own."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.catalog_tables import CatalogTables
from retail_assets.lakehouse.contracts import conform
from retail_assets.lakehouse.delta_tables import WriteRefused
from retail_assets_tests.lakehouse.shop import Sales, frame

# The promises themselves: collected here once more, for the lake of this module.
from retail_assets_tests.lakehouse.test_delta_tables import (  # noqa: F401
    BY_MONTH,
    DAYS,
    EVERY_DAY,
    NAME,
    Lake,
    test_a_column_that_goes_or_changes_is_refused_by_name_with_a_remedy,
    test_a_commit_says_what_the_log_says,
    test_a_new_column_is_added_and_older_rows_have_nothing_in_it,
    test_a_partition_written_without_rows_becomes_empty,
    test_a_write_replaces_its_partitions_and_leaves_the_others,
    test_a_write_to_no_partition_is_refused_and_makes_no_table,
    test_an_older_version_can_be_read,
    test_comments_and_not_null_are_kept_by_the_table_itself,
    test_files_lie_in_a_directory_a_month,
    test_partitions_that_are_not_consecutive_are_replaced_and_those_between_are_kept,
    test_replacing_a_day_leaves_the_files_of_other_months_untouched,
    test_rows_are_appended_and_take_the_place_of_those_that_meet_a_condition,
    test_rows_between_partitions_that_are_not_consecutive_are_refused,
    test_rows_of_other_partitions_are_refused_and_nothing_is_written,
    test_the_same_write_twice_gives_the_same_rows_and_a_version_of_its_own,
)

CATALOG = "spark_catalog"

pytestmark = pytest.mark.jvm


class CatalogLake(Lake):
    """The same table in Spark's own catalog, its schema's files where the lake by path has them."""

    def __init__(self, spark: SparkSession, root: Path, clustered: bool = False) -> None:
        super().__init__(spark, root)
        self.tables = CatalogTables(spark, CATALOG, clustered)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[CatalogLake]:
    spark.sql(f"CREATE SCHEMA shop LOCATION '{tmp_path}/shop'")
    yield CatalogLake(spark, tmp_path)
    spark.sql("DROP SCHEMA shop CASCADE")


@pytest.fixture(scope="module")
def written_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled")
    spark.sql(f"CREATE SCHEMA shop LOCATION '{root}/shop'")
    CatalogLake(spark, root).write(EVERY_DAY, *DAYS)
    shutil.copytree(root / "shop", root / "kept")
    spark.sql("DROP SCHEMA shop CASCADE")
    return root / "kept"


@pytest.fixture
def filled(written_once: Path, lake: CatalogLake) -> CatalogLake:
    shutil.copytree(written_once, lake.root / "shop", dirs_exist_ok=True)
    lake.spark.sql(f"CREATE TABLE {lake.tables.identifier(NAME)} USING DELTA LOCATION '{lake.root}/shop/sales'")
    return lake


def test_a_table_has_a_name_of_three_levels_and_knows_whether_it_is_there(lake: CatalogLake):
    assert lake.tables.place(NAME) == "spark_catalog.shop.sales"
    assert not lake.tables.exists(NAME)
    lake.write(EVERY_DAY, *DAYS)
    assert lake.tables.exists(NAME)
    assert lake.spark.table("spark_catalog.shop.sales").count() == 4


def test_a_table_that_several_writers_create_at_once_is_made_once_and_holds_the_rows_of_all(lake: CatalogLake):
    name, schema = ("shop", "log"), T.StructType([T.StructField("day", T.DateType()), T.StructField("n", T.LongType())])

    def add(number: int) -> None:
        lake.tables.append(name, schema, [(date(2011, 1, 4), number)], "day")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert sorted(row.n for row in lake.tables.read(name).collect()) == [0, 1, 2, 3]


def test_a_schema_that_is_missing_is_created(spark: SparkSession):
    name = ("shop_that_is_new", "sales")
    rows = conform(frame(spark, EVERY_DAY), Sales)
    try:
        CatalogTables(spark, CATALOG).replace(name, rows, BY_MONTH, [date.fromisoformat(day) for day in DAYS])
        assert spark.table("shop_that_is_new.sales").count() == 4
    finally:
        spark.sql("DROP SCHEMA IF EXISTS shop_that_is_new CASCADE")


def test_where_a_session_keeps_no_rows_they_wait_in_a_table_which_goes_again(lake: CatalogLake, monkeypatch):
    monkeypatch.setattr("retail_assets.lakehouse.catalog_tables.keeps_rows", lambda _: False)
    days = [date.fromisoformat(day) for day in DAYS]
    killed = lake.tables.stage(NAME, conform(frame(lake.spark, EVERY_DAY[:1]), Sales), BY_MONTH, days)
    staged = killed.__enter__()
    assert staged.frame.count() == 1
    assert [row.tableName for row in lake.spark.sql("SHOW TABLES IN shop").collect()] == [
        "_staged_sales_20200130_20200202"
    ]
    lake.write(EVERY_DAY, *DAYS)  # clears away what the one before has left
    assert [row.tableName for row in lake.spark.sql("SHOW TABLES IN shop").collect()] == ["sales"]
    assert lake.tables.read(NAME).count() == 4
    with pytest.raises(WriteRefused, match="outside the partitions being written"):
        lake.write(EVERY_DAY, DAYS[0])
    assert [row.tableName for row in lake.spark.sql("SHOW TABLES IN shop").collect()] == ["sales"]


def test_a_comment_may_hold_quotes_and_backslashes(lake: CatalogLake):
    comment = "it's a \\ and a `tick`"
    rows = conform(frame(lake.spark, EVERY_DAY), Sales)
    rows = rows.withColumn("kind", F.col("kind").alias("kind", metadata={"comment": comment}))
    lake.write_frame(rows, *DAYS)
    assert lake.tables.read(NAME).schema["kind"].metadata["comment"] == comment


def test_a_commit_is_its_own_and_not_one_that_came_after_it(filled: CatalogLake, monkeypatch: pytest.MonkeyPatch):
    """On Databricks a compaction of its own may follow a write at once."""
    asked = filled.spark.sql

    def compacted_meanwhile(query: str) -> object:
        if query.startswith("DESCRIBE HISTORY"):
            asked(f"DELETE FROM {filled.tables.identifier(NAME)} WHERE day = DATE'2020-01-30'")
        return asked(query)

    monkeypatch.setattr(filled.spark, "sql", compacted_meanwhile)
    commit = filled.write([("7", 7, "7.00", "drink", "2020-02-02")], "2020-02-02")
    assert commit.version == filled.delta.version() - 1
    assert (commit.rows, commit.table_rows) == (1, 4)


def test_a_table_can_be_clustered_instead_of_laid_out_in_directories(lake: CatalogLake):
    clustered = CatalogLake(lake.spark, lake.root, clustered=True)
    commit = clustered.write(EVERY_DAY, *DAYS)
    assert (commit.rows, commit.table_rows) == (4, 4)
    detail = lake.spark.sql(f"DESCRIBE DETAIL {lake.tables.identifier(NAME)}").first()
    assert detail is not None
    assert (detail.partitionColumns, detail.clusteringColumns) == ([], ["day"])
    clustered.write([("7", 7, "7.00", "drink", "2020-01-31")], "2020-01-31")
    assert clustered.rows() == [
        ("1", 1, "2020-01-30"),
        ("3", 3, "2020-02-01"),
        ("4", 4, "2020-02-02"),
        ("7", 7, "2020-01-31"),
    ]
