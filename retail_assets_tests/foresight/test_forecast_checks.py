"""The checks of weekly tables: each sees its fault, passes without one, and says what it saw where there is nothing."""

from typing import Any

import pytest

from retail_assets.foresight.demand_candidates import all_products
from retail_assets.foresight.demand_forecast import sums_agree
from retail_assets.foresight.forecast_evaluation import better_than_smoothing, bias_and_coverage
from retail_assets.foresight.reorder_evaluation import promise_kept
from retail_assets.foresight.reorder_hints import points_in_order
from retail_assets.lakehouse.checks import Evidence, TableCheck
from retail_assets.lakehouse.evaluation import PartitionEvaluation
from retail_assets_tests.made_shop import BY_THE_WEEK, TABLES

EVALUATED = {"learned": 0.48, "seasonal": 0.53, "smoothed": 0.54}
TOLD = {
    **{f"learned_{name}": value for name, value in (("bias", 0.1), ("coverage_80", 0.81), ("coverage_90", 0.9))},
    **dict.fromkeys(("seasonal_bias", "seasonal_coverage_80", "seasonal_coverage_90"), 0.0),
}
SUMS = {f"{level}{of}": 100.0 for level in ("product", "family", "country", "shop") for of in ("", "_weeks")}

SEEN: list[tuple[TableCheck, dict[str, Any], list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]] = [
    # check, sound measures and answers, faulty measures and answers
    (all_products, {"models": 3, "products": 2}, [{"products": 2}], {"models": 3, "products": 2}, [{"products": 3}]),
    (all_products, {"models": 3, "products": 2}, [{"products": 2}], {"models": 4, "products": 2}, [{"products": 2}]),
    (sums_agree, SUMS, [], {**SUMS, "country": 99.0}, []),
    (sums_agree, SUMS, [], {**SUMS, "shop_weeks": 101.0}, []),
    (better_than_smoothing, EVALUATED, [], {**EVALUATED, "learned": 0.55}, []),
    (bias_and_coverage, TOLD, [], {**TOLD, "learned_bias": -0.3}, []),
    (bias_and_coverage, TOLD, [], {**TOLD, "learned_coverage_80": 0.6}, []),
    (bias_and_coverage, TOLD, [], {**TOLD, "learned_coverage_90": 0.99}, []),
    (promise_kept, {"reached": 0.95}, [], {"reached": 0.9}, []),
    (points_in_order, {}, [{"less": 0}], {}, [{"less": 2}]),
]


def evidence(measures: dict[str, Any], asked: list[dict[str, Any]], rows: int = 6) -> Evidence:
    return Evidence("2011-04-18", PartitionEvaluation(rows=rows), measures, asked, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("check", "sound", "answers", "faulty", "others"), SEEN)
def test_a_fault_fails_its_check(check, sound, answers, faulty, others):
    assert check.judge(evidence(sound, answers)).passed
    assert not check.judge(evidence(faulty, others)).passed


@pytest.mark.parametrize("check", {seen[0].name: seen[0] for seen in SEEN}.values(), ids=lambda check: check.name)
def test_of_a_week_without_rows_a_check_says_what_it_saw(check):
    verdict = check.judge(evidence(dict.fromkeys(check.measures), [], rows=0))
    assert verdict.passed
    assert verdict.observed == 0


def test_a_wrong_judgement_of_a_model_keeps_nothing_from_being_published():
    warning = {check.name for table in TABLES if table.key.path[-1] in BY_THE_WEEK for check in table.checks}
    blocking = {check.name for check, *_ in SEEN if check.blocking}
    assert blocking == {"all_products", "sums_agree", "points_in_order"}
    assert warning >= {"better_than_smoothing", "bias_and_coverage", "promise_kept", "reconciliation", "countries"}
