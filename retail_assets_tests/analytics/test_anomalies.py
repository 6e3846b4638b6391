"""Bounds that follow weekday and season, and rates that are held to what they were."""

from datetime import date, timedelta

import numpy as np
import pytest

from retail_assets.analytics.anomalies import (
    expected_volume,
    rate_bounds,
    unseen_share_bound,
    volume_bounds,
)

DAY = date(2011, 3, 3)


def before(volume, days: int = 56) -> dict[date, int]:
    return {DAY - timedelta(days=back): volume(DAY - timedelta(days=back)) for back in range(1, days + 1)}


def test_a_day_is_expected_to_be_like_the_same_weekday():
    assert expected_volume(before(lambda day: 500 if day.weekday() == DAY.weekday() else 100), DAY) == pytest.approx(
        500
    )


def test_the_season_of_the_last_days_moves_what_is_expected():
    doubled = before(lambda day: 200 if (DAY - day).days <= 7 else 100)
    assert expected_volume(doubled, DAY) == pytest.approx(200)


def test_one_strange_week_does_not_move_it():
    volumes = before(lambda day: 100)
    volumes[DAY - timedelta(days=7)] = 100_000
    assert expected_volume(volumes, DAY) == pytest.approx(100)


def test_a_weekday_that_was_mostly_closed_lets_nothing_be_expected():
    assert expected_volume({day: n for day, n in before(lambda day: 100).items() if day.weekday() != 3}, DAY) is None
    assert expected_volume({}, DAY) is None


def test_bounds_are_wider_in_unsettled_times_and_for_small_numbers_and_never_let_nothing_pass():
    assert volume_bounds(9_000, unsettled=False, orders=80) == pytest.approx(
        (4_000 - 2 * 9_000**0.5, 20_250 + 2 * 9_000**0.5)
    )
    assert volume_bounds(10_000, unsettled=True, orders=80) == (2_300, 40_200)
    lower, upper = volume_bounds(4, unsettled=False, orders=80)
    assert (lower, upper) == (1, 13)


def test_bounds_are_wider_where_a_day_has_few_orders():
    lower, upper = volume_bounds(10_000, unsettled=False, orders=24.5)  # 3.5 relative deviations of 2 / 7 each
    assert (lower, upper) == pytest.approx((10_000 / np.e - 200, 10_000 * np.e + 200))
    assert volume_bounds(10_000, unsettled=False, orders=38) == volume_bounds(10_000, unsettled=False, orders=1_000)


def test_a_rate_may_go_above_its_median_by_what_was_usual_by_chance_or_by_what_is_tolerated():
    steady, scattered = [0.10] * 9, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    rates = np.array([steady, scattered, [0.0] * 9]).T
    assert rate_bounds(rates, 10_000, 0.05) == pytest.approx([0.15, 1.0, 0.05])
    # Ten rows: four standard deviations of a tenth are 0.38.
    assert rate_bounds(rates, 10, 0.05)[0] == pytest.approx(0.1 + 4 * (0.09 / 10) ** 0.5)


def test_the_share_of_what_was_never_seen_follows_what_was_seen_once():
    days = [frozenset("ab"), frozenset("ac"), frozenset("ad")]  # six occurrences, of which b, c and d are single
    assert unseen_share_bound(days, 100) == pytest.approx(0.5 + 4 * (0.25 / 100) ** 0.5)
    assert unseen_share_bound(days, 4) == 1.0
    assert unseen_share_bound([frozenset("ab")] * 2, 5) == 0.0
    assert unseen_share_bound([], 5) == 0.0
