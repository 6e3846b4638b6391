"""Unusual days are told with what was not as usual: a customer, how many ordered, what an order was worth."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retail_assets.dashboards.unusual_days import expected, ranges_of

FIRST = date(2023, 6, 5)
DAY = FIRST + timedelta(days=200)  # in December, three days before Christmas
SPRING = date(2024, 4, 10)
AS_OF = date(2024, 5, 1)


def sales(on: date = SPRING, **strange: float) -> pd.DataFrame:
    """Ten orders of ten customers, £100 each, every day until the as-of date; `on` is otherwise."""
    chance = np.random.default_rng(3)
    rows: list[tuple[Any, ...]] = []
    for day in (FIRST + timedelta(days=number) for number in range((AS_OF - FIRST).days)):
        told = strange if day == on else {}
        orders, worth = (
            int(told.get("orders", 10)),
            told.get("worth", 100) * (1 if day == on else chance.lognormal(0, 0.1)),
        )
        rows += [(day, customer, 1, round(worth * 1000), 0) for customer in range(orders)]
        if "one" in told:
            rows.append((day, 7, 1, round(told["one"] * 1000), round(told.get("returned", 0) * 1000)))
    frame = pd.DataFrame(rows, columns=["invoice_date", "customer_id", "orders", "revenue", "returns"])
    return frame.assign(invoice_date=pd.to_datetime(frame["invoice_date"]))


def found(sold: pd.DataFrame, as_of: date = AS_OF) -> dict[str, str]:
    sold = sold[sold["invoice_date"] < pd.Timestamp(as_of)]
    shown = expected(ranges_of(sold), sold, np.array([f"C{number}" for number in range(100)]), as_of, "GBP")
    assert all(not day["low"] <= day["revenue"] <= day["high"] for day in shown["unusual"])
    return {day["day"]: day["why"] for day in shown["unusual"]}


@pytest.mark.parametrize(
    ("strange", "told"),
    [
        ({"one": 5000}, " of the day: without it the day would have been as expected."),
        ({"one": 5000, "returned": 4800}, "£4,800 of sales were returned or cancelled on that day."),
        ({"orders": 20}, "20 orders, where 10 are usual."),
        ({"orders": 4}, "4 orders, where 10 are usual."),
        ({"worth": 300}, "an order, where £"),
        ({"orders": 0}, "No sales: a closed day, or one of which nothing has landed."),
    ],
)
def test_what_was_not_as_usual_is_told(strange: dict[str, float], told: str):
    assert told in found(sales(SPRING, **strange))[str(SPRING)]


def test_an_ordinary_day_is_not_told():
    assert str(SPRING) not in found(sales())


def test_an_order_of_unknown_customers_names_nobody():
    sold = sales(worth=300)
    sold.loc[sold["invoice_date"] == pd.Timestamp(SPRING), "customer_id"] = -1
    assert "Customer" not in found(sold)[str(SPRING)]


def test_a_day_of_returns_alone_has_no_sales():
    sold = sales(SPRING, orders=1)
    sold.loc[sold["invoice_date"] == pd.Timestamp(SPRING), ["orders", "revenue", "returns"]] = [0, 0, 5000]
    assert found(sold)[str(SPRING)].startswith("No sales")


def test_no_sale_on_a_day_is_no_news_where_few_buy():
    sold = sales(SPRING, orders=0)
    few = sold[sold["customer_id"] < 3]
    assert str(SPRING) in found(sold)
    assert str(SPRING) not in found(few)


def test_days_closed_for_christmas_are_not_unusual_but_little_sold_before_is():
    assert str(DAY) not in found(sales(DAY, orders=0))
    assert "Near Christmas" in found(sales(DAY, orders=3))[str(DAY)]


def test_pages_of_earlier_months_say_the_same_of_their_days():
    sold = sales(date(2024, 2, 14), orders=30)
    month = date(2024, 3, 1)
    earlier = found(sold, month)
    assert "2024-02-14" in earlier
    assert earlier == {day: why for day, why in found(sold).items() if day < str(month)}
    at_once = ranges_of(sold)
    pd.testing.assert_frame_equal(
        at_once[at_once.index < month], ranges_of(sold[sold["invoice_date"] < pd.Timestamp(month)])
    )


def test_no_sales_give_no_ranges():
    sold = sales().iloc[:0]
    nothing = expected(ranges_of(sold), sold, np.array([]), AS_OF, "GBP")
    assert nothing == {"days": {"day": [], "low": [], "high": []}, "unusual": []}
