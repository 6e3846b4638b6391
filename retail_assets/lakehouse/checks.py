"""Checks: promises of a table beyond its rows' rules, each with a verdict per partition.

A check is a function beside its table. It judges one partition, and says what it saw:

    @check("At most 5 % of a day's rows are in quarantine", asks=_landed_rows, severity=WARN)
    def quarantine_share(day: Evidence) -> Verdict:
        ...
        return Verdict.within(share, f"{day.rows} of {landed} landed rows are in quarantine", upper=0.05)

The table as it is about to be published is read in one pass for all checks and partitions (`measures`), and what a
check wants of the table's inputs in one query for all partitions (`asks`). A check that is an error when it fails keeps
the partitions it fails from being published: readers go on seeing the previous version. One that warns does not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, Self

from dagster import AssetCheckSeverity
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import Expression, Rule
from retail_assets.lakehouse.evaluation import UNIQUE, PartitionEvaluation
from retail_assets.partitions.keys import as_days

ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN

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


Number = int | float | Decimal

ENOUGH = "enough_to_judge"
"""The rule that stands for a check which had too little to judge: what is observed is then how much there was."""


@dataclass(frozen=True)
class Audit:
    """What a step is about to publish: the new rows, the inputs they were made from, what was found on the way, and
    whose table it is."""

    frame: DataFrame
    inputs: Mapping[str, DataFrame]
    keys: list[str]
    partition: str
    findings: Mapping[str, Any]
    source: Any = None

    @property
    def days(self) -> list[date]:
        """The keys as dates."""
        return as_days(self.keys)

    def partitions(self) -> DataFrame:
        """The partitions under audit, one row each, whether or not they have rows."""
        days = [(day,) for day in self.days]
        return self.frame.sparkSession.createDataFrame(days, f"{self.partition} date")


@dataclass(frozen=True)
class Evidence:
    """What a check is handed of the one partition that it judges.

    `measures`: the check's own aggregates of the new rows, by name; of a partition without rows, all None. `asked`: the
    rows that the check's query has of the partition. `findings`: what was found while the step's rows were built.
    `source`: whose table it is.
    """

    key: str
    evaluation: PartitionEvaluation
    measures: Mapping[str, Any]
    asked: Sequence[Row]
    findings: Mapping[str, Any]
    source: Any = None

    @property
    def day(self) -> date:
        """The key as a date."""
        return date.fromisoformat(self.key)

    @property
    def rows(self) -> int:
        """The partition's rows."""
        return self.evaluation.rows

    def total(self, name: str) -> Any:
        """A measure that counts or adds up: of no rows 0."""
        return self.measures[name] if self.rows else 0

    def found(self, name: str) -> Any:
        """What was found of this partition, where findings are told by partition; else None."""
        return self.findings[name].get(self.key)


def _say_what_was_seen(which: str, passed: bool, observed: Any, explanation: str) -> None:
    """Whoever reads a verdict later has neither the rows nor the code at hand."""
    if observed is None:
        raise ValueError(
            f"{which} says nothing of what was observed; where there was too little to judge, say too_few()"
        )
    if not passed and not re.search(r"\d", explanation):
        raise ValueError(f"{which} fails without a sentence that has figures in it: {explanation!r}")


def _holds(observed: Number, lower: Number | None, upper: Number | None) -> bool:
    return bool((lower is None or observed >= lower) and (upper is None or observed <= upper))


@dataclass(frozen=True)
class RuleResult:
    """What one rule of a check came to in one partition: a row of dq_results. It says what was observed, and a failure
    in a sentence with figures; else it is a ValueError."""

    rule: str
    passed: bool
    observed: Number
    lower: Number | None = None
    upper: Number | None = None
    explanation: str = ""
    """Where it is not the check's."""
    family: str | None = None
    """Where it is not the check's."""
    column: str | None = None
    failed_rows: int | None = None
    sample_keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        _say_what_was_seen(f"Rule {self.rule}", self.passed, self.observed, self.explanation)

    @classmethod
    def within(
        cls,
        rule: str,
        observed: Number,
        explanation: str,
        *,
        lower: Number | None = None,
        upper: Number | None = None,
        **more: Any,
    ) -> Self:
        """Passed if what was observed lies within the bounds."""
        return cls(rule, _holds(observed, lower, upper), observed, lower, upper, explanation, **more)

    @classmethod
    def too_few(cls, seen: Number, needed: Number, of: str) -> Self:
        """For what a check cannot tell beside what it can: as `too_few` says it of a whole check."""
        return cls(ENOUGH, True, seen, explanation=f"Too few {of} to tell: {seen:,} of at least {needed:,}")


