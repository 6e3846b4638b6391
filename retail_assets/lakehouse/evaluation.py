"""A contract held against a table in one aggregation, grouped by partition.

pandera's own PySpark backend starts one Spark action per rule. Here every rule becomes one `count_if` of the same
aggregation (a test holds the verdicts against pandera's). Keys are counted beside it. Only where rows failed does
another query fetch a few of their keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.lakehouse.content import NO_ROWS, content_hash, content_sum
from retail_assets.lakehouse.contracts import Contract, Expression, partition_column, rules, unique_key

SAMPLES = 5
UNIQUE = "unique_key"

HASHED_HERE = 5_000_000
"""Of so many rows, at the most, the hashes of keys are compared in this process: 40 MB."""


@dataclass
class PartitionEvaluation:
    """One partition against its contract: rows, failed rows per rule, sample keys per failed rule, by check what it
    measures, and what its rows are (see content.py)."""

    rows: int = 0
    content: str = NO_ROWS
    failed: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)


def evaluate(
    frame: DataFrame, contract: type[Contract], measures: Mapping[str, Mapping[str, Expression]] | None = None
) -> dict[str, PartitionEvaluation]:
    """Partition key (ISO date) -> its evaluation, for every partition that has rows.

    `measures` are further aggregates of the same pass, by the check that wants them: two checks may call theirs the
    same. Rows without a partition appear under "None".
    """
    wanted = [(check, name, make) for check, own in (measures or {}).items() for name, make in own.items()]
    partition, checked, key = partition_column(contract), rules(contract), unique_key(contract)
    counted = [F.count_if(~rule.condition()).alias(f"failed_{i}") for i, rule in enumerate(checked)]
    measured = [make().alias(f"measure_{i}") for i, (_, _, make) in enumerate(wanted)]
    found = {}
    always = [F.count("*").alias("rows"), content_sum(contract).alias("content")]
    for row in frame.groupBy(partition).agg(*always, *counted, *measured).collect():
        found[str(row[partition])] = of_day = PartitionEvaluation(
            rows=row["rows"],
            content=content_hash(row["rows"], row["content"]),
            failed={rule.name: row[f"failed_{i}"] for i, rule in enumerate(checked) if row[f"failed_{i}"]},
        )
        for i, (check, name, _) in enumerate(wanted):
            of_day.measures.setdefault(check, {})[name] = row[f"measure_{i}"]
    if key:
        columns = list(dict.fromkeys([partition, *key]))
        here = sum(evaluation.rows for evaluation in found.values()) <= HASHED_HERE
        if not (here and _all_different(frame, columns)):
            for day, surplus in _repeated(frame, columns, partition):
                found[day].failed[UNIQUE] = surplus
    if any(evaluation.failed for evaluation in found.values()):
        _sample(frame, contract, found)
    return found


def _all_different(frame: DataFrame, columns: list[str]) -> bool:
    """Whether no two rows have the same hash, and so none the same values. Grouping, Spark would sort and send texts
    for what is hardly ever found; where two hashes are the same, by chance or not, it does."""
    import numpy as np

    hashes = np.sort(frame.select(F.xxhash64(*columns).alias("hash")).toPandas()["hash"].to_numpy())
    return not (hashes[1:] == hashes[:-1]).any()


def _repeated(frame: DataFrame, columns: list[str], partition: str) -> list[tuple[str, int]]:
    """Partition, and how many of its rows repeat values that were there already."""
    groups = frame.groupBy(*columns).agg((F.count("*") - 1).alias("surplus"))
    repeated = groups.filter("surplus > 0").groupBy(partition).agg(F.sum("surplus").alias("surplus"))
    return [(str(row[partition]), row["surplus"]) for row in repeated.collect()]


def _sample(frame: DataFrame, contract: type[Contract], found: dict[str, PartitionEvaluation]) -> None:
    """Adds up to five keys of failing rows per partition and rule."""
    partition, key = partition_column(contract), unique_key(contract)
    names = {name for evaluation in found.values() for name in evaluation.failed}
    failing = [F.when(~rule.condition(), F.lit(rule.name)) for rule in rules(contract) if rule.name in names]
    shown = F.concat_ws(" | ", *[F.coalesce(F.col(c).cast("string"), F.lit("NULL")) for c in key or frame.columns[:4]])
    kept = frame.select(partition, shown.alias("key"), *([F.array(*failing).alias("rules")] if failing else []))
    if UNIQUE in names:
        repeated = frame.groupBy(*dict.fromkeys([partition, *key])).count().filter("count > 1")
        pairs = repeated.select(partition, shown.alias("key"), F.lit(UNIQUE).alias("rule"))
    else:
        pairs = None
    if failing:
        rows = kept.select(partition, "key", F.explode("rules").alias("rule")).filter("rule IS NOT NULL")
        pairs = rows if pairs is None else pairs.unionByName(rows)
    assert pairs is not None
    rank = F.row_number().over(Window.partitionBy(partition, "rule").orderBy("key"))
    for row in pairs.withColumn("rank", rank).filter(F.col("rank") <= SAMPLES).orderBy("rank").collect():
        found[str(row[partition])].samples.setdefault(row["rule"], []).append(row["key"])
