"""What a shop's rules make of landed rows in silver: stand-ins, states, countries; here and in the engine alike."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import types as T

from retail_assets.invoices.clean_transactions import clean_transactions
from retail_assets.invoices.invoice_rules import landed_money, read_rows
from retail_assets.landing.dialect import NEGATIVES, Dialect
from retail_assets.shops.judgement import judged
from retail_assets.shops.rules import InvoiceRules
from retail_assets.shops.shop import INVOICE_COLUMNS
from retail_assets.sources.online_retail import ONLINE_RETAIL

DAY = date(2011, 1, 4)
SCHEMA = T.StructType(
    [T.StructField(name, T.StringType()) for name in (*INVOICE_COLUMNS, "malformed_line", "source_file")]
    + [
        T.StructField("extra_columns", T.MapType(T.StringType(), T.StringType())),
        T.StructField("line_number", T.LongType()),
        T.StructField("invoice_date", T.DateType()),
    ]
)
USUAL = {
    "invoice_no": "1001",
    "stock_code": "MUG",
    "description": "Mug",
    "quantity": "2",
    "invoice_ts": "2011-01-04 10:00:00",
    "unit_price": "2.50",
    "customer_id": "7",
    "country": "France",
}


@pytest.fixture
def raw(spark: SparkSession) -> Callable[..., Any]:
    """Landed rows of one file, each the usual one with what is said of it."""

    def frame(*rows: dict[str, Any]):
        whole = [
            USUAL | {"source_file": "a.csv", "line_number": at, "invoice_date": DAY} | row
            for at, row in enumerate(rows, start=2)
        ]
        return spark.createDataFrame([tuple(row.get(name) for name in SCHEMA.names) for row in whole], SCHEMA)

    return frame


def lines(frame, rules: InvoiceRules) -> list[Row]:
    return clean_transactions(frame, rules).orderBy("invoice_no", "landed_rows", "stock_code").collect()


def test_what_only_the_first_line_of_an_order_has_is_that_of_its_other_lines(raw):
    rules = InvoiceRules(first_line_only=("invoice_no", "customer_id", "country", "invoice_ts"))
    nothing = {"invoice_no": None, "customer_id": "", "country": None, "invoice_ts": None}
    frame = raw(
        {},
        {"stock_code": "TEE"} | nothing,
        {"invoice_no": "1002", "customer_id": None},
        {"stock_code": "TEE"} | nothing,
    )
    found = [
        (row.invoice_no, row.stock_code, row.customer_id, row.country, row.invoice_ts.hour)
        for row in lines(frame, rules)
    ]
    assert found == [
        ("1001", "MUG", "7", "France", 10),
        ("1001", "TEE", "7", "France", 10),
        ("1002", "MUG", None, "France", 10),
        ("1002", "TEE", None, "France", 10),
    ]


def test_a_cancelled_order_and_a_refund_are_taken_back_once(raw):
    rules = InvoiceRules(
        status_columns=("State",),
        cancelled_values=("cancelled",),
        refund_columns=("Refund",),
        first_line_only=("customer_id",),
    )
    frame = raw(
        {"extra_columns": {"State": "Cancelled", "Refund": "5.00"}},
        {"stock_code": "TEE", "extra_columns": {"State": None, "Refund": None}},
        {"invoice_no": "1002", "extra_columns": {"State": "paid", "Refund": "1.25"}},
        {"invoice_no": "1002", "stock_code": "TEE", "extra_columns": {"State": None, "Refund": "1.25"}},
        {"invoice_no": "1003", "extra_columns": {"State": "paid", "Refund": "0.00"}},
    )
    found = [
        (row.invoice_no, row.stock_code, row.quantity, str(row.line_total), row.landed_rows)
        for row in lines(frame, rules)
    ]
    assert found == [
        ("1001", "MUG", -2, "-5.000", 0),
        ("1001", "TEE", -2, "-5.000", 0),
        ("1001", "MUG", 2, "5.000", 1),
        ("1001", "TEE", 2, "5.000", 1),
        ("1002", "TAKEN BACK", -1, "-1.250", 0),
        ("1002", "MUG", 2, "5.000", 1),
        ("1002", "TEE", 2, "5.000", 1),
        ("1003", "MUG", 2, "5.000", 1),
    ]
    assert {row.line_type for row in lines(frame, rules) if row.landed_rows == 0} == {"cancellation"}


def test_constants_stand_in_for_what_is_missing_and_a_description_for_a_code(raw):
    rules = InvoiceRules(constants={"country": "Germany", "quantity": "1"}, code_from_description=True)
    frame = raw({"country": None, "quantity": None, "stock_code": " "}, {"country": "NULL", "invoice_no": "1002"})
    found = [(row.stock_code, row.quantity, row.country) for row in lines(frame, rules)]
    assert found == [("MUG", 1, "Germany"), ("MUG", 2, "Germany")]
    assert [row[0] for row in frame.select(landed_money(rules)).collect()] == [Decimal("2.500"), Decimal("5.000")]


def test_nobody_is_no_customer_and_an_id_has_no_spaces_around(raw):
    written = ["13085.0", "\u00a013085\t", "-", "?", "Guest", "0", "n.a.", "UNKNOWN", "guest1"]
    frame = raw(*({"customer_id": text, "invoice_no": str(number)} for number, text in enumerate(written)))
    found = [row.customer_id for row in lines(frame, InvoiceRules())]
    assert found == ["13085", "13085", *[None] * 6, "guest1"]


def test_a_country_is_one_however_its_letters_are_written(raw):
    spellings = ["France", "FRANCE", "\u00a0france\t", "EIRE", "eire", "Channel Islands", "DEUTSCHLAND", "nan", None]
    frame = raw(*({"country": text, "invoice_no": str(number)} for number, text in enumerate(spellings)))
    rules = InvoiceRules(countries={"DEUTSCHLAND": "Germany", "EIRE": "Ireland"})
    published = [row.country for row in lines(frame, InvoiceRules())]
    assert published == [
        *["France"] * 3,
        "EIRE",
        "EIRE",
        "Channel Islands",
        "DEUTSCHLAND",
        "Unspecified",
        "Unspecified",
    ]
    assert [row.country for row in lines(frame, rules)][3:7] == ["Ireland", "Ireland", "Channel Islands", "Germany"]


VALUES: dict[str, list[str | None]] = {
    "invoice_no": ["536365", "c536365", "A1", " 536365 ", "SO-1", "null", None],
    "stock_code": ["85123a", "POST", "PADS", " ", "nan", None],
    "quantity": [
        "6",
        "6.0",
        "1e3",
        "-6",
        "0",
        "1.5",
        "1000001",
        "1.000",
        "€6",
        "x",
        None,
        "(6)",
        "6-",
        "€(6)",
        "6- €",
        "(-6)",
        "(6",
        "-6-",
        "1.23.456",
        "1.23.45",
    ],
    "unit_price": ["2.55", "0", "-1", "2.5555", "1,50", "€ 1.234,50", "1e3", ".5", "x", None],
    "customer_id": ["17850.0", " 7 ", "N/A", None],
    "country": ["France", "NaN", None],
}
RULES = {
    "Online Retail": ONLINE_RETAIL.rules,
    "any": InvoiceRules(),
    "German": InvoiceRules(
        dialect=Dialect(decimal=",", thousands=".", currencies=("€",), negatives=NEGATIVES),
        invoice_no="[A-Z]*-?[0-9]+",
        cancellation="C.*",
        adjustment="A.*",
        service_code="POST",
        code_from_description=True,
        constants={"quantity": "1"},
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rows_are_judged_at_landing_as_in_silver(name, raw):
    rules = RULES[name]
    rows = [{column: value} for column, values in VALUES.items() for value in values]
    rows += [{"invoice_no": no, "quantity": pieces} for no, pieces in product(("C536365", "536365"), ("-6", "6"))]
    frame = raw(*rows)
    silver = read_rows(frame, rules).orderBy("line_number").collect()
    here = judged([USUAL | row for row in rows], [DAY] * len(rows), rules)
    for row, line in zip(silver, here, strict=True):
        found = (row.typed_invoice_no, row.typed_stock_code, row.typed_quantity, row.typed_unit_price)
        assert (line.invoice_no, line.stock_code, line.quantity, line.unit_price) == found
        assert (line.customer_id, line.reasons) == (row.typed_customer_id, tuple(row.reasons))
    kinds = {(row.invoice_no, row.stock_code, row.quantity, row.line_type) for row in lines(frame, rules)}
    assert kinds == {(one.invoice_no, one.stock_code, one.quantity, one.line_type) for one in here if not one.reasons}
