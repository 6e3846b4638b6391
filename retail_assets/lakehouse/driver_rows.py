"""Rows on the driver, for models and the like, on their way to and from Spark."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pandas as pd
from pyspark.sql import DataFrame

from retail_assets.lakehouse.contracts import Contract, spark_schema

SIDE_BY_SIDE = 4
"""So many queries are asked at once: more would only wait for each other."""


def collected(frames: Mapping[str, DataFrame]) -> dict[str, pd.DataFrame]:
    """The rows of each frame, by its name; asked for side by side, as most of a small query's time is its planning."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(zip(frames, pool.map(lambda frame: frame.toPandas(), frames.values()), strict=True))


def as_table(like: DataFrame, contract: type[Contract], rows: list[pd.DataFrame]) -> DataFrame:
    """The rows in the session of the frame `like` and with the contract's types; NaN becomes NULL."""
    schema = spark_schema(contract)
    records = []
    for frame in rows:
        values = frame[schema.fieldNames()].astype(object)
        records += [tuple(row) for row in values.where(values.notna(), None).to_numpy().tolist()]
    return like.sparkSession.createDataFrame(records, schema)


def by_partition(rows: pd.DataFrame, partition: str) -> dict[date, pd.DataFrame]:
    """Partition -> its rows, of rows that came to the driver for several at once."""
    return {day: part for day, part in rows.groupby(partition) if isinstance(day, date)}
