"""monthly_activity and geo_metrics: the month in figures, as a whole and by country."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.snapshots import of_months
from retail_assets.dashboards.dashboard_figures import sales
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.countries import ECONOMIES as ECONOMIES_BY_NAME
from retail_assets.invoices.countries import ISO_CODES, NO_COUNTRIES
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity, customer_month_activity
from retail_assets.invoices.economies import Economies
from retail_assets.invoices.geo_metrics import GeoMetrics, geo_metrics
from retail_assets.invoices.monthly_activity import MonthlyActivity, monthly_activity
from retail_assets.lakehouse.contracts import conform
from retail_assets.partitions.cadence import WHOLE
from retail_assets_tests.online_retail.frames import frame, sale

JANUARY, FEBRUARY, MARCH, APRIL = (date(2011, month, 1) for month in range(1, 5))
LINES = [
    # Invoice amounts of January: 10, 10, 20, 30, 100; the last of two lines, one of them postage.
    sale("2011-01-04", "500001", "10.000"),
    sale("2011-01-04", "500002", "10.000"),
    sale("2011-01-05", "500003", "20.000", customer_id=None),
    sale("2011-01-31", "500004", "30.000", customer_id="2", country="EIRE", quantity=5),
    sale(
        "2011-01-31", "500005", "60.000", customer_id="3", country="France", stock_code="22051", description="PLASTERS"
    ),
    sale("2011-01-31", "500005", "40.000", customer_id="3", country="France", stock_code="POST", line_type="service"),
    sale("2011-01-31", "C500006", "-15.000", customer_id="3", country="France"),
    sale("2011-01-31", "C500006", "-5.000", customer_id="3", country="France", stock_code="22051"),
    sale("2011-01-31", "A500007", "50.000", customer_id=None, line_type="adjustment", stock_code="B"),
    # February: an old customer, a new one, one that only returns; EIRE buys two products for the same total.
    sale("2011-02-01", "500008", "45.000", customer_id="2", country="EIRE", stock_code="10001"),
    sale("2011-02-01", "500008", "45.000", customer_id="2", country="EIRE", stock_code="10002"),
    sale("2011-02-28", "500009", "5.000", customer_id="4", country="Unspecified"),
    sale("2011-02-28", "500010", "5.000", customer_id="2", country="France"),
    sale("2011-02-28", "C500011", "-1.000", customer_id="5", country="Malta"),
    # Nothing in March. A year later:
    sale("2012-01-15", "500012", "90.000", customer_id="2", country="EIRE"),
]
SEGMENTS = [
    {"country": "EIRE", "rfm_segment": "Champions", "customer_id": "2", "snapshot_month": "2011-01-01"},
    {"country": "France", "rfm_segment": "Champions", "customer_id": "3", "snapshot_month": "2011-01-01"},
    {"country": "France", "rfm_segment": "At Risk", "customer_id": "8", "snapshot_month": "2011-01-01"},
    {"country": "France", "rfm_segment": "Champions", "customer_id": "9", "snapshot_month": "2011-01-01"},
    {"country": "EIRE", "rfm_segment": "At Risk", "customer_id": "2", "snapshot_month": "2011-02-01"},
]


def inputs(spark: SparkSession, lines: list[dict[str, Any]] = LINES) -> tuple[DataFrame, DataFrame]:
    transactions = frame(spark, CleanTransactions, lines)
    return transactions, conform(customer_month_activity(transactions), CustomerMonthActivity)


def test_the_months_that_growth_needs_are_their_own_the_one_before_and_that_of_the_year_before(spark: SparkSession):
    transactions = inputs(spark)[0].withColumn("invoice_month", F.date_format("invoice_date", "yyyy-MM"))
    assert [of_months(transactions, days, before).count() for days, before in (([JANUARY], (0,)), ([], (0, 1)))] == [
        9,
        0,
    ]
    found = of_months(transactions, [date(2012, 1, 1)], (0, 1, 11, 12)).select("invoice_no").distinct().collect()
    assert {row.invoice_no for row in found} == {line["invoice_no"] for line in LINES}


def activity_of(spark: SparkSession, months: list[date], lines: list[dict[str, Any]] = LINES) -> dict[date, Row]:
    wanted = spark.createDataFrame([(month,) for month in months], "snapshot_month date")
    rows = conform(monthly_activity(*inputs(spark, lines), wanted), MonthlyActivity).collect()
    assert len(rows) == len(months)
    return {row.snapshot_month: row for row in rows}


def geography_of(spark: SparkSession, lines: list[dict[str, Any]] = LINES) -> dict[tuple[date, str], Row]:
    rows = conform(geo_metrics(*inputs(spark, lines), frame(spark, CustomerRfm, SEGMENTS)), GeoMetrics).collect()
    places = {(row.snapshot_month, row.country): row for row in rows}
    assert len(places) == len(rows)
    return places


@pytest.fixture(scope="module")
def months(spark: SparkSession) -> dict[date, Row]:
    return activity_of(spark, [JANUARY, FEBRUARY, MARCH, APRIL])


@pytest.fixture(scope="module")
def places(spark: SparkSession) -> dict[tuple[date, str], Row]:
    return geography_of(spark)


def test_orders_are_placed_or_cancelled_and_sales_are_net(months: dict[date, Row]):
    found = {month: (row.placed_orders, row.cancelled_orders, row.net_sales) for month, row in months.items()}
    assert found == {JANUARY: (5, 1, 200), FEBRUARY: (3, 1, 99), MARCH: (0, 0, 0), APRIL: (0, 0, 0)}


def test_sales_grow_over_the_month_before_where_there_is_one(months: dict[date, Row]):
    assert months[JANUARY].net_sales_growth is None
    assert months[FEBRUARY].net_sales_growth == pytest.approx((99 - 200) / 200)
    assert months[APRIL].net_sales_growth is None


def test_users_are_new_once_and_existing_ever_after(months: dict[date, Row]):
    found = {month: (row.active_users, row.new_users, row.existing_users) for month, row in months.items()}
    assert found == {JANUARY: (3, 3, 0), FEBRUARY: (3, 2, 1), MARCH: (0, 0, 0), APRIL: (0, 0, 0)}


def test_invoice_amounts_are_described_whole_and_up_to_the_85th_percentile(months: dict[date, Row]):
    row = months[JANUARY]
    assert (row.invoice_min, row.invoice_max, row.invoice_mean) == (10, 100, 34)
    assert (row.invoice_median, row.invoice_mode) == (20, 10)
    assert row.typical_limit == 58  # between 30 and 100, at 0.85 × 4 = 3.4
    assert (row.typical_max, row.typical_mean) == (30, Decimal("17.5"))
    assert (row.typical_median, row.typical_mode) == (15, 10)


def test_a_month_without_invoices_has_no_amounts(months: dict[date, Row]):
    row = months[MARCH]
    assert {row[name] for name in row.asDict() if name.startswith(("invoice_", "typical_"))} == {None}


def test_an_amount_on_the_percentile_itself_is_typical(spark: SparkSession):
    lines = [sale("2011-01-04", f"5000{n:02d}", Decimal(n) / 10) for n in range(1, 22)]
    row = activity_of(spark, [JANUARY], lines)[JANUARY]
    assert (row.typical_limit, row.typical_max, row.typical_mean) == (
        Decimal("1.8"),
        Decimal("1.8"),
        Decimal("0.950"),
    )
    assert (row.invoice_mode, row.typical_mode) == (Decimal("0.1"), Decimal("0.1"))  # of equals the smallest


def test_the_mode_is_the_commonest_amount_and_of_equals_the_smallest(spark: SparkSession):
    amounts = [1, 3, 3, 2, 2, *range(5, 18), 50, 50, 50]
    lines = [sale("2011-01-04", f"5000{n:02d}", Decimal(amount)) for n, amount in enumerate(amounts)]
    row = activity_of(spark, [JANUARY], lines)[JANUARY]
    assert (row.invoice_mode, row.typical_limit, row.typical_mode) == (50, 17, 2)


def test_a_month_made_alone_is_the_same_as_among_others(
    spark: SparkSession, months: dict[date, Row], places: dict[tuple[date, str], Row]
):
    """A month's own run reads that month, the one before (a year for geography), and earlier activity."""
    until_february = [line for line in LINES if line["invoice_date"] < "2011-03-01"]
    assert activity_of(spark, [FEBRUARY], until_february)[FEBRUARY] == months[FEBRUARY]
    alone = geography_of(spark, until_february)
    assert alone == {place: row for place, row in places.items() if place[0] < MARCH}


