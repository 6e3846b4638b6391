"""Checks: promises of a table beyond its rows' rules, each with a verdict per partition.

A check sees the table as it is about to be published, beside what it was made from. A check that blocks keeps the
partitions it fails from being published: readers go on seeing the previous version.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from dagster import AssetCheckSeverity
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.evaluation import PartitionEvaluation


@dataclass(frozen=True)
class Audit:
    """What checks judge: the new rows, the inputs they were made from, and the one-pass evaluation of the rows."""

    frame: DataFrame
    inputs: Mapping[str, DataFrame]
    keys: list[str]
    partition: str
    evaluated: Future[dict[str, PartitionEvaluation]]
    findings: Mapping[str, Any]

    @property
    def evaluations(self) -> Mapping[str, PartitionEvaluation]:
        """Partition -> its evaluation; waits for the pass to end, as checks query their inputs beside it."""
        return self.evaluated.result()

    def measure(self, key: str, name: str) -> Any:
        """A measure of the one-pass evaluation; 0 for a partition without rows or a sum over nothing."""
        evaluation = self.evaluations.get(key)
        value = evaluation.measures.get(name) if evaluation else None
        return 0 if value is None else value

    def partitions(self) -> DataFrame:
        """The partitions under audit, one row each, whether or not they have rows."""
        days = [(date.fromisoformat(key),) for key in self.keys]
        return self.frame.sparkSession.createDataFrame(days, f"{self.partition} date")


@dataclass(frozen=True)
class Verdict:
    """A check's result for one partition, with what was observed."""

    passed: bool
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableCheck:
    """A named promise. `measures` are aggregates it wants from the one-pass evaluation of the new rows."""

    name: str
    description: str
    verdicts: Callable[[Audit], Mapping[str, Verdict]]
    measures: Mapping[str, Callable[[], Column]] = field(default_factory=dict)
    blocking: bool = True
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR


def contract_check(contract_name: str, rule_count: int) -> TableCheck:
    """Every rule of the contract, key uniqueness included; the failed rules and sample keys are in its metadata."""

    def verdicts(audit: Audit) -> dict[str, Verdict]:
        found = {}
        for key in audit.keys:
            evaluation = audit.evaluations.get(key, PartitionEvaluation())
            metadata: dict[str, Any] = {"rows": evaluation.rows, "rules": rule_count}
            if evaluation.failed:
                metadata |= {"failed_rows": evaluation.failed, "sample_keys": evaluation.samples}
            found[key] = Verdict(not evaluation.failed, metadata)
        return found

    return TableCheck("contract", f"Every row keeps every rule of {contract_name}, and keys are unique", verdicts)


def reconciles(
    name: str,
    description: str,
    ours: Mapping[str, Callable[[], Column]],
    theirs: Callable[[Audit], DataFrame],
) -> TableCheck:
    """Sums of this table equal sums of what it was made from, exactly, in every partition.

    `ours` are aggregates over the new rows; `theirs` returns, from the audit's inputs, a frame of the partition column
    and one column per measure of the same name.
    """

    def verdicts(audit: Audit) -> dict[str, Verdict]:
        rows = {str(row[audit.partition]): row for row in theirs(audit).collect()}
        found = {}
        for key in audit.keys:
            expected = {m: (rows[key][m] if key in rows else None) or 0 for m in ours}
            observed = {m: audit.measure(key, m) for m in ours}
            same = all(_equal(observed[m], expected[m]) for m in ours)
            metadata = {m: str(observed[m]) for m in ours}
            if not same:
                metadata |= {f"{m}_expected": str(expected[m]) for m in ours}
            found[key] = Verdict(same, metadata)
        return found

    return TableCheck(name, description, verdicts, measures=ours)


def _equal(left: Any, right: Any) -> bool:
    return Decimal(str(left)) == Decimal(str(right))


def all_known(
    name: str, description: str, columns: list[str], known: Callable[[Mapping[str, DataFrame]], DataFrame]
) -> TableCheck:
    """Referential integrity: the values of `columns` (which include the partition) all occur in `known`."""

    def verdicts(audit: Audit) -> dict[str, Verdict]:
        strangers = audit.frame.join(known(audit.inputs).select(columns).distinct(), columns, "left_anti")
        shown = F.concat_ws(" | ", *[F.col(c).cast("string") for c in columns if c != audit.partition])
        rows = strangers.groupBy(audit.partition).agg(F.count("*").alias("n"), F.min(shown).alias("sample")).collect()
        unknown = {str(row[audit.partition]): row for row in rows}
        return {
            key: Verdict(False, {"unknown": unknown[key]["n"], "sample": unknown[key]["sample"]})
            if key in unknown
            else Verdict(True, {"unknown": 0})
            for key in audit.keys
        }

    return TableCheck(name, description, verdicts)
