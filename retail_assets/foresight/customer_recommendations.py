"""What each customer takes next, as any source with orders of customers tells it, and how its lists are made."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.next_basket import AGAIN, BOOSTING, FEATURES, NEW, WITHIN
from retail_assets.analytics.purchase_history import number_of
from retail_assets.analytics.recommending import BOOSTED, COUNTRY, FIRST, LENGTH, OTHERS, OWN, SHARES, Recommender
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.foresight.weeks import as_of
from retail_assets.lakehouse.contracts import (
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
from retail_assets.lakehouse.engines.grouped import in_groups

AT_HAND = 100_000
"""Up to so many customers lists are made on the driver; of more, so many are learnt from, and lists are made where
the purchases lie. The same rows either way."""

CUSTOMERS_OF_A_GROUP = 2000
"""Customers whose lists one task makes at a time, where they are made where the purchases lie."""

_LISTS = (
    "customer_id string, country string, list string, rank int, product string, description string, "
    "probability double, reason string, basis string"
)


class CustomerRecommendations(Contract):
    """What each customer is most likely to take with the next order, as of each week's end: ten products bought before
    (`again`) and ten never bought (`new`), each with its probability, and why.

    Whoever has an order has a list. Products that nobody bought for four weeks are in none. Probabilities are those of
    the next order, should there be one within 90 days; they were learnt from such orders that were over by then (until
    enough are, they are shares of orders, and `model` says so). Where purchases tell too little of what is new to a
    customer, the list is filled with what the country buys in this season, and `basis` says so. The list `first`, one a
    country and without a customer, is for whoever comes for the first time.
    """

    customer_id: Text = column("Customer; NULL in the lists of first orders", nullable=True)
    country: Text = column("Country of the customer's newest purchase, or that a list of first orders is for")
    list: Text = column("again: bought before; new: never bought; first: for a first order", isin=[AGAIN, NEW, FIRST])
    rank: Integer = column("Place in the list", ge=1, le=LENGTH)
    stock_code: Text = column("Product")
    description: Text = column("Its commonest description so far, or its code where it has none")
    probability: Real = column(
        "That the customer's next order has it, should there be one within 90 days",
        in_range={"min_value": 0.0, "max_value": 1.0},
    )
    reason: Text = column("Why, in words")
    basis: Text = column("What it goes by", isin=[OWN, OTHERS, COUNTRY])
    model: Text = column("What the probabilities of own purchases and of others' are", isin=[BOOSTED, SHARES])
    as_of_date: Day = column("What is known ends before this day, the Monday after the week")
    week: Day = partition("Monday of the newest week that is known")

    class Config:
        unique = ["week", "list", "country", "customer_id", "rank"]

    @row_rule("Lists of first orders, and no others, are without a customer")
    def first_orders_have_no_customer() -> Any:
        return (F.col("list") == FIRST) == F.col("customer_id").isNull()


def recommendations(
    purchases: DataFrame,
    described: Callable[[date], Mapping[str, str]],
    weeks: Iterable[date],
    told: Callable[[date, Recommender], None],
) -> DataFrame:
    """The rows of these weeks.

    `purchases`: `customer_id`, `country`, `product`, `day` (days since 1970), one row a customer, product and day;
    `described`: day -> what products were called before it. Of a week nothing of a later day is looked at. Each week's
    `Recommender` is `told` of.
    """
    on_driver, learnt_from = _parts(purchases, AT_HAND) == 1, to_learn_from(purchases)
    parts, distributed = [], []
    for week in weeks:
        recommender = Recommender.learnt(learnt_from, as_of(week), described(as_of(week)))
        told(week, recommender)
        parts.append(_dated(recommender.firsts(), recommender, week))
        if on_driver:
            parts.append(_dated(recommender.lists(learnt_from), recommender, week))
        else:
            distributed.append(_where_they_lie(purchases, recommender, week))
    names = spark_schema(CustomerRecommendations).fieldNames()
    made = purchases.sparkSession.createDataFrame(pd.concat(parts)[names], spark_schema(CustomerRecommendations))
    for frame in distributed:
        made = made.unionByName(frame.select(names))
    return made


def _parts(purchases: DataFrame, size: int) -> int:
    """In how many parts of at most about so many customers they are."""
    counted = purchases.agg(F.count_distinct("customer_id").alias("customers")).first()
    return max(1, -(-int(counted["customers"]) // size)) if counted else 1


def _part(parts: int) -> Column:
    return F.pmod(F.xxhash64("customer_id"), F.lit(parts))


def to_learn_from(purchases: DataFrame) -> pd.DataFrame:
    """All purchases; of more customers than the driver takes, those of as many, always the same ones."""
    parts = _parts(purchases, AT_HAND)
    return (purchases if parts == 1 else purchases.filter(_part(parts) == 0)).toPandas()


def _where_they_lie(purchases: DataFrame, recommender: Recommender, week: date) -> DataFrame:
    """The week's lists, made in groups of customers by whatever tasks hold them."""
    columns = [name.split()[0] for name in _LISTS.split(", ")]

    def lists(rows: pd.DataFrame) -> pd.DataFrame:
        return recommender.lists(rows)[columns]

    known = purchases.filter(F.col("day") < number_of(recommender.as_of))
    made = in_groups(known, _part(_parts(known, CUSTOMERS_OF_A_GROUP)), lists, _LISTS)
    return made.withColumnRenamed("product", "stock_code").withColumns(
        {
            "model": F.lit(recommender.model),
            "as_of_date": F.lit(recommender.as_of),
            "week": F.lit(week),
        }
    )


def _dated(lists: pd.DataFrame, recommender: Recommender, week: date) -> pd.DataFrame:
    return lists.rename(columns={"product": "stock_code"}).assign(
        model=recommender.model, as_of_date=recommender.as_of, week=week
    )


def tracked(run: TrackedRun, source: str, week: date, recommender: Recommender) -> dict[str, Any]:
    """The week's models in MLflow, each the champion of its list unless one of a later week is; what the UI shows."""
    shown: dict[str, Any] = {"model": recommender.model, "products": len(recommender.ease.products)}
    if recommender.ranker is None:
        return shown
    windows = [str(date(1970, 1, 1) + timedelta(days=day)) for day in recommender.ranker.windows]
    with run.month(str(week)):
        run.log({"learnt_from": ", ".join(windows), "within_days": WITHIN, **BOOSTING}, {"products": shown["products"]})
        for which, model in recommender.ranker.models.items():
            definition = {"features": ", ".join(FEATURES[which]), "as_of_date": recommender.as_of, "list": which}
            example = pd.DataFrame([[0.0] * len(FEATURES[which])], columns=list(FEATURES[which]))
            name = f"{source}.recommendations_{which}"
            registered = run.register(model, name, example, False, f"week-{week}", definition)
            run.promote(name, registered.version, str(week))
            shown |= {f"model_{which}": registered.uri, f"mlflow_run_{which}": registered.run_id}
    return shown | {"learnt_from": ", ".join(windows)}
