"""churn_evaluation: what churn models foresaw, held against what happened, each month anew; and which one scores."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
from dagster import AssetExecutionContext, MetadataValue
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.churn import (
    BOOSTING,
    CHURN_FEATURES,
    FOREST,
    KINDS,
    MONTHS_TO_EVALUATE,
    SEED,
    TRAINING_SNAPSHOTS,
    WINDOW_DAYS,
    ChurnModel,
    RollingOrigin,
    churn_feature_frame,
)
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
from retail_assets.analytics.fitted_models import FittedModels
from retail_assets.analytics.returning import KnownOutcomes, Returning, outcomes
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.snapshots import Dated, as_of_dates, snapshots_since
from retail_assets.lakehouse.checks import (
    MODEL_QUALITY,
    WARN,
    Audit,
    Evidence,
    TableCheck,
    Verdict,
    check,
    nothing_to_judge,
    reconciles,
    too_few,
)
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    Day,
    Expression,
    Flag,
    Real,
    RealMap,
    Text,
    column,
    partition,
    row_rule,
)
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly_after, months_so_far
from retail_assets.partitions.keys import PartitionWindow

MONTHS_OF_HISTORY = 5
"""An outcome window of 90 days must have closed before anything can be learned: the first snapshot is known a month
after the data begins and its outcome three months later, so that earlier months have no partition."""

AUC_FLOOR = 0.6
AUC_CEILING = 0.95
"""Above this a model knows its own answer: a feature reaches past the as-of date."""

ENOUGH_CUSTOMERS = 500
"""Of fewer, these figures are chance. Online Retail II drawn down, in months in which all its customers are calibrated
within 0.06: of 300 customers every other month exceeds 0.1, from 500 on none; and the forest ranks 200 customers worse
than recency alone in 8 % of months, 500 in none."""

CALIBRATION_CEILING = 0.1
"""Real data: 0.02 to 0.04 in a year whose season is known, 0.25 in the first winter."""

_ACTIVITY = [(CustomerMonthActivity, "orders", "revenue", "returns_value", "first_purchase_date", "last_purchase_date")]
_SHARE: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}, "origin": _ACTIVITY}


class ChurnEvaluation(Contract):
    """Churn models and baselines on the snapshots whose 90 days ended in the month, by model and population.

    Each model is the one that could be made on the as-of date of that snapshot, of outcomes complete by then, and is
    calibrated as it would have been then; so the row of the model that scored that month judges the very scores of
    `churn_scores`. The population is all customers, or those with a purchase in the 90 days before. 90 days are not
    three months: a month in which no outcome became known repeats the newest one, and another has two. The first
    months have no rows: nothing could be foreseen yet that is known by now. Nor have months by which hardly any
    customer came back (fewer than a twentieth): then no model is made, and the checks say so.
    """

    as_of_date: Day = column("As-of date of the snapshot: what happened is known up to here")
    evaluated_month: Day = column("Month of the snapshot that was foreseen")
    evaluated_as_of_date: Day = column("Its as-of date: what the models knew; the outcome is of the 90 days after it")
    model: Text = column(
        "random_forest (the reference), gradient_boosting; baselines: recency_alone, bg_nbd_alive (1 - P(alive))",
        isin=[FOREST, BOOSTING, RECENCY, ALIVE],
    )
    population: Text = column("all customers, or those active in the last 90 days", isin=[ALL, ACTIVE])
    scores: Flag = column(
        "Whether it scores the month: on the newest snapshot, the forest unless boosting is better beyond chance"
    )
    customers: Count = column("Customers", ge=1, origin=(CustomerMonthActivity, "customer_id"))
    churn_rate: Real = column("Share of them that bought nothing in the 90 days", **_SHARE)
    mean_probability: Real = column("Mean probability of churn; NULL without probabilities", nullable=True, **_SHARE)
    roc_auc: Real = column("Area under the ROC curve", **_SHARE)
    roc_auc_lower: Real = column("Lower end of its 95 % interval, by bootstrap of customers", **_SHARE)
    roc_auc_upper: Real = column("Upper end of its 95 % interval", **_SHARE)
    average_precision: Real = column("Average precision", **_SHARE)
    top_decile_lift: Real = column("Churn rate of the riskiest tenth by that of all", ge=0, origin=_ACTIVITY)
    brier_score: Real = column("Mean squared error of the probabilities", nullable=True, **_SHARE)
    calibration_error: Real = column(
        "Mean distance of probability and churn rate over ten equal parts by probability", nullable=True, **_SHARE
    )
    uncalibrated_error: Real = column("The calibration error without calibration", nullable=True, **_SHARE)
    calibration_slope: Real = column(
        "Slope of the log-odds in the sigmoid that this evaluation gives; NULL for baselines",
        nullable=True,
        gt=0,
        origin=_ACTIVITY,
    )
    feature_importance: RealMap = column(
        "Fall of the ROC AUC when the values of one feature are shuffled; NULL for baselines",
        nullable=True,
        origin=_ACTIVITY,
    )
    snapshot_month: Day = partition("First day of the snapshot's month")

    class Config:
        unique = ["snapshot_month", "evaluated_month", "model", "population"]

    @row_rule("The outcome of the evaluated snapshot was known on the as-of date")
    def outcome_was_known() -> Column:
        return F.date_add("evaluated_as_of_date", WINDOW_DAYS) <= F.col("as_of_date")


def _track(tracked: TrackedRun, evaluation: Evaluation, rows: list[dict[str, Any]], month: str) -> dict[str, Any]:
    """A run per month and model in MLflow, by the same names so that they compare; returns what the UI shows."""
    with tracked.month(month):
        tracked.log(
            {
                "evaluated_as_of_date": evaluation.as_of_date,
                "window_days": WINDOW_DAYS,
                "scores": evaluation.chosen,
                "rule": f"{FOREST}, unless the ROC AUC of {BOOSTING} is higher in 97.5 % of the bootstrap samples",
            },
            _metrics(row for row in rows if row["scores"]),
        )
        for one in evaluation.foreseen:
            with tracked.candidate(one.name):
                tracked.log(
                    {"model": one.name, "snapshot_month": month, "evaluated_as_of_date": evaluation.as_of_date}
                    | (_parameters(one.model) if one.model else {}),
                    _metrics(row for row in rows if row["model"] == one.name),
                )
    importance = evaluation.of(evaluation.chosen).importance
    strongest = sorted(importance[ALL].items(), key=lambda item: -item[1]) if importance else []
    return {
        "scores": evaluation.chosen,
        "evaluated_as_of_date": str(evaluation.as_of_date),
        "models": MetadataValue.md(_compared(rows)),
        "feature_importance": MetadataValue.md(
            "\n".join(["| feature | fall of ROC AUC |", "| --- | --- |", *(f"| {n} | {v:.3f} |" for n, v in strongest)])
        ),
    }


def _parameters(model: ChurnModel) -> dict[str, Any]:
    return {
        **KINDS[model.kind],
        "seed": SEED,
        "features": ", ".join(model.features),
        "trained_on": ", ".join(map(str, model.training_dates)),
        "training_rows": model.training_rows,
    }


def _metrics(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The numbers of the rows, with their population before their name."""
    found = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[f"{row['population']}_{name}"] = float(value)
        for name, value in (row["feature_importance"] or {}).items():
            found[f"{row['population']}_importance_{name}"] = value
    return found


