"""The checks that hold a day of invoices against the days before it: is it like them, and if not, in what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, reduce
from statistics import median

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.anomalies import (
    ENOUGH_WEEKDAYS,
    LEVEL_DAYS,
    WEEKS,
    expected_volume,
    rate_bounds,
    unseen_share_bound,
    volume_bounds,
)
from retail_assets.analytics.drift import psi_bound, quantile_psi
from retail_assets.lakehouse.checks import (
    DISTRIBUTION_DRIFT,
    DUPLICATE_RATE,
    ERROR,
    GROUPS,
    NULL_RATE,
    SCHEMA_DRIFT,
    VOLUME,
    WARN,
    Evidence,
    RuleResult,
    TableCheck,
    Verdict,
    check,
    nothing_to_judge,
    too_few,
)
from retail_assets.shops.closed_days import is_unsettled
from retail_assets.shops.shop import INVOICE_COLUMNS

DAYS_BEFORE = 7 * WEEKS
"""How far back a day is compared."""

ENOUGH_DAYS = 15
"""Open days before a day, without which rates, distributions and groups say nothing yet: three weeks."""

ENOUGH_ORDERS = 10
"""Orders a day, as a rule, without which one day says nothing about the next: a small shop's days differ by chance."""

TOLERATED_PSI = 0.1
"""A drift that would be called small, were it known exactly; what chance adds to it at the day's size is on top."""
PSI_CONFIDENCE = 0.999

TOLERATED_NULL_RATE = 0.05
TOLERATED_DUPLICATE_RATE = 0.05

NEW_CODES_AT_MOST = 0.15
"""Share of a day's stock codes that were not sold in eight weeks. Real data: 8 % at most, 1 % as a rule."""
VANISHED_CODES_AT_MOST = 0.75
"""Share of the stock codes sold on each of the last ten open days that are missing. Real data: 59 % at most."""
NEW_COUNTRIES_AT_MOST = 3
STEADY_CODES_AT_LEAST = 10
"""Of fewer codes that are sold every day, one that is not is a large share. Real data: 10 at least, 81 as a rule."""
STEADY_DAYS_OF_CODES = 10
STEADY_DAYS_OF_COUNTRIES = 30
"""A group is missed if it was there on each of so many open days. Fewer are not steady: Germany skips one in twenty."""


@dataclass(frozen=True)
class ObservedDay:
    """What the checks know of a day. `order_values`: step of the value -> orders."""

    rows: int
    duplicates: int
    nulls: Mapping[str, int]
    codes: frozenset[str]
    countries: frozenset[str]
    unknown_columns: frozenset[str]
    kinds: Mapping[str, str]
    order_values: Mapping[str, int]

    @cached_property
    def orders(self) -> NDArray[np.float64]:
        """The steps of the day's orders, one number each, in order."""
        steps = sorted((int(step), count) for step, count in self.order_values.items())
        return np.repeat([float(step) for step, _ in steps], [count for _, count in steps])

    @cached_property
    def null_rates(self) -> list[float]:
        """Share of rows without a value, by column of the source."""
        return [self.nulls[name] / self.rows for name in INVOICE_COLUMNS]


Days = Mapping[date, ObservedDay]
"""Open days, those with rows, in order of time."""


def observed_days(quality: DataFrame, comparison: DataFrame) -> dict[date, ObservedDay]:
    """The open days among those of the two tables."""
    values = comparison.select("invoice_date", "duplicate_records", "order_values")
    rows = quality.filter("records > 0").join(F.broadcast(values), "invoice_date").collect()
    return {
        row["invoice_date"]: ObservedDay(
            rows=row["records"],
            duplicates=row["duplicate_records"],
            nulls={name: row[f"null_{name}"] for name in INVOICE_COLUMNS},
            codes=frozenset(row["stock_codes"]),
            countries=frozenset(row["countries"]),
            unknown_columns=frozenset(row["unknown_columns"]),
            kinds=row["column_kinds"],
            order_values=row["order_values"],
        )
        for row in sorted(rows, key=lambda row: row["invoice_date"])
    }


Judge = Callable[[ObservedDay, Days], Verdict]
"""From what was observed of a day, and the open days before it, to its verdict."""


def _like_the_days_before(promise: str, family: str, enough_days: int = ENOUGH_DAYS) -> Callable[[Judge], TableCheck]:
    """A check that warns of days unlike those before; days without rows pass, and days before which too few were."""

    def decorate(judge: Judge) -> TableCheck:
        def judged(evidence: Evidence) -> Verdict:
            days: Days = evidence.findings["days"]
            if evidence.day not in days:
                return nothing_to_judge("Nothing has landed for the day")
            before = _days_before(evidence.day, days)
            if len(before) < enough_days:
                return too_few(len(before), enough_days, "open days before it")
            if enough_days > 1 and _usual_orders(before) < ENOUGH_ORDERS:
                return _too_few_orders(before)
            return judge(days[evidence.day], before)

        return check(promise, name=judge.__name__, family=family, severity=WARN)(judged)

    return decorate


