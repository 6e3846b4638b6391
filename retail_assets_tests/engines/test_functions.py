"""What the tables' code asks of an engine is answered by both as Spark on a JVM answers it.

`answers_of_spark.json` is what it says; on the embedded engine the same questions are compared with the file, so that
the next surprise is found without Java. Where the engines differ, `differences` says what keeps tables out of it.
"""

import json
import tomllib
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_assets_tests.conftest import ENGINE
from retail_assets_tests.engines import nested, numbers, rows, texts, times
from retail_assets_tests.engines.asking import ANSWERS, REFUSED, Values, differing, known_answers
from retail_assets_tests.engines.constructs import PACKAGE, constructs, table_code
from retail_assets_tests.engines.differences import BANNED, DIFFERENT
from retail_assets_tests.engines.questions import VALUES

AGAIN = "Ask Spark anew: RETAIL_ENGINE=spark python -m retail_assets_tests.engines.asking"
QUICK = {"amounts", "written numbers", "written moments", "days", "moments"}
"""The values that Spark on a JVM is asked about in every run of the tests; about the others in the long one."""


def test_every_construct_of_table_code_is_asked_about():
    asked = {
        name for module in (nested, numbers, rows, texts, times) for name in constructs(Path(str(module.__file__)))
    }
    used = {name: path.name for path in table_code() for name in constructs(path)}
    missing = {name: path for name, path in used.items() if name not in asked}
    assert not missing, (
        f"table code uses what no question in retail_assets_tests/engines asks both engines about: write one. {AGAIN}"
    )


def test_every_question_has_an_answer_and_every_answer_a_question():
    asked = [f"{values.name}/{what}" for values in VALUES for what in (*values.expressions, *values.queries)]
    assert list(known_answers()) == asked, AGAIN


@pytest.mark.skipif(ENGINE != "sail", reason="on the embedded engine")
@pytest.mark.parametrize("values", VALUES, ids=lambda values: values.name)
def test_the_embedded_engine_answers_as_spark_does(values: Values, spark: SparkSession):
    known = known_answers()
    wrong: dict[str, object] = {}
    for name, answer in values.answers(spark, known).items():
        pairs = differing(answer, known[name])
        if name not in DIFFERENT:
            wrong |= {name: pairs} if pairs else {}
        elif DIFFERENT[name] == REFUSED:
            assert any(ours == REFUSED for ours, _ in pairs), f"{name} is no longer refused: take it from DIFFERENT"
            wrong |= {name: pairs} if any(ours != REFUSED for ours, _ in pairs) else {}
        else:
            assert pairs, f"{name} is answered alike now: take it from DIFFERENT, and lift what it bans"
    assert not wrong, "the engine's answer, and Spark's"


def test_what_differs_is_kept_out_of_table_code_by_a_rule():
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    by_name = settings["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    rules = {str(why) for why in DIFFERENT.values() if why != REFUSED}
    functions = {rule for rule in rules if rule.startswith("F.")}
    assert rules - functions == set(BANNED)
    assert {f"pyspark.sql.functions{function[1:]}" for function in functions} <= set(by_name)
    assert set(DIFFERENT) <= set(known_answers())


@pytest.mark.jvm
@pytest.mark.parametrize(
    "values",
    [pytest.param(one, marks=[] if one.name in QUICK else pytest.mark.long) for one in VALUES],
    ids=lambda values: values.name,
)
def test_the_answers_that_are_kept_are_sparks_own(values: Values, spark: SparkSession):
    kept = json.loads(ANSWERS.read_text(encoding="utf-8"))
    if kept["spark"] != spark.version:
        pytest.skip(f"the answers are those of Spark {kept['spark']}, and this is {spark.version}")
    answers = values.answers(spark, kept["answers"])
    wrong = {name: differing(answer, kept["answers"][name]) for name, answer in answers.items()}
    assert not {name: pairs for name, pairs in wrong.items() if pairs}, AGAIN
