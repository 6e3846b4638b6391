"""What a written value means, in the dialect of its source; and that silver reads every date that landing goes by."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from retail_assets.invoices.invoice_rules import landed_money, read_rows
from retail_assets.invoices.written_values import moment, present, price, whole_number
from retail_assets.landing.containers import Table
from retail_assets.landing.dates import Dates
from retail_assets.landing.dialect import PUBLISHED, DateForm, Dialect
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drop_rows import drop_rows
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land
from retail_assets.landing.layout import SourceLayout
from retail_assets.project import project_root
from retail_assets.sources.online_retail import ONLINE_RETAIL
from retail_assets_tests.made_shop import INVOICES

TODAY = date(2026, 11, 21)
FORMS = ("%d-%m-%Y %H:%M", "%b %d, %Y, %I:%M:%S %p", "%y%m%d")
GERMAN = Dialect(
    decimal=",",
    thousands=". ",
    currencies=("€", "EUR"),
    day_first=True,
    time_zone="Europe/Berlin",
    date_forms=tuple(map(DateForm, FORMS)),
)
CASES = project_root().parent / "shared" / "cases"


def layout(dialect: Dialect) -> SourceLayout:
    return SourceLayout("shop", INVOICES.columns, INVOICES.date_column, dialect)


# As written -> the whole number, the price; the same in German.
NUMBERS: dict[str | None, tuple[int | None, str | None, int | None, str | None]] = {
    "6": (6, "6", 6, "6"),
    " +7 ": (7, "7", 7, "7"),
    "6.0": (6, "6.000", None, None),
    "-6.": (-6, "-6", None, None),
    "1e3": (1000, None, 1000, None),
    "1.5E+2": (150, None, None, None),
    "1,5e1": (None, None, 15, None),
    "1e-1": (None, None, None, None),
    "1.5": (None, "1.5", None, None),
    "1.2340": (None, "1.234", None, None),
    "1.2345": (None, None, None, None),
    "0000000000012": (12, "12", 12, "12"),
    "12345678901": (None, None, None, None),
    "1e99": (None, None, None, None),
    "2,55": (None, None, None, "2.55"),
    "1,200": (None, None, None, "1.2"),
    "1.200": (None, "1.2", 1200, "1200"),
    "1.234,50": (None, None, None, "1234.5"),
    "1 234,5": (None, None, None, "1234.5"),
    "12.34,5": (None, None, None, None),
    "1.2345,5": (None, None, None, None),
    "€ 5,00": (None, None, 5, "5"),
    "-€5": (None, None, -5, "-5"),
    "5,00 EUR": (None, None, 5, "5"),
    "EUR": (None, None, None, None),
    "6\n": (None, None, None, None),
    "٣": (None, None, None, None),
    "six": (None, None, None, None),
    "": (None, None, None, None),
    None: (None, None, None, None),
}


def test_numbers_are_read_by_the_signs_of_the_dialect_or_not_at_all(spark: SparkSession):
    texts = spark.createDataFrame([(text,) for text in NUMBERS], "text string")
    read = [
        column for dialect in (PUBLISHED, GERMAN) for column in (whole_number("text", dialect), price("text", dialect))
    ]
    found = {row[0]: tuple(row)[1:] for row in texts.select("text", *read).collect()}
    assert found == {
        text: (whole, plain and Decimal(plain), whole_german, german and Decimal(german))
        for text, (whole, plain, whole_german, german) in NUMBERS.items()
    }


def test_words_that_mean_empty_are_those_of_the_dialect(spark: SparkSession):
    words = ["NULL", " nan ", "None", "\\N", "N/A", "#N/A", "NaT", "<NA>", "na", "", "  ", None]
    spaced = ["\u00a0Nan\tcy\u3000", "\t12\r\n", " é\u2009"]
    texts = spark.createDataFrame([(word,) for word in [*words, "Nancy", " 12 ", "-", *spaced]], "text string")
    ours = Dialect(empty_words=frozenset(["-"]))
    read = texts.select("text", present(F.col("text"), PUBLISHED), present(F.col("text"), ours)).collect()
    assert [row[1] for row in read] == [None] * len(words) + ["Nancy", "12", "-", "Nan\tcy", "12", "é"]
    assert [row[2] for row in read][:4] == ["NULL", "nan", "None", "\\N"]
    assert [row[2] for row in read][-6:-3] == ["Nancy", "12", None]


TIMES = [
    *["2010-12-01", "2010-12-01 08:26:00", "2010-12-01T08:26", "2010-12-01 8:26", "2010-02-30", "2010-12-01 25:00:00"],
    *["2010-12-01 23:30:00+02:00", "2010-12-01 00:30:00 +0200", "2010-12-01T23:30:00Z", "2010-12-01 23:30:00 UTC"],
    *["2010-12-01 23:30:00.123 -0500", "2010-12-01 23:30 +0530", "01-12-2010 08:26", "01-12-2010 23:30 +0000"],
    *["Dec 1, 2010, 10:00:00 PM", "Dec 1, 2010, 12:00:00 AM +0100", "101201", "1.12.2010", "1/12/2010 8:26"],
    *["12/1/2010 8:26", "13/12/2010", "12.13.2010", "31/31/2010", "2010-12-01 x", "soon", "2010-12-01 8:26 PM", ""],
]
EXPECTED_IN_GERMAN = {
    "2010-12-01 23:30:00+02:00": "2010-12-01 22:30:00",
    "2010-12-01 00:30:00 +0200": "2010-11-30 23:30:00",
    "2010-12-01T23:30:00Z": "2010-12-02 00:30:00",
    "2010-12-01 23:30:00.123 -0500": "2010-12-02 05:30:00",
    "01-12-2010 23:30 +0000": "2010-12-02 00:30:00",
    "Dec 1, 2010, 10:00:00 PM": "2010-12-01 22:00:00",
    "1/12/2010 8:26": "2010-12-01 08:26:00",
    "12/1/2010 8:26": None,
}


def landed_day(text: str, dialect: Dialect) -> date | None:
    """The day by which landing goes; None if it reads none."""
    dates = Dates(Table("nowhere", "nowhere", "nowhere"), layout(dialect), TODAY)
    if dialect.day_first is None:
        dates._month_first = True  # what the other lines of a file would tell
    try:
        ordinal = int(dates.days(pa.array([text]))[0])
    except DropRefused:
        return None
    return date.fromordinal(ordinal) if ordinal else None


@pytest.mark.parametrize("dialect", [PUBLISHED, GERMAN, INVOICES.dialect], ids=["published", "german", "online retail"])
def test_silver_reads_every_date_that_landing_goes_by_as_the_same_day(spark: SparkSession, dialect: Dialect):
    days = {text: landed_day(text, dialect) for text in TIMES}
    frame = spark.createDataFrame(
        [(text, day or date(2010, 12, 1)) for text, day in days.items()], "text string, day date"
    )
    read = {row.text: row for row in frame.select("text", moment("text", "day", dialect).alias("at")).collect()}
    for text, day in days.items():
        if day and "25:00" not in text:  # an hour there is not: landed by its date, in quarantine for its time
            assert read[text].at is not None, text
            assert read[text].at.date() == day, text
    assert sum(day is not None for day in days.values()) >= 14


def test_a_moment_is_what_the_shops_clocks_show(spark: SparkSession):
    frame = spark.createDataFrame([(text, date(2010, 12, 1)) for text in EXPECTED_IN_GERMAN], "text string, day date")
    read = frame.select("text", moment("text", "day", GERMAN).cast("string").alias("at")).collect()
    assert {row.text: row.at and row.at[:19] for row in read} == EXPECTED_IN_GERMAN


def clean(spark: SparkSession, path: Path, directory: Path, dialect: Dialect) -> tuple[list[Row], list[Row], Decimal]:
    """The usable and the unusable rows of a file that was landed, and the money that landed."""
    zone, shop = LandingZone(str(directory / "landing")), layout(dialect)
    rules = replace(ONLINE_RETAIL.rules, dialect=dialect)
    told = land([path], zone, shop, today=TODAY)
    drops = [(drop.path, drop.size, drop.modified_ns, drop.day) for drop in zone.drops("shop")]
    frame = spark.createDataFrame(drops, "path string, size bigint, modified_ns bigint, invoice_date date")
    raw = drop_rows(frame, shop, "invoice_date")
    rows = read_rows(raw, rules).orderBy("invoice_date", "line_number").collect()
    assert len(rows) == told.rows
    money = raw.agg(F.sum(landed_money(rules))).collect()[0][0]
    return [row for row in rows if not row.reasons], [row for row in rows if row.reasons], money


@pytest.fixture
def case(spark: SparkSession, tmp_path: Path) -> Any:
    """Lands a file that lies beside the project; what needs it is skipped, visibly, where it is absent."""

    def landed(name: str, dialect: Dialect) -> tuple[list[Row], list[Row], Decimal]:
        path = CASES / name / "in.csv"
        if not path.exists():
            pytest.skip(f"there is no {path}")
        return clean(spark, path, tmp_path, dialect)

    return landed


def test_a_latin_1_export_is_clean(case):
    usable, unusable, money = case("01-latin1", Dialect(encoding="cp1252"))
    assert [row.description for row in usable] == ["CAFÉ £5 VOUCHER", "PLAIN"]
    assert (unusable, money) == ([], Decimal("30.600"))


def test_a_european_export_is_clean(case):
    dialect = Dialect(delimiter=";", decimal=",", thousands=".", day_first=True)
    usable, unusable, money = case("03-semicolon-comma", dialect)
    assert [(row.typed_quantity, row.typed_unit_price, str(row.invoice_date)) for row in usable] == [
        (6, Decimal("2.55"), "2010-12-01"),
        (12, Decimal("1.25"), "2010-12-01"),
        (2, Decimal("1234.5"), "2010-12-13"),
    ]
    assert (unusable, money) == ([], Decimal("2499.300"))


@pytest.mark.parametrize("name", ["05-snake-headers", "06-header-repeated"])
def test_other_headers_and_headers_in_the_middle_are_clean(case, name):
    usable, unusable, landed = case(name, PUBLISHED)
    assert (len(usable), unusable, landed) == (2, [], Decimal("30.600"))


def test_whole_numbers_in_any_spelling_are_clean_and_parts_of_a_piece_are_not(case):
    usable, unusable, money = case("14-float-quantity", PUBLISHED)
    assert [row.typed_quantity for row in usable] == [6, 1000]
    assert [(row.quantity, row.reasons) for row in unusable] == [("1.5", ["invalid_quantity"])]
    assert money == Decimal("2565.300")


def test_the_time_zone_of_online_retail_is_londons():
    assert INVOICES.dialect == Dialect(time_zone="Europe/London")
