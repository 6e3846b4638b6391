"""What a partition's rows are, in one short text: told with every materialization, so that it is known whether a table
that was made again is another than before, and with it whether what reads it is out of date."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.contracts import Contract, spark_schema

CONTENT_HASH = "content_hash"
"""Metadata of a materialization: partitions of a table with the same have the same rows, in whatever order."""

NO_ROWS = "0"
"""The hash of a partition without a row."""


def content_sum(contract: type[Contract]) -> Column:
    """An aggregate over a partition's rows: the sum of a hash of each, so that their order says nothing, and a row that
    is there twice counts twice. Moments of writing, which differ each time, are left out."""
    columns = contract.to_schema().columns
    kept = [field for field in spark_schema(contract) if not columns[field.name].metadata["of_the_writing"]]
    parts = [part for field in kept for part in _parts(field)]
    return F.sum(F.xxhash64(*parts).cast("decimal(38,0)"))


def content_hash(rows: int, total: int | None) -> str:
    """From the number of a partition's rows and their `content_sum`."""
    return f"{rows}-{int(total) % 2**64:016x}" if rows and total is not None else NO_ROWS


def _parts(field: T.StructField) -> list[Column]:
    """What is hashed of a column. The hash passes over NULL, so that a value could move from a column, or an element,
    to the next without a trace: where there may be NULL, it is part of it."""
    column = F.col(field.name)
    missing = [column.isNull()] if field.nullable else []
    if isinstance(field.dataType, T.MapType):
        # An engine may keep a map in an order of its own. Its entries are sorted, as looking up each key takes long.
        entries = F.array_sort(F.map_entries(column))
        keys = F.transform(entries, lambda entry: entry["key"])
        values = F.transform(entries, lambda entry: entry["value"])
        return [keys, values, F.transform(values, lambda value: value.isNull()), *missing]
    if isinstance(field.dataType, T.ArrayType):
        return [column, F.transform(column, lambda value: value.isNull()), *missing]
    return [column, *missing]
