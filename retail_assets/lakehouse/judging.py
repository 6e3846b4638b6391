"""Judging: every check's verdict on every partition that a step is about to publish.

The rows are read once, for the contract and for what all checks measure, beside one query for each check that asks the
inputs something. What is left is to judge partition by partition, which needs no engine.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row

from retail_assets.lakehouse.checks import Audit, Evidence, TableCheck, Verdict
from retail_assets.lakehouse.content import NO_ROWS
from retail_assets.lakehouse.contracts import Contract
from retail_assets.lakehouse.evaluation import PartitionEvaluation, evaluate
from retail_assets.partitions.keys import within


@dataclass(frozen=True)
class Judged:
    """What a step found of its partitions: their evaluations (of those that have rows), and verdicts by check and
    partition."""

    audit: Audit
    checks: Sequence[TableCheck]
    evaluations: Mapping[str, PartitionEvaluation]
    verdicts: Mapping[str, Mapping[str, Verdict]]

    def rows(self, key: str) -> int:
        """The partition's rows."""
        return self.evaluations[key].rows if key in self.evaluations else 0

    def content(self, key: str) -> str:
        """What the partition's rows are."""
        return self.evaluations[key].content if key in self.evaluations else NO_ROWS

    @property
    def refused(self) -> dict[str, list[str]]:
        """Partition -> the blocking checks it fails, where it fails any."""
        blocking = [check.name for check in self.checks if check.blocking]
        failed = {key: [name for name in blocking if not self.verdicts[name][key].passed] for key in self.audit.keys}
        return {key: names for key, names in failed.items() if names}


def judge(audit: Audit, contract: type[Contract], checks: Sequence[TableCheck]) -> Judged:
    """The verdict of each check on each partition under audit."""
    measures = {check.name: check.measures for check in checks if check.measures}
    # Most of a small query's time is spent planning it: they are made side by side.
    with ThreadPoolExecutor(len(checks) + 1) as pool:
        evaluated = pool.submit(evaluate, audit.frame, contract, measures)
        answers = {check.name: pool.submit(_answers, audit, check.asks) for check in checks if check.asks}
    evaluations = evaluated.result()
    asked = {name: answer.result() for name, answer in answers.items()}
    verdicts = {
        check.name: {
            key: _verdict(check, _evidence(audit, check, key, evaluations.get(key), asked.get(check.name, {})))
            for key in audit.keys
        }
        for check in checks
    }
    return Judged(audit, checks, evaluations, verdicts)


def _answers(audit: Audit, asks: Callable[[Audit], DataFrame]) -> dict[str, list[Row]]:
    """Partition -> the query's rows of it. The inputs may be of other partitions too, which are not asked about."""
    rows: dict[str, list[Row]] = {}
    for row in asks(audit).filter(within(audit.partition, audit.days)).collect():
        rows.setdefault(str(row[audit.partition]), []).append(row)
    return rows


def _evidence(
    audit: Audit,
    check: TableCheck,
    key: str,
    evaluation: PartitionEvaluation | None,
    asked: Mapping[str, Sequence[Row]],
) -> Evidence:
    evaluation = evaluation or PartitionEvaluation()
    measures = evaluation.measures.get(check.name) or dict.fromkeys(check.measures)
    return Evidence(key, evaluation, measures, asked.get(key, ()), audit.findings, audit.source)


def _verdict(check: TableCheck, evidence: Evidence) -> Verdict:
    try:
        return check.judge(evidence)
    except Exception as error:
        error.add_note(f"while check {check.name!r} judged partition {evidence.key}")
        raise
