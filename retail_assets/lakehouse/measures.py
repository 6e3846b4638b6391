"""What checks of several tables measure: sums and counts of columns, and faults that are to be few."""

from collections.abc import Callable, Mapping
from typing import Any

from dagster import AssetCheckSeverity
from pyspark.sql import Column
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import VALIDITY, WARN, Evidence, RuleResult, TableCheck, Verdict, check
from retail_assets.lakehouse.contracts import Expression


def summed(*columns: str) -> dict[str, Expression]:
    """The sum of each of the columns, by its name: one side of `reconciles`."""
    return {name: _of(F.sum, name) for name in columns}


def counted(*columns: str) -> dict[str, Expression]:
    """How many rows have a value in each of the columns, by its name."""
    return {name: _of(F.count, name) for name in columns}


def _of(aggregate: Callable[[str], Column], name: str) -> Expression:
    return lambda: aggregate(name)


def rare(
    name: str,
    promise: str,
    faults: Mapping[str, tuple[str, Expression]],
    share: float,
    family: str = VALIDITY,
    severity: AssetCheckSeverity = WARN,
) -> TableCheck:
    """At most this share of a partition's rows, and one row in any case, has each of the faults; none of share 0.

    `faults`: by name, what such rows do or are, in words, and the condition that they meet.
    """

    def having(condition: Expression) -> Expression:
        return lambda: F.count_if(condition())

    measures = {fault: having(condition) for fault, (_, condition) in faults.items()}

    @check(promise, name=name, measures=measures, family=family, severity=severity)
    def few(partition: Evidence) -> Verdict:
        most = max(1, int(share * partition.rows)) if share else 0
        results = []
        for fault, (told, _) in faults.items():
            found = partition.total(fault)
            explained = f"{found} of {partition.rows} rows {told}; at most {most} may"
            results.append(RuleResult.within(fault, found, explained, upper=most, failed_rows=found))
        counts: dict[str, Any] = {result.rule: result.observed for result in results}
        return Verdict.of(results, counts)

    return few
