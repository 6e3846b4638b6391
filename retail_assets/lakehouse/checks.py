"""Checks: promises of a table beyond its rows' rules, each with a verdict per partition.

A check sees the table as it is about to be published, beside what it was made from. A check that blocks keeps the
partitions it fails from being published: readers go on seeing the previous version.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from dagster import AssetCheckSeverity
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Rule
from retail_assets.lakehouse.evaluation import UNIQUE, PartitionEvaluation
from retail_assets.partitions.keys import as_days, within

COMPLETENESS = "completeness"
UNIQUENESS = "uniqueness"
VALIDITY = "validity"
CROSS_COLUMN = "cross-column"
REFERENTIAL_INTEGRITY = "referential integrity"
RECONCILIATION = "reconciliation"
VOLUME = "volume"
SCHEMA_DRIFT = "schema drift"
DISTRIBUTION_DRIFT = "distribution drift"
DUPLICATE_RATE = "duplicate rate"
NULL_RATE = "null rate"
GROUPS = "groups"
MODEL_QUALITY = "model quality"

FAMILIES = {
    COMPLETENESS: "What must be there is there",
    UNIQUENESS: "Keys are unique",
    VALIDITY: "Values are of the kind, and in the range, that they must be",
    CROSS_COLUMN: "Values of one row agree with each other",
    REFERENTIAL_INTEGRITY: "What a row refers to exists",
    RECONCILIATION: "Rows and money are those of the tables it was made from",
    VOLUME: "As many rows as such a day usually has",
    SCHEMA_DRIFT: "The columns, and the kinds of their values, are those of the drop before",
    DISTRIBUTION_DRIFT: "Values are distributed as they were",
    DUPLICATE_RATE: "Rows do not repeat more often than they did",
    NULL_RATE: "Values are not missing more often than they were",
    GROUPS: "No group is new, or gone, that should not be",
    MODEL_QUALITY: "A model is as good as its floors ask",
}
"""The families of checks, each in words. Freshness, the one that has no rows to judge, is Dagster's own."""


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

    @property
    def days(self) -> list[date]:
        """The keys as dates."""
        return as_days(self.keys)

    def measure(self, key: str, name: str) -> Any:
        """A measure of the one-pass evaluation; 0 for a partition without rows or a sum over nothing."""
        evaluation = self.evaluations.get(key)
        value = evaluation.measures.get(name) if evaluation else None
        return 0 if value is None else value

    def partitions(self) -> DataFrame:
        """The partitions under audit, one row each, whether or not they have rows."""
        days = [(day,) for day in self.days]
        return self.frame.sparkSession.createDataFrame(days, f"{self.partition} date")


@dataclass(frozen=True)
class RuleResult:
    """What one rule of a check came to in one partition: a row of dq_results."""

    rule: str
    passed: bool
    observed: float | Decimal | None = None
    lower: float | Decimal | None = None
    upper: float | Decimal | None = None
    family: str | None = None
    """Where it is not the check's."""
    column: str | None = None
    failed_rows: int | None = None
    sample_keys: Sequence[str] = ()
    explanation: str = ""
    """Where it is not the check's."""


@dataclass(frozen=True)
class Verdict:
    """A check's result for one partition: what was observed, the bounds it is held to, and why, for people.

    `severity` is given where it is not the check's; `rules` where the check is made of several.
    """

    passed: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    observed: float | Decimal | None = None
    lower: float | Decimal | None = None
    upper: float | Decimal | None = None
    explanation: str = ""
    severity: AssetCheckSeverity | None = None
    rules: Sequence[RuleResult] = ()


@dataclass(frozen=True)
class TableCheck:
    """A named promise. `measures` are aggregates it wants from the one-pass evaluation of the new rows."""

    name: str
    description: str
    verdicts: Callable[[Audit], Mapping[str, Verdict]]
    measures: Mapping[str, Callable[[], Column]] = field(default_factory=dict)
    blocking: bool = True
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR
    family: str = VALIDITY

    def severity_of(self, verdict: Verdict) -> AssetCheckSeverity:
        """How bad it is where the verdict is a failure."""
        return verdict.severity or self.severity

    def told(self, verdict: Verdict) -> dict[str, Any]:
        """The metadata of the verdict's event. The UI, dq_results and alerts read the same keys: `family`,
        `explanation`, and where there are such `observed`, `lower` and `upper`."""
        bounds = {"observed": verdict.observed, "lower": verdict.lower, "upper": verdict.upper}
        return {
            "family": self.family,
            "explanation": verdict.explanation or self.description,
            **{name: _shown(value) for name, value in bounds.items() if value is not None},
            **verdict.metadata,
        }


