"""What a landed row becomes: a clean line, one copy of a clean line, or a row in quarantine with its reasons."""

import os
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from retail_assets.invoices.bronze_daily_quality import bronze_daily_quality
from retail_assets.invoices.clean_transactions import CleanTransactions, clean_transactions
from retail_assets.invoices.customer_month_activity import CustomerMonthActivity, customer_month_activity
from retail_assets.invoices.daily_metrics import DailyMetrics, daily_metrics
from retail_assets.invoices.geo_metrics import GeoMetrics, geo_metrics
from retail_assets.invoices.invoice_rules import landed_money, read_rows
from retail_assets.invoices.quarantined_invoices import QuarantinedInvoices, quarantined_invoices
from retail_assets.invoices.raw_invoices import RawInvoices
from retail_assets.lakehouse.contracts import conform
from retail_assets.lakehouse.evaluation import evaluate
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land
from retail_assets_tests.made_shop import INVOICES, RULES
from retail_assets_tests.online_retail.frames import frame, landed, sale, sorted_rows

DAY = "2011-01-04"
USABLE: dict[str, dict[str, Any]] = {
    "plain": {},
    "lower case code": {"stock_code": "85123a"},
    "number code": {"stock_code": "22051"},
    "PADS": {"stock_code": "PADS"},
    "postage": {"stock_code": "POST"},
    "manual": {"stock_code": "M"},
    "code with a blank": {"stock_code": "85123A "},
    "gift voucher": {"stock_code": "gift_0001_20"},
    "cancellation": {"invoice_no": "C500001", "quantity": "-2"},
    "cancelled postage": {"invoice_no": "c500002", "quantity": "-1", "stock_code": "POST"},
    "positive cancellation": {"invoice_no": "C500003", "quantity": "1"},
    "adjustment": {"invoice_no": "A500001", "stock_code": "B", "quantity": "1"},
    "plain customer": {"customer_id": "13085"},
    "no customer": {"customer_id": None},
    "blank customer": {"customer_id": "  "},
    "no description": {"description": None},
    "no country": {"country": None},
    "given away": {"unit_price": "0"},
    "three decimals": {"unit_price": "0.001", "quantity": "3"},
    "trailing zeros": {"unit_price": "2.5500000"},
    "signed quantity": {"quantity": "+7"},
    "bare date": {"invoice_ts": DAY},
    "invoice and a line end": {"invoice_no": "500001\n"},
    "American date": {"invoice_ts": "1/4/2011 8:26"},
    "British date": {"invoice_ts": "4/1/2011 8:26"},
    "many": {"quantity": "1000", "unit_price": "0.5"},
    "too many": {"quantity": "1001", "unit_price": "0.5"},
    "dear": {"quantity": "1", "unit_price": "1000"},
    "too dear": {"quantity": "1", "unit_price": "1000.01"},
    "large": {"quantity": "250", "unit_price": "10"},
    "too large": {"quantity": "251", "unit_price": "10"},
    "too large a return": {"invoice_no": "C500009", "quantity": "-251", "unit_price": "10"},
}
UNUSABLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "five digits": ({"invoice_no": "50001"}, ["invalid_invoice_no"]),
    "two letters": ({"invoice_no": "CC500001"}, ["invalid_invoice_no"]),
    "no invoice": ({"invoice_no": None}, ["invalid_invoice_no"]),
    "no code": ({"stock_code": None}, ["missing_stock_code"]),
    "blank code": ({"stock_code": " "}, ["missing_stock_code"]),
    "no quantity": ({"quantity": None}, ["invalid_quantity"]),
    "zero": ({"quantity": "0"}, ["invalid_quantity"]),
    "half": ({"quantity": "0.5"}, ["invalid_quantity"]),
    "beyond an integer": ({"quantity": "2147483648"}, ["invalid_quantity"]),
    "beyond a million": ({"quantity": "1000001", "unit_price": "999999999.999"}, ["invalid_quantity"]),
    "no price": ({"unit_price": None}, ["invalid_unit_price"]),
    "worded price": ({"unit_price": "free"}, ["invalid_unit_price"]),
    "negative price": ({"unit_price": "-11062.06"}, ["invalid_unit_price"]),
    "four decimals": ({"unit_price": "0.0001"}, ["invalid_unit_price"]),
    "no date": ({"invoice_ts": None}, ["invalid_invoice_date"]),
    "no such date": ({"invoice_ts": "2011-02-30 10:00:00"}, ["invalid_invoice_date"]),
    "another day": ({"invoice_ts": "2011-01-05 00:00:00"}, ["invalid_invoice_date"]),
    "negative": ({"quantity": "-2"}, ["negative_quantity"]),
    "negative adjustment": ({"invoice_no": "A500001", "quantity": "-2"}, ["negative_quantity"]),
    "malformed": ({"malformed_line": "500001,85123A", "invoice_no": None, "quantity": None}, ["malformed_line"]),
    "price and a line end": ({"unit_price": "2.55\n"}, ["invalid_unit_price"]),
    "price with an exponent": ({"unit_price": "1e3"}, ["invalid_unit_price"]),
    "digits of another script": ({"quantity": "٣", "unit_price": "３"}, ["invalid_quantity", "invalid_unit_price"]),
    "hour of three digits": ({"invoice_ts": "1/4/2011 008:05"}, ["invalid_invoice_date"]),
    "everything": (
        {"invoice_no": "x", "stock_code": None, "quantity": "-1", "unit_price": "-1", "invoice_ts": "soon"},
        ["invalid_invoice_no", "missing_stock_code", "invalid_unit_price", "invalid_invoice_date", "negative_quantity"],
    ),
}


