"""Who will not buy in the next 90 days: features from before the as-of date, the outcome from after it.

The widespread definition (churned = recency over 90 days, with recency among the features) predicts itself and
scores above 0.99; here the target is the future, and a model knows only outcomes that were complete at its as-of
date.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.fitted_models import FittedModels
from retail_assets.analytics.returning import Returning
from retail_assets.analytics.standing import standing
from retail_assets.analytics.threads import one_thread
from retail_assets.lakehouse.contracts import days_between

WINDOW_DAYS = 90
SEED = 42

FOREST = "random_forest"
BOOSTING = "gradient_boosting"
KINDS: dict[str, dict[str, Any]] = {
    FOREST: {"n_estimators": 100, "max_depth": 5},
    BOOSTING: {
        "max_iter": 100,
        "learning_rate": 0.05,
        "max_leaf_nodes": 6,
        "min_samples_leaf": 50,
        "l2_regularization": 5.0,
        "early_stopping": False,
    },
}
"""The kinds of model and their parameters. The forest is the reference that others have to beat."""

# Measured on Online Retail II, scoring 2010-12 to 2011-09: mean ROC AUC 0.801 with the newest 3 snapshots, 0.800
# with 6, 0.801 with all; and with fewer the level of the probabilities follows the season sooner.
TRAINING_SNAPSHOTS = 3

MOST_ROWS = 30_000
"""Rows that a model learns from, at the most; of more it is every so-many-th customer. A shop of ten thousand customers
has no more in its snapshots."""

WINDOWS_MONTHS = (1, 3, 6)
"""Features of what was ordered lately: in so many months up to the snapshot's own."""

_CLOSED_WITHIN_MONTHS = WINDOW_DAYS // 28 + 2
MONTHS_TO_SCORE = _CLOSED_WITHIN_MONTHS + TRAINING_SNAPSHOTS - 1
"""So many months before a month lie, at the most, the monthly snapshots that its model learns from: the newest of them
was closed by then, the others came before it."""

MONTHS_TO_EVALUATE = 2 * _CLOSED_WITHIN_MONTHS + MONTHS_TO_SCORE
"""The same for what an evaluation reads: of the newest closed snapshot, the model of its day, and the calibration
of that model, by the snapshot that was the newest closed on that day and by the model made then."""

SLOPES = (0.5, 2.0)
"""Calibration may halve or double log-odds, not more: one odd snapshot must not flatten or reverse the ranking."""

EDGE = 1e-4
"""Probabilities are held this far from 0 and 1, where log-odds end."""

HIGH_RISK_SHARE = 0.2
MEDIUM_RISK_SHARE = 0.5  # of all, High and Medium together

CHURN_FEATURES = [
    "recency_days",
    "frequency",
    "monetary",
    "tenure_days",
    "average_order_value",
    "orders_1_month",
    "orders_3_months",
    "orders_6_months",
    "revenue_1_month",
    "revenue_3_months",
    "revenue_6_months",
    "active_months",
    "mean_days_between_orders",
    "return_share",
]


