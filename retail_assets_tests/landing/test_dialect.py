"""A dialect is a value: what it says is how files are read, and what cannot be is refused by the field's name."""

import csv
import io
import pickle
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_assets.landing import drop_lines, drop_reader
from retail_assets.landing.dialect import PUBLISHED, DateForm, Dialect, DialectError
from retail_assets.landing.drop_reader import DropRefused, read_drop
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import Landed, land
from retail_assets.landing.layout import SourceLayout
from retail_assets_tests.landing.landings import HEADER, TODAY, file, line, workbook
from retail_assets_tests.made_shop import INVOICES

EUROPEAN = Dialect(
    encoding="cp1252",
    delimiter=";",
    decimal=",",
    thousands=".",
    currencies=("€",),
    day_first=True,
    time_zone="Europe/Berlin",
)
COLUMNS = list(INVOICES.columns)
HEADERS = HEADER.rstrip("\n").split(",")


def written_in(dialect: Dialect) -> SourceLayout:
    return SourceLayout("shop", INVOICES.columns, INVOICES.date_column, dialect)


def landed(files: list[Path], zone: LandingZone, dialect: Dialect) -> tuple[Landed, list[dict[str, Any]]]:
    """What landing told, and every row of the drops."""
    layout = written_in(dialect)
    told = land(files, zone, layout, today=TODAY)
    drops = zone.drops("shop")
    return told, [row for drop in drops for batch in read_drop(drop.path, layout) for row in batch.to_pylist()]


@pytest.fixture
def zone(tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing"))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"encoding": "latin-99"}, "encoding: 'latin-99'"),
        ({"encoding": "rot13"}, "encoding"),
        ({"delimiter": ";;"}, "delimiter: ';;'"),
        ({"delimiter": "§"}, "delimiter"),
        ({"delimiter": "\n"}, "delimiter"),
        ({"quote": "''"}, "quote"),
        ({"escape": '"'}, "delimiter, quote and escape"),
        ({"delimiter": '"'}, "delimiter, quote and escape"),
        ({"decimal": ""}, "decimal"),
        ({"decimal": "5"}, "decimal"),
        ({"decimal": ",", "thousands": ".,"}, "decimal: ','"),
        ({"thousands": "1"}, "thousands"),
        ({"thousands": "-"}, "thousands"),
        ({"currencies": ("",)}, "currencies"),
        ({"currencies": ("1€",)}, "currencies"),
        ({"currencies": ("-",)}, "the sign of a number: negatives says"),
        ({"negatives": frozenset(["-1"])}, "negatives: ['-1']"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone: 'Europe/Atlantis'"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"empty_words": frozenset(["NULL"])}, "empty_words"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused_by_the_fields_name(fields: dict[str, Any], named: str):
    with pytest.raises(DialectError) as refusal:
        Dialect(**fields)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("%d.%m", "one of %Y %y"),
        ("%Y-%y-%m-%d", "one of %Y %y"),
        ("%Y-%m-%d %I:%M", "%p"),
        ("%Y-%j", "'%j'"),
        ("%Y-%m-%d %", "'%'"),
        ("", "one of %Y %y"),
    ],
)
def test_a_form_of_dates_that_cannot_be_is_refused(form: str, named: str):
    with pytest.raises(DialectError) as refusal:
        DateForm(form)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("form", "text", "moment", "spark"),
    [
        ("%d-%m-%Y", "1-12-2010", datetime(2010, 12, 1), "d-M-yyyy"),
        ("%d.%m.%y %H:%M", "01.12.10 8:26", datetime(2010, 12, 1, 8, 26), "d.M.yy H:mm"),
        ("%y-%m-%d", "69-12-01", datetime(2069, 12, 1), "yy-M-d"),
        (
            "%b %d, %Y, %I:%M:%S %p",
            "Dec 1, 2010, 10:00:05 PM",
            datetime(2010, 12, 1, 22, 0, 5),
            "MMM d, yyyy, h:mm:ss a",
        ),
        ("%d de %B %Y", "1 de December 2010", datetime(2010, 12, 1), "d 'de' MMMM yyyy"),
        ("%Y%m%d%H%M", "201012010826", datetime(2010, 12, 1, 8, 26), "yyyyMMddHHmm"),
        ("%Y-%m-%d o'clock", "2010-12-01 o'clock", datetime(2010, 12, 1), "yyyy-M-d 'o''''clock'"),
        ("%d-%m-%Y", "2010-12-01", None, "d-M-yyyy"),
        ("%d-%m-%Y", "1-12-2010 8:00", None, "d-M-yyyy"),
    ],
)
def test_forms_of_dates_are_read_and_told_to_spark(form: str, text: str, moment: datetime | None, spark: str):
    assert DateForm(form).read(text) == moment
    assert DateForm(form).spark == spark


def test_a_day_there_is_not_is_not_read():
    with pytest.raises(ValueError, match="day is out of range"):
        DateForm("%d-%m-%Y").read("31-02-2010")


