"""One aggregation gives the verdicts that pandera's own validation gives, and says where and how often."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_assets.lakehouse import evaluation
from retail_assets.lakehouse.content import NO_ROWS
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Real,
    Text,
    column,
    partition,
    row_rule,
    rules,
    spark_schema,
)
from retail_assets.lakehouse.evaluation import SAMPLES, UNIQUE, PartitionEvaluation, evaluate
from retail_assets_tests.lakehouse.shop import Sales, frame

FIRST, SECOND = date(2020, 1, 31), date(2020, 2, 1)


class Everything(Contract):
    """A column for every kind of rule that contracts know."""

    number: Integer = column("Within a day, each once", ge=0)
    constant: Integer = column("The same everywhere", nullable=True, eq=7)
    above: Real = column("More than", nullable=True, gt=0.0)
    below: Money = column("Less than", nullable=True, lt=Decimal(10))
    at_most: Count = column("At most", nullable=True, le=3)
    within: Real = column("Within", in_range={"min_value": 0.0, "max_value": 1.0, "include_max": False})
    one_of: Text = column("One of", nullable=True, isin=["a", "b"])
    none_of: Text = column("None of", nullable=True, notin=["x"])
    code: Text = column("Matches from the start", nullable=True, str_matches=r"[A-Z][0-9]")
    prefixed: Text = column("Starts with", nullable=True, str_startswith="C")
    day: Day = partition("Day", ge=date(2020, 1, 1))

    class Config:
        unique = ["day", "number"]

    @row_rule("The constant is above the most")
    def constant_is_above() -> Column:
        return F.col("constant") > F.col("at_most")


SOUND: dict[str, Any] = {
    "constant": 7,
    "above": 0.5,
    "below": Decimal("9.999"),
    "at_most": 3,
    "within": 0.0,
    "one_of": "a",
    "none_of": "y",
    "code": "A1",
    "prefixed": "C1",
    "day": FIRST,
}

FAULTS: dict[str, tuple[str, list[Any]]] = {
    # rule -> its column, and values that break it
    "number_greater_than_or_equal_to": ("number", [-1_000_000]),
    "constant_equal_to": ("constant", [8]),
    "above_greater_than": ("above", [0.0, -math.inf]),
    "below_less_than": ("below", [Decimal(10)]),
    "at_most_less_than_or_equal_to": ("at_most", [4, 5]),
    "within_not_null": ("within", [None]),
    "within_in_range": ("within", [1.0, -0.1, math.nan]),
    "one_of_isin": ("one_of", ["", "ab"]),
    "none_of_notin": ("none_of", ["x"]),
    "code_str_matches": ("code", [" A1", "a1"]),
    "prefixed_str_startswith": ("prefixed", ["c1", ""]),
    "constant_is_above": ("at_most", [9]),
    "day_greater_than_or_equal_to": ("day", [date(2019, 12, 31)]),
}

# Sound as well, and on the edges: NULL meets every rule but NOT NULL, NaN is more than any number.
EDGES: list[tuple[str, Any]] = [
    ("above", math.nan),
    ("within", 0.999),
    ("code", "B2 and more"),
    ("prefixed", "C"),
    ("day", SECOND),
    *((name, None) for name in ("constant", "above", "below", "at_most", "one_of", "none_of", "code", "prefixed")),
]


@st.composite
def rows(draw: Callable[..., Any]) -> list[dict[str, Any]]:
    """Rows of which some have a fault or an edge in them, some a number that another has."""
    spoilt = draw(st.sets(st.sampled_from(sorted(FAULTS))))
    changes = [(column, value) for fault in sorted(spoilt) for column, values in [FAULTS[fault]] for value in values]
    some = st.lists(st.lists(st.sampled_from(EDGES + changes), max_size=2), min_size=1, max_size=40)
    repeats = draw(st.booleans())
    return [
        {**SOUND, "number": 1 if repeats and i % 5 == 1 else i, **dict(changed)} for i, changed in enumerate(draw(some))
    ]


def as_frame(spark: SparkSession, values: list[dict[str, Any]]) -> DataFrame:
    schema = spark_schema(Everything)
    for field in schema:
        field.nullable = True
    return spark.createDataFrame([tuple(row[name] for name in schema.names) for row in values], schema)


def pandera_says(values: DataFrame, contract: type[Contract]) -> set[str]:
    """The names of the rules that pandera's own validation finds broken."""
    validated: Any = contract.validate(cast(Any, values))
    errors = validated.pandera.errors
    broken = {f"{error['column']}_not_null" for error in errors.get("SCHEMA", {}).pop("SERIES_CONTAINS_NULLS", [])}
    for error in errors.get("DATA", {}).pop("DATAFRAME_CHECK", []):
        rule = error["check"].split("(")[0]
        broken.add(rule if error["column"] == contract.__name__ else f"{error['column']}_{rule}")
    broken |= {UNIQUE for _ in errors.get("DATA", {}).pop("DUPLICATES", [])}
    assert not any(errors.values()), errors
    return broken


def given_frames(examples: int) -> Callable[[Any], Any]:
    chosen = settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    return lambda test: chosen(given(values=rows())(test))


@given_frames(4)
def test_the_verdicts_are_those_of_pandera_rule_by_rule(spark: SparkSession, values: list[dict[str, Any]]):
    assert_as_pandera(spark, values)


