"""The rows of many drops as a Spark frame, read by Spark's Python workers, which import this module and little else."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from retail_assets.landing.drop_reader import raw_schema, read_drop
from retail_assets.landing.layout import SourceLayout

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def drop_rows(drops: "DataFrame", layout: SourceLayout, partition: str) -> "DataFrame":
    """The rows of the drops in a frame of `path, size, modified_ns` and the partition's column, a DATE or a text, whose
    value goes beside each row.

    Raises DropRefused, in the worker, for a drop that changes while it is read.
    """
    columns = ", ".join(f"{column} string" for column in layout.columns)
    kind = drops.schema[partition].dataType.simpleString()
    return drops.mapInArrow(
        _reader(layout, pa.field(partition, pa.date32() if kind == "date" else pa.string())),
        f"{columns}, extra_columns map<string,string>, malformed_line string, line_number bigint, "
        f"source_file string, {partition} {kind}",
    )


def _reader(
    layout: SourceLayout, partition: pa.Field
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = raw_schema(layout).append(partition)
        for batch in batches:
            for drop in batch.to_pylist():
                for rows in read_drop(drop["path"], layout, drop["size"], drop["modified_ns"]):
                    values = pa.repeat(pa.scalar(drop[partition.name], partition.type), rows.num_rows)
                    yield pa.RecordBatch.from_arrays([*rows.columns, values], schema=schema)

    return read
