"""daily_metrics: every calendar day in figures, compared with the days before it."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.daily_metrics import DAYS_BEFORE, DailyMetrics, daily_metrics
from retail_assets.lakehouse.contracts import conform
from retail_assets_tests.online_retail.frames import frame, sale

LINES = [
    # A first week with a closed weekend, then nothing for weeks, then the ends of months and the year after.
    sale("2010-12-30", "400001", "70.000", quantity=7),
    sale("2010-12-30", "400001", "0.005", stock_code="22051"),
    sale("2010-12-30", "400002", "29.995", customer_id="2"),
    sale("2010-12-30", "400003", "5.000", stock_code="POST", line_type="service", customer_id="3"),
    sale("2010-12-30", "400004", "0.000", customer_id=None),
    sale("2010-12-30", "C400005", "-30.000", customer_id="4", quantity=-3),
    sale("2010-12-31", "400006", "50.000"),
    sale("2011-01-03", "400007", "60.000"),
    sale("2011-01-28", "400008", "40.000"),
    sale("2011-01-31", "400009", "100.000"),
    sale("2011-02-15", "400010", "50.000"),
    sale("2011-02-28", "400011", "150.000"),
    sale("2011-03-31", "400012", "300.000"),
    sale("2012-02-29", "400013", "400.000"),
]
FIRST, LAST = date(2010, 12, 30), date(2012, 3, 31)


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


EVERY_DAY = days_between(FIRST, LAST)


def metrics(spark: SparkSession, days: list[date], lines: list[dict[str, Any]] = LINES) -> DataFrame:
    """The days as one run makes them: from their own transactions and those of DAYS_BEFORE before the first."""
    transactions = frame(spark, CleanTransactions, lines)
    read = transactions.filter(F.col("invoice_date").between(min(days) - timedelta(days=DAYS_BEFORE), max(days)))
    return conform(daily_metrics(read, spark.createDataFrame([(d,) for d in days], "invoice_date date")), DailyMetrics)


@pytest.fixture(scope="module")
def by_day(spark: SparkSession) -> dict[str, Row]:
    return {str(row.invoice_date): row for row in metrics(spark, EVERY_DAY).collect()}


def test_every_calendar_day_has_one_row(by_day: dict[str, Row]):
    assert sorted(by_day) == [str(day) for day in EVERY_DAY]


def test_a_day_counts_its_product_lines_and_its_returns(by_day: dict[str, Row]):
    day = by_day["2010-12-30"]
    assert (day.orders, day.customers, day.units) == (3, 2, 10)
    assert (day.revenue, day.returns_value) == (Decimal("100.000"), Decimal("30.000"))
    assert day.average_order_value == Decimal("33.333")


def test_a_closed_day_is_a_row_of_zeros(by_day: dict[str, Row]):
    day = by_day["2011-01-01"]
    assert (day.orders, day.customers, day.units, day.revenue, day.returns_value) == (0, 0, 0, 0, 0)
    assert day.average_order_value is None


def test_averages_at_the_start_are_over_the_days_there_are(by_day: dict[str, Row]):
    first, second = by_day["2010-12-30"], by_day["2010-12-31"]
    assert (first.revenue_7_day_average, first.revenue_30_day_average) == (100, 100)
    assert (first.orders_7_day_average, first.orders_30_day_average) == (3.0, 3.0)
    assert (second.revenue_7_day_average, second.orders_30_day_average) == (75, 2.0)


def test_closed_days_count_in_averages(by_day: dict[str, Row]):
    fifth = by_day["2011-01-03"]  # after a closed weekend
    assert (fifth.revenue_7_day_average, fifth.orders_7_day_average) == (42, 1.0)
    assert by_day["2011-01-05"].revenue_7_day_average == 30
    assert by_day["2011-01-06"].revenue_7_day_average == Decimal("15.714")  # 110 / 7: the first day is out
    assert by_day["2011-01-10"].revenue_7_day_average == 0
    assert by_day["2011-01-28"].revenue_30_day_average == Decimal("8.333")  # 250 / 30: the first day still in
    assert by_day["2011-01-29"].revenue_30_day_average == 5


def test_the_month_to_date_starts_anew_with_each_month(by_day: dict[str, Row]):
    found = [
        by_day[day].revenue_month_to_date
        for day in ("2010-12-31", "2011-01-01", "2011-01-31", "2011-02-01", "2011-02-15")
    ]
    assert found == [150, 0, 200, 0, 50]


def test_growth_over_the_month_before_is_over_the_same_span_of_it(by_day: dict[str, Row]):
    def growth(day: str) -> float | None:
        value: float | None = by_day[day].month_over_month_growth
        return value

    assert growth("2010-12-31") is None  # no month before
    assert growth("2011-01-29") is None  # the same span of December had not begun
    assert growth("2011-01-30") == 0.0  # 100 against 100
    assert growth("2011-01-31") == pytest.approx(200 / 150 - 1)
    assert growth("2011-02-28") == 1.0  # 200 against the 100 of 1 to 28 January
    assert growth("2011-03-31") == 0.5  # 300 against the whole of February
    assert growth("2011-03-14") is None  # nothing sold by 14 February
    assert growth("2011-03-15") == -1.0  # nothing against 50
    assert growth("2011-05-01") is None


def test_growth_over_the_year_before_is_over_the_same_span_of_that_month(by_day: dict[str, Row]):
    assert by_day["2011-12-29"].year_over_year_growth is None
    assert by_day["2011-12-31"].year_over_year_growth == -1.0
    assert by_day["2012-02-29"].year_over_year_growth == 1.0  # 400 against February 2011, which had 28 days
    assert by_day["2012-02-28"].year_over_year_growth == -1.0
    assert by_day["2012-03-30"].year_over_year_growth is None
    assert by_day["2012-03-31"].year_over_year_growth == -1.0


@pytest.mark.parametrize("day", [date(2010, 12, 30), date(2011, 3, 31), date(2012, 2, 29), date(2012, 3, 31)])
def test_a_day_made_alone_is_the_same_as_within_a_range(spark: SparkSession, by_day: dict[str, Row], day: date):
    assert metrics(spark, [day]).collect() == [by_day[str(day)]]


def test_days_before_the_first_transaction_count_in_no_average(spark: SparkSession):
    """The calendar may begin before the shop did, and its days may be made in one run or one by one."""
    week = days_between(FIRST - timedelta(days=2), FIRST + timedelta(days=1))
    together = metrics(spark, week).orderBy("invoice_date").collect()
    assert [row.revenue_7_day_average for row in together] == [0, 0, 100, 75]
    assert [row.revenue_30_day_average for row in together] == [0, 0, 100, 75]
    assert [row.orders_7_day_average for row in together] == [0, 0, 3, 2]
    assert [row.orders_30_day_average for row in together] == [0, 0, 3, 2]
    assert [row for day in week for row in metrics(spark, [day]).collect()] == together


def test_a_shop_that_was_closed_for_longer_than_a_day_reads_begins_anew(spark: SparkSession):
    """However its days are made: those from before are seen from a range, and not from the day alone."""
    reopened = date(2012, 2, 29) + timedelta(days=DAYS_BEFORE + 10)
    lines = [*LINES, sale(str(reopened), "400014", "30.000")]
    together = metrics(spark, days_between(date(2012, 2, 29), reopened), lines).orderBy("invoice_date").collect()
    assert (together[0].revenue_7_day_average, together[-1].revenue_7_day_average) == (Decimal("57.143"), 30)
    assert metrics(spark, [reopened], lines).collect() == [together[-1]]