def test_a_country_has_its_own_orders_customers_and_money(places: dict[tuple[date, str], Row]):
    britain, france = places[JANUARY, "United Kingdom"], places[JANUARY, "France"]
    assert (britain.orders, britain.customers, britain.units, britain.revenue) == (3, 1, 3, 40)
    assert (france.orders, france.customers, france.revenue, france.returns_value) == (1, 1, 60, 20)
    assert (france.return_rate, france.average_order_value) == (pytest.approx(1 / 3), 60)
    assert places[JANUARY, "EIRE"].units == 5


def test_countries_share_the_months_revenue(places: dict[tuple[date, str], Row]):
    shares = {country: row.revenue_share for (month, country), row in places.items() if month == JANUARY}
    assert shares == {
        "United Kingdom": pytest.approx(40 / 130),
        "France": pytest.approx(60 / 130),
        "EIRE": pytest.approx(30 / 130),
    }


def test_a_country_that_only_returns_has_a_row_without_rates(places: dict[tuple[date, str], Row]):
    malta = places[FEBRUARY, "Malta"]
    assert (malta.orders, malta.customers, malta.revenue, malta.returns_value) == (0, 0, 0, 1)
    assert (malta.return_rate, malta.average_order_value, malta.top_product) == (None, None, None)
    assert (malta.revenue_share, malta.segment_mix) == (0.0, {})