@pytest.fixture(scope="module")
def cases(spark: SparkSession) -> dict[str, tuple[list[Row], list[Row]]]:
    """Name of the case -> its clean and its quarantined rows; the case stands in source_file."""
    given_rows = USABLE | {name: columns for name, (columns, _) in UNUSABLE.items()}
    raw = frame(
        spark,
        RawInvoices,
        [landed(DAY, source_file=name, description=name) | columns for name, columns in given_rows.items()],
    )
    clean = conform(clean_transactions(raw, RULES), CleanTransactions).collect()
    quarantined = conform(quarantined_invoices(raw, RULES), QuarantinedInvoices).collect()
    return {
        name: (
            [row for row in clean if row.source_file == name],
            [row for row in quarantined if row.source_file == name],
        )
        for name in given_rows
    }


@pytest.fixture(scope="module")
def clean(cases: dict[str, tuple[list[Row], list[Row]]]) -> dict[str, Row]:
    """Name of the case -> its clean row, of those that have one."""
    return {name: rows[0] for name, (rows, _) in cases.items() if rows}


def test_each_case_is_either_clean_or_in_quarantine(cases: dict[str, tuple[list[Row], list[Row]]]):
    for name, (clean_rows, quarantined_rows) in cases.items():
        assert (len(clean_rows), len(quarantined_rows)) == ((1, 0) if name in USABLE else (0, 1)), name


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_row_in_quarantine_has_every_reason_and_stays_as_landed(
    cases: dict[str, tuple[list[Row], list[Row]]], name: str
):
    columns, reasons = UNUSABLE[name]
    (row,) = cases[name][1]
    assert row.reasons == reasons
    assert {key: row[key] for key in columns} == columns
    assert (row.line_number, row.invoice_date) == (2, date(2011, 1, 4))


def test_money_is_what_is_written_as_a_price(spark: SparkSession):
    prices = ["2.55", " 2.55 ", "2.5555", "1e3", "３", "x", None]
    raw = frame(spark, RawInvoices, [landed(DAY, unit_price=price, quantity="2") for price in prices])
    worth = raw.select("unit_price", landed_money(RULES).alias("money")).collect()
    assert {row.unit_price: str(row.money) for row in worth if row.money} == {
        "2.55": "5.100",
        " 2.55 ": "5.100",
        "2.5555": "5.111",
    }


