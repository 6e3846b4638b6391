"""What a partition's rows are: the same for the same rows in any order, another for any other, on each engine."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from retail_assets.lakehouse.content import NO_ROWS
from retail_assets.lakehouse.contracts import (
    Contract,
    Count,
    CountMap,
    Day,
    Flag,
    Moment,
    Money,
    Real,
    Text,
    TextMap,
    Texts,
    column,
    partition,
    written_schema,
)
from retail_assets.lakehouse.engines.engine import plain
from retail_assets.lakehouse.evaluation import evaluate


class Sales(Contract):
    """A column of every kind."""

    ticket: Text = column("Ticket", nullable=True)
    country: Text = column("Country", nullable=True)
    quantity: Count = column("Units", nullable=True)
    amount: Money = column("Amount", nullable=True)
    share: Real = column("Share", nullable=True)
    gift: Flag = column("Whether it is a gift", nullable=True)
    sold_at: Moment = column("When it was sold", nullable=True)
    extra: TextMap = column("Other columns", nullable=True)
    counts: CountMap = column("Counts", nullable=True)
    tags: Texts = column("Tags", nullable=True)
    written_at: Moment = column("When it was written", of_the_writing=True)
    day: Day = partition("Day")


SOLD: dict[str, Any] = {
    "ticket": "T1",
    "country": None,
    "quantity": 2,
    "amount": Decimal("3.500"),
    "share": 0.25,
    "gift": True,
    "sold_at": datetime(2011, 1, 4, 10),
    "extra": {"channel": "web", "note": None},
    "counts": {"a": 1, "b": 2},
    "tags": ["x", None],
    "written_at": datetime(2011, 2, 1),
    "day": date(2011, 1, 4),
}
RETURNED = {**SOLD, "ticket": "T2", "quantity": -2, "share": float("nan"), "extra": None, "tags": []}


def content(spark: SparkSession, *rows: dict[str, Any]) -> str:
    schema = plain(written_schema(Sales))
    frame = spark.createDataFrame([tuple(row[name] for name in schema.names) for row in rows], schema)
    return evaluate(frame, Sales)["2011-01-04"].content


@pytest.fixture(scope="module")
def of_both(spark: SparkSession) -> str:
    return content(spark, SOLD, RETURNED)


def test_it_is_the_same_on_every_engine_and_from_release_to_release(of_both):
    assert of_both == "2-92d4f0dfe28e7d2e"


def test_neither_the_order_of_rows_nor_of_a_map_nor_the_moment_of_writing_matters(spark, of_both):
    written_later = {**RETURNED, "written_at": datetime(2011, 3, 1), "counts": {"b": 2, "a": 1}}
    assert content(spark, written_later, SOLD) == of_both


@pytest.mark.parametrize(
    "change",
    [
        {"ticket": "T3"},
        {"ticket": None, "country": "T1"},  # a value that moved to the next column
        {"country": ""},
        {"quantity": None},
        {"amount": Decimal("3.501")},
        {"share": 0.2500000000000001},
        {"gift": False},
        {"sold_at": datetime(2011, 1, 4, 10, 0, 0, 1)},
        {"extra": {"channel": None, "note": "web"}},
        {"extra": {"channel": "web"}},
        {"extra": {}},
        {"counts": {"a": 2, "b": 1}},
        {"tags": [None, "x"]},
        {"tags": None},
    ],
    ids=str,
)
def test_any_other_value_makes_it_another(spark, of_both, change):
    assert content(spark, {**SOLD, **change}, RETURNED) != of_both


def test_rows_that_are_missing_or_there_twice_make_it_another(spark, of_both):
    found = [content(spark, SOLD), content(spark, RETURNED), content(spark, SOLD, SOLD, RETURNED), of_both, NO_ROWS]
    assert len(set(found)) == 5
