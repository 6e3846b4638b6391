"""customer_clv: what each customer is expected to buy and be worth in the next 12 months, as of each month's end."""

from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetExecutionContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.lifetime_value import (
    DAYS_PER_YEAR,
    Discounting,
    LifetimeModel,
    NotFitted,
    TooFewCameBack,
    discounted,
    fit_lifetime,
    month_ends,
    naive_value,
    purchase_summaries,
)
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.snapshots import Dated, snapshots, so_far
from retail_assets.lakehouse.checks import (
    MODEL_QUALITY,
    WARN,
    Audit,
    Evidence,
    TableCheck,
    Verdict,
    all_known,
    check,
    nothing_to_judge,
    reconciles,
)
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Day,
    Integer,
    Real,
    Text,
    column,
    partition,
    row_rule,
    spark_schema,
)
from retail_assets.lakehouse.driver_rows import as_table, by_partition
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly_after, months_so_far
from retail_assets.partitions.keys import PartitionWindow

MONTHS_TO_FIT = 3
"""Months known before a model is asked anything. On Online Retail II a model of one month foresaw 0.3 of the purchases
of the next three, of two months 0.85, of three 0.92."""

MONTHS_OF_HISTORY = 5
"""Months without a partition: with the sixth the first model can be held against three months that came after it."""

_FIRST = (CustomerMonthActivity, "first_purchase_date")
_LAST = (CustomerMonthActivity, "last_purchase_date")
_PURCHASES = (CustomerMonthActivity, "active_days")
_SPEND = (CustomerMonthActivity, "revenue")
_HISTORY = [_PURCHASES, _FIRST, _LAST]
_PROBABILITY: dict[str, Any] = {"in_range": {"min_value": 0.0, "max_value": 1.0}}

MODELLED = ["probability_alive", "expected_purchases_12m", "expected_average_value", "clv_12m"]
"""What is NULL where a month has no model."""


class CustomerClv(Contract):
    """What each customer is expected to buy, and to be worth, in the 12 months after each month's end.

    A purchase is a day with purchases. How often comes from a BG/NBD, for how much from a Gamma-Gamma, both fitted for
    each month to all customers as they were then. The naive projection stands beside it: spend per day so far, on and
    on. Months whose models cannot be fitted have the naive projection only. The first five months have no partition:
    three must be known to fit to, and three more to see in clv_holdout what such a fit is worth.
    """

    customer_id: Text = column("Customer", origin=(CustomerMonthActivity, "customer_id"))
    as_of_date: Day = column("As-of date of the snapshot")
    frequency: Integer = column("Purchases after the first", ge=0, origin=_PURCHASES)
    recency: Integer = column("From the first purchase to the last", unit="days", ge=0, origin=[_FIRST, _LAST])
    age: Integer = column("From the first purchase to the as-of date", unit="days", ge=1, origin=_FIRST)
    mean_value: Real = column(
        "Value of product lines per purchase, the first included", unit=CURRENCY, ge=0, origin=[_SPEND, _PURCHASES]
    )
    probability_alive: Real = column(
        "Probability of still being a customer", nullable=True, origin=_HISTORY, **_PROBABILITY
    )
    expected_purchases_12m: Real = column("Purchases expected in 365 days", nullable=True, ge=0, origin=_HISTORY)
    expected_average_value: Real = column(
        "Expected value of a purchase to come", unit=CURRENCY, nullable=True, ge=0, origin=[_SPEND, _PURCHASES]
    )
    clv_12m: Real = column(
        "Expected value of the purchases of 365 days, discounted by the month", unit=CURRENCY, nullable=True, ge=0,
        origin=[_SPEND, *_HISTORY],
    )  # fmt: skip
    naive_clv_12m: Real = column(
        "Spend per day of the age × 365: the projection without a model", unit=CURRENCY, ge=0, origin=[_SPEND, _FIRST]
    )
    snapshot_month: Day = partition("First day of the snapshot's month")

    class Config:
        unique = ["snapshot_month", "customer_id"]

    @row_rule("The last purchase lies before the as-of date, and apart from the first where there is a second")
    def history_possible() -> Column:
        return (F.col("recency") < F.col("age")) & ((F.col("frequency") > 0) == (F.col("recency") > 0))

    @row_rule("A customer has all of the models' figures or none")
    def modelled_or_not() -> Column:
        known = [F.col(name).isNotNull().cast("int") for name in MODELLED]
        return (known[0] + known[1] + known[2] + known[3]).isin(0, len(MODELLED))


def customer_clv(customers: pd.DataFrame, model: LifetimeModel | None, yearly_rate: float) -> pd.DataFrame:
    """The rows of one month, from its purchase summaries; `yearly_rate` is what later money is discounted by."""
    rows = customers.assign(naive_clv_12m=naive_value(customers, DAYS_PER_YEAR), **dict.fromkeys(MODELLED, np.nan))
    if model is not None:
        until = model.expected_purchases(customers, month_ends())
        value = model.expected_value(customers)
        rows["probability_alive"] = model.probability_alive(customers)
        rows["expected_purchases_12m"] = until[:, -1]
        rows["expected_average_value"] = value
        rows["clv_12m"] = discounted(np.diff(until, axis=1), yearly_rate) * value
    return rows[spark_schema(CustomerClv).fieldNames()]


