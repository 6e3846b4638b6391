"""Rows from the driver become a contract's frame, and rows of several partitions are told apart."""

from datetime import date

import pandas as pd
from pyspark.sql import SparkSession

from retail_assets.lakehouse.contracts import (
    Contract,
    Day,
    Integer,
    Real,
    RealMap,
    Text,
    column,
    partition,
    spark_schema,
)
from retail_assets.lakehouse.driver_rows import as_table, by_partition

JANUARY, FEBRUARY = date(2020, 1, 1), date(2020, 2, 1)


class Judged(Contract):
    """What a model said."""

    name: Text = column("Whose")
    rank: Integer = column("Which")
    score: Real = column("How good", nullable=True)
    weights: RealMap = column("By what", nullable=True)
    month: Day = partition("When")


def test_columns_are_taken_by_name_and_what_is_no_number_is_null(spark: SparkSession):
    first = pd.DataFrame({"month": [JANUARY] * 2, "score": [0.5, float("nan")], "rank": [1, 2], "name": ["a", "b"]})
    second = pd.DataFrame(
        [{"name": "c", "rank": 3, "score": None, "weights": {"x": 0.25}, "month": FEBRUARY, "unasked": 1}], dtype=object
    )
    table = as_table(spark.range(1), Judged, [first.assign(weights=None), second])
    assert table.schema == spark_schema(Judged)
    assert sorted(map(tuple, table.collect())) == [
        ("a", 1, 0.5, None, JANUARY),
        ("b", 2, None, None, JANUARY),
        ("c", 3, None, {"x": 0.25}, FEBRUARY),
    ]
    assert as_table(spark.range(1), Judged, []).collect() == []


def test_rows_of_several_partitions_are_told_apart():
    rows = pd.DataFrame({"month": [FEBRUARY, JANUARY, FEBRUARY], "rank": [1, 2, 3]})
    assert {month: list(part["rank"]) for month, part in by_partition(rows, "month").items()} == {
        JANUARY: [2],
        FEBRUARY: [1, 3],
    }
