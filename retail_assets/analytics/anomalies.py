"""Anomalies: bounds that earlier days set to a day's volume and to its rates. Pure functions of numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from datetime import date, timedelta
from math import exp, log, sqrt
from statistics import median

import numpy as np
from numpy.typing import NDArray

WEEKS = 8
"""How many of the same weekday before a day are looked at: enough for a median, too few to span two seasons."""

ENOUGH_WEEKDAYS = WEEKS // 2
"""Of these, so many must have been open for a median to say anything."""

LEVEL_DAYS = 6
"""Open days that tell how far the season has moved on since those weeks."""

VOLUME_FACTOR = 2.25
"""A day between 1/2.25 and 2.25 times the expected is no news: of the 604 real days 5 lie outside; with 2, 12 would."""

UNSETTLED_FACTOR = 4.0
"""The same around long closures, when a shop winds down and comes back."""

ORDER_DEVIATIONS = 3.5
"""Where a day has few orders, its rows scatter with their number and their size: by so many deviations is no news.
Chance exceeds it on one day in six years; with 3 it would be one a year."""

# Of a normal distribution the standard deviation is 1.4826 times the median absolute deviation.
_OF_DEVIATION = 1.4826


def expected_volume(volumes: Mapping[date, float], day: date) -> float | None:
    """What the days before let expect of an open day; None where they are too few to say.

    `volumes`: day -> rows, of days that had any. The median of the same weekday in the last WEEKS weeks, times how the
    last LEVEL_DAYS open days compare with all of these weeks: autumn is busier than the summer it is compared with.
    """
    span = range(1, 7 * WEEKS + 1)
    before = [volumes[earlier] for back in span if (earlier := day - timedelta(days=back)) in volumes]
    same_weekday = [
        volumes[earlier] for week in range(1, WEEKS + 1) if (earlier := day - timedelta(7 * week)) in volumes
    ]
    if len(same_weekday) < ENOUGH_WEEKDAYS or len(before) < LEVEL_DAYS:
        return None
    level = median(before[:LEVEL_DAYS]) / median(before)
    return exp(median(map(log, same_weekday)) + log(level))


def volume_bounds(expected: float, unsettled: bool, orders: float) -> tuple[float, float]:
    """The least and the most that is no news; small numbers scatter more (twice the Poisson deviation is added).

    `orders`: how many a day has as a rule. Rows come by the order, and orders differ about as much as they are large:
    the relative variance of a day's rows is then 2 / `orders`. From some 37 orders on it does not show.
    """
    by_chance = exp(ORDER_DEVIATIONS * sqrt(2 / max(orders, 1.0)))
    factor = max(UNSETTLED_FACTOR if unsettled else VOLUME_FACTOR, by_chance)
    scatter = 2 * sqrt(expected)
    return max(1.0, expected / factor - scatter), expected * factor + scatter


def rate_bounds(rates: NDArray[np.float64], draws: int, tolerated: float, deviations: float = 5.0) -> list[float]:
    """The highest rate (0 to 1) that is no news, for each column of `rates` (earlier days × rates). `draws`: what the
    day's rate is made of, its rows, or its orders where the rows of an order are alike.

    Above the median by five robust standard deviations of the days before, by four of the binomial distribution, or by
    `tolerated`, whichever is most.
    """
    usual = np.median(rates, axis=0)
    spread = deviations * _OF_DEVIATION * np.median(np.abs(rates - usual), axis=0)
    chance = 4 * np.sqrt(usual * (1 - usual) / max(draws, 1))
    bounds = np.minimum(1.0, usual + np.maximum(np.maximum(spread, chance), tolerated))
    return [float(bound) for bound in bounds]


def unseen_share_bound(days: Sequence[Set[str]], size: int) -> float:
    """The highest share of a day's `size` items that may be new by chance, where `days` hold those of the days before.

    The chance of something unseen is the share of occurrences that are the only one of their kind (I. J. Good, "The
    population frequencies of species and the estimation of population parameters", Biometrika 40, 1953), plus four
    deviations of the binomial distribution.
    """
    seen = Counter(item for day in days for item in day)
    unseen = sum(count == 1 for count in seen.values()) / max(seen.total(), 1)
    return min(1.0, unseen + 4 * sqrt(unseen * (1 - unseen) / max(size, 1)))