def test_a_dialect_goes_to_workers_and_comes_back_the_same():
    dialect = Dialect(date_forms=(DateForm("%d-%m-%Y"),))
    assert dialect.date_forms[0].read("1-12-2010")
    assert pickle.loads(pickle.dumps(dialect)) == dialect
    assert hash(Dialect()) == hash(PUBLISHED)


def test_a_european_export_lands_with_its_text_and_is_utf_8(tmp_path, zone):
    content = HEADER.replace(",", ";") + "1;85048;CAFÉ €;1.200;13.12.2010 08:26;1.234,50;12583;Österreich\n"
    content += "2;85048;X;6;01.12.2010;2,55;12583;France\n"
    told, rows = landed([file(tmp_path, content.encode("cp1252"))], zone, EUROPEAN)
    assert (told.rows, told.malformed, told.undated) == (2, 0, 0)
    assert told.drops == ["shop_2010-12-01.csv", "shop_2010-12-13.csv"]
    assert [row["unit_price"] for row in rows] == ["2,55", "1.234,50"]
    assert (rows[1]["description"], rows[1]["quantity"], rows[1]["country"]) == ("CAFÉ €", "1.200", "Österreich")
    drop = Path(zone.directory("shop")) / "shop_2010-12-13.csv"
    assert drop.read_bytes() == ("\ufeff" + HEADER.replace(",", ";") + content.splitlines()[1] + "\n").encode()


def test_a_drop_delivered_in_the_shops_own_encoding_is_read(tmp_path):
    path = file(tmp_path, (HEADER.replace(",", ";") + "1;2;CAFÉ;3;4;5;6;7\n").encode("cp1252"), "shop_2010-12-01.csv")
    (row,) = [row for batch in read_drop(str(path), written_in(EUROPEAN)) for row in batch.to_pylist()]
    assert row["description"] == "CAFÉ"


def test_bytes_that_an_encoding_does_not_have_make_their_line_malformed_and_are_shown(tmp_path, zone):
    content = (HEADER.replace(",", ";") + "1;2;A;3;01.12.2010;5;6;7\n2;2;B?;3;01.12.2010;5;6;7\n").encode()
    told, rows = landed([file(tmp_path, content.replace(b"?", b"\x81"))], zone, EUROPEAN)
    assert told.malformed == 1
    assert rows[1]["malformed_line"] == "2;2;B\\x81;3;01.12.2010;5;6;7"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_that_is_declared_lands(tmp_path, zone, encoding):
    content = HEADER + line(1, "2010-12-01", '"CAFÉ\nCRÈME"') + line(2, "2010-12-02")
    told, rows = landed([file(tmp_path, content.encode(encoding))], zone, Dialect(encoding=encoding))
    assert (told.rows, told.malformed) == (2, 0)
    assert rows[0]["description"] == "CAFÉ\nCRÈME"


def test_declared_quotes_and_escapes_are_those_that_count(tmp_path, zone):
    content = HEADER + "1,85048,'a, b\\' \"c\nd',1,2010-12-01,1,1,UK\n2,85048,6\" PLATE,1,2010-12-01,1,1,UK\n"
    told, rows = landed([file(tmp_path, content)], zone, Dialect(quote="'", escape="\\"))
    assert (told.rows, told.malformed) == (2, 0)
    assert [row["description"] for row in rows] == ["a, b' \"c\nd", '6" PLATE']


def read(path: Path, dialect: Dialect) -> list[tuple[str | None, str | None]]:
    """What each row has for its invoice, or the line that is none."""
    rows = [row for batch in read_drop(str(path), written_in(dialect)) for row in batch.to_pylist()]
    return [(row["invoice_no"], row["malformed_line"]) for row in rows]


def test_the_end_of_a_row_with_escapes_is_no_row_by_itself(tmp_path):
    """Its second line has eight fields only if text may follow a quote that closes."""
    dialect = Dialect(quote="'", escape="\\", delimiter=";")
    row = "';;';';;';';\n;;;';'';'';'';'';''\n"
    path = file(tmp_path, HEADER.replace(",", ";") + row, "shop_2010-12-01.csv")
    assert read(path, dialect) == [(";;", None)]
    path = file(tmp_path, HEADER.replace(",", ";") + "'1' of 2;2;3;4;5;6;7;8\n", "shop_2010-12-01.csv")
    assert read(path, dialect) == [(None, "'1' of 2;2;3;4;5;6;7;8")]


def test_a_field_over_two_lines_that_are_rows_by_themselves_is_taken_for_a_broken_quote(tmp_path):
    """The limit that docs/landing.md states: a quote that was never closed must not swallow the rows after it."""
    whole = "1,'2,3,4,5,6,7,8"
    path = file(tmp_path, HEADER + whole + "\n9,8,7,6,5,4,3,2'\n", "shop_2010-12-01.csv")
    assert read(path, Dialect(quote="'")) == [(None, whole), ("9", None)]