@dataclass(frozen=True)
class Verdict:
    """A check's result for one partition: what was observed, the bounds it is held to, and why, for people.

    A failure says why in a sentence with figures; it is mailed, so that it names no rows. A verdict that says neither
    what was observed nor why it fails is a ValueError. `severity` is given where it is not the check's; `rules` where
    the check is made of several.
    """

    passed: bool
    observed: Number
    lower: Number | None = None
    upper: Number | None = None
    explanation: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    severity: AssetCheckSeverity | None = None
    rules: Sequence[RuleResult] = ()

    def __post_init__(self) -> None:
        _say_what_was_seen("A verdict", self.passed, self.observed, self.explanation)

    @classmethod
    def within(
        cls,
        observed: Number,
        explanation: str,
        *,
        lower: Number | None = None,
        upper: Number | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Passed if what was observed lies within the bounds."""
        return cls(_holds(observed, lower, upper), observed, lower, upper, explanation, metadata or {})

    @classmethod
    def of(
        cls,
        rules: Sequence[RuleResult],
        metadata: Mapping[str, Any] | None = None,
        severity: AssetCheckSeverity | None = None,
    ) -> Self:
        """Passed if every rule is; what is shown as observed is the first that failed, else the first. Told is what
        failed, else what could not be told."""
        failed = [rule for rule in rules if not rule.passed]
        shown = (failed or rules)[0]
        told = "; ".join(rule.explanation for rule in failed or [rule for rule in rules if rule.rule == ENOUGH])
        return cls(not failed, shown.observed, shown.lower, shown.upper, told, metadata or {}, severity, rules)


def too_few(seen: Number, needed: Number, of: str) -> Verdict:
    """Passes, as a judgement of so few would be one of chance: "Too few customers to tell: 312 of at least 500"."""
    return Verdict.of([RuleResult.too_few(seen, needed, of)])


def nothing_to_judge(why: str) -> Verdict:
    """Passes, as there is nothing of what the check is about."""
    return Verdict.of([RuleResult(ENOUGH, True, 0, explanation=why)])


@dataclass(frozen=True)
class TableCheck:
    """A named promise of a table, and the function that judges one partition by it; see `check`."""

    name: str
    promise: str
    judge: Callable[[Evidence], Verdict]
    measures: Mapping[str, Expression] = field(default_factory=dict)
    asks: Callable[[Audit], DataFrame] | None = None
    family: str = VALIDITY
    severity: AssetCheckSeverity = ERROR

    @property
    def blocking(self) -> bool:
        """Whether a partition that fails it is kept from being published."""
        return self.severity == ERROR

    def severity_of(self, verdict: Verdict) -> AssetCheckSeverity:
        """How bad it is where the verdict is a failure."""
        return verdict.severity or self.severity

    def told(self, verdict: Verdict) -> dict[str, Any]:
        """The metadata of the verdict's event. The UI, dq_results and alerts read the same keys: `family`,
        `explanation` (the promise, where it is kept and there is no more to say), `observed`, and where there are such
        `lower` and `upper`."""
        bounds = {"observed": verdict.observed, "lower": verdict.lower, "upper": verdict.upper}
        return {
            "family": self.family,
            "explanation": verdict.explanation or self.promise,
            **{name: _shown(value) for name, value in bounds.items() if value is not None},
            **verdict.metadata,
        }


def _shown(value: Number) -> Any:
    """Money as text: a float would show it with other decimals."""
    return str(value) if isinstance(value, Decimal) else value


def check(
    promise: str,
    *,
    name: str | None = None,
    measures: Mapping[str, Expression] | None = None,
    asks: Callable[[Audit], DataFrame] | None = None,
    family: str = VALIDITY,
    severity: AssetCheckSeverity = ERROR,
) -> Callable[[Callable[[Evidence], Verdict]], TableCheck]:
    """Makes a check of a function that judges one partition; it is called as the function is, unless it has a `name`.

    `measures`: aggregates of the new rows, which the one pass over them computes beside those of the other checks.
    `asks`: a query of the step's inputs, or of the new rows; a frame with the partition column, of which each partition
    is handed its own rows. `severity`: ERROR keeps a partition that fails from being published, WARN does not.
    """

    def decorate(judge: Callable[[Evidence], Verdict]) -> TableCheck:
        return TableCheck(name or judge.__name__, promise, judge, measures or {}, asks, family, severity)

    return decorate


def contract_check(contract_name: str, rules: Sequence[Rule], keyed: bool) -> TableCheck:
    """Every rule of the contract, key uniqueness included; the failed rules and sample keys are in its metadata."""
    sound = [
        RuleResult(rule.name, True, 0, None, 0, rule.description, _family(rule), rule.column, failed_rows=0)
        for rule in rules
    ]
    if keyed:
        sound.append(RuleResult(UNIQUE, True, 0, None, 0, "Keys are unique", UNIQUENESS, failed_rows=0))

    def broken(rule: RuleResult, seen: PartitionEvaluation) -> RuleResult:
        rows = seen.failed[rule.rule]
        told, samples = f"{rule.explanation} (not in {rows} rows)", seen.samples.get(rule.rule, ())
        return replace(rule, passed=False, observed=rows, explanation=told, failed_rows=rows, sample_keys=samples)

    @check(f"Every row keeps every rule of {contract_name}, and keys are unique")
    def contract(partition: Evidence) -> Verdict:
        seen, metadata = partition.evaluation, {"rows": partition.rows, "rules": len(sound)}
        if not seen.failed:
            told = f"All {len(sound)} rules hold in every row"
            return Verdict(True, 0, None, 0, told, metadata, rules=sound)
        results = [broken(rule, seen) if rule.rule in seen.failed else rule for rule in sound]
        told = "; ".join(rule.explanation for rule in results if not rule.passed)
        return Verdict(
            False,
            sum(seen.failed.values()),
            None,
            0,
            f"Of {seen.rows} rows some break a rule: {told}",
            metadata | {"failed_rows": seen.failed, "sample_keys": seen.samples},
            rules=results,
        )

    return contract


def _family(rule: Rule) -> str:
    if rule.column is None:
        return CROSS_COLUMN
    return COMPLETENESS if rule.name == f"{rule.column}_not_null" else VALIDITY


def reconciles(
    name: str, promise: str, ours: Mapping[str, Expression], theirs: Callable[[Audit], DataFrame]
) -> TableCheck:
    """Sums of this table equal sums of what it was made from, exactly, in every partition.

    `ours` are sums and counts over the new rows; `theirs` returns, from the audit's inputs, a frame of the partition
    column and one column per measure of the same name. A sum over nothing is 0, on either side.
    """

    def summed(make: Expression) -> Expression:
        return lambda: F.coalesce(make(), F.lit(0))

    def asks(audit: Audit) -> DataFrame:
        return theirs(audit).select(audit.partition, *(F.coalesce(m, F.lit(0)).alias(m) for m in ours))

    def compared(measure: str, observed: Number, expected: Number) -> RuleResult:
        told = f"{measure} is {observed}, not {expected}"
        return RuleResult(measure, _equal(observed, expected), observed, expected, expected, told)

    @check(promise, name=name, measures={m: summed(make) for m, make in ours.items()}, asks=asks, family=RECONCILIATION)
    def reconciliation(partition: Evidence) -> Verdict:
        expected = partition.asked[0].asDict() if partition.asked else dict.fromkeys(ours, 0)
        results = [compared(m, partition.total(m), expected[m]) for m in ours]
        metadata = {result.rule: str(result.observed) for result in results}
        if not all(result.passed for result in results):
            metadata |= {f"{m}_expected": str(expected[m]) for m in ours}
        return Verdict.of(results, metadata)

    return reconciliation


def _equal(left: Any, right: Any) -> bool:
    return Decimal(str(left)) == Decimal(str(right))


def all_known(
    name: str, promise: str, columns: list[str], known: Callable[[Mapping[str, DataFrame]], DataFrame]
) -> TableCheck:
    """Referential integrity: the values of `columns` (which may include the partition) all occur in `known`."""

    def strangers(audit: Audit) -> DataFrame:
        unknown = audit.frame.join(known(audit.inputs).select(columns).distinct(), columns, "left_anti")
        shown = F.concat_ws(" | ", *[F.col(c).cast("string") for c in columns if c != audit.partition])
        return unknown.groupBy(audit.partition).agg(F.count("*").alias("unknown"), F.min(shown).alias("sample"))

    @check(promise, name=name, asks=strangers, family=REFERENTIAL_INTEGRITY)
    def known_from_there(partition: Evidence) -> Verdict:
        # The sample is left out of the sentence: sentences are mailed, and metadata that names rows is not.
        count, sample = partition.asked[0][1:] if partition.asked else (0, None)
        metadata = {"unknown": count} | ({"sample": sample} if count else {})
        return Verdict.within(count, f"{count} rows refer to what does not exist", upper=0, metadata=metadata)

    return known_from_there