def test_countries_grow_over_the_month_and_the_year_before(places: dict[tuple[date, str], Row]):
    assert places[JANUARY, "EIRE"].month_over_month_growth is None
    assert places[FEBRUARY, "EIRE"].month_over_month_growth == 2.0
    assert places[date(2012, 1, 1), "EIRE"].year_over_year_growth == 2.0
    assert places[date(2012, 1, 1), "EIRE"].month_over_month_growth is None


def test_an_unfinished_month_is_compared_with_as_many_days_of_earlier_ones(spark: SparkSession):
    sold = [("2010-02-01", 40), ("2010-02-20", 60), ("2011-01-02", 30), ("2011-01-20", 70), ("2011-02-01", 45)]
    lines = [sale(day, f"50000{n}", f"{total}.000") for n, (day, total) in enumerate(sold)]
    months, ends = spark.createDataFrame([(FEBRUARY,)], "snapshot_month date"), {FEBRUARY: date(2011, 2, 3)}
    transactions, activity = inputs(spark, lines)
    country = {
        row.snapshot_month: row
        for row in geo_metrics(transactions, activity, frame(spark, CustomerRfm, SEGMENTS), ends=ends).collect()
    }[FEBRUARY]
    assert (country.month_over_month_growth, country.year_over_year_growth) == (0.5, 0.125)
    whole = monthly_activity(transactions, activity, months).collect()[0]
    part = monthly_activity(transactions, activity, months, ends).collect()[0]
    assert (whole.net_sales_growth, part.net_sales_growth) == (-0.55, 0.5)


def test_customers_are_new_in_the_month_of_their_first_purchase(places: dict[tuple[date, str], Row]):
    new = {place: row.new_customers for place, row in places.items()}
    assert {place for place, count in new.items() if count} == {
        (JANUARY, "United Kingdom"),
        (JANUARY, "EIRE"),
        (JANUARY, "France"),
        (FEBRUARY, "Unspecified"),
    }
    assert new[FEBRUARY, "France"] == 0  # customer 2 had bought in EIRE before


