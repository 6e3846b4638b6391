"""Rows handed to Python in groups, by whatever tasks hold them: both engines do it, by Arrow."""

from collections.abc import Callable

import pandas as pd
from pyspark.sql import Column, DataFrame


def in_groups(rows: DataFrame, by: Column, made: Callable[[pd.DataFrame], pd.DataFrame], schema: str) -> DataFrame:
    """What `made` makes of the rows of each group, all of them at once; its columns are those of `schema`, in order."""
    return rows.groupBy(by.alias("group")).applyInPandas(lambda group: made(group), schema)