def _shown(value: float | Decimal) -> Any:
    """Money as text: a float would show it with other decimals."""
    return str(value) if isinstance(value, Decimal) else value


def contract_check(contract_name: str, rules: Sequence[Rule], keyed: bool) -> TableCheck:
    """Every rule of the contract, key uniqueness included; the failed rules and sample keys are in its metadata."""
    sound = [
        RuleResult(
            rule.name,
            passed=True,
            observed=0,
            upper=0,
            family=_family(rule),
            column=rule.column,
            failed_rows=0,
            explanation=rule.description,
        )
        for rule in rules
    ]
    if keyed:
        sound.append(RuleResult(UNIQUE, True, 0, None, 0, UNIQUENESS, failed_rows=0, explanation="Keys are unique"))
    words = {rule.rule: rule.explanation for rule in sound}

    def verdicts(audit: Audit) -> dict[str, Verdict]:
        found = {}
        for key in audit.keys:
            evaluation = audit.evaluations.get(key, PartitionEvaluation())
            metadata: dict[str, Any] = {"rows": evaluation.rows, "rules": len(sound)}
            explanation, results = f"All {len(sound)} rules hold in every row", sound
            failed = evaluation.failed
            if failed:
                metadata |= {"failed_rows": failed, "sample_keys": evaluation.samples}
                broken = [f"{words[name]} (not in {rows} rows)" for name, rows in failed.items()]
                explanation = f"Of {evaluation.rows} rows some break a rule: {'; '.join(broken)}"
                results = [
                    replace(
                        rule,
                        passed=rule.rule not in failed,
                        observed=failed.get(rule.rule, 0),
                        failed_rows=failed.get(rule.rule, 0),
                        sample_keys=evaluation.samples.get(rule.rule, ()),
                    )
                    for rule in sound
                ]
            found[key] = Verdict(
                not failed, metadata, sum(failed.values()), None, 0, explanation=explanation, rules=results
            )
        return found

    return TableCheck("contract", f"Every row keeps every rule of {contract_name}, and keys are unique", verdicts)


def _family(rule: Rule) -> str:
    if rule.column is None:
        return CROSS_COLUMN
    return COMPLETENESS if rule.name == f"{rule.column}_not_null" else VALIDITY


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
        # The inputs may be of other partitions too, which are not asked about here.
        asked = theirs(audit).filter(within(audit.partition, audit.days))
        rows = {str(row[audit.partition]): row for row in asked.collect()}
        found = {}
        for key in audit.keys:
            expected = {m: (rows[key][m] if key in rows else None) or 0 for m in ours}
            observed = {m: audit.measure(key, m) for m in ours}
            results = [
                RuleResult(m, _equal(observed[m], expected[m]), observed[m], expected[m], expected[m]) for m in ours
            ]
            metadata = {m: str(observed[m]) for m in ours}
            differing = [result for result in results if not result.passed]
            if differing:
                metadata |= {f"{m}_expected": str(expected[m]) for m in ours}
            shown = (differing or results)[0]
            told = "; ".join(f"{each.rule} is {each.observed}, not {each.lower}" for each in differing)
            found[key] = Verdict(
                not differing, metadata, shown.observed, shown.lower, shown.upper, explanation=told, rules=results
            )
        return found

    return TableCheck(name, description, verdicts, measures=ours, family=RECONCILIATION)


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
        found = {}
        for key in audit.keys:
            count, sample = (unknown[key]["n"], unknown[key]["sample"]) if key in unknown else (0, None)
            metadata = {"unknown": count} | ({"sample": sample} if count else {})
            # In words without the sample: they are mailed, which metadata that names rows is not.
            told = f"{count} rows refer to what does not exist" if count else ""
            found[key] = Verdict(not count, metadata, count, None, 0, explanation=told)
        return found

    return TableCheck(name, description, verdicts, family=REFERENTIAL_INTEGRITY)
