"""Results of checks as a table: one row per run, partition, table and rule, written by the step that judged.

The rows are appended after the table's own commit and before Dagster is told of it, so that whatever was killed in
between is made again, by another run, and has its rows then: none is lost, and none is there twice for one run. They
are written where the step runs, on Databricks by the cluster. The other way, an asset that copies evaluations out of
Dagster's event log, would need the event log where the lakehouse is (on a cluster it is not), every rule of every
partition in the metadata of an event, and seconds to read thousands of events back.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from retail_assets.lakehouse.checks import RuleResult, TableCheck
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Flag,
    Moment,
    Real,
    Text,
    Texts,
    column,
    column_in_role,
    month_directory,
    partition,
    partition_column,
    table_name,
    written_schema,
)
from retail_assets.lakehouse.delta_tables import Commit, Tables, literal
from retail_assets.lakehouse.judging import Judged

PASSED, FAILED = "passed", "failed"


class CheckResults(Contract):
    """What every rule of every check came to, each time a partition was made."""

    run_id: Text = column("Dagster run in which the partition was judged")
    table_name: Text = column("Table that was judged, with its source")
    partition_key: Text = column("Partition that was judged: its day, or the first day of its month")
    check_name: Text = column("Check of the table that the rule belongs to")
    rule: Text = column("Rule; the check itself where it is not made of several")
    family: Text = column("Family of checks")
    column_name: Text = column("Column that the rule is about, where it is one", nullable=True)
    severity: Text = column("How bad a failure is", isin=["WARN", "ERROR"])
    blocking: Flag = column("Whether a failure keeps the partition from being published")
    status: Text = column("What the rule came to", isin=[PASSED, FAILED])
    observed: Real = column("What was found", nullable=True)
    lower: Real = column("Least that would pass", nullable=True)
    upper: Real = column("Most that would pass", nullable=True)
    rows: Count = column("Rows of the partition", ge=0)
    failed_rows: Count = column("Rows that break the rule, where rows do", nullable=True, ge=0)
    sample_keys: Texts = column("Keys of some of these rows")
    explanation: Text = column("What was found, and what it means, in words")
    published: Flag = column("Whether readers see the partition as it was judged")
    delta_version: Count = column("Version of the table that holds it; NULL where it was not published", nullable=True)
    evaluated_at: Moment = column("When it was judged", unit="UTC")
    evaluated_on: Day = partition("Day on which it was judged, in UTC")
    evaluated_month: Text = month_directory("the day")

    class Config:
        unique = ["run_id", "table_name", "partition_key", "check_name", "rule"]


def result_rows(run_id: str, table: str, judged: Judged, version: int | None, now: datetime) -> list[tuple[Any, ...]]:
    """The rows of CheckResults, in the order of its columns. `version`: what the step's commit made, if it made one."""
    found: list[tuple[Any, ...]] = []
    day, refused = (now, now.date(), f"{now:%Y-%m}"), judged.refused
    for check in judged.checks:
        for key, verdict in judged.verdicts[check.name].items():
            published = key not in refused
            where = (run_id, table, key, check.name)
            severity = check.severity_of(verdict).value
            outcome = (judged.rows(key), published, version if published else None)
            words = verdict.explanation or check.promise
            alone = RuleResult(check.name, verdict.passed, verdict.observed, verdict.lower, verdict.upper, words)
            found += [_row(where, check, rule, severity, words, outcome, day) for rule in verdict.rules or (alone,)]
    return found


def _row(
    where: tuple[str, ...],
    check: TableCheck,
    rule: RuleResult,
    severity: str,
    words: str,
    outcome: tuple[int, bool, int | None],
    day: tuple[Any, ...],
) -> tuple[Any, ...]:
    rows, published, version = outcome
    bounds = (_number(rule.observed), _number(rule.lower), _number(rule.upper))
    return (
        *where,
        rule.rule,
        rule.family or check.family,
        rule.column,
        severity,
        check.blocking,
        PASSED if rule.passed else FAILED,
        *bounds,
        rows,
        rule.failed_rows,
        list(rule.sample_keys),
        rule.explanation or words,
        published,
        version,
        *day,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def keep_results(
    tables: Tables, contract: type[Contract], run_id: str, table: str, again: bool, rows: Sequence[tuple[Any, ...]]
) -> Commit:
    """Appends the rows. `again`: the step was tried before in the same run, whose rows these replace."""
    replaced = f"run_id = {literal(run_id)} AND table_name = {literal(table)}" if again else None
    directory = column_in_role(contract, "directory")
    return tables.append(
        table_name(contract), written_schema(contract), rows, partition_column(contract), directory, replaced
    )
