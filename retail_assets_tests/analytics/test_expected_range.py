"""Expected ranges hold as many days as they say, and know nothing of the day itself, nor of later ones."""

from datetime import date, timedelta

import numpy as np

from retail_assets.analytics.expected_range import COVERED, ENOUGH_DAYS, expected_ranges

MONDAY = date(2024, 1, 1)
SATURDAY = 5


def shop(days: int, seed: int = 1) -> dict[date, float]:
    """Busy Mondays, Saturdays closed, a season that doubles what is sold within half a year."""
    chance = np.random.default_rng(seed)
    each = (MONDAY + timedelta(days=number) for number in range(days))
    return {
        day: 1000.0 * (2 if day.weekday() == 0 else 1) * 2 ** ((day - MONDAY).days / 180) * chance.lognormal(0, 0.2)
        for day in each
        if day.weekday() != SATURDAY
    }


def test_a_range_holds_its_share_of_days_and_follows_weekdays_and_season():
    sold = shop(700)
    ranges = expected_ranges(sold)
    held = [ranges[day][0] <= sold[day] <= ranges[day][1] for day in ranges]
    assert abs(np.mean(held) - COVERED) < 0.03
    monday, tuesday = MONDAY + timedelta(weeks=90), MONDAY + timedelta(weeks=90, days=1)
    assert ranges[monday][0] > 1.5 * ranges[tuesday][0]
    assert ranges[monday][0] > 2.5 * ranges[monday - timedelta(weeks=52)][0]


def test_a_day_is_judged_by_earlier_days_alone():
    sold = shop(300)
    day = MONDAY + timedelta(days=200)
    changed = sold | {later: 1e9 for later in sold if later >= day}
    assert expected_ranges(changed)[day] == expected_ranges(sold)[day]
    assert {earlier: found for earlier, found in expected_ranges(sold).items() if earlier <= day} == expected_ranges(
        {earlier: value for earlier, value in sold.items() if earlier <= day}
    )


def test_a_day_without_sales_has_a_range_where_its_weekday_is_open_and_none_where_it_is_closed():
    sold = shop(300)
    tuesday, saturday = MONDAY + timedelta(weeks=30, days=1), MONDAY + timedelta(weeks=30, days=5)
    del sold[tuesday]
    ranges = expected_ranges(sold)
    assert tuesday in ranges
    assert saturday not in ranges


def test_of_few_days_nothing_is_expected_yet():
    assert expected_ranges({}) == {}
    sold = shop(120)
    ranges = expected_ranges(sold)
    assert sum(day < min(ranges) for day in sold) >= ENOUGH_DAYS