def _compared(rows: list[dict[str, Any]]) -> str:
    head = "| model | population | ROC AUC | interval | average precision | Brier score | calibration error | lift |"
    return "\n".join(
        [
            head,
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *(
                f"| {row['model']} | {row['population']} | {row['roc_auc']:.3f} "
                f"| {row['roc_auc_lower']:.3f}–{row['roc_auc_upper']:.3f} | {row['average_precision']:.3f} "
                f"| {_shown(row['brier_score'])} | {_shown(row['calibration_error'])} | {row['top_decile_lift']:.2f} |"
                for row in rows
            ),
        ]
    )


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_NOTHING_YET = "No snapshot whose outcome is known could be foreseen from outcomes known before it"


def without_a_model(known: Returning | None, otherwise: Verdict) -> Verdict:
    """What is said of a month without a model, by the outcomes `known` then: `otherwise`, unless too few came back."""
    return otherwise if known is None or known.enough else too_few(known.returned, known.needed, known.of_whom)


def _figure(name: str, population: str = ALL, model: str | None = None) -> Expression:
    """A figure of the month's row of that population and model; of the model that scores, if none is named."""

    def measure() -> Column:
        wanted = F.col("model") == model if model else F.col("scores")
        return F.max(F.when(wanted & (F.col("population") == population), F.col(name)))

    return measure


