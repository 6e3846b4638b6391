"""The rows of many drops as a Spark frame, read by Spark's Python workers, which import this module and little else."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from retail_assets.landing.drop_reader import raw_schema, read_drop
from retail_assets.landing.layout import SourceLayout

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def drop_rows(drops: "DataFrame", layout: SourceLayout, day_column: str) -> "DataFrame":
    """The rows of the drops in a frame of `path, size, modified_ns` and the day, which goes beside each row.

    Raises DropRefused, in the worker, for a drop that changes while it is read.
    """
    columns = ", ".join(f"{column} string" for column in layout.columns)
    return drops.mapInArrow(
        _reader(layout, day_column),
        f"{columns}, extra_columns map<string,string>, malformed_line string, line_number bigint, "
        f"source_file string, {day_column} date",
    )


def _reader(layout: SourceLayout, day_column: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = raw_schema(layout).append(pa.field(day_column, pa.date32()))
        for batch in batches:
            for drop in batch.to_pylist():
                for rows in read_drop(drop["path"], layout, drop["size"], drop["modified_ns"]):
                    days = pa.repeat(pa.scalar(drop[day_column], pa.date32()), rows.num_rows)
                    yield pa.RecordBatch.from_arrays([*rows.columns, days], schema=schema)

    return read
