from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from retail_assets.analytics.churn import BOOSTING, FOREST, RollingOrigin, probability_gone
from retail_assets.analytics.churn_evaluation import (
    ACTIVE,
    ALIVE,
    ALL,
    RECENCY,
    Evaluation,
    evaluate,
    evaluation_rows,
    to_evaluate,
)

FEATURES = ["recency_days", "frequency"]
MONTHS = [date(2025, month, 1) for month in range(1, 13)]
"""Of these as-of dates, 90 days on: 1 April, 2 May, 30 May, 30 June, 30 July, 30 August, 29 September …"""


def made_history(seed: int = 5, customers: int = 400) -> pd.DataFrame:
    """Customers as BG/NBD has them: each buys at a rate of its own and may leave for good after any purchase."""
    random = np.random.default_rng(seed)
    rows = []
    for as_of in MONTHS:
        for number in range(customers):
            tenure = int(random.integers(100, 400))
            rate, leaving = random.gamma(1.0, 1 / 40), random.beta(1.0, 3.0)
            days, again = [0], None
            while random.random() > leaving:
                following = days[-1] + max(1, round(random.exponential(1 / rate)))
                if following >= tenure:
                    again = as_of + timedelta(days=min(following - tenure, 1_000))
                    break
                days.append(following)
            rows.append((as_of, f"c{number:04d}", tenure - days[-1], tenure, len(days), again))
    history = pd.DataFrame(
        rows,
        columns=["as_of_date", "customer_id", "recency_days", "tenure_days", "purchase_days", "next_purchase_date"],
    )
    month = [(day - timedelta(days=1)).replace(day=1) for day in history.as_of_date]
    return history.assign(frequency=history.purchase_days, snapshot_month=month)


def silent(rows: pd.DataFrame) -> pd.Series:
    return ~(pd.to_datetime(rows.next_purchase_date) < pd.to_datetime(rows.as_of_date) + pd.Timedelta(days=90))


@pytest.fixture(scope="module")
def june() -> Evaluation:
    evaluation = evaluate(RollingOrigin(made_history(), FEATURES), MONTHS[5])
    assert evaluation is not None
    return evaluation


def test_models_and_baselines_are_judged_on_the_same_customers_in_both_populations(june: Evaluation):
    assert [one.name for one in june.foreseen] == [FOREST, BOOSTING, RECENCY, ALIVE]
    history = made_history()
    rows = history[history.as_of_date == MONTHS[5]]
    active = rows[rows.recency_days <= 90]
    for one in june.foreseen:
        assert one.judgements[ALL].customers == 400
        assert one.judgements[ACTIVE].customers == len(active) < 400
        assert one.judgements[ALL].rate == silent(rows).mean()
        assert one.judgements[ACTIVE].rate == silent(active).mean()
    assert (june.as_of_date, june.month) == (MONTHS[5], date(2025, 5, 1))


def test_the_probability_of_having_left_falls_with_a_recent_purchase_and_needs_customers_who_came_back():
    history = made_history()
    rows = history[history.as_of_date == MONTHS[5]]
    gone = probability_gone(rows)
    assert gone is not None
    assert (gone[rows.purchase_days == 1] == 0).all()  # to BG/NBD one leaves only after a repeat
    often, recency = (rows.purchase_days > 3).to_numpy(), rows.recency_days.to_numpy()
    assert gone[often & (recency > 100)].mean() > gone[often & (recency < 50)].mean() + 0.3
    assert probability_gone(rows[rows.purchase_days == 1]) is None


def test_a_model_is_calibrated_and_explained_and_a_baseline_is_neither(june: Evaluation):
    forest, recency, alive = june.of(FOREST), june.of(RECENCY), june.of(ALIVE)
    assert forest.model is not None
    assert forest.model.training_dates == (MONTHS[0], MONTHS[1], MONTHS[2])  # known on 1 June
    assert forest.importance is not None
    assert forest.importance[ALL]["recency_days"] > 0.1 > forest.importance[ALL]["frequency"]
    assert forest.judgements[ALL].brier_score is not None
    assert forest.judgements[ALL].roc_auc > 0.7
    assert (recency.calibration_slope, recency.importance) == (None, None)
    assert recency.judgements[ALL].brier_score is None
    assert alive.judgements[ALL].brier_score is not None


