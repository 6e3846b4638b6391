"""Growth, as every table that tells of it has it."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import ratio


def growth(now: Column, before: Column) -> Column:
    """What `now` is more than `before`, as a share of it, DOUBLE; NULL over nothing, and over what was below 0."""
    return F.when(before > 0, ratio(now - before, before))
