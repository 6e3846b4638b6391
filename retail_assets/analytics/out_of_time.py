"""How well what was foreseen met what happened: figures of probabilities and rankings of a yes-or-no outcome.

Everything is judged on the same customers and, for the interval of the ROC AUC, on the same bootstrap samples of them,
so that two models can be compared pair by pair.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

RESAMPLES = 200
INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap: a 95 % interval."""

BINS = 10
SEED = 42


@dataclass(frozen=True)
class Judgement:
    """What was foreseen of one population, held against what happened.

    `brier_score` (mean squared error of the probabilities) and `calibration_error` (mean over ten equal parts by
    probability of |mean probability - share that happened|, weighted by size) are None for a ranking that is no
    probability. `top_decile_lift`: how often it happened in the tenth ranked highest, against all.
    """

    customers: int
    rate: float
    roc_auc: float
    roc_auc_lower: float
    roc_auc_upper: float
    average_precision: float
    top_decile_lift: float
    mean_probability: float | None
    brier_score: float | None
    calibration_error: float | None
    roc_auc_resampled: np.ndarray = field(repr=False, compare=False)


def resamples(customers: int) -> np.ndarray:
    """Bootstrap samples: how often each of the customers is drawn, `RESAMPLES` x `customers`, always the same."""
    random = np.random.default_rng(SEED)
    drawn = random.integers(customers, size=(RESAMPLES, customers))
    return np.stack([np.bincount(sample, minlength=customers) for sample in drawn])


def judge(happened: np.ndarray, ranking: np.ndarray, drawn: np.ndarray, is_probability: bool = True) -> Judgement:
    """The figures of `ranking` (higher: more likely) for customers of whom some did (`happened`) and some did not."""
    from sklearn.metrics import average_precision_score

    resampled = resampled_roc_auc(happened, ranking, drawn)
    lower, upper = np.nanpercentile(resampled, INTERVAL)
    highest = np.argsort(-ranking)[: max(1, len(ranking) // 10)]
    rate = float(happened.mean())
    return Judgement(
        customers=len(ranking),
        rate=rate,
        roc_auc=area_under_roc(happened, ranking),
        roc_auc_lower=float(lower),
        roc_auc_upper=float(upper),
        average_precision=float(average_precision_score(happened, ranking)),
        top_decile_lift=float(_of_equals(happened, ranking)[highest].mean() / rate),
        mean_probability=float(ranking.mean()) if is_probability else None,
        brier_score=float(np.mean((ranking - happened) ** 2)) if is_probability else None,
        calibration_error=calibration_error(happened, ranking) if is_probability else None,
        roc_auc_resampled=resampled,
    )


def area_under_roc(happened: np.ndarray, ranking: np.ndarray) -> float:
    """The area under the ROC curve over all customers."""
    return float(resampled_roc_auc(happened, ranking, np.ones((1, len(ranking)), dtype="int64"))[0])


def resampled_roc_auc(happened: np.ndarray, ranking: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The area under the ROC curve of each sample (row of `drawn`): the share of pairs that are in order, ties half.

    In whole numbers until the last division; not a number for a sample in which all did the same.
    """
    order = np.argsort(ranking, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(ranking[order]) > 0])
    draws = drawn[:, order]
    did = np.add.reduceat(draws * happened[order], starts, axis=1)
    did_not = np.add.reduceat(draws, starts, axis=1) - did
    below = np.cumsum(did_not, axis=1) - did_not
    pairs = 2 * did.sum(axis=1) * did_not.sum(axis=1)
    in_order: np.ndarray = (did * (2 * below + did_not)).sum(axis=1)
    return np.divide(in_order, pairs, out=np.full(len(drawn), np.nan), where=pairs > 0)


def calibration_error(happened: np.ndarray, probability: np.ndarray) -> float:
    """Expected calibration error over ten parts of equal size, by probability."""
    parts = np.array_split(np.argsort(probability), BINS)
    share = _of_equals(happened, probability)
    missed = [len(part) * abs(probability[part].mean() - share[part].mean()) for part in parts if len(part)]
    return float(sum(missed) / len(probability))


def _of_equals(happened: np.ndarray, ranking: np.ndarray) -> np.ndarray:
    """Of each customer, the share to whom it happened of those who are ranked the same: which of them comes before a
    cut is no merit of the ranking."""
    _, group, sizes = np.unique(ranking, return_inverse=True, return_counts=True)
    share: np.ndarray = (np.bincount(group, weights=happened) / sizes)[group]
    return share


def better_beyond_chance(one: Judgement, other: Judgement) -> bool:
    """Whether the ROC AUC of `one` is above that of `other` in at least 97.5 % of the samples of the same customers."""
    return bool(np.nanpercentile(one.roc_auc_resampled - other.roc_auc_resampled, INTERVAL[0]) > 0)


def permutation_importance(
    ranking: Callable[[pd.DataFrame], np.ndarray], rows: pd.DataFrame, features: list[str]
) -> dict[str, np.ndarray]:
    """Feature -> the ranking of the rows with that feature's values shuffled among them, always the same way.

    How far the ROC AUC falls by it is how much the ranking rests on the feature.
    """
    shuffled = np.random.default_rng(SEED).permutation(len(rows))
    return {feature: ranking(rows.assign(**{feature: rows[feature].to_numpy()[shuffled]})) for feature in features}
