"""Questions about rows: joins, groups, windows, unions, and the way of rows through Python."""

import os
import time
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from retail_assets_tests.engines.asking import Query, Values

PAIRS = Values(
    "pairs",
    "key string, number int",
    [
        (None, 1), (None, None), ("a", 1), ("a", 2), ("a", 2), ("b", None), ("b", 3), ("c", 1), ("", 2), ("ä", 2),
        ("A", 4), ("a ", 4),
    ],
)  # fmt: skip


def _others(rows: DataFrame) -> DataFrame:
    others = [("a", "x"), ("b", "y"), (None, "z"), ("d", "w"), ("b", "v"), ("", None)]
    return rows.sparkSession.createDataFrame(others, "key string, other string")


def _no_others(rows: DataFrame) -> DataFrame:
    return rows.sparkSession.createDataFrame([], "key string, other string")


def _kept(how: str) -> Query:
    return lambda rows: rows.select("key", "number").join(_others(rows), "key", how)


PAIRS.ask_rows(
    inner=_kept("inner"),
    left=_kept("left"),
    full=_kept("full"),
    semi=_kept("left_semi"),
    anti=_kept("left_anti"),
    inner_by_default=lambda rows: rows.select("key", "number").join(_others(rows), ["key"]),
    full_of_groups=lambda rows: rows.groupBy("key").count().join(_others(rows), "key", "full").fillna(0),
    left_of_nothing=lambda rows: rows.select("key").join(_no_others(rows), "key", "left"),
    inner_of_nothing=lambda rows: rows.select("key").join(_no_others(rows), "key"),
    anti_of_nothing=lambda rows: rows.select("key").join(_no_others(rows), "key", "left_anti"),
    full_of_nothing=lambda rows: _no_others(rows).join(rows.select("key", "number"), "key", "full"),
    by_two=lambda rows: rows.join(
        rows.select("key", "number", F.lit(1).alias("found")).distinct(), ["key", "number"], "left"
    ),
    by_a_range=lambda rows: (
        rows.alias("ours")
        .join(F.broadcast(_others(rows).select(F.col("key").alias("k"))), F.col("key") <= F.col("k"))
        .select("key", "number", "k")
    ),
    by_a_range_left=lambda rows: rows.join(
        _others(rows).select(F.col("key").alias("k")), F.col("key") < F.col("k"), "left"
    ).select("key", "number", "k"),
    every_pair=lambda rows: rows.select("number").crossJoin(F.broadcast(_others(rows).select("other"))),
    null_equals_null=lambda rows: rows.join(
        _others(rows).select(F.col("key").alias("k")), F.col("key").eqNullSafe(F.col("k"))
    ).select("key", "number", "k"),
    grouped=lambda rows: rows.groupBy("key").agg(F.count("*").alias("rows"), F.sum("number"), F.min("number")),
    counted=lambda rows: rows.groupBy("key").count(),
    counted_over=lambda rows: rows.groupBy("key", "number").count().filter("count > 1"),
    surplus=lambda rows: rows.groupBy("key").agg((F.count("*") - 1).alias("surplus")).filter("surplus > 0"),
    of_all=lambda rows: rows.agg(
        F.count("*"), F.count("number"), F.count_distinct("key"), F.count_distinct("key", "number")
    ),
    distinct=lambda rows: rows.select("key", "number").distinct(),
    filtered=lambda rows: rows.select("key", "number").filter("number > 1 AND key <> 'b'"),
    filtered_by_null=lambda rows: rows.select("key", "number").filter(F.col("number") > F.lit(None).cast("int")),
    filtered_by_not=lambda rows: rows.select("key", "number").filter(~(F.col("number") > 1)),
    filtered_by_a_flag=lambda rows: rows.withColumn("flag", F.col("number") > 1).filter("flag").select("key", "flag"),
    filtered_by_not_a_flag=lambda rows: rows.withColumn("flag", F.col("number") > 1).filter("NOT flag").select("key"),
    where=lambda rows: rows.where("number = 2").select("key"),
    nothing=lambda rows: rows.filter(F.lit(False)),
    union=lambda rows: rows.select("key", "number").unionByName(rows.select("number", "key")),
    renamed=lambda rows: rows.withColumnRenamed("number", "order").drop("row", "not there"),
    with_columns=lambda rows: rows.withColumns({"number": F.col("number") + 1, "again": F.col("number")}),
    filled=lambda rows: rows.fillna(0, ["number"]),
    filled_everywhere=lambda rows: rows.fillna(0),
    taken=lambda rows: rows.orderBy("row").limit(2),
    spread=lambda rows: rows.repartition(3, "key").sortWithinPartitions("key"),
    spread_by_range=lambda rows: rows.repartitionByRange(3, "key"),
    case_differs=lambda rows: rows.select(F.col("KEY"), F.col("Number")),
)

