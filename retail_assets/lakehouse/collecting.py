"""Small frames brought to this process."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

if TYPE_CHECKING:
    import pandas as pd

SIDE_BY_SIDE = 4
"""More queries at once would only wait for each other."""


def collected(frames: Mapping[str, DataFrame]) -> "dict[str, pd.DataFrame]":
    """The rows of each frame, by its name; asked for side by side, as most of a small query's time is its planning."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        rows = pool.map(lambda frame: frame.toPandas(), frames.values())
        return dict(zip(frames, rows, strict=True))