def test_the_top_product_is_that_of_the_highest_revenue_of_equals_the_higher_code(
    places: dict[tuple[date, str], Row],
):
    france = places[JANUARY, "France"]
    assert (france.top_product, france.top_product_description) == ("22051", "PLASTERS")
    assert places[FEBRUARY, "EIRE"].top_product == "10002"


def test_countries_have_their_iso_code_and_names_that_are_none_have_none(places: dict[tuple[date, str], Row]):
    codes = {country: row.iso_code for (_, country), row in places.items()}
    assert codes == {"United Kingdom": "GBR", "EIRE": "IRL", "France": "FRA", "Unspecified": None, "Malta": "MLT"}


def test_the_segment_mix_counts_the_months_customers_of_the_country(places: dict[tuple[date, str], Row]):
    assert places[JANUARY, "France"].segment_mix == {"At Risk": 1, "Champions": 2}
    assert places[FEBRUARY, "EIRE"].segment_mix == {"At Risk": 1}
    assert places[FEBRUARY, "France"].segment_mix == {}


ECONOMIES: list[dict[str, Any]] = [
    {"country_code": "FRA", "year": 2009, "population": 64_000_000.0, "gdp_per_head": 40_000.0},
    {"country_code": "FRA", "year": 2010, "population": 65_000_000.0, "gdp_per_head": None},
    {"country_code": "FRA", "year": 2099, "population": 1.0, "gdp_per_head": 1.0},
    {"country_code": "GBR", "year": 2009, "population": None, "gdp_per_head": 39_000.0},
]


def test_inhabitants_are_those_of_the_newest_year_so_far_that_has_a_figure(spark: SparkSession):
    economies = frame(spark, Economies, [row | {"snapshot": WHOLE} for row in ECONOMIES])
    made = geo_metrics(*inputs(spark, LINES), frame(spark, CustomerRfm, SEGMENTS), economies)
    places = {(row.snapshot_month, row.country): row for row in conform(made, GeoMetrics).collect()}
    france = places[JANUARY, "France"]
    newest = max((row for row in ECONOMIES[:2] if row["year"] <= JANUARY.year), key=lambda row: row["year"])
    assert (france.population, france.gdp_per_head) == (newest["population"], newest["gdp_per_head"])
    per_million = float(france.revenue) / newest["population"] * 1_000_000
    assert france.revenue_per_million_inhabitants == pytest.approx(per_million)
    without = {country for (_, country), row in places.items() if row.population is None}
    assert without == {"United Kingdom", "EIRE", "Unspecified", "Malta"}
    assert {row.revenue_per_million_inhabitants for row in places.values() if row.population is None} == {None}


def test_every_country_of_the_shop_that_has_inhabitants_is_an_economy_of_the_world_bank():
    names = {*ISO_CODES, "Channel Islands"}
    assert names <= set(ECONOMIES_BY_NAME)
    assert {ECONOMIES_BY_NAME[name] for name in ("EIRE", "RSA", "USA", "Channel Islands", "DE")} == {
        "IRL", "ZAF", "USA", "CHI", "DEU",
    }  # fmt: skip
    assert not set(NO_COUNTRIES) & set(ECONOMIES_BY_NAME)


def test_an_order_of_several_countries_or_customers_is_one_and_one_of_each_country(spark: SparkSession):
    def sold(invoice: str, customer: str | None, country: str) -> dict[str, Any]:
        return sale("2011-01-04", invoice, "1.000", customer_id=customer, country=country)

    lines = [
        sold("500001", "a", "France"),
        sold("500001", "a", "Germany"),
        sold("500001", "b", "Germany"),
        sold("500002", "a", "Germany"),
        sold("500003", None, "France"),
        sold("500003", "c", "France"),
    ]
    rows = sales(frame(spark, CleanTransactions, lines)).collect()
    orders = {(row.country, row.customer_id): (row.orders, row.further) for row in rows}
    assert orders == {
        ("France", "a"): (1, 0),
        ("Germany", "a"): (1, 1),
        ("Germany", "b"): (0, 0),
        ("France", None): (1, 0),
        ("France", "c"): (0, 0),
    }