def test_a_clean_line_is_typed(clean: dict[str, Row]):
    row = clean["plain"]
    assert (row.invoice_no, row.stock_code, row.quantity, row.customer_id) == ("500001", "85123A", 2, "13085")
    assert (row.unit_price, row.line_total) == (Decimal("2.550"), Decimal("5.100"))
    assert (row.invoice_ts, row.invoice_date) == (datetime(2011, 1, 4, 10), date(2011, 1, 4))
    assert (row.year, row.month, row.day_of_week, row.invoice_month) == (2011, 1, 2, "2011-01")
    assert (row.landed_rows, row.country, len(row.line_key)) == (1, "United Kingdom", 32)


@pytest.mark.parametrize(
    ("name", "line_type", "cancelled"),
    [
        ("plain", "product", False),
        ("lower case code", "product", False),
        ("number code", "product", False),
        ("PADS", "product", False),
        ("postage", "service", False),
        ("manual", "service", False),
        ("code with a blank", "service", False),
        ("gift voucher", "service", False),
        ("cancellation", "cancellation", True),
        ("cancelled postage", "cancellation", True),
        ("positive cancellation", "cancellation", True),
        ("adjustment", "adjustment", False),
    ],
)
def test_a_line_is_of_the_type_that_invoice_and_code_say(
    clean: dict[str, Row], name: str, line_type: str, cancelled: bool
):
    assert (clean[name].line_type, clean[name].is_cancellation) == (line_type, cancelled)


def test_upper_and_lower_case_are_one_code(clean: dict[str, Row]):
    assert clean["lower case code"].stock_code == "85123A"
    assert clean["cancelled postage"].invoice_no == "C500002"


def test_customers_are_numbers_without_decimals_or_none(clean: dict[str, Row]):
    assert clean["plain customer"].customer_id == "13085"
    assert clean["no customer"].customer_id is None
    assert clean["blank customer"].customer_id is None


def test_what_is_missing_without_harm_does_not_keep_a_line_out(clean: dict[str, Row]):
    assert clean["no description"].description is None
    assert clean["no country"].country == "Unspecified"


def test_money_keeps_its_three_decimals(clean: dict[str, Row]):
    assert clean["three decimals"].line_total == Decimal("0.003")
    assert clean["trailing zeros"].unit_price == Decimal("2.550")
    assert clean["given away"].line_total == 0
    assert clean["signed quantity"].quantity == 7
    assert clean["cancellation"].line_total == Decimal("-5.100")


def test_written_dates_are_read_as_the_day_of_their_drop(clean: dict[str, Row]):
    assert clean["bare date"].invoice_ts == datetime(2011, 1, 4)
    assert clean["American date"].invoice_ts == clean["British date"].invoice_ts == datetime(2011, 1, 4, 8, 26)


TIMES = {"": time(), " 8:26": time(8, 26), " 08:26": time(8, 26), " 18:26:07": time(18, 26, 7)}
ISO_TIMES = {
    **TIMES,
    "T08:26:07": time(8, 26, 7),
    " 08:26:07.250": time(8, 26, 7, 250_000),
    "T08:26:07Z": time(8, 26, 7),
    " 08:26:07 UTC": time(8, 26, 7),
    " 08:26:07+01:00": time(7, 26, 7),
}


def test_every_form_of_a_date_that_lands_is_read(spark: SparkSession, tmp_path: Path):
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
    days = [date(2010, 12, 13), date(2011, 1, 4)]
    dates = [
        ["12/13/2010", "1/4/2011"],
        ["12/13/2010", "01/04/2011"],
        ["13/12/2010", "4/1/2011"],
        ["13.12.2010", "4.1.2011"],
        ["13.12.2010", "04.01.2011"],
        ["12.13.2010", "1.4.2011"],
    ]
    files = [(forms, clock) for forms in dates for clock in TIMES] + [
        (list(map(str, days)), clock) for clock in ISO_TIMES
    ]
    rows, expected = [], {}
    for number, (forms, clock) in enumerate(files):
        path, zone = tmp_path / f"{number}.csv", LandingZone(str(tmp_path / f"zone {number}"))
        path.write_text(header + "".join(f"{invoice},,,,{form}{clock},,,\n" for invoice, form in enumerate(forms)))
        os.utime(path, (0, 0))  # a file written just now is waited for
        land([path], zone, INVOICES)
        for drop, form, day in zip(zone.drops("online_retail"), forms, days, strict=True):
            rows.append(landed(str(drop.day), invoice_ts=f"{form}{clock}"))
            expected[f"{form}{clock}"] = datetime.combine(day, ISO_TIMES[clock])
    read = (
        read_rows(frame(spark, RawInvoices, rows), RULES).select("invoice_ts", "typed_invoice_ts", "reasons").collect()
    )
    assert {row.invoice_ts: row.typed_invoice_ts for row in read} == expected
    assert [(row.invoice_ts, row.reasons) for row in read if row.reasons] == []