@pytest.mark.long
@given_frames(60)
def test_the_verdicts_are_those_of_pandera_rule_by_rule_over_many_frames(
    spark: SparkSession, values: list[dict[str, Any]]
):
    assert_as_pandera(spark, values)


def assert_as_pandera(spark: SparkSession, values: list[dict[str, Any]]) -> None:
    found = evaluate(as_frame(spark, values), Everything)
    broken = {rule for of_day in found.values() for rule in of_day.failed}
    assert broken == pandera_says(as_frame(spark, values), Everything)
    assert {day: of_day.rows for day, of_day in found.items()} == Counter(str(row["day"]) for row in values)
    assert all(set(of_day.samples) == set(of_day.failed) for of_day in found.values())


def test_each_fault_breaks_its_own_rule_as_often_as_it_is_there_and_pandera_agrees(spark: SparkSession):
    assert set(FAULTS) <= {rule.name for rule in rules(Everything)}
    values, number = [], 0
    expected: Counter[str] = Counter()
    for rule, (name, bad) in FAULTS.items():
        if name == "day":
            continue
        for value in bad:
            values.append({**SOUND, "number": (number := number + 1), name: value})
            expected[rule] += 1
    expected["at_most_less_than_or_equal_to"] += 1  # 9 breaks the rule of its column, too
    values += [{**SOUND, "number": (number := number + 1), name: value} for name, value in EDGES]
    values += [{**SOUND, "number": 900}] * 4
    expected[UNIQUE] = 3
    found = evaluate(as_frame(spark, values), Everything)
    assert found[str(FIRST)].failed == expected
    assert replace(found[str(SECOND)], content="") == PartitionEvaluation(rows=1, content="")
    assert pandera_says(as_frame(spark, values), Everything) == set(expected)


@pytest.mark.parametrize("few_rows", [0, 100], ids=["keys_compared_by_spark", "keys_compared_here"])
def test_failed_rows_sample_keys_and_measures_are_told_per_partition_and_check(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, few_rows: int
):
    monkeypatch.setattr(evaluation, "HASHED_HERE", few_rows)
    sold = frame(
        spark,
        [
            ("1", 1, "2.00", "food", "2020-01-30"),
            ("2", 101, "2.00", "food", "2020-01-31"),
            ("3", 2, None, None, "2020-01-31"),
            ("4", 0, "0.00", "fuel", "2020-01-31"),
            ("5", 1, "5.00", "food", "2020-02-01"),
            ("5", 2, "6.00", "food", "2020-02-01"),
            ("5", 3, "7.00", "food", "2020-02-01"),
            ("6", None, "1000.01", "drink", "2020-02-01"),
            (None, 1, "1.00", "drink", "2020-02-01"),
        ],
    )
    of_two = {"calm": {"units": lambda: F.sum("quantity")}, "busy": {"units": lambda: F.max("quantity")}}
    found = {key: replace(of_day, content=NO_ROWS) for key, of_day in evaluate(sold, Sales, of_two).items()}
    assert found == {
        "2020-01-30": PartitionEvaluation(rows=1, measures={"calm": {"units": 1}, "busy": {"units": 1}}),
        "2020-01-31": PartitionEvaluation(
            rows=3,
            failed={"quantity_greater_than_or_equal_to": 1, "quantity_less_than_or_equal_to": 1, "kind_isin": 1},
            samples={
                "quantity_greater_than_or_equal_to": ["2020-01-31 | 4"],
                "quantity_less_than_or_equal_to": ["2020-01-31 | 2"],
                "kind_isin": ["2020-01-31 | 4"],
            },
            measures={"calm": {"units": 103}, "busy": {"units": 101}},
        ),
        "2020-02-01": PartitionEvaluation(
            rows=5,
            failed={"ticket_not_null": 1, "quantity_not_null": 1, "amount_in_range": 1, UNIQUE: 2},
            samples={
                "ticket_not_null": ["2020-02-01 | NULL"],
                "quantity_not_null": ["2020-02-01 | 6"],
                "amount_in_range": ["2020-02-01 | 6"],
                UNIQUE: ["2020-02-01 | 5"],
            },
            measures={"calm": {"units": 7}, "busy": {"units": 3}},
        ),
    }


def test_five_samples_at_most_are_taken_of_each_rule_and_partition(spark: SparkSession):
    rows = [(str(n), 0, "1.00", "food", day) for n in range(10, 22) for day in ("2020-01-30", "2020-01-31")]
    found = evaluate(frame(spark, rows), Sales)
    for day in ("2020-01-30", "2020-01-31"):
        assert found[day].failed == {"quantity_greater_than_or_equal_to": 12}
        assert found[day].samples == {
            "quantity_greater_than_or_equal_to": [f"{day} | {n}" for n in range(10, 10 + SAMPLES)]
        }


def test_rows_without_a_partition_are_found_and_nothing_is_found_in_nothing(spark: SparkSession):
    nowhere = evaluate(frame(spark, [("1", 1, "1.00", "food", None)]), Sales)
    assert nowhere["None"].failed == {"day_not_null": 1, "month_not_null": 1}
    assert evaluate(frame(spark, []), Sales) == {}