def churn_feature_frame(activity: DataFrame, snapshots: DataFrame) -> DataFrame:
    """One row per snapshot and customer who had ordered by then: `CHURN_FEATURES`, `purchase_days`, and
    `next_purchase_date`.

    `activity`: one row per `customer_id` and `activity_month` (DATE, its first day) with `orders`, `revenue`,
    `returns_value`, `active_days`, `first_purchase_date`, `last_purchase_date` (null in a month with returns only).
    `snapshots`: `snapshot_month` (DATE, first day of the last month known) and `as_of_date` (DATE).
    Features and `purchase_days` (days with a purchase, for BG/NBD) read months up to `snapshot_month` only;
    `next_purchase_date` (null if none) later months only.
    `mean_days_between_orders` is 0 with one order; `return_share` is returns by revenue, 0 without revenue.
    """
    known = F.col("activity_month") <= F.col("snapshot_month")
    of_months = {n: known & (F.col("activity_month") > F.col(f"before_{n}")) for n in WINDOWS_MONTHS}

    def within(column: str, months: int | None = None) -> Column:
        return F.coalesce(F.sum(F.when(of_months[months] if months else known, F.col(column))), F.lit(0))

    def money(column: str, months: int | None = None) -> Column:
        return within(column, months) / F.lit(1000.0)

    first_purchase = F.min(F.when(known, F.col("first_purchase_date")))
    last_purchase = F.max(F.when(known, F.col("last_purchase_date")))
    keys = ("snapshot_month", "as_of_date", "customer_id")
    # What each row is held against a score of times is worked out once: where windows begin, and money as whole
    # thousandths, which are summed exactly and quicker than decimals.
    whole = activity.withColumns({name: (F.col(name) * 1000).cast("bigint") for name in ("revenue", "returns_value")})
    begun = snapshots.select(
        "snapshot_month", "as_of_date", *(F.add_months("snapshot_month", -n).alias(f"before_{n}") for n in of_months)
    )
    totals = (
        whole.crossJoin(F.broadcast(begun))
        .groupBy(*keys)
        .agg(
            first_purchase.alias("first"),
            last_purchase.alias("last"),
            within("orders").cast("int").alias("frequency"),
            money("revenue").alias("monetary"),
            money("returns_value").alias("returns"),
            F.count(F.when(known & (F.col("orders") > 0), 1)).cast("int").alias("active_months"),
            *(within("orders", n).cast("int").alias(f"orders_{n}_month{'s' * (n > 1)}") for n in of_months),
            *(money("revenue", n).alias(f"revenue_{n}_month{'s' * (n > 1)}") for n in of_months),
            within("active_days").cast("int").alias("purchase_days"),
            F.min(F.when(~known, F.col("first_purchase_date"))).alias("next_purchase_date"),
        )
        .where("frequency > 0")
    )
    return (
        totals.withColumn("recency_days", days_between("last", "as_of_date"))
        .withColumn("tenure_days", days_between("first", "as_of_date"))
        .withColumn("average_order_value", F.col("monetary") / F.col("frequency"))
        .withColumn(
            "mean_days_between_orders",
            F.when(F.col("frequency") > 1, days_between("first", "last") / (F.col("frequency") - 1)).otherwise(0.0),
        )
        .withColumn("return_share", F.when(F.col("monetary") > 0, F.col("returns") / F.col("monetary")).otherwise(0.0))
        .select(*keys, *CHURN_FEATURES, "purchase_days", "next_purchase_date")
    )


@dataclass(frozen=True)
class ChurnModel:
    """A classifier (its class 1 is churn) and the closed snapshots it learned from."""

    kind: str
    classifier: Any
    features: tuple[str, ...]
    training_dates: tuple[date, ...]
    training_rows: int

    def probability(self, rows: pd.DataFrame) -> np.ndarray:
        """The classifier's own probability of churn for each row, not calibrated."""
        if rows.empty:
            return np.array([])
        values = rows[list(self.features)].astype("float64")
        with one_thread():
            found: np.ndarray = (
                _share_of_votes(self.classifier, values)
                if self.kind == FOREST
                else self.classifier.predict_proba(values)[:, 1]
            )
        return found


