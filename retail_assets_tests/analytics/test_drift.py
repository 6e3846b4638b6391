"""The stability index sees what changed, and is quiet, at any size, where nothing did."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from retail_assets.analytics.drift import psi_bound, quantile_psi


def test_the_index_is_that_of_its_formula():
    expected, actual = np.arange(1, 101), np.repeat([10.0, 90.0], 50)
    # Two halves of 50; with half an observation more in each, both samples are 50.5 of 101.
    assert quantile_psi(expected, actual, bins=2) == pytest.approx(0)
    e, a = np.array([50.5, 50.5]) / 101, np.array([75.5, 25.5]) / 101
    shifted = np.repeat([10.0, 90.0], [75, 25])
    assert quantile_psi(expected, shifted, bins=2) == pytest.approx(float(np.sum((a - e) * np.log(a / e))))


@pytest.mark.parametrize(("n", "m", "bins"), [(300, 300, 10), (3000, 300, 10), (2000, 70, 10), (2000, 20, 5)])
@pytest.mark.parametrize("kind", ["skewed", "rounded"])
def test_samples_of_one_distribution_exceed_the_bound_in_one_case_of_a_hundred(kind: str, n: int, m: int, bins: int):
    generator, bound = np.random.default_rng(7), psi_bound(n, m, bins, 0.99)

    def sample(size: int) -> Any:
        drawn = generator.lognormal(5, 1, size)
        return drawn if kind == "skewed" else np.round(4 * np.log2(drawn))

    alarms = sum(quantile_psi(sample(n), sample(m), bins) > bound for _ in range(1000))
    assert alarms <= 22  # 10 ± 4 standard deviations


def test_a_fixed_limit_of_a_tenth_would_give_alarms_at_three_hundred_values():
    generator = np.random.default_rng(7)
    indexes = [quantile_psi(generator.normal(size=300), generator.normal(size=300)) for _ in range(1000)]
    assert sum(index > 0.1 for index in indexes) > 50
    assert psi_bound(300, 300) == pytest.approx(0.145, abs=0.001)


def test_a_doubled_scale_and_a_shift_are_seen():
    generator = np.random.default_rng(7)
    for _ in range(50):
        before = generator.lognormal(5, 1, 300)
        assert quantile_psi(before, 2 * generator.lognormal(5, 1, 300)) > psi_bound(300, 300)
        centred = generator.normal(0, 1, 300)
        assert quantile_psi(centred, generator.normal(0, 2, 300)) > psi_bound(300, 300)


def test_the_bound_is_the_chi_square_quantile_scaled_by_both_sizes():
    for bins in (3, 5, 10, 20):
        for confidence in (0.95, 0.99, 0.999):
            exact = float(chi2.ppf(confidence, bins - 1)) * (1 / 500 + 1 / 40)
            assert psi_bound(500, 40, bins, confidence) == pytest.approx(exact, rel=0.03)


def test_values_that_repeat_share_a_bin_and_one_value_alone_has_no_drift():
    assert quantile_psi([1.0] * 50, [1.0] * 20) == 0
    assert quantile_psi([1] * 90 + [2] * 10, [1] * 10 + [2] * 90) > psi_bound(100, 100)


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [[1.0], [2.0]], [math.inf]])
def test_what_is_no_sample_is_refused(bad: Any):
    with pytest.raises(ValueError, match="actual must be"):
        quantile_psi([1.0, 2.0], bad)


@pytest.mark.parametrize("given", [(0, 5, 10, 0.99), (5, 5, 1, 0.99), (5, 5, 10, 1.0)])
def test_there_is_no_bound_for_nothing(given: tuple[int, int, int, float]):
    with pytest.raises(ValueError, match="no bound"):
        psi_bound(*given)
