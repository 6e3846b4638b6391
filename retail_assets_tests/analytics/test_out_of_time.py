import numpy as np
import pandas as pd
import pytest

from retail_assets.analytics.out_of_time import (
    BINS,
    RESAMPLES,
    area_under_roc,
    better_beyond_chance,
    calibration_error,
    judge,
    permutation_importance,
    resampled_roc_auc,
    resamples,
)


def outcomes(customers: int = 800, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities, in tenths so that many are equal, and what happened by them."""
    random = np.random.default_rng(seed)
    probability = random.integers(1, 10, customers) / 10
    return probability, random.random(customers) < probability


def test_the_area_under_the_roc_curve_is_scikit_learns_with_and_without_ties_and_in_every_sample():
    from sklearn.metrics import roc_auc_score

    tied, happened = outcomes()
    untied = tied + np.random.default_rng(5).random(800) / 3
    drawn = resamples(800)
    assert drawn.shape == (RESAMPLES, 800)
    assert (drawn.sum(axis=1) == 800).all()
    for ranking in (tied, untied, -untied):
        assert area_under_roc(happened, ranking) == pytest.approx(roc_auc_score(happened, ranking))
        sampled = resampled_roc_auc(happened, ranking, drawn[:3])
        for weights, found in zip(drawn, sampled, strict=False):
            assert found == pytest.approx(roc_auc_score(happened, ranking, sample_weight=weights))


def test_a_sample_in_which_all_did_the_same_has_no_area():
    drawn = np.array([[1, 1, 1], [3, 0, 0]])
    found = resampled_roc_auc(np.array([True, False, True]), np.array([0.9, 0.1, 0.5]), drawn)
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_figures_of_probabilities():
    probability, happened = outcomes()
    found = judge(happened, probability, resamples(800))
    assert (found.customers, found.rate) == (800, happened.mean())
    assert found.roc_auc_lower < found.roc_auc < found.roc_auc_upper
    assert found.roc_auc_upper - found.roc_auc_lower == pytest.approx(4 * 0.0149, rel=0.2)  # Hanley and McNeil's error
    assert found.mean_probability == probability.mean()
    assert found.brier_score == pytest.approx(
        sum((p - h) ** 2 for p, h in zip(probability, happened, strict=True)) / 800
    )
    assert found.top_decile_lift == pytest.approx(0.9 / happened.mean(), rel=0.1)
    assert found.calibration_error is not None
    assert found.calibration_error < 0.05
    assert judge(happened, probability, resamples(800)) == found


def test_a_ranking_that_is_no_probability_has_no_error_as_one():
    probability, happened = outcomes()
    found = judge(happened, probability * 100, resamples(800), is_probability=False)
    assert (found.mean_probability, found.brier_score, found.calibration_error) == (None, None, None)
    assert found.roc_auc == area_under_roc(happened, probability)


def test_the_calibration_error_is_the_mean_distance_over_ten_parts():
    happened = np.array([True, False] * 50)
    assert calibration_error(happened, np.full(100, 0.5)) == 0.0
    assert calibration_error(happened, np.full(100, 0.7)) == pytest.approx(0.2)
    # Right on average, and wrong in every part.
    ranked = np.repeat([0.9, 0.1], 50)
    assert calibration_error(happened, ranked) == pytest.approx(0.4)
    assert BINS == 10


def test_better_beyond_chance_is_a_difference_that_the_samples_agree_on():
    probability, happened = outcomes()
    noise = np.random.default_rng(6).random(800)
    drawn = resamples(800)
    good, worse, alike = (judge(happened, ranking, drawn) for ranking in (
        probability, np.clip(probability + noise, 0, 1), probability + noise / 1e6
    ))  # fmt: skip
    assert better_beyond_chance(good, worse)
    assert not better_beyond_chance(worse, good)
    assert not better_beyond_chance(alike, good)


def test_shuffling_the_feature_that_matters_costs_the_most():
    probability, happened = outcomes()
    rows = pd.DataFrame({"telling": probability, "idle": np.random.default_rng(7).random(800)})
    shuffled = permutation_importance(lambda frame: frame["telling"].to_numpy(), rows, ["telling", "idle"])
    assert area_under_roc(happened, shuffled["telling"]) == pytest.approx(0.5, abs=0.06)
    assert area_under_roc(happened, shuffled["idle"]) == area_under_roc(happened, probability)