def test_without_quotes_every_line_is_a_row(tmp_path, zone):
    content = (HEADER + line(1, "2010-12-01", '"MUG') + line(2, "2010-12-01", 'B"')).replace(",", "\t")
    told, rows = landed([file(tmp_path, content, "a.tsv")], zone, Dialect(quote="", delimiter="\t"))
    assert [row["description"] for row in rows] == ['"MUG', 'B"']
    assert told.malformed == 0


def test_the_declared_order_of_day_and_month_needs_no_telling(tmp_path, zone):
    content = HEADER + line(1, "1/12/2010") + line(2, "13/12/2010") + line(3, "12/13/2010")
    told, _ = landed([file(tmp_path, content)], zone, Dialect(day_first=True))
    assert told.drops == ["shop_2010-12-01.csv", "shop_2010-12-13.csv"]
    assert told.undated == 1
    with pytest.raises(DropRefused, match="with the day first and with the month first"):
        landed([file(tmp_path, content)], zone, PUBLISHED)


@pytest.mark.parametrize(
    ("written", "zone_name", "day"),
    [
        ("2010-12-01 00:30:00 +0200", "UTC", "2010-11-30"),
        ("2010-12-01 00:30:00 +0200", "Europe/Berlin", "2010-11-30"),
        ("2010-12-01 01:30:00+02:00", "Europe/Berlin", "2010-12-01"),
        ("2010-12-01T23:30:00Z", "Europe/Berlin", "2010-12-02"),
        ("2010-12-01 23:30 UTC", "America/New_York", "2010-12-01"),
        ("2010-12-01 03:30:00.123 Z", "America/New_York", "2010-11-30"),
        ("2010-12-01 23:30", "Asia/Tokyo", "2010-12-01"),
        ("Dec 1, 2010, 11:30:00 PM +0000", "Europe/Berlin", "2010-12-02"),
    ],
)
def test_a_time_with_an_offset_belongs_to_the_day_that_it_is_at_the_shop(tmp_path, zone, written, zone_name, day):
    dialect = Dialect(time_zone=zone_name, date_forms=(DateForm("%b %d, %Y, %I:%M:%S %p"),))
    content = HEADER + line(1, f'"{written}"')
    told, rows = landed([file(tmp_path, content)], zone, dialect)
    assert told.drops == [f"shop_{day}.csv"]
    assert rows[0]["invoice_ts"] == written


def test_a_workbook_is_written_in_the_dialect_of_its_source(tmp_path, zone):
    book = workbook(
        tmp_path / "a.xlsx", {"1": [HEADERS, [1, "85048", 'x;"y"', 12, date(2010, 12, 1), 1234.5, None, "EIRE"]]}
    )
    told, rows = landed([book], zone, EUROPEAN)
    assert (told.rows, told.malformed) == (1, 0)
    assert (rows[0]["unit_price"], rows[0]["description"], rows[0]["customer_id"]) == ("1234,5", 'x;"y"', None)


@pytest.mark.parametrize(
    "header", ["invoice_no,stock_code,description,quantity,invoice_date,unit_price,customer_id,country\n"]
)
def test_what_stands_between_the_words_of_a_header_does_not_count(tmp_path, zone, header):
    told, rows = landed([file(tmp_path, header + line(1, "2010-12-01"))], zone, PUBLISHED)
    assert rows[0]["unit_price"] == "6.95"
    assert told.malformed == 0


DIALECTS = st.sampled_from(
    [
        Dialect(quote="'"),
        Dialect(escape="\\"),
        Dialect(quote="'", escape="\\", delimiter=";"),
        Dialect(delimiter="|", encoding="utf-16"),
    ]
)
# Not so many delimiters that a line of a field could be a row by itself: docs/landing.md says what becomes of it.
TEXTS = st.text(st.sampled_from("abé ,;|'\"\\\n"), max_size=8).filter(
    lambda text: text.count("\n") < 3 and sum(map(text.count, ",;|")) < 2
)
ROWS = st.lists(st.lists(TEXTS, min_size=8, max_size=8), max_size=6)


@settings(max_examples=200, deadline=None)
@given(dialect=DIALECTS, table=ROWS)
def test_what_a_csv_writer_wrote_in_a_dialect_is_read_back_exactly(tmp_path_factory, dialect, table):
    delimiter = dialect.delimiter or ","
    written = io.StringIO(newline="")
    # All quoted: else one delimiter a field may be enough for that.
    signs = drop_lines.csv_signs(dialect, delimiter)
    csv.writer(written, **signs, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([HEADERS, *table])
    path = file(tmp_path_factory.getbasetemp(), written.getvalue().encode(dialect.encoding), "dialect_2010-12-01.csv")
    layout = written_in(dialect)
    rows = [row for batch in read_drop(str(path), layout) for row in batch.to_pylist()]
    assert [[row[column] for column in COLUMNS] for row in rows] == [[value or None for value in row] for row in table]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drop_lines, "_all_sound", lambda data, header: None)
        patch.setattr(drop_reader, "BLOCK_BYTES", 50)
        assert [row for batch in read_drop(str(path), layout) for row in batch.to_pylist()] == rows