PAIRS.ask_order(
    ascending=lambda rows: rows.select("key", "number").orderBy("key", "number"),
    descending=lambda rows: rows.select("key", "number").orderBy(F.desc("key"), F.desc("number")),
    by_a_column=lambda rows: rows.select("number", "row").orderBy(F.col("number").desc(), "row"),
)


def _ranked() -> WindowSpec:
    return Window.orderBy("number")


def _within() -> WindowSpec:
    return Window.partitionBy("key").orderBy("number")


PAIRS.ask_rows(
    the_last_above=lambda rows: rows.select(
        "row",
        F.max_by("number", F.when(F.col("number").isNotNull(), F.col("row"))).over(
            Window.partitionBy("key").orderBy("row")
        ),
    ),
    row_number=lambda rows: rows.select("row", F.row_number().over(Window.orderBy("number", "row"))),
    row_number_within=lambda rows: rows.select(
        "row", F.row_number().over(Window.partitionBy("key").orderBy("number", "row"))
    ),
    row_number_descending=lambda rows: rows.select("row", F.row_number().over(Window.orderBy(F.desc("number"), "row"))),
    rank=lambda rows: rows.select("row", F.rank().over(_ranked()), F.rank().over(_within())),
    rank_descending=lambda rows: rows.select("row", F.rank().over(Window.orderBy(F.desc("number"))) - 1),
    percent_rank=lambda rows: rows.select("row", F.percent_rank().over(_ranked()), F.percent_rank().over(_within())),
    quintile=lambda rows: rows.select(
        "row", F.least(F.lit(5), F.lit(1) + F.floor(F.percent_rank().over(_ranked()) * 5)).cast("int")
    ),
    lead=lambda rows: rows.select("row", F.lead("number").over(Window.partitionBy("key").orderBy("row"))),
    running_sum=lambda rows: rows.select("row", F.sum("number").over(_ranked()), F.sum("number").over(_within())),
    running_sum_by_rows=lambda rows: rows.select(
        "row",
        F.sum("number").over(Window.orderBy("number", "row").rowsBetween(Window.unboundedPreceding, Window.currentRow)),
    ),
    moving_sum=lambda rows: rows.select("row", F.sum("number").over(Window.orderBy("row").rowsBetween(-2, 0))),
    moving_least=lambda rows: rows.select("row", F.min("number").over(Window.orderBy("row").rowsBetween(-397, 0))),
    whole=lambda rows: rows.select(
        "row", F.sum("number").over(Window.partitionBy("key")), F.count("*").over(Window.partitionBy("key"))
    ),
    count_of_a_literal=lambda rows: rows.select("row", F.count(F.lit(1)).over(Window.partitionBy("key"))),
    median_within=lambda rows: rows.select(
        "row", F.median(F.col("number").cast("double")).over(Window.partitionBy("key"))
    ),
    medians=lambda rows: rows.groupBy("key").agg(F.median("number"), F.avg("number")),
    largest_within=lambda rows: rows.select("row", F.max("number").over(Window.partitionBy("key"))),
    windows_of_nothing=lambda rows: rows.filter(F.lit(False)).select("row", F.row_number().over(_ranked())),
)