def _too_few_orders(before: Days) -> Verdict:
    return too_few(_usual_orders(before), ENOUGH_ORDERS, "orders a day, as a rule,")


def _days_before(day: date, days: Days) -> Days:
    """The open days that a day is compared with, in order of time."""
    span = (day - timedelta(days=back) for back in range(DAYS_BEFORE, 0, -1))
    return {earlier: days[earlier] for earlier in span if earlier in days}


def _usual_orders(before: Days) -> float:
    """Orders of an open day, as a rule."""
    return median(len(day.orders) for day in before.values()) if before else 0.0


@check(
    f"As many rows as the same weekday had in the last {WEEKS} weeks, moved with the season",
    family=VOLUME,
    severity=WARN,
)
def volume(evidence: Evidence) -> Verdict:
    """The day's rows against those expected; a day without a drop is as good as none, unless it is closed."""
    days, day = evidence.findings["days"], evidence.day
    volumes = {each: observed.rows for each, observed in days.items()}
    rows = volumes.get(day, 0)
    if not rows and evidence.source.closed.include(day):
        return nothing_to_judge("A public holiday or the Christmas break: nothing was expected")
    before = _days_before(day, days)
    same_weekday = sum(earlier.weekday() == day.weekday() for earlier in before)
    if same_weekday < ENOUGH_WEEKDAYS:
        return too_few(same_weekday, ENOUGH_WEEKDAYS, "open days of the same weekday before it")
    expected = expected_volume(volumes, day)
    if expected is None:
        return too_few(len(before), LEVEL_DAYS, "open days before it")
    if _usual_orders(before) < ENOUGH_ORDERS:
        return _too_few_orders(before)
    lower, upper = volume_bounds(expected, is_unsettled(day), _usual_orders(before))
    told = f"{rows} rows, where the same weekdays before and the season let expect {expected:.0f}"
    return Verdict.within(rows, told, lower=round(lower, 1), upper=round(upper, 1))


@_like_the_days_before(
    "The columns, and the kinds of their values, are those of the drops before; additions are only announced",
    SCHEMA_DRIFT,
    enough_days=1,
)
def schema_drift(observed: ObservedDay, before: Days) -> Verdict:
    """Additions are announced; columns that are gone, or hold another kind of values, are errors."""
    last = before[max(before)]
    new = sorted(observed.unknown_columns - last.unknown_columns)
    gone = sorted(last.unknown_columns - observed.unknown_columns)
    retyped = {}
    if len(before) >= ENOUGH_DAYS and _usual_orders(before) >= ENOUGH_ORDERS:
        gone += [
            name for name, nulls in observed.nulls.items() if nulls == observed.rows and last.nulls[name] < last.rows
        ]
        for name, kind in observed.kinds.items():
            # Codes are numbers on most lines of one day, and not on those of another.
            known = {day.kinds[name] for day in before.values() if name in day.kinds}
            if known and kind not in known:
                retyped[name] = f"{', '.join(sorted(known))} -> {kind}"
    results = [
        RuleResult.within(rule, len(found), f"{len(found)} {words}: {', '.join(found) or 'none'}", upper=0)
        for rule, words, found in (
            ("new_columns", "columns that the drop before did not have", new),
            ("missing_columns", "columns with values in the drop before and without any now", gone),
            ("retyped_columns", "columns whose values are of another kind", [f"{k} ({v})" for k, v in retyped.items()]),
        )
    ]
    changed = bool(new or gone or retyped)
    metadata = {"new": new, "missing": gone, "retyped": retyped} if changed else {}
    return Verdict.of(results, metadata, ERROR if gone or retyped else None)


@_like_the_days_before("Order values are distributed as in the eight weeks before", DISTRIBUTION_DRIFT)
def distribution_drift(observed: ObservedDay, before: Days) -> Verdict:
    """The population stability index of order values, against what is tolerated and what chance adds to it."""
    earlier = np.concatenate([day.orders for day in before.values()])
    if (fewest := min(len(observed.orders), len(earlier))) < ENOUGH_ORDERS:
        return too_few(fewest, ENOUGH_ORDERS, "orders")
    index = quantile_psi(earlier, observed.orders)
    bound = TOLERATED_PSI + psi_bound(len(earlier), len(observed.orders), confidence=PSI_CONFIDENCE)
    told = (
        f"The values of {len(observed.orders)} orders against those of {len(earlier)} before: stability index "
        f"{index:.3f}, of which {bound - TOLERATED_PSI:.3f} may be chance at these sizes"
    )
    return Verdict.within(round(index, 4), told, upper=round(bound, 4))


