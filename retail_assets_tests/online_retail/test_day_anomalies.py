"""Days unlike those before them are seen, each family by its own check, at the right severity, on the right day."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from dagster import AssetCheckSeverity

from retail_assets.invoices.day_anomalies import ANOMALIES, ObservedDay
from retail_assets.lakehouse.checks import ENOUGH, Evidence, Verdict
from retail_assets.lakehouse.evaluation import PartitionEvaluation
from retail_assets.shops.closed_days import closed_days, easter_sunday, is_unsettled
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets_tests.made_shop import INVOICES

FIRST, LAST = date(2011, 1, 10), date(2011, 7, 31)
STRANGE = date(2011, 6, 15)
"""A Wednesday."""

EVERY_DAY = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
WARN, ERROR = AssetCheckSeverity.WARN, AssetCheckSeverity.ERROR


def usual(day: date) -> ObservedDay:
    """A day as the shop has them: 1,000 rows more or less, 100 orders, a fifth of rows without a customer."""
    generator = np.random.default_rng(day.toordinal())
    rows = round(1000 * generator.lognormal(0, 0.2))
    steps, orders = np.unique(np.floor(4 * np.log2(generator.lognormal(5.5, 1, 100))), return_counts=True)
    return ObservedDay(
        rows=rows,
        duplicates=round(0.01 * rows),
        nulls=dict.fromkeys(INVOICES.columns, 0) | {"customer_id": round(rows * generator.uniform(0.1, 0.3))},
        codes=frozenset(f"{20000 + n}" for n in generator.choice(600, 400, replace=False)) | {"85123A"},
        countries=frozenset(["United Kingdom", "Germany"] if generator.random() < 0.9 else ["United Kingdom"]),
        unknown_columns=frozenset(),
        kinds=dict.fromkeys(INVOICES.columns, "text") | {"quantity": "integer", "unit_price": "number"},
        order_values={str(int(step)): int(count) for step, count in zip(steps, orders, strict=True)},
    )


def history(*strange: tuple[date, Mapping[str, Any]]) -> dict[date, ObservedDay]:
    """Every day but Saturdays and holidays; some of them strange."""
    days = {day: usual(day) for day in EVERY_DAY if day.weekday() != 5 and not ONLINE_RETAIL.closed.include(day)}
    for day, changes in strange:
        days[day] = replace(days[day] if day in days else usual(day), **changes)
    return days


def seen(day: date, days: Mapping[date, ObservedDay]) -> Evidence:
    """A day as its checks see it."""
    return Evidence(str(day), PartitionEvaluation(), {}, (), {"days": days}, ONLINE_RETAIL)


def failed(days: Mapping[date, ObservedDay]) -> list[tuple[str, str, AssetCheckSeverity, Verdict]]:
    """Day, check, severity and verdict of all that fails, over the whole span."""
    verdicts = [(str(day), check, check.judge(seen(day, days))) for check in ANOMALIES for day in EVERY_DAY]
    assert {type(verdict.passed) for _, _, verdict in verdicts} == {bool}  # Dagster takes nothing of numpy's
    return [
        (key, check.name, check.severity_of(verdict), verdict) for key, check, verdict in verdicts if not verdict.passed
    ]


def without(day: date) -> dict[date, ObservedDay]:
    days = history()
    del days[day]
    return days


def of_the_day(**change: Callable[[ObservedDay], Any]) -> dict[date, ObservedDay]:
    ordinary = usual(STRANGE)
    return history((STRANGE, {name: make(ordinary) for name, make in change.items()}))


FAULTS = {
    "a third of the rows": (of_the_day(rows=lambda day: 300), "volume", WARN, []),
    "four times the rows": (of_the_day(rows=lambda day: 4000), "volume", WARN, []),
    "no drop on an open day": (without(STRANGE), "volume", WARN, []),
    "an unknown column": (
        of_the_day(unknown_columns=lambda day: frozenset(["Discount"])), "schema_drift", WARN, ["new_columns"],
    ),
    "a column without values": (
        of_the_day(nulls=lambda day: {**day.nulls, "description": day.rows}),
        "schema_drift", ERROR, ["missing_columns"],
    ),
    "words for quantities": (
        of_the_day(kinds=lambda day: {**day.kinds, "quantity": "text"}), "schema_drift", ERROR, ["retyped_columns"],
    ),
    "prices in pence": (
        of_the_day(order_values=lambda day: {str(int(step) + 26): n for step, n in day.order_values.items()}),
        "distribution_drift", WARN, [],
    ),
    "orders doubled": (
        of_the_day(order_values=lambda day: {str(int(step) + 6): n for step, n in day.order_values.items()}),
        "distribution_drift", WARN, [],
    ),
    "customers lost": (
        of_the_day(nulls=lambda day: {**day.nulls, "customer_id": round(0.9 * day.rows)}),
        "null_rates", WARN, ["customer_id_null_rate"],
    ),
    "descriptions lost": (
        of_the_day(nulls=lambda day: {**day.nulls, "description": round(0.1 * day.rows)}),
        "null_rates", WARN, ["description_null_rate"],
    ),
    "every second row twice": (of_the_day(duplicates=lambda day: day.rows // 3), "duplicate_rate", WARN, []),
    "other codes": (
        of_the_day(codes=lambda day: frozenset(f"9{code}" for code in day.codes)),
        "groups", WARN, ["new_stock_codes", "vanished_stock_codes"],
    ),
    "the home country gone": (
        of_the_day(countries=lambda day: frozenset(["Germany"])), "groups", WARN, ["vanished_countries"],
    ),
    "many new countries": (
        of_the_day(countries=lambda day: day.countries | {"A", "B", "C", "D"}), "groups", WARN, ["new_countries"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_its_check_on_its_day_and_nothing_else(fault: str):
    days, check, severity, rules = FAULTS[fault]
    # A column that comes and goes is a change on the next day, too; one without values also has a rate of them.
    [(key, name, how_bad, verdict), *after] = failed(days)
    assert (key, name, how_bad) == (str(STRANGE), check, severity)
    assert [rule.rule for rule in verdict.rules if not rule.passed] == rules
    assert verdict.explanation
    assert verdict.observed is not None
    assert verdict.upper is not None
    lower = -1 if verdict.lower is None else verdict.lower
    assert not lower <= verdict.observed <= verdict.upper
    also = {(str(STRANGE + timedelta(days=1)), "schema_drift"), (str(STRANGE), "null_rates")}
    assert {(key, name) for key, name, *_ in after} <= also


def test_every_anomaly_check_has_a_planted_fault():
    assert {check for _, check, *_ in FAULTS.values()} == {check.name for check in ANOMALIES}


def test_usual_days_closed_saturdays_and_holidays_raise_no_alarm():
    assert failed(history()) == []


def test_the_days_of_a_shop_with_an_order_a_day_are_not_compared():
    def small(day: date) -> ObservedDay:
        generator = np.random.default_rng(day.toordinal())
        rows = int(generator.integers(1, 40))
        strange = replace(usual(day), rows=rows, duplicates=rows // 2, order_values={"20": 1})
        nulls = {**strange.nulls, "customer_id": int(generator.choice([0, rows]))}
        kinds = {**strange.kinds, "stock_code": str(generator.choice(["text", "integer"]))}
        return replace(strange, nulls=nulls, kinds=kinds, codes=frozenset(map(str, generator.integers(0, 9999, 9))))

    assert failed({day: small(day) for day in EVERY_DAY if day.toordinal() % 3}) == []


def test_what_the_first_lines_of_a_drop_lack_is_not_missing():
    kinds = {name: kind for name, kind in usual(STRANGE).kinds.items() if name != "customer_id"}
    assert failed(history((STRANGE, {"kinds": kinds}))) == []


def test_codes_that_are_numbers_on_one_day_and_none_on_another_are_not_retyped():
    turns = ((day, {"kinds": {**usual(day).kinds, "stock_code": "integer"}}) for day in EVERY_DAY[::7])
    assert failed(history((STRANGE, {"kinds": {**usual(STRANGE).kinds, "stock_code": "integer"}}), *turns)) == []


def test_a_saturday_that_is_open_for_once_is_no_alarm():
    assert (
        failed(history((date(2011, 6, 18), {"rows": 50, "nulls": dict.fromkeys(INVOICES.columns, 0), "duplicates": 0})))
        == []
    )


def test_a_season_that_doubles_the_rows_within_two_months_is_no_alarm():
    growing = {
        day: replace(observed, rows=round(observed.rows * 2 ** ((day - FIRST).days / 60)))
        for day, observed in history().items()
    }
    nulls = {day: replace(seen, nulls=dict.fromkeys(INVOICES.columns, 0)) for day, seen in growing.items()}
    assert failed(nulls) == []


def test_days_with_too_little_before_them_pass_and_say_so():
    days = {day: observed for day, observed in history().items() if day >= STRANGE}
    told = {}
    for check in ANOMALIES:
        verdict = check.judge(seen(STRANGE, days))
        assert verdict.passed
        [rule] = verdict.rules
        assert (rule.rule, rule.observed, verdict.observed) == (ENOUGH, 0, 0)
        told[check.name] = verdict.explanation
    before = "Too few open days before it to tell: 0 of at least"
    assert told == dict.fromkeys(told, f"{before} 15") | {
        "volume": "Too few open days of the same weekday before it to tell: 0 of at least 4",
        "schema_drift": f"{before} 1",
    }


def test_the_easters_and_holidays_of_the_real_years():
    assert [easter_sunday(year) for year in (2009, 2010, 2011, 2026, 2038)] == [
        date(2009, 4, 12), date(2010, 4, 4), date(2011, 4, 24), date(2026, 4, 5), date(2038, 4, 25),
    ]  # fmt: skip
    spring = {day for day in closed_days(2011) if 3 < day.month < 9}
    assert spring == {
        *(date(2011, 4, day) for day in (22, 23, 24, 25, 29)),
        date(2011, 5, 2), date(2011, 5, 30), date(2011, 8, 29),
    }  # fmt: skip
    assert {date(2010, 12, 24), date(2011, 1, 3)} <= closed_days(2010) | closed_days(2011)


@pytest.mark.parametrize(
    ("year", "closed", "open_day"),
    [
        (2012, [date(2012, 5, 7), date(2012, 6, 4), date(2012, 6, 5), date(2012, 8, 27)], date(2012, 5, 28)),
        (2020, [date(2020, 5, 8), date(2020, 5, 25), date(2020, 8, 31)], date(2020, 5, 4)),
        (2022, [date(2022, 5, 2), date(2022, 6, 2), date(2022, 6, 3), date(2022, 8, 29), date(2022, 9, 19)],
         date(2022, 5, 30)),
    ],
)  # fmt: skip
def test_a_bank_holiday_that_was_moved_leaves_a_working_day(year: int, closed: list[date], open_day: date):
    assert sorted(day for day in closed_days(year) if 4 < day.month < 12) == closed
    assert not ONLINE_RETAIL.closed.include(open_day)


def test_the_weeks_around_christmas_are_unsettled():
    around = [date(2010, 12, 10), date(2010, 12, 11), date(2011, 1, 17), date(2011, 1, 18)]
    assert [is_unsettled(day) for day in around] == [False, True, True, False]