@dataclass(frozen=True)
class Calibration:
    """A sigmoid over a classifier's log-odds: `slope` times the log-odds, moved until their mean is `churn_rate`.

    The slope comes from out-of-time probabilities and says how far they were too bold or too shy. The level is the
    churn rate of the newest snapshot whose outcome is known: of what can be known, the nearest in season.
    """

    slope: float
    churn_rate: float

    def intercept(self, probability: np.ndarray) -> float:
        """What is added to the sloped log-odds of these customers."""
        from scipy.optimize import brentq
        from scipy.special import expit

        sloped = self.slope * _log_odds(probability)
        rate = min(max(self.churn_rate, EDGE), 1 - EDGE)
        return float(brentq(lambda moved: float(np.mean(expit(sloped + moved))) - rate, -50.0, 50.0, xtol=1e-12))

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of all customers of a snapshot, in the same order of risk."""
        from scipy.special import expit

        if not len(probability):
            return probability
        found: np.ndarray = expit(self.intercept(probability) + self.slope * _log_odds(probability))
        return found


class RollingOrigin:
    """The churn models that could have been made on any day, each fitted once, from what was known on that day.

    `history`: rows of `churn_feature_frame` for all snapshots, dates as `date` or timestamps; the same rows in any
    order give the same models. A snapshot is closed on a day when its outcome window was over: `as_of_date` +
    `window_days` <= day. Only closed snapshots are learned from, and their outcome lies before that day. `known`:
    models that were fitted before.
    """

    def __init__(
        self,
        history: pd.DataFrame,
        features: list[str],
        window_days: int = WINDOW_DAYS,
        seed: int = SEED,
        known: FittedModels | None = None,
    ) -> None:
        self.features = features
        self._known = known or FittedModels()
        self.window_days = window_days
        self._window, self._seed = pd.Timedelta(days=window_days), seed
        rows = history.assign(
            as_of_date=pd.to_datetime(history["as_of_date"]),
            next_purchase_date=pd.to_datetime(history["next_purchase_date"]),
        ).sort_values(["as_of_date", "customer_id"], kind="stable")
        rows["churned"] = ~(rows["next_purchase_date"] < rows["as_of_date"] + self._window)
        self._snapshots: dict[date, pd.DataFrame] = {
            cast("pd.Timestamp", day).date(): part for day, part in rows.groupby("as_of_date")
        }
        self._fitted: dict[tuple[str, date], ChurnModel | None] = {}

    def closed(self, day: date) -> list[date]:
        """The as-of dates of the snapshots whose outcome was known on `day`, oldest first."""
        return [of for of in self._snapshots if of + self._window.to_pytimedelta() <= day]

    def snapshot(self, as_of: date) -> pd.DataFrame:
        """The customers of the snapshot, by id; `churned` means something only where the snapshot is closed."""
        return self._snapshots[as_of]

    def model(self, kind: str, day: date) -> ChurnModel | None:
        """The model of that kind made on `day`, of the newest `TRAINING_SNAPSHOTS` closed; None without two outcomes,
        or where hardly anybody came back (`Returning.enough`).

        With the outcomes of `day` unknown to it, it scores the snapshot of that day out of time.
        """
        if (kind, day) not in self._fitted:
            self._fitted[kind, day] = self._fit(kind, self.closed(day)[-TRAINING_SNAPSHOTS:])
        return self._fitted[kind, day]

    def _fit(self, kind: str, training: list[date]) -> ChurnModel | None:
        if not training:
            return None
        every = pd.concat(self._snapshots[of] for of in training)
        left = int(every["churned"].sum())
        if not left or not Returning(len(every), len(every) - left).enough:
            return None
        rows = every_so_many(every, MOST_ROWS)
        if rows["churned"].nunique() < 2:
            return None
        values, outcome = rows[self.features].astype("float64"), rows["churned"].to_numpy(dtype=int)
        with one_thread():
            classifier = self._known.fitted(_classifier(kind, self._seed), values, outcome)
        if kind == FOREST:  # trained in two threads the trees are the same; added up in two, their votes are not
            classifier.set_params(n_jobs=1)
        return ChurnModel(kind, classifier, tuple(self.features), tuple(training), len(rows))

    def slope(self, kind: str, day: date) -> float:
        """The slope of the calibration made on `day`, of what the model made on the as-of date of the newest closed
        snapshot foresaw of it; 1 where there was no model yet.
        """
        newest = self.closed(day)[-1]
        model, rows = self.model(kind, newest), self.snapshot(newest)
        return calibration_slope(rows["churned"].to_numpy(), model.probability(rows)) if model else 1.0

    def calibration(self, kind: str, day: date, slope: float | None = None) -> Calibration:
        """How the probabilities of the model made on `day` are calibrated; give the `slope` where it is known."""
        rate = float(self.snapshot(self.closed(day)[-1])["churned"].mean())
        return Calibration(self.slope(kind, day) if slope is None else slope, rate)


def every_so_many(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows, or every second, third … of them, so that they are at most so many."""
    return rows.iloc[:: -(-len(rows) // most)] if len(rows) > most else rows


def calibration_slope(churned: np.ndarray, probability: np.ndarray) -> float:
    """The slope of a logistic regression of what happened on the log-odds foreseen, within `SLOPES`.

    1 where all were foreseen alike or all did the same. Newton's method on two numbers, by sums only, so that the
    number of threads changes no bit of it.
    """
    from scipy.special import expit

    if churned.all() or not churned.any() or probability.min() == probability.max():
        return 1.0
    odds = _log_odds(probability)
    odds = odds - odds.mean()
    slope, level = 1.0, 0.0
    for _ in range(30):
        found = expit(level + slope * odds)
        missed, weight = churned - found, found * (1 - found)
        of_level, of_both, of_slope = weight.sum(), (weight * odds).sum(), (weight * odds * odds).sum()
        by_level, by_slope, scale = missed.sum(), (missed * odds).sum(), of_level * of_slope - of_both**2
        level = float(np.clip(level + (of_slope * by_level - of_both * by_slope) / scale, -10.0, 10.0))
        slope = float(np.clip(slope + (of_level * by_slope - of_both * by_level) / scale, *SLOPES))
    return slope


def probability_gone(rows: pd.DataFrame) -> np.ndarray | None:
    """1 - the probability of being alive by BG/NBD, fitted to these rows of one snapshot; None where it has no fit.

    Nothing is learned from outcomes. It is the probability of having left for good, not of the window's silence.
    """
    from retail_assets.analytics.lifetime_value import NotFitted, fit_bg_nbd

    repeats, age = rows["purchase_days"] - 1, rows["tenure_days"]
    last = rows["tenure_days"] - rows["recency_days"]
    try:
        alive = fit_bg_nbd(repeats, last, age).probability_alive(repeats, last, age)
    except NotFitted:
        return None
    return 1.0 - alive


def calibrated_classifier(
    model: ChurnModel, calibration: Calibration, rows: pd.DataFrame, probability: np.ndarray
) -> Any:
    """The model with its calibration for the customers `rows`, of whom it has told the `probability`, as one
    scikit-learn classifier.

    It predicts in any process that has scikit-learn; what it says of `rows` is what `Calibration.apply` says.
    """
    from scipy.special import logit
    from sklearn.ensemble import StackingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    bounded = FunctionTransformer(np.clip, kw_args={"a_min": EDGE, "a_max": 1 - EDGE})
    sigmoid = make_pipeline(bounded, FunctionTransformer(logit), LogisticRegression())
    stacked = StackingClassifier([(model.kind, model.classifier)], sigmoid, cv="prefit", stack_method="predict_proba")
    # Fitted, to a row of either class, to give it its shape; then the sigmoid gets what was found out of time.
    stacked.fit(rows[list(model.features)].astype("float64").iloc[[0, 0]], [0, 1])
    regression = stacked.final_estimator_[-1]
    regression.coef_[:] = calibration.slope
    regression.intercept_[:] = calibration.intercept(probability)
    return stacked


def _classifier(kind: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    if kind == FOREST:
        return RandomForestClassifier(**KINDS[kind], random_state=seed, n_jobs=2)
    return HistGradientBoostingClassifier(**KINDS[kind], random_state=seed)


def _share_of_votes(forest: Any, values: pd.DataFrame) -> np.ndarray:
    """What `predict_proba` says of class 1, without checking the rows anew for each of a hundred trees."""
    rows = np.ascontiguousarray(values.to_numpy(dtype="float32"))
    votes = np.zeros((len(rows), 2))
    for tree in forest.estimators_:
        votes += tree.tree_.predict(rows)
    share: np.ndarray = votes[:, 1] / len(forest.estimators_)
    return share


def _log_odds(probability: np.ndarray) -> np.ndarray:
    from scipy.special import logit

    found: np.ndarray = logit(np.clip(probability, EDGE, 1 - EDGE))
    return found


def with_churn_risk(frame: DataFrame, within: str) -> DataFrame:
    """Adds `churn_risk`: High for the top 20 % by `churn_probability` per value of `within`, Medium for the next
    30 %, Low for the rest. Equal probabilities get one band, by where they stand together (`standing`), so that a band
    can be larger; the highest are always High, the lowest Low, and where all are alike they are Medium.
    """
    stands = standing("churn_probability", within, highest_first=True)
    share = stands.before / stands.count
    return frame.withColumn(
        "churn_risk",
        F.when(stands.all_alike, "Medium")
        .when(stands.is_first, "High")
        .when(stands.is_last, "Low")
        .when(share < HIGH_RISK_SHARE, "High")
        .when(share < MEDIUM_RISK_SHARE, "Medium")
        .otherwise("Low"),
    )