def _doubled(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([("text", pa.string()), ("pairs", pa.map_(pa.string(), pa.string())), ("n", pa.int64())])
    for batch in batches:
        for row in batch.to_pylist():
            pairs = None if row["key"] is None else [(row["key"], None), ("Ö", "")]
            yield pa.RecordBatch.from_pylist(
                [{"text": row["key"], "pairs": pairs, "n": row["number"]}] * 2, schema=schema
            )


def _nothing(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        pass
    return iter(())


def _long(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"text": ["ä" * 5_000_000] * batch.num_rows})


def _failing(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        raise ValueError("a drop that changed")


_DOUBLED = "text string, pairs map<string,string>, n bigint"
PAIRS.ask_rows(
    through_python=lambda rows: rows.mapInArrow(_doubled, _DOUBLED),
    through_python_of_nothing=lambda rows: rows.mapInArrow(_nothing, "text string"),
    through_python_from_nothing=lambda rows: rows.filter(F.lit(False)).mapInArrow(_doubled, _DOUBLED),
    through_python_long=lambda rows: rows.mapInArrow(_long, "text string").select(F.length("text")),
    through_python_failing=lambda rows: rows.mapInArrow(_failing, rows.schema),
    through_python_then_grouped=lambda rows: (
        rows.mapInArrow(_doubled, _DOUBLED).groupBy("text").agg(F.sum("n"), F.count("pairs"))
    ),
)


def _as_pandas(rows: DataFrame) -> list[Any]:
    """The types and the values of what comes to the driver for a model."""
    frame = rows.select(
        "number",
        (F.col("number") > 1).alias("flag"),
        F.col("number").cast("bigint").alias("count"),
        F.col("number").cast("double").alias("real"),
        F.col("number").cast("decimal(18,3)").alias("amount"),
        F.when(F.col("number") > 1, F.lit(date(2012, 2, 29))).alias("day"),
        F.lit(date(2012, 2, 29)).alias("always"),
        "key",
        F.array("key").alias("keys"),
        "row",
    ).toPandas()
    frame = frame.sort_values("row")
    kinds = [f"{name}: {kind} of {type(frame[name].iloc[0]).__name__}" for name, kind in frame.dtypes.items()]
    return [*kinds, *frame.astype(object).where(frame.notna(), None).to_numpy().tolist()]


def _as_empty_pandas(rows: DataFrame) -> list[Any]:
    frame = rows.filter(F.lit(False)).select("row", "key", F.lit(date(2012, 2, 29)), F.lit(1.5)).toPandas()
    return [str(kind) for kind in frame.dtypes]


def _from_pandas(rows: DataFrame) -> list[Any]:
    """Rows of a model on their way into a table; NaN and None are in them."""
    made = pd.DataFrame(
        {"key": ["a", None], "day": [date(2012, 2, 29), None], "real": [0.5, float("nan")], "n": [1, 2]}
    )
    frame = rows.sparkSession.createDataFrame(made, "key string, day date, real double, n int")
    return sorted(map(list, frame.collect()), key=str)


def _from_python(rows: DataFrame) -> list[Any]:
    schema = "flag boolean, amount decimal(18,3), real double, day date, keys array<string>, counts map<string,bigint>"
    made = [(None,) * 6, (True, Decimal("2.5"), 0.5, date(2012, 2, 29), ["a", None], {"a": 1, "b": None})]
    frame = rows.sparkSession.createDataFrame(made, schema)
    return [frame.schema.simpleString(), *sorted(map(list, frame.collect()), key=str)]


def _elsewhere(zone: str) -> Query:
    """What a process in another time zone is told of moments: tables are in UTC."""

    def told(rows: DataFrame) -> list[Any]:
        before = os.environ.get("TZ")
        os.environ["TZ"] = zone
        time.tzset()
        try:
            moments = rows.select(F.lit("2011-07-04 00:30:00").cast("timestamp").alias("moment")).limit(1)
            days = moments.select("moment", F.col("moment").cast("string"), F.to_date("moment"))
            return list(days.collect()[0])[1:]
        finally:
            os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
            time.tzset()

    return told


PAIRS.ask_python(
    as_pandas=_as_pandas,
    as_empty_pandas=_as_empty_pandas,
    from_pandas=_from_pandas,
    from_python=_from_python,
    first_of_nothing=lambda rows: rows.filter(F.lit(False)).first(),
    first_of_an_aggregate=lambda rows: rows.filter(F.lit(False)).agg(F.min("number")).first(),
    empty=lambda rows: [rows.filter(F.lit(False)).isEmpty(), rows.isEmpty(), rows.filter("row = 0").count()],
    columns=lambda rows: [rows.columns, [field.dataType.simpleString() for field in rows.schema]],
    as_a_dictionary=lambda rows: rows.orderBy("row").collect()[2].asDict(),
    by_name_and_place=lambda rows: [
        [row["number"], row.number, row[1]] for row in rows.orderBy("row").limit(2).collect()
    ],
    elsewhere=_elsewhere("America/New_York"),
)