def _judged_by(
    promise: str, needs: Mapping[str, Expression], shows: Mapping[str, Expression] | None = None
) -> Callable[[Callable[[dict[str, Any]], Verdict]], TableCheck]:
    """A check of figures of the month, which warns; it `needs` these to judge, and `shows` others beside them."""

    def decorate(judge: Callable[[dict[str, Any]], Verdict]) -> TableCheck:
        def judged(month: Evidence) -> Verdict:
            if not month.rows:
                return without_a_model(month.found("returning"), nothing_to_judge(_NOTHING_YET))
            needed = {"customers", *needs}
            lacking = sorted(name for name in needed if month.measures[name] is None)
            if lacking:
                told = f"Of {month.rows} rows none says the {', '.join(lacking)} of the model that scores"
                return Verdict.within(len(needed) - len(lacking), told, lower=len(needed))
            if month.measures["customers"] < ENOUGH_CUSTOMERS:
                return too_few(month.measures["customers"], ENOUGH_CUSTOMERS, "customers")
            return replace(judge(dict(month.measures)), metadata=month.measures)

        wanted = {"customers": _figure("customers"), **needs, **(shows or {})}
        return check(promise, name=judge.__name__, measures=wanted, family=MODEL_QUALITY, severity=WARN)(judged)

    return decorate


def _figures(*names: str) -> dict[str, Expression]:
    """Figures of the model that scores, of all customers."""
    return {name: _figure(name) for name in names}


def _of_active(*names: str) -> dict[str, Expression]:
    """The same of the customers with a purchase in the 90 days before."""
    return {f"active_{name}": _figure(name, ACTIVE) for name in names}


@_judged_by(
    f"The ROC AUC of the model that scores, out of time, lies in {AUC_FLOOR} to {AUC_CEILING}: below, the scores say "
    "nothing; above, the model knows its own answer",
    needs=_figures("roc_auc", "roc_auc_lower", "roc_auc_upper"),
    shows=_figures("average_precision", "top_decile_lift")
    | _of_active("roc_auc", "average_precision", "top_decile_lift"),
)
def out_of_time_auc(figures: dict[str, Any]) -> Verdict:
    """Ranked by what was foreseen, do those who left come before those who stayed?"""
    auc = figures["roc_auc"]
    told = f"ROC AUC {auc:.3f} out of time ({figures['roc_auc_lower']:.3f} to {figures['roc_auc_upper']:.3f})"
    return Verdict.within(auc, told, lower=AUC_FLOOR, upper=AUC_CEILING)


@_judged_by(
    "The model that scores ranks customers better, out of time, than the days since their last purchase alone, or no "
    "worse than chance explains",
    needs=_figures("roc_auc", "roc_auc_upper") | {"recency_alone_roc_auc": _figure("roc_auc", model=RECENCY)},
)
def better_than_recency(figures: dict[str, Any]) -> Verdict:
    """Is the model worth more than one column?"""
    auc, recency = figures["roc_auc"], figures["recency_alone_roc_auc"]
    by_chance = figures["roc_auc_upper"] - auc
    told = f"ROC AUC {auc:.3f} out of time (by chance {by_chance:.3f} more), where recency alone has {recency:.3f}"
    return Verdict.within(auc, told, lower=recency - by_chance)


