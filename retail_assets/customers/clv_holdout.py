"""clv_holdout: what lifetime value foresaw some months ago against what came, as of each month's end."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetExecutionContext, MetadataValue
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from retail_assets.analytics.lifetime_holdout import DECILES, Holdout, holdout_rows
from retail_assets.analytics.lifetime_value import (
    LifetimeModel,
    NotFitted,
    TooFewCameBack,
    fit_lifetime,
    purchase_summaries,
)
from retail_assets.analytics.returning import Returning
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.customer_clv import MONTHS_OF_HISTORY, MONTHS_TO_FIT, model_figures, models_fitted
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.snapshots import Dated, as_of_dates
from retail_assets.lakehouse.checks import (
    MODEL_QUALITY,
    WARN,
    Audit,
    Evidence,
    RuleResult,
    Verdict,
    check,
    nothing_to_judge,
    reconciles,
)
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Real,
    Text,
    column,
    partition,
    row_rule,
)
from retail_assets.lakehouse.driver_rows import as_table, by_partition
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly_after, months_so_far
from retail_assets.partitions.keys import PartitionWindow

HORIZONS = (3, 6, 12)
"""Months that a holdout lasts."""

LEAST, MOST = 0.5, 2.0
"""Bounds of predicted by actual value. Online Retail II: 0.7 (a quarter before Christmas) to 1.6 (one after it)."""

_PURCHASES = (CustomerMonthActivity, "active_days")
_SPEND = (CustomerMonthActivity, "revenue")
_HISTORY = [(CustomerMonthActivity, "active_days", "first_purchase_date", "last_purchase_date")]
_CORRELATION: dict[str, Any] = {"nullable": True, "in_range": {"min_value": -1.0, "max_value": 1.0}}


class ClvHoldout(Contract):
    """Predicted against actual purchases and value of the windows of 3, 6 and 12 months that end with the month.

    Models are fitted, and customers known, as they were on the window's as-of date; the window is over when its row is
    made, and no row knows anything later. For each window one row for all customers, one for each decile of predicted
    value, and one for each month, summed up from the as-of date (cumulative tracking). The naive projection is spend
    per day so far, on and on. In a running month windows end with the newest drop. The first five months have no
    partition: three must be known before the as-of date, and the shortest window takes three more.
    """

    horizon_months: Integer = column("Calendar months of the window, the last as far as it is landed", isin=HORIZONS)
    slice: Text = column(
        "all; decile of predicted value; month: from the as-of date to the end of the number-th month",
        isin=["all", "decile", "month"],
    )
    number: Integer = column("Decile, 1 the highest; or months from the as-of date; 0 for all", ge=0)
    as_of_date: Day = column("First day of the window; what was foreseen knows only what lies before it")
    window_end: Day = column("First day after the window")
    customers: Count = column(
        "Customers with a purchase before the as-of date", ge=1, origin=(CustomerMonthActivity, "customer_id")
    )
    predicted_purchases: Real = column("Purchases foreseen: days with purchases", ge=0, origin=_HISTORY)
    actual_purchases: Count = column("Purchases that came", ge=0, origin=_PURCHASES)
    predicted_value: Real = column("Value foreseen", unit=CURRENCY, ge=0, origin=[_SPEND, *_HISTORY])
    naive_value: Real = column("Spend per day before × days of the window", unit=CURRENCY, ge=0, origin=_SPEND)
    actual_value: Money = column("Value of product lines that came", unit=CURRENCY, ge=0, origin=_SPEND)
    rank_correlation: Real = column(
        "Spearman's, of value foreseen with value that came, over the customers; of all only", **_CORRELATION
    )
    naive_rank_correlation: Real = column("The same, of the naive projection", **_CORRELATION)
    snapshot_month: Day = partition("First day of the month with which the window ends")

    class Config:
        unique = ["snapshot_month", "horizon_months", "slice", "number"]

    @row_rule("There are ten deciles, and as many months as the window has")
    def number_of_its_slice() -> Column:
        most = F.when(F.col("slice") == "month", F.col("horizon_months")).when(F.col("slice") == "all", 0)
        least = F.when(F.col("slice") == "all", 0).otherwise(1)
        return F.col("number").between(least, F.coalesce(most, F.lit(DECILES)))


def holdouts(month: date, end: date, first_month: date) -> list[Holdout]:
    """The windows that end with `month`, on `end`: those before which enough months are known."""
    found = []
    for horizon in HORIZONS:
        months = pd.date_range(end=month, periods=horizon, freq="MS")
        known = pd.date_range(first_month, months[0], freq="MS")[:-1]
        if len(known) >= MONTHS_TO_FIT:
            found.append(Holdout(months[0].date(), (*(day.date() for day in months[1:]), end)))
    return found


def clv_holdout(
    holdout: Holdout, month: date, customers: pd.DataFrame, later: pd.DataFrame, model: LifetimeModel
) -> pd.DataFrame:
    """The rows of one window. `later`: customer months (`activity_month`, `purchases`, `spend`) of the window."""
    number_of_month = {day: number for number, day in enumerate((holdout.as_of, *holdout.ends[:-1]))}
    numbered = later.assign(month=later["activity_month"].map(number_of_month))
    return holdout_rows(holdout, customers, numbered, model).assign(
        horizon_months=len(holdout.ends), as_of_date=holdout.as_of, window_end=holdout.ends[-1], snapshot_month=month
    )


def _track(tracked: TrackedRun, rows: pd.DataFrame, model: LifetimeModel) -> dict[str, Any]:
    """A run of the window in MLflow, within the month's; returns its row for all customers."""
    whole: dict[str, Any] = {str(name): value for name, value in rows.iloc[0].items()}
    with tracked.candidate(f"{whole['horizon_months']} months"):
        tracked.log(
            {name: whole[name] for name in ("horizon_months", "as_of_date", "window_end", "customers")},
            {name: float(whole[name]) for name in _FIGURES if whole[name] is not None} | model_figures(model),
        )
    return whole