def test_outliers_lie_beyond_the_limits_not_on_them(clean: dict[str, Row]):
    outliers = {name for name, row in clean.items() if row.is_outlier}
    assert outliers == {"too many", "too dear", "too large", "too large a return"}


def test_copies_in_one_drop_or_in_two_of_a_day_are_one_line(spark: SparkSession):
    rows = [
        landed(source_file="b.csv"),
        landed(source_file="a.csv"),
        landed(source_file="a.csv"),
        landed(source_file="a.csv", invoice_no="500002"),
        landed(source_file="b.csv", invoice_no="500003"),
        landed("2011-01-05", invoice_ts="2011-01-05 10:00:00"),
        landed(quantity="-1"),
        landed(quantity="-1"),
    ]
    raw = frame(spark, RawInvoices, rows)
    lines = sorted_rows(clean_transactions(raw, RULES), "invoice_date", "invoice_no")
    assert [(str(row.invoice_date), row.invoice_no, row.landed_rows, row.source_file) for row in lines] == [
        ("2011-01-04", "500001", 3, "a.csv"),
        ("2011-01-04", "500002", 1, "a.csv"),
        ("2011-01-04", "500003", 1, "b.csv"),
        ("2011-01-05", "500001", 1, "online_retail_2011-01-05.csv"),
    ]
    assert quarantined_invoices(raw, RULES).count() == 2


def test_lines_that_differ_in_any_source_column_stay_apart(spark: SparkSession):
    others = {
        "invoice_no": "500002",
        "stock_code": "85123a",
        "description": "white hanging heart",
        "quantity": "02",
        "invoice_ts": f"{DAY} 10:01:00",
        "unit_price": "2.550",
        "customer_id": "13085",
        "country": "EIRE",
    }
    apart = [landed(), *[landed(**{name: value}) for name, value in others.items()]]
    # NULL is not empty, and a value does not move over into the next column.
    apart += [landed(description=None), landed(description=""), landed(customer_id=None), landed(customer_id="")]
    apart += [landed(customer_id="1", country="2"), landed(customer_id="12", country="")]
    lines = clean_transactions(frame(spark, RawInvoices, apart), RULES).collect()
    assert len({row.line_key for row in lines}) == len(lines) == len(apart)
    assert {row.landed_rows for row in lines} == {1}


CHOICES: dict[str, list[Any]] = {
    "invoice_no": ["500001", "500001", "C500001", "a500002", "50000", None],
    "stock_code": ["85123A", "85123a", "POST", "PADS", " ", None],
    "description": ["HEART", "", None],
    "quantity": ["1", "1", "-3", "+2", "0", "2.5", " 4 ", "six", "100000", "99999999999", None],
    "unit_price": ["2.55", "2.55", "0.001", "-1.5", "1e3", ".5", "1.2345", "free", "", "9999.999", None],
    "customer_id": ["13085.0", "13085", "", None],
    "malformed_line": [None] * 9 + ["500001;85123A"],
    "source_file": ["a.csv", "b.csv"],
    "invoice_ts": [f"{DAY} 10:00:00", DAY, "2011-01-05", "4/1/2011", "soon", None],
}


@settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_every_landed_row_is_accounted_for_in_rows_and_in_money(spark: SparkSession, seed: int):
    random = Random(seed)
    rows = [landed(**{name: random.choice(values) for name, values in CHOICES.items()}) for _ in range(3_000)]
    raw = frame(spark, RawInvoices, rows)
    value = F.sum(landed_money(RULES))
    landed_value = raw.agg(value).collect()[0][0]
    quarantined, quarantined_value = quarantined_invoices(raw, RULES).agg(F.count("*"), value).collect()[0]
    lines = clean_transactions(raw, RULES).select("landed_rows", "line_total", "line_key").collect()
    assert sum(row.landed_rows for row in lines) + quarantined == len(rows)
    assert sum(row.landed_rows * row.line_total for row in lines) + quarantined_value == landed_value
    assert len({row.line_key for row in lines}) == len(lines) > 100


def test_a_customers_month_is_the_sum_of_its_lines(spark: SparkSession):
    january = [
        sale("2011-01-04", "500001", "10.005", quantity=3),
        sale("2011-01-04", "500001", "0.001", stock_code="22051"),
        sale("2011-01-20", "500002", "5.000"),
        sale("2011-01-25", "500003", "4.000", stock_code="POST", line_type="service"),
        sale("2011-01-31", "C500004", "-2.500", country="EIRE"),
        sale("2011-01-04", "500009", "99.000", customer_id=None),
        sale("2011-01-07", "C500008", "-7.000", customer_id="2"),
    ]
    rows = customer_month_activity(
        frame(spark, CleanTransactions, [*january, sale("2011-02-01", "500005", "1.000", country="EIRE")])
    )
    found = sorted_rows(conform(rows, CustomerMonthActivity), "activity_month", "customer_id")
    assert [tuple(row) for row in found] == [
        (
            "13085",
            "EIRE",
            2,
            5,
            Decimal("15.006"),
            Decimal("2.500"),
            2,
            date(2011, 1, 4),
            date(2011, 1, 20),
            5,
            ["22051", "85123A"],
            date(2011, 1, 1),
        ),
        ("2", "United Kingdom", 0, 0, Decimal(0), Decimal("7.000"), 0, None, None, 1, [], date(2011, 1, 1)),
        (
            "13085",
            "EIRE",
            1,
            1,
            Decimal("1.000"),
            Decimal(0),
            1,
            date(2011, 2, 1),
            date(2011, 2, 1),
            1,
            ["85123A"],
            date(2011, 2, 1),
        ),
    ]


def test_a_column_is_of_the_narrowest_kind_that_most_of_its_values_are(spark: SparkSession):
    values = zip(["2", "3", "many"], ["2", "2.5", "dear"], ["4", "few", "none"], strict=True)
    raw = frame(spark, RawInvoices, [landed(quantity=q, unit_price=p, country=c) for q, p, c in values])
    days = spark.createDataFrame([(date(2011, 1, 4),)], "invoice_date date")
    (day,) = bronze_daily_quality(raw, frame(spark, QuarantinedInvoices, []), days, RULES).collect()
    assert day.column_kinds == {
        "invoice_no": "integer",
        "stock_code": "text",
        "description": "text",
        "quantity": "integer",
        "invoice_ts": "timestamp",
        "unit_price": "number",  # one of three is an integer, which is a number, too
        "customer_id": "integer",
        "country": "text",
    }


def test_a_cancellation_of_positive_quantity_breaks_no_contract(spark: SparkSession):
    """The published data has one: C496350, quantity 1. Alone in its day, month or country it must not stop anything."""
    raw = frame(spark, RawInvoices, [landed(invoice_no="C496350", stock_code="M", quantity="1", unit_price="373.57")])
    clean = conform(clean_transactions(raw, RULES), CleanTransactions).persist()
    activity = conform(customer_month_activity(clean), CustomerMonthActivity)
    day = spark.createDataFrame([(date(2011, 1, 4),)], "invoice_date date")
    no_rfm = spark.createDataFrame([], "snapshot_month date, country string, rfm_segment string")
    for contract, rows in [
        (CleanTransactions, clean),
        (DailyMetrics, daily_metrics(clean, day)),
        (CustomerMonthActivity, activity),
        (GeoMetrics, geo_metrics(clean, activity, no_rfm)),
    ]:
        (evaluation,) = evaluate(conform(rows, contract), contract).values()
        assert (evaluation.rows, evaluation.failed) == (1, {}), contract.__name__
    clean.unpersist()
