"""Which churn model may score: what each could have foreseen of a snapshot whose outcome is known by now.

A rolling origin: the models are those that could be made on the as-of date of that snapshot, from outcomes complete by
then. Baselines stand beside them: recency alone, and the probability of being alive by BG/NBD.
"""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.churn import (
    BOOSTING,
    FOREST,
    KINDS,
    ChurnModel,
    RollingOrigin,
    calibration_slope,
    probability_gone,
)
from retail_assets.analytics.out_of_time import (
    Judgement,
    area_under_roc,
    better_beyond_chance,
    calibration_error,
    judge,
    permutation_importance,
    resamples,
)

RECENCY = "recency_alone"
ALIVE = "bg_nbd_alive"

ALL = "all"
ACTIVE = "active"
MOST_WEIGHED = 20_000
"""Customers on whom it is told how much each feature counts, at the most; of more it is every so-many-th."""

ACTIVE_DAYS = 90
"""A purchase in so many days makes a customer active: those whom it is not too late to write to."""


@dataclass(frozen=True)
class Foreseen:
    """What one model or baseline foresaw of a snapshot, and what came of it in each population."""

    name: str
    judgements: dict[str, Judgement]
    model: ChurnModel | None = None
    uncalibrated_error: dict[str, float] | None = None
    calibration_slope: float | None = None
    importance: dict[str, dict[str, float]] | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was foreseen of the snapshot of `as_of_date`, and the kind of model that is to score by this evidence."""

    as_of_date: date
    month: date
    foreseen: list[Foreseen]
    chosen: str

    def of(self, name: str) -> Foreseen:
        """The model or baseline of that name."""
        return next(one for one in self.foreseen if one.name == name)


def evaluate(origin: RollingOrigin, as_of: date) -> Evaluation | None:
    """What models made on the day `as_of` foresaw of the snapshot of that day, which must be closed by now.

    None where no model could be made on that day, or all customers of the snapshot did the same afterwards.
    """
    rows = origin.snapshot(as_of)
    happened = rows["churned"].to_numpy()
    active = (rows["recency_days"] <= ACTIVE_DAYS).to_numpy()
    members = {ALL: np.ones(len(rows), dtype=bool), ACTIVE: active}
    # A population in which everybody did the same says nothing about a ranking.
    members = {name: of for name, of in members.items() if happened[of].any() and not happened[of].all()}
    models = [model for kind in KINDS if (model := origin.model(kind, as_of))]
    if ALL not in members or not models:
        return None
    # Features are weighed on a part of many customers: places in `rows`, of all and of each population.
    places = np.arange(len(rows))[:: -(-len(rows) // MOST_WEIGHED)]
    looked_at = rows.iloc[places]
    weighed = {name: places[of[places]] for name, of in members.items()}
    weighed = {name: of for name, of in weighed.items() if happened[of].any() and not happened[of].all()}
    drawn = {name: resamples(int(of.sum())) for name, of in members.items()}

    def judged(ranking: np.ndarray, is_probability: bool = True) -> dict[str, Judgement]:
        return {n: judge(happened[of], ranking[of], drawn[n], is_probability) for n, of in members.items()}

    def foreseen_by(model: ChurnModel) -> Foreseen:
        probability = model.probability(rows)
        calibrated = origin.calibration(model.kind, as_of).apply(probability)
        judgements = judged(calibrated)
        shuffled = permutation_importance(model.probability, looked_at, origin.features)
        return Foreseen(
            model.kind,
            judgements,
            model,
            uncalibrated_error={n: calibration_error(happened[of], probability[of]) for n, of in members.items()},
            calibration_slope=calibration_slope(happened, probability),
            importance={
                n: {
                    feature: area_under_roc(happened[of], calibrated[of])
                    - area_under_roc(happened[of], ranking[np.searchsorted(places, of)])
                    for feature, ranking in shuffled.items()
                }
                for n, of in weighed.items()
            },
        )

    by_models = [foreseen_by(model) for model in models]
    baselines = [Foreseen(RECENCY, judged(rows["recency_days"].to_numpy(dtype="float64"), is_probability=False))]
    gone = probability_gone(rows)
    if gone is not None:
        baselines.append(Foreseen(ALIVE, judged(gone)))
    reference, other = (one.judgements[ALL] for one in by_models)
    chosen = BOOSTING if better_beyond_chance(other, reference) else FOREST
    month = pd.Timestamp(rows["snapshot_month"].iloc[0]).date()
    return Evaluation(as_of, month, [*by_models, *baselines], chosen)


def to_evaluate(origin: RollingOrigin, day: date, before: date) -> list[date]:
    """The snapshots whose outcome became known after `before` and up to `day`; if none did, the newest known."""
    closed = origin.closed(day)
    return [of for of in closed if of not in origin.closed(before)] or closed[-1:]


def evaluation_rows(evaluation: Evaluation, newest: bool) -> list[dict[str, Any]]:
    """One row for each model or baseline and population; the chosen model scores, by the `newest` evaluation only."""
    shared = [item.name for item in fields(Judgement) if item.name not in ("rate", "roc_auc_resampled")]
    return [
        {
            "evaluated_month": evaluation.month,
            "evaluated_as_of_date": evaluation.as_of_date,
            "model": one.name,
            "population": population,
            "scores": newest and one.name == evaluation.chosen,
            "churn_rate": judgement.rate,
            **{name: getattr(judgement, name) for name in shared},
            "uncalibrated_error": one.uncalibrated_error[population] if one.uncalibrated_error else None,
            "calibration_slope": one.calibration_slope,
            "feature_importance": one.importance.get(population) if one.importance else None,
        }
        for one in evaluation.foreseen
        for population, judgement in one.judgements.items()
    ]