@_judged_by(
    f"The probabilities of the model that scores are at most {CALIBRATION_CEILING} from what happened, over ten parts; "
    "in the first winter no model can know the season",
    needs=_figures("calibration_error", "mean_probability", "churn_rate"),
    shows=_figures("uncalibrated_error", "brier_score") | _of_active("calibration_error", "brier_score"),
)
def calibrated(figures: dict[str, Any]) -> Verdict:
    """Does of those with a probability of 0.3 about a third leave?"""
    error = figures["calibration_error"]
    told = (
        f"Probabilities are {error:.3f} from what happened: {figures['mean_probability']:.3f} on average, where "
        f"{figures['churn_rate']:.3f} of the customers left"
    )
    return Verdict.within(error, told, upper=CALIBRATION_CEILING)


def _buyers(audit: Audit) -> DataFrame:
    """How many customers had bought by the end of the newest month evaluated."""
    buyers = audit.inputs["activity"].filter("orders > 0").groupBy("customer_id")
    first = buyers.agg(F.min("activity_month").alias("first_month"))
    evaluated = audit.frame.filter("scores").select("snapshot_month", "evaluated_month").distinct()
    by_then = evaluated.join(first, F.col("first_month") <= F.col("evaluated_month"))
    return by_then.groupBy("snapshot_month").agg(F.count("*").alias("customers"))


@table(
    ChurnEvaluation,
    monthly_after(MONTHS_OF_HISTORY),
    layer=ML,
    kinds=["scikitlearn", "mlflow"],
    reads={"activity": (CustomerMonthActivity, months_so_far)},
    checks=[
        out_of_time_auc,
        better_than_recency,
        calibrated,
        reconciles(
            "reconciliation",
            "The newest evaluated snapshot holds every customer who had bought by then, once",
            ours={"customers": _figure("customers")},
            theirs=_buyers,
        ),
    ],
)
def build(
    activity: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Dated,
    mlflow: MlflowTracking,
    fitted_models: FittedModels,
    context: AssetExecutionContext,
) -> Built:
    """Fits on the driver, each snapshot's models once, on features that Spark makes of all at once; where too few came
    back for any model, of none."""
    days = as_of_dates(window, landing, source)
    since = snapshots_since(activity, window, landing, source, MONTHS_TO_EVALUATE)
    known_by = KnownOutcomes(outcomes(activity, since, WINDOW_DAYS).toPandas(), WINDOW_DAYS, TRAINING_SNAPSHOTS)
    history = churn_feature_frame(activity, since if known_by.any_enough else since.limit(0)).toPandas()
    origin = RollingOrigin(history, CHURN_FEATURES, known=fitted_models)
    evaluated = cache(lambda as_of: evaluate(origin, as_of))
    returning = {str(month): known_by.known(day) for month, day in days.items()}
    rows, shown = [], {month: known.shown() for month, known in returning.items()}
    with mlflow.run(context, f"{source.name}/churn_evaluation") as tracked:
        for month, day in days.items():
            for as_of in (known := to_evaluate(origin, day, before=month)):
                if evaluation := evaluated(as_of):
                    found = evaluation_rows(evaluation, newest=as_of == known[-1])
                    rows += [row | {"snapshot_month": month, "as_of_date": day} for row in found]
                    if as_of == known[-1]:
                        shown[str(month)] |= _track(tracked, evaluation, found, str(month))
    made = [pd.DataFrame(rows, dtype=object)] if rows else []
    return Built(as_table(activity, ChurnEvaluation, made), findings={"returning": returning}, metadata=shown)
