"""A verdict says what it saw, each check sees the measures and rows that are its own, and nothing is not 0."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import (
    ENOUGH,
    Audit,
    Evidence,
    RuleResult,
    TableCheck,
    Verdict,
    check,
    nothing_to_judge,
    reconciles,
    too_few,
)
from retail_assets.lakehouse.judging import Judged, judge
from retail_assets_tests.lakehouse.shop import Row, Sales, frame

DAYS = ["2020-01-30", "2020-01-31", "2020-02-01"]
SOLD: list[Row] = [("1", 2, "2.00", "food", DAYS[0]), ("2", 3, "5.00", None, DAYS[0]), ("1", 7, None, None, DAYS[2])]


def judged(
    spark: SparkSession, checks: list[TableCheck], keys: list[str] = DAYS, **inputs: DataFrame
) -> Mapping[str, Mapping[str, Verdict]]:
    audit = Audit(frame(spark, [row for row in SOLD if row[4] in keys]), inputs, keys, "day", {"noted": {DAYS[1]: "x"}})
    made: Judged = judge(audit, Sales, checks)
    return made.verdicts


@pytest.mark.parametrize(
    "made",
    [
        lambda observed, told: Verdict(False, observed, explanation=told),
        lambda observed, told: RuleResult("rule", False, observed, explanation=told),
    ],
    ids=["verdict", "rule"],
)
def test_a_failure_without_figures_and_a_verdict_without_observation_are_errors_at_once(made: Any):
    assert made(3, "3 are wrong").explanation == "3 are wrong"
    for told in ("", "some are wrong"):
        with pytest.raises(ValueError, match="fails without a sentence that has figures"):
            made(3, told)
    with pytest.raises(ValueError, match=r"says nothing of what was observed; .* say too_few\(\)"):
        made(None, "3 are wrong")


@pytest.mark.parametrize(
    ("observed", "lower", "upper", "passed"),
    [
        (1, 1, None, True),
        (0.99, 1, None, False),
        (2, None, 2, True),
        (Decimal("2.001"), None, 2, False),
        (5, 1, 9, True),
    ],
)
def test_bounds_are_included(observed: Any, lower: Any, upper: Any, passed: bool):
    verdict = Verdict.within(observed, "1 figure", lower=lower, upper=upper)
    rule = RuleResult.within("rule", observed, "1 figure", lower=lower, upper=upper)
    assert verdict.passed is rule.passed is passed


def test_of_several_rules_the_first_that_failed_is_shown_and_all_that_failed_are_told():
    rules = [RuleResult.within(name, n, f"{name} is {n}", upper=1) for n, name in enumerate(("one", "two", "three"))]
    fewer = Verdict.of(rules)
    assert (fewer.passed, fewer.observed, fewer.upper, fewer.explanation) == (False, 2, 1, "three is 2")
    sound = Verdict.of(rules[:2])
    assert (sound.passed, sound.observed, sound.explanation) == (True, 0, "")


def test_too_little_to_judge_passes_with_the_bound_told_and_under_a_rule_of_its_own():
    verdict = too_few(312, 500, "customers")
    assert (verdict.passed, verdict.observed) == (True, 312)
    assert verdict.explanation == "Too few customers to tell: 312 of at least 500"
    assert [rule.rule for rule in verdict.rules] == [ENOUGH], "its figure is of another kind than what the check judges"
    assert nothing_to_judge("No rows").observed == 0


def test_checks_that_call_their_measures_the_same_do_not_see_each_others(spark: SparkSession):
    @check("Units are few", measures={"units": lambda: F.sum("quantity")})
    def few(day: Evidence) -> Verdict:
        return Verdict(True, day.total("units"))

    @check("No ticket has many", measures={"units": lambda: F.max("quantity")})
    def small(day: Evidence) -> Verdict:
        return Verdict(True, day.total("units"))

    verdicts = judged(spark, [few, small])
    assert [verdict.observed for verdict in verdicts["few"].values()] == [5, 0, 7]
    assert [verdict.observed for verdict in verdicts["small"].values()] == [3, 0, 7]


def test_a_measure_of_nothing_is_none_and_only_what_adds_up_is_0(spark: SparkSession):
    seen: dict[str, Evidence] = {}

    @check("Kept", measures={"amount": lambda: F.max("amount"), "tickets": lambda: F.count("*")})
    def keeps(day: Evidence) -> Verdict:
        seen[day.key] = day
        return Verdict(True, day.rows)

    judged(spark, [keeps])
    assert {key: dict(day.measures) for key, day in seen.items()} == {
        DAYS[0]: {"amount": Decimal("5.000"), "tickets": 2},
        DAYS[1]: {"amount": None, "tickets": None},
        DAYS[2]: {"amount": None, "tickets": 1},
    }
    assert [day.total("tickets") for day in seen.values()] == [2, 0, 1]
    assert [day.found("noted") for day in seen.values()] == [None, "x", None]
    assert seen[DAYS[1]].day == date(2020, 1, 31)


def test_a_query_is_made_once_and_each_partition_is_handed_its_own_rows(spark: SparkSession):
    asked: list[list[str]] = []

    def kinds(audit: Audit) -> DataFrame:
        asked.append(audit.keys)
        return audit.inputs["other"].select("day", "kind")

    @check("Kinds are told", asks=kinds)
    def told(day: Evidence) -> Verdict:
        return Verdict(True, len(day.asked), explanation=", ".join(sorted(row["kind"] for row in day.asked)))

    other = frame(spark, [("1", 1, None, kind, day) for kind, day in (("a", DAYS[0]), ("b", DAYS[0]), ("c", DAYS[2]))])
    verdicts = judged(spark, [told], DAYS[:2], other=other)["told"]
    assert {key: verdict.explanation for key, verdict in verdicts.items()} == {DAYS[0]: "a, b", DAYS[1]: ""}
    assert asked == [DAYS[:2]]


def test_sums_over_nothing_reconcile_as_0_and_what_differs_is_told(spark: SparkSession):
    promise = reconciles(
        "reconciliation",
        "Amounts are there",
        ours={"amount": lambda: F.sum("amount")},
        theirs=lambda audit: audit.inputs["other"].groupBy("day").agg(F.sum("amount").alias("amount")),
    )
    # 7.00 there as here; nothing there as here; here a row of no amount, there none at all.
    verdicts = judged(spark, [promise], other=frame(spark, [("9", 1, "7.00", None, DAYS[0])]))["reconciliation"]
    assert [(verdict.passed, str(verdict.observed)) for verdict in verdicts.values()] == [
        (True, "7.000"),
        (True, "0"),
        (True, "0.000"),
    ]
    other = frame(spark, [("9", 1, "7.01", None, DAYS[0]), ("9", 1, None, None, DAYS[1]), ("9", 1, "1", None, DAYS[2])])
    wrong = judged(spark, [promise], other=other)["reconciliation"]
    assert [verdict.explanation for verdict in wrong.values()] == [
        "amount is 7.000, not 7.010",
        "",
        "amount is 0.000, not 1.000",
    ]


def test_a_check_that_breaks_says_which_and_on_which_partition(spark: SparkSession):
    @check("Never")
    def breaks(day: Evidence) -> Verdict:
        return Verdict(False, 1)

    with pytest.raises(ValueError, match="figures") as error:
        judged(spark, [breaks])
    assert error.value.__notes__ == [f"while check 'breaks' judged partition {DAYS[0]}"]