@_like_the_days_before("No column lacks values more often than in the eight weeks before", NULL_RATE)
def null_rates(observed: ObservedDay, before: Days) -> Verdict:
    """Of each column of the source, the share of rows without a value."""
    # The lines of an order lack the same: its customer, above all.
    earlier = np.array([day.null_rates for day in before.values()])
    upper = rate_bounds(earlier, len(observed.orders), TOLERATED_NULL_RATE)
    results = [
        RuleResult.within(
            f"{name}_null_rate",
            round(rate, 4),
            f"{rate:.1%} of rows have no {name}; up to {bound:.1%} is no news",
            upper=round(bound, 4),
            column=name,
            failed_rows=observed.nulls[name],
        )
        for name, rate, bound in zip(INVOICE_COLUMNS, observed.null_rates, upper, strict=True)
    ]
    return _of_rules(results)


@_like_the_days_before("Rows do not repeat more often than in the eight weeks before", DUPLICATE_RATE)
def duplicate_rate(observed: ObservedDay, before: Days) -> Verdict:
    """The share of rows that repeat another."""
    rates = np.array([[day.duplicates / day.rows] for day in before.values()])
    (upper,) = rate_bounds(rates, observed.rows, TOLERATED_DUPLICATE_RATE)
    rate = observed.duplicates / observed.rows
    told = f"{observed.duplicates} of {observed.rows} landed rows repeat another; up to {upper:.1%} is no news"
    return Verdict.within(round(rate, 4), told, upper=round(upper, 4))


@_like_the_days_before("Countries and stock codes are those of the eight weeks before, but for a few", GROUPS)
def groups(observed: ObservedDay, before: Days) -> Verdict:
    """Codes and countries that are new, or gone though they were always there."""
    newest_first = sorted(before, reverse=True)
    # Day by day, as what is left grows small at once: to gather all that is known would take fifty times as long.
    new_codes = reduce(lambda left, day: left - before[day].codes, newest_first, observed.codes)
    new_countries = reduce(lambda left, day: left - before[day].countries, newest_first, observed.countries)
    steady_codes = frozenset.intersection(*(before[day].codes for day in newest_first[:STEADY_DAYS_OF_CODES]))
    steady_countries: frozenset[str] = frozenset()
    if len(newest_first) >= STEADY_DAYS_OF_COUNTRIES:
        latest = newest_first[:STEADY_DAYS_OF_COUNTRIES]
        steady_countries = frozenset.intersection(*(before[day].countries for day in latest))
    gone_codes, gone_countries = steady_codes - observed.codes, steady_countries - observed.countries
    new_share, new_at_most = len(new_codes) / len(observed.codes or {""}), NEW_CODES_AT_MOST
    if new_share > new_at_most:  # many: as many as such a range of products lets expect?
        unseen = unseen_share_bound([day.codes for day in before.values()], len(observed.codes))
        new_at_most = round(max(new_at_most, unseen), 4)
    results = [
        _group("new_stock_codes", "stock_code", new_share, new_at_most, new_codes,
               f"of the day's stock codes were not sold in {WEEKS} weeks"),
        _group("vanished_stock_codes", "stock_code", len(gone_codes) / len(steady_codes), VANISHED_CODES_AT_MOST,
               gone_codes, "of the stock codes sold every day before are missing")
        if len(steady_codes) >= STEADY_CODES_AT_LEAST
        else RuleResult.too_few(len(steady_codes), STEADY_CODES_AT_LEAST, "stock codes were sold every day before"),
        _group("new_countries", "country", len(new_countries), NEW_COUNTRIES_AT_MOST, new_countries,
               f"countries were not there in {WEEKS} weeks"),
        _group("vanished_countries", "country", len(gone_countries), 0, gone_countries,
               "countries that were there every day before are missing"),
    ]  # fmt: skip
    return _of_rules(results)


def _group(rule: str, column: str, observed: float, upper: float, found: frozenset[str], words: str) -> RuleResult:
    shown = f"{observed:.1%}" if isinstance(observed, float) else str(observed)
    named = sorted(found)[:5]
    told = f"{shown} {words}" + (f": {', '.join(named)}{' …' if len(found) > 5 else ''}" if named else "")
    return RuleResult.within(rule, round(observed, 4), told, upper=upper, column=column, sample_keys=named)


def _of_rules(results: list[RuleResult]) -> Verdict:
    failed = [result.rule for result in results if not result.passed]
    return Verdict.of(results, {"failed_rules": failed} if failed else {})


ANOMALIES = [volume, schema_drift, distribution_drift, null_rates, duplicate_rate, groups]
"""The checks of daily_counts, each of a family of its own. They warn: a strange day is still a day."""