_FIGURES = [
    "predicted_purchases", "actual_purchases", "predicted_value", "naive_value", "actual_value", "rank_correlation",
    "naive_rank_correlation",
]  # fmt: skip


def _shown(windows: list[dict[str, Any]]) -> dict[str, Any]:
    head = "| months | as of | purchases | value | naive value | rank correlation | naive rank correlation |"
    lines = [
        f"| {w['horizon_months']} | {w['as_of_date']} | {_by(w['predicted_purchases'], w['actual_purchases'])} "
        f"| {_by(w['predicted_value'], w['actual_value'])} | {_by(w['naive_value'], w['actual_value'])} "
        f"| {_figure(w['rank_correlation'])} | {_figure(w['naive_rank_correlation'])} |"
        for w in windows
    ]
    table = "\n".join(
        [
            "Purchases and value foreseen, as a multiple of what came; and how both rank the customers:",
            "",
            head,
            "| --- | --- | --- | --- | --- | --- | --- |",
            *lines,
        ]
    )
    return {"windows": MetadataValue.md(table)}


def _by(predicted: Any, actual: Any) -> str:
    return _figure(float(predicted) / float(actual) if actual else None)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _whole_windows() -> Column:
    """The rows for all customers."""
    names = ("horizon_months", "customers", *_FIGURES)
    return F.collect_list(F.when(F.col("slice") == "all", F.struct(*names)))


def _windows(month: Evidence) -> list[Row]:
    """The month's rows for all customers, the shortest window first."""
    return sorted(month.measures["windows"] or [], key=lambda row: int(row["horizon_months"]))


_NO_WINDOW = "No window ends with the month whose models could be fitted"


@check(
    f"The value foreseen of each window is {LEAST} to {MOST} of what came",
    measures={"windows": _whole_windows},
    family=MODEL_QUALITY,
    severity=WARN,
)
def total_foreseen(month: Evidence) -> Verdict:
    """Of each window, value foreseen by value that came."""
    windows = _windows(month)
    return Verdict.of([_total_of(row) for row in windows]) if windows else nothing_to_judge(_NO_WINDOW)


def _total_of(window: Row) -> RuleResult:
    months, foreseen, came = window["horizon_months"], window["predicted_value"], float(window["actual_value"])
    rule, told = f"value_of_{months}_months", f"{months} months: {foreseen:.0f} foreseen, {came:.0f} came"
    if not came:
        return RuleResult(rule, not foreseen, foreseen, upper=0, explanation=told)
    return RuleResult.within(rule, foreseen / came, told, lower=LEAST, upper=MOST)


@check(
    "Customers are ranked by what they came to spend better than the naive projection ranks them, and the total of a "
    "whole year is nearer (a shorter window judges its season more than the model). Ranks are judged where there was a "
    "purchase for every twentieth customer",
    measures={"windows": _whole_windows},
    family=MODEL_QUALITY,
    severity=WARN,
)
def better_than_naive(month: Evidence) -> Verdict:
    """Of each window the ranks, and of a year the total, against those of spend per day."""
    results = [result for row in _windows(month) for result in _against_naive(row)]
    return Verdict.of(results) if results else nothing_to_judge(_NO_WINDOW)


def _against_naive(window: Row) -> Iterator[RuleResult]:
    months, came = window["horizon_months"], float(window["actual_value"])
    ranked, ranked_naively = window["rank_correlation"], window["naive_rank_correlation"]
    bought = Returning(window["customers"], window["actual_purchases"])
    if not bought.enough:  # nearly all have spent the same, nothing: which order is better is chance
        of = f"purchases of {bought.customers:,} customers in {months} months"
        yield RuleResult.too_few(bought.returned, bought.needed, of)
    elif ranked is not None and ranked_naively is not None:
        told = f"{months} months: rank correlation {ranked:.3f}, naive {ranked_naively:.3f}"
        yield RuleResult(f"ranks_of_{months}_months", ranked > ranked_naively, ranked, ranked_naively, None, told)
    foreseen, naive = window["predicted_value"], window["naive_value"]
    if months == max(HORIZONS):
        told = f"{months} months: {foreseen:.0f} foreseen, naive {naive:.0f}, came {came:.0f}"
        yield RuleResult.within(f"total_of_{months}_months", abs(foreseen - came), told, upper=abs(naive - came))


