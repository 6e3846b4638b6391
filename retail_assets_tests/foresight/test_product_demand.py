"""product_demand: weeks of products, without what was cancelled at once."""

from datetime import date

import pytest
from pyspark.sql import Row, SparkSession

from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.product_demand import ProductDemand, product_demand
from retail_assets.lakehouse.contracts import conform
from retail_assets_tests.online_retail.frames import frame, sale

FIRST, SECOND = date(2011, 1, 3), date(2011, 1, 10)


def of(
    day: str, invoice: str, total: str, quantity: int, customer: str | None = "1", price: str = "1", **more: str | None
):
    return sale(
        day, invoice, total, quantity=quantity, customer_id=customer, unit_price=price,
        **{"stock_code": "20001", "description": "CANDLE", **more},
    )  # fmt: skip


LINES = [
    of("2011-01-03", "500001", "30.000", 30),
    of("2011-01-04", "500002", "8.000", 4, "2", "2", country="France"),
    # Cancelled the next day: of two such lines the later one.
    of("2011-01-05", "500003", "5.000", 5, "3"),
    of("2011-01-05", "500004", "5.000", 5, "3"),
    of("2011-01-06", "C500005", "-5.000", -5, "3"),
    # Not cancelled at once: by another customer, of another quantity, two days later, by nobody known.
    of("2011-01-06", "C500006", "-8.000", -4, "4"),
    of("2011-01-04", "C500007", "-29.000", -29),
    of("2011-01-06", "C500008", "-30.000", -30),
    of("2011-01-05", "500009", "7.000", 7, None),
    of("2011-01-05", "C500010", "-7.000", -7, None),
    of("2011-01-07", "500011", "0.000", 9, "5", "0"),
    {**of("2011-01-07", "500012", "3.000", 1, stock_code="POST"), "line_type": "service"},
    # Sunday's sale, cancelled on Monday: at the week's end nobody knew.
    of("2011-01-09", "500013", "6.000", 6, "6"),
    of("2011-01-10", "C500014", "-6.000", -6, "6"),
    of("2011-01-10", "500015", "2.000", 2, "6", description=None),
    of("2011-01-11", "500016", "0.000", 3, "7", "0", stock_code="20002"),
]


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> dict[tuple[date, str], Row]:
    made = conform(product_demand(frame(spark, CleanTransactions, LINES)), ProductDemand).collect()
    return {(row.week, row.stock_code): row for row in made}


def test_what_was_cancelled_whole_within_a_day_is_taken_out_and_stands_beside_it(rows):
    row = rows[FIRST, "20001"]
    assert (row.units, row.cancelled_units, row.given_units) == (30 + 4 + 5 + 7 + 6, 5, 9)
    assert (str(row.revenue), str(row.cancelled_revenue)) == ("56.000", "5.000")
    assert (row.orders, row.customers) == (5, 4)


def test_units_are_told_by_lot_and_country(rows):
    row = rows[FIRST, "20001"]
    assert row.bulk_units == 30
    assert str(row.small_lot_price) == "1.182"  # 26 in 22 units
    assert row.country_units == {"France": 4, "United Kingdom": 48}


def test_the_family_is_that_of_the_description(rows):
    assert rows[FIRST, "20001"].family == "Lighting & Candles"
    assert (rows[SECOND, "20001"].description, rows[SECOND, "20001"].family) == (None, "Other")


def test_what_was_only_given_away_is_no_demand(rows):
    row = rows[SECOND, "20002"]
    assert (row.units, row.given_units, row.country_units, row.small_lot_price) == (0, 3, {}, None)
    assert set(rows) == {(FIRST, "20001"), (SECOND, "20001"), (SECOND, "20002")}