def model_figures(model: LifetimeModel) -> dict[str, float]:
    """The fitted parameters and what they say, as they are tracked."""
    purchases, values = model.purchases, model.values
    return {
        "r": purchases.r,
        "alpha_days": purchases.alpha,
        "a": purchases.a,
        "b": purchases.b,
        "mean_chance_of_leaving": purchases.mean_chance_of_leaving,
        "bg_nbd_log_likelihood": purchases.log_likelihood,
        "p": values.p,
        "q": values.q,
        "v": values.v,
        "mean_value_of_a_purchase": values.mean_value,
        "gamma_gamma_log_likelihood": values.log_likelihood,
    }


def _track(
    tracked: TrackedRun, rows: pd.DataFrame, model: LifetimeModel | None, yearly_rate: float, month: str
) -> dict[str, Any]:
    """A run of the month in MLflow; returns what the UI shows of it."""
    totals = {
        "customers": float(len(rows)),
        "expected_purchases_12m": float(rows["expected_purchases_12m"].sum()),
        "clv_12m": float(rows["clv_12m"].sum()),
        "naive_clv_12m": float(rows["naive_clv_12m"].sum()),
    }
    figures = model_figures(model) if model else {}
    bounds = [*model.purchases.at_bounds, *model.values.at_bounds] if model else []
    parameters = {"yearly_discount_rate": yearly_rate, "at_bounds": ", ".join(bounds) or "none"}
    with tracked.month(month) as run:
        tracked.log(parameters, {**totals, **figures})
    return {**parameters, **totals, **figures, "mlflow_run": run}


def models_fitted(of: str) -> TableCheck:
    """That the models `of` a partition were found; the step's finding `problems` says which were not, and why; and
    `too_few` which were not looked for."""

    @check(
        f"BG/NBD and Gamma-Gamma of {of} have a maximum of likelihood, which was found",
        name="models_fitted",
        family=MODEL_QUALITY,
        severity=WARN,
    )
    def fitted(month: Evidence) -> Verdict:
        problems: list[str] = month.found("problems") or []
        if not problems and (too_few := month.found("too_few")):
            return nothing_to_judge("; ".join(too_few))
        told = f"{len(problems)} could not be fitted: {'; '.join(problems)}" if problems else ""
        return Verdict.within(len(problems), told, upper=0, metadata={"problems": problems} if problems else {})

    return fitted


def _months_before(audit: Audit) -> DataFrame:
    """Purchases and customers of all months so far, counted without the summaries."""
    activity = audit.inputs["activity"].filter("active_days > 0")
    every = so_far(activity.select("activity_month", "customer_id", "active_days"), audit.partitions())
    return every.groupBy("snapshot_month").agg(
        F.sum("active_days").alias("purchases"), F.countDistinct("customer_id").alias("customers")
    )


@table(
    CustomerClv,
    monthly_after(MONTHS_OF_HISTORY),
    layer=GOLD,
    kinds=["mlflow"],
    reads={"activity": (CustomerMonthActivity, months_so_far)},
    checks=[
        models_fitted("the month"),
        reconciles(
            "reconciliation",
            "Every customer with a purchase so far has a row, and all their purchases are counted",
            ours={"purchases": lambda: F.sum(F.col("frequency") + 1), "customers": lambda: F.count("*")},
            theirs=_months_before,
        ),
        all_known(
            "customers_known", "Every customer is known from silver", ["customer_id"], lambda inputs: inputs["activity"]
        ),
    ],
)
def build(
    activity: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Dated,
    mlflow: MlflowTracking,
    discounting: Discounting,
    context: AssetExecutionContext,
) -> Built:
    """Fits on the driver, month by month, to purchase summaries that Spark makes of all the window's months at once."""
    spark, rate = activity.sparkSession, discounting.yearly_rate
    # In order: Spark's own changes from run to run, and so would sums.
    summaries = (
        purchase_summaries(activity, snapshots(spark, window, landing, source)).orderBy("customer_id").toPandas()
    )
    rows, shown, problems, too_few = [], {}, {}, {}
    with mlflow.run(context, f"{source.name}/customer_clv") as tracked:
        for month, customers in by_partition(summaries, "snapshot_month").items():
            model = None
            try:
                model = fit_lifetime(customers)
            except TooFewCameBack as few:
                too_few[str(month)] = [str(few)]
            except NotFitted as problem:
                problems[str(month)] = [str(problem)]
            rows.append(customer_clv(customers, model, rate))
            shown[str(month)] = _track(tracked, rows[-1], model, rate, str(month))
    findings = {"problems": problems, "too_few": too_few}
    # By columns: so many rows one by one take a while.
    made = (
        spark.createDataFrame(pd.concat(rows), spark_schema(CustomerClv))
        if rows
        else as_table(activity, CustomerClv, [])
    )
    return Built(made, findings=findings, metadata=shown)