def _came(audit: Audit) -> DataFrame:
    """What the customers of each window bought in it, three times: as all, by decile, and in the last month's sum."""
    activity = audit.inputs["activity"].filter("active_days > 0")
    first = activity.groupBy("customer_id").agg(F.min("activity_month").alias("first_month"))
    bought = activity.select("customer_id", "activity_month", "active_days", "revenue").join(first, "customer_id")
    windows = audit.frame.filter("slice = 'all'").select("snapshot_month", "horizon_months", "as_of_date")
    of_window = (
        (F.col("first_month") < F.col("as_of_date"))
        & (F.col("activity_month") >= F.col("as_of_date"))
        & (F.col("activity_month") <= F.col("snapshot_month"))
    )
    sums = windows.join(bought, of_window).groupBy("snapshot_month")
    value = F.sum("revenue")
    return sums.agg(
        F.sum("active_days").alias("purchases"), *(value.alias(name) for name in ("value", "by_decile", "by_month"))
    )


def _value_where(condition: str) -> Column:
    return F.sum(F.when(F.expr(condition), F.col("actual_value")))


@table(
    ClvHoldout,
    monthly_after(MONTHS_OF_HISTORY),
    layer=GOLD,
    kinds=["mlflow"],
    reads={"activity": (CustomerMonthActivity, months_so_far)},
    checks=[
        models_fitted("each window's as-of date"),
        total_foreseen,
        better_than_naive,
        reconciles(
            "reconciliation",
            "What came is what silver says the windows' customers bought in them; deciles and months add up to it",
            ours={
                "purchases": lambda: F.sum(F.when(F.col("slice") == "all", F.col("actual_purchases"))),
                "value": lambda: _value_where("slice = 'all'"),
                "by_decile": lambda: _value_where("slice = 'decile'"),
                "by_month": lambda: _value_where("slice = 'month' AND number = horizon_months"),
            },
            theirs=_came,
        ),
    ],
)
def build(
    activity: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Dated,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
) -> Built:
    """Fits on the driver, once for each as-of date, to purchase summaries that Spark makes of all of them at once."""
    ends = as_of_dates(window, landing, source)
    earliest = activity.agg(F.min("activity_month")).first()
    first_month = earliest[0] if earliest and earliest[0] else window.days[0]
    planned = {month: holdouts(month, end, first_month) for month, end in ends.items()}
    known = _summaries(activity, {holdout.as_of for found in planned.values() for holdout in found})
    later = _later(activity, min((day for day in known), default=first_month))
    models: dict[date, LifetimeModel | NotFitted] = {}
    rows: list[pd.DataFrame] = []
    shown: dict[str, dict[str, Any]] = {}
    problems: dict[str, list[str]] = {}
    too_few: dict[str, list[str]] = {}
    with mlflow.run(context, f"{source.name}/clv_holdout") as tracked:
        for month, found in planned.items():
            windows: list[dict[str, Any]] = []
            with tracked.month(str(month)):
                for holdout in found:
                    customers = known[holdout.as_of]
                    model = models[holdout.as_of] = models.get(holdout.as_of) or _fitted(customers)
                    if isinstance(model, NotFitted):
                        noted = too_few if isinstance(model, TooFewCameBack) else problems
                        noted.setdefault(str(month), []).append(f"as of {holdout.as_of}: {model}")
                        continue
                    lasting = later["activity_month"].between(holdout.as_of, month)
                    rows.append(clv_holdout(holdout, month, customers, later[lasting], model))
                    windows.append(_track(tracked, rows[-1], model))
            shown[str(month)] = _shown(windows)
    findings = {"problems": problems, "too_few": too_few}
    return Built(as_table(activity, ClvHoldout, rows), findings=findings, metadata=shown)


def _fitted(customers: pd.DataFrame) -> LifetimeModel | NotFitted:
    try:
        return fit_lifetime(customers)
    except NotFitted as problem:
        return problem


def _summaries(activity: DataFrame, as_of_dates: set[date]) -> dict[date, pd.DataFrame]:
    """As-of date (the first day of a month) -> the customers as they were then, by id."""
    days = [((day - pd.DateOffset(months=1)).date(), day) for day in sorted(as_of_dates)]
    of = activity.sparkSession.createDataFrame(days, "snapshot_month date, as_of_date date")
    summaries = by_partition(purchase_summaries(activity, of).orderBy("customer_id").toPandas(), "as_of_date")
    return {day: summaries[day] for _, day in days}


def _later(activity: DataFrame, first: date) -> pd.DataFrame:
    """The customer months with purchases from `first` on, in order."""
    bought = activity.filter((F.col("active_days") > 0) & (F.col("activity_month") >= F.lit(first)))
    months = bought.select(
        "customer_id",
        "activity_month",
        F.col("active_days").alias("purchases"),
        F.col("revenue").cast("double").alias("spend"),
    ).toPandas()
    return months.sort_values(["customer_id", "activity_month"], ignore_index=True)
