"""reorder_hints: when to order a product again, by lead time and by how often it is to be there."""

from datetime import date, timedelta

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.demand_bands import VOLUMES
from retail_assets.analytics.demand_models import MODELS
from retail_assets.analytics.demand_outcomes import said_by
from retail_assets.analytics.demand_panel import panel_of
from retail_assets.analytics.stock_cover import LEAD_WEEKS, REVIEW_WEEKS, SERVICE_LEVELS, reorder_points
from retail_assets.foresight.demand_candidates import DemandCandidates, on_driver
from retail_assets.foresight.demand_forecast import DemandForecast
from retail_assets.foresight.product_demand import ProductDemand
from retail_assets.foresight.reorder_evaluation import ReorderEvaluation
from retail_assets.lakehouse.checks import CROSS_COLUMN, Audit, Evidence, Verdict, check, nothing_to_judge
from retail_assets.lakehouse.contracts import Contract, Day, Integer, Real, Text, column, partition, row_rule
from retail_assets.lakehouse.driver_rows import as_table
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import NEWEST, same_window, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

_SAID = [(DemandCandidates, "week_1", "week_2", "week_3", "week_4"), (DemandForecast, "model")]
_POINT = [*_SAID, (ProductDemand, "units")]


class ReorderHints(Contract):
    """One row for each week, product, lead time and service level: the stock at which to order again.

    With so much on hand and on order when it is ordered, the demand of the lead time and of the week until the next
    look is covered as often as the service level says, by how far off earlier forecasts were. There are no data of
    stock here, and sales hide what could not be sold: a hint, of one cycle. Whoever waits two weeks for a delivery and
    wants to have it in 19 of 20 cases takes `lead_weeks` 2 and `service_level` 95.
    """

    stock_code: Text = column("Product", origin=(DemandCandidates, "stock_code"))
    description: Text = column("Its last description", nullable=True, origin=(DemandCandidates, "description"))
    volume: Text = column("Class by units a week", isin=list(VOLUMES), origin=(DemandCandidates, "volume"))
    lead_weeks: Integer = column(
        f"From the order to the delivery; {REVIEW_WEEKS} week until the next look comes to it",
        unit="weeks",
        isin=list(LEAD_WEEKS),
    )
    service_level: Integer = column(
        "Of a hundred cycles, those in which the demand is to be covered", unit="%", isin=list(SERVICE_LEVELS)
    )
    expected_units: Real = column("Demand of these weeks, in the mean", ge=0, origin=_SAID)
    reorder_point: Real = column("Units at which to order again", ge=0, origin=_POINT)
    safety_stock: Real = column("Of these, what is kept for a demand above the mean", ge=0, origin=_POINT)
    reached_before: Real = column(
        "Share of products that such points covered at the last closed origin; NULL without one",
        nullable=True,
        origin=(ReorderEvaluation, "reached"),
    )
    model: Text = column("The model that forecast", isin=list(MODELS), origin=(DemandForecast, "model"))
    as_of_date: Day = column("The Monday from which on it holds", origin=(DemandCandidates, "as_of_date"))
    week: Day = partition("Monday of the last week that is known", origin=(DemandCandidates, "week"))

    class Config:
        unique = ["week", "stock_code", "lead_weeks", "service_level"]

    @row_rule("A point is what is expected and the safety stock, to a unit")
    def point_adds_up() -> Column:
        """Points are whole units."""
        return F.abs(F.col("expected_units") + F.col("safety_stock") - F.col("reorder_point")) <= 1.0


def reorder_hints(
    candidates: pd.DataFrame, demand: pd.DataFrame, model: str, evaluated: pd.DataFrame, week: date
) -> pd.DataFrame:
    """The rows of one week; none where fewer forecasts are closed than a point can be told by. `evaluated`: rows of
    reorder_evaluation of the week and earlier ones."""
    said = said_by(candidates[candidates["week"] <= week], model)
    points = reorder_points(said, panel_of(demand, week), week).dropna(subset=["reorder_point"])
    about = said[said["week"] == week].set_index("stock_code")
    newest = evaluated[evaluated["week"] == evaluated["week"].max()]
    before = newest.set_index(["lead_weeks", "service_level"])["reached"].to_dict()
    keys = zip(points["lead_weeks"], points["service_level"], strict=True)
    return points.assign(
        description=points["stock_code"].map(about["description"]),
        reached_before=[before.get(key) for key in keys],
        model=model,
        as_of_date=week + timedelta(weeks=1),
        week=week,
    )


def _asking_for_less(audit: Audit) -> DataFrame:
    """Of each week, the points that are above that of the next service level."""
    levels = Window.partitionBy("week", "stock_code", "lead_weeks").orderBy("service_level")
    above = audit.frame.withColumn("above", F.lead("reorder_point").over(levels))
    return above.groupBy("week").agg(F.count_if(F.col("above") < F.col("reorder_point")).alias("less"))


@check("A higher service level never asks for less", asks=_asking_for_less, family=CROSS_COLUMN)
def points_in_order(week: Evidence) -> Verdict:
    """Products of which a higher service level asks for less."""
    if not week.rows:
        return nothing_to_judge("Too few forecasts are closed for a point to be told")
    less = week.asked[0]["less"] if week.asked else 0
    return Verdict.within(less, f"In {less} rows a higher service level asks for less", upper=0)


@table(
    ReorderHints,
    weekly,
    layer=GOLD,
    reads={
        "demand": (ProductDemand, weeks_so_far),
        "candidates": (DemandCandidates, weeks_so_far),
        "forecast": (DemandForecast, same_window),
        "evaluation": (ReorderEvaluation, weeks_so_far),
    },
    history=["candidates", "evaluation"],
    due=[NEWEST],
    checks=[points_in_order],
)
def build(
    demand: DataFrame, candidates: DataFrame, forecast: DataFrame, evaluation: DataFrame, window: PartitionWindow
) -> Built:
    """Week by week, by the model that scores it."""
    said, came, evaluated = candidates.toPandas(), on_driver(demand), evaluation.toPandas()
    models = forecast.groupBy("week").agg(F.min("model").alias("model")).collect()
    scores = {row["week"]: row["model"] for row in models}
    rows = [
        reorder_hints(said, came, scores[week], evaluated[evaluated["week"] <= week], week)
        for week in window.days
        if week in scores
    ]
    return Built(as_table(demand, ReorderHints, rows))