def test_what_is_not_known_on_the_as_of_date_does_not_touch_what_was_foreseen():
    """Only outcomes that lie before it train; outcomes after it are what is foreseen, and change the figures alone."""
    history = made_history()
    later = pd.to_datetime(history.as_of_date) > pd.Timestamp(MONTHS[2])
    changed = history.assign(next_purchase_date=history.next_purchase_date.where(~later, history.as_of_date))
    rows = history[history.as_of_date == MONTHS[5]]
    one, other = (RollingOrigin(part, FEATURES).model(BOOSTING, MONTHS[5]) for part in (history, changed))
    assert one is not None
    assert other is not None
    assert one.probability(rows).tolist() == other.probability(rows).tolist()
    assert evaluate(RollingOrigin(changed, FEATURES), MONTHS[5]) is None  # all came back: nothing to tell apart


def test_a_snapshot_is_evaluated_in_the_month_in_which_its_outcome_became_known():
    origin = RollingOrigin(made_history(), FEATURES)
    months = dict(zip(MONTHS[1:], MONTHS, strict=False))
    found = {day: to_evaluate(origin, day, before) for day, before in months.items()}
    assert found[MONTHS[2]] == []
    assert found[MONTHS[3]] == [MONTHS[0]]
    assert found[MONTHS[4]] == [MONTHS[0]]  # none became known in April: the newest again
    assert found[MONTHS[5]] == [MONTHS[1], MONTHS[2]]
    assert found[MONTHS[6]] == [MONTHS[3]]
    known = [as_of for day in list(months)[2:] for as_of in found[day]]
    assert known == sorted(known)
    assert set(known) == set(MONTHS[:9])


def test_before_a_model_could_be_made_nothing_was_foreseen():
    origin = RollingOrigin(made_history(), FEATURES)
    assert [evaluate(origin, as_of) is None for as_of in MONTHS[:5]] == [True, True, True, False, False]


def test_rows_name_the_model_that_scores_only_by_the_newest_evaluation(june: Evaluation):
    rows = evaluation_rows(june, newest=True)
    assert [(row["model"], row["population"]) for row in rows if row["scores"]] == [
        (june.chosen, ALL),
        (june.chosen, ACTIVE),
    ]
    assert not any(row["scores"] for row in evaluation_rows(june, newest=False))
    (forest,) = (row for row in rows if (row["model"], row["population"]) == (FOREST, ALL))
    assert forest["roc_auc"] == june.of(FOREST).judgements[ALL].roc_auc
    assert forest["churn_rate"] == june.of(FOREST).judgements[ALL].rate
    assert 0 < forest["uncalibrated_error"] < 0.2
    assert forest["evaluated_month"] == date(2025, 5, 1)


def test_boosting_scores_only_where_it_is_better_beyond_chance(june: Evaluation):
    assert june.chosen == FOREST
    # An outcome that many features add up to: boosting adds, where trees of depth 5 see five of them at most.
    random = np.random.default_rng(9)
    history = made_history(customers=2_000)
    features = [f"x{number}" for number in range(12)]
    history[features] = random.normal(size=(len(history), len(features)))
    churned = history[features].sum(axis=1) + random.logistic(size=len(history)) > 0
    history["next_purchase_date"] = history.as_of_date.where(~churned, None)
    added = evaluate(RollingOrigin(history, features), MONTHS[5])
    assert added is not None
    assert added.of(BOOSTING).judgements[ALL].roc_auc > added.of(FOREST).judgements[ALL].roc_auc
    assert added.chosen == BOOSTING


def test_of_very_many_customers_a_part_is_learned_from_and_all_are_judged(monkeypatch: pytest.MonkeyPatch):
    of_all = evaluate(RollingOrigin(made_history(), FEATURES), MONTHS[5])
    assert of_all is not None
    monkeypatch.setattr("retail_assets.analytics.churn.MOST_ROWS", 500)
    monkeypatch.setattr("retail_assets.analytics.churn_evaluation.MOST_WEIGHED", 150)
    origin = RollingOrigin(made_history(), FEATURES)
    model, by_part = origin.model(FOREST, MONTHS[5]), evaluate(origin, MONTHS[5])
    assert model is not None
    assert model.training_rows == 400  # every third of three snapshots of 400
    assert by_part is not None
    for ours, theirs in zip(by_part.foreseen, of_all.foreseen, strict=True):
        assert ours.judgements[ALL].customers == theirs.judgements[ALL].customers == 400
        assert ours.judgements[ALL].roc_auc == pytest.approx(theirs.judgements[ALL].roc_auc, abs=0.05)
    importance = by_part.of(FOREST).importance
    assert importance is not None
    assert set(importance) == {ALL, ACTIVE}
    assert set(importance[ALL]) == set(FEATURES)
