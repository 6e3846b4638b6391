"""What the embedded engine cannot do, each in its smallest form, so that it is noticed when it can.

Nothing of it is needed: `docs/engines.md` says what stands in its place. Where the engine is wrong instead of refusing,
a rule of table code keeps it out (test_table_code.py, pyproject.toml).
"""

from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets_tests.conftest import ENGINE

pytestmark = pytest.mark.skipif(ENGINE != "sail", reason="on the embedded engine")


@pytest.fixture
def rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([("2011-01", 1), ("2011-02", 2)], "month string, number int")


def test_files_by_name_come_without_the_columns_of_their_directories(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
):
    rows.write.partitionBy("month").parquet(str(tmp_path / "rows"))
    files = [str(file) for file in (tmp_path / "rows").rglob("*.parquet")]
    assert spark.read.option("basePath", str(tmp_path / "rows")).parquet(*files).columns == [
        "number"
    ]  # lakehq/sail#2107


def test_of_no_rows_no_file_is_written(rows: DataFrame, tmp_path: Path):
    rows.filter("number > 2").write.parquet(str(tmp_path / "rows"))
    assert not (tmp_path / "rows").exists()


def test_a_replacement_by_rows_that_do_not_belong_there_is_not_refused(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
):
    table = str(tmp_path / "table")
    rows.write.format("delta").save(table)
    other = rows.filter("number = 2").write.format("delta").mode("overwrite")
    other.option("replaceWhere", "number = 1").save(table)
    assert [row.number for row in spark.read.format("delta").load(table).collect()] == [2, 2]  # Spark refuses to


def test_a_percentile_by_a_sketch_is_none_of_the_values(rows: DataFrame):
    assert rows.agg(F.percentile_approx("number", 0.5)).first() == (1.5,)  # on Spark 1, one of the values


def ragged(rows: DataFrame, tmp_path: Path) -> object:
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    return rows.sparkSession.read.schema("a string, b string").csv(str(tmp_path / "ragged.csv")).collect()


REFUSED = {
    "a ragged line of a CSV": ragged,
    "rows kept in a checkpoint": lambda rows, _: rows.localCheckpoint().count(),
    "the same median twice": lambda rows, _: rows.agg(
        F.median("number"), F.median(F.col("number").cast("double"))
    ).collect(),
    "the name of a row's file": lambda rows, _: rows.select(F.input_file_name()).collect(),
    "a table's history in SQL": lambda rows, place: rows.sparkSession.sql(
        f"DESCRIBE HISTORY delta.`{place}`"
    ).collect(),
    "arrays that differ in nullability": lambda rows, _: rows.select(
        F.array_except(F.array("month"), F.array(F.lit("2011-01")))
    ).collect(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(what: str, rows: DataFrame, tmp_path: Path):
    with pytest.raises(PySparkException):
        REFUSED[what](rows, tmp_path)
