"""Tab-separated text, Parquet and zip archives land as their rows would as CSV, or the part that cannot is named."""

import gzip
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from retail_assets.landing.drops import LandingZone
from retail_assets_tests.landing.landings import HEADER, file, invoices, lands, line, refused, rows, workbook

HEADERS = HEADER.rstrip("\n").split(",")
DAY = "online_retail_2010-12-01.csv"


@pytest.fixture
def zone(tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing"))


def archive(path: Path, members: dict[str, str | bytes | Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content.read_bytes() if isinstance(content, Path) else content)
    return path


def parquet_file(path: Path, **changed: Any) -> Path:
    columns: dict[str, Any] = {
        "Invoice": [1, 2],
        "StockCode": ["85048", "POST"],
        "Description": ["MUG, RED", None],
        "Quantity": [12, -1],
        "InvoiceDate": [datetime(2010, 12, 1, 8, 26), datetime(2010, 12, 2)],
        "Price": [6.95, 2.0],
        "Customer ID": [13085.0, None],
        "Country": ["EIRE", "EIRE"],
    } | changed
    parquet.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
    return path


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.tsv.gz", "a.TXT"])
def test_tab_separated_text_lands(tmp_path, zone, name):
    content = (HEADER + line(1, "2010-12-01")).replace(",", "\t").encode()
    lands([file(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)], zone)
    assert invoices(zone) == {DAY: ["1"]}


def test_a_parquet_file_lands_as_its_csv_would(tmp_path, zone):
    told = lands([parquet_file(tmp_path / "a.parquet")], zone)
    assert (told.rows, told.malformed, told.undated) == (2, 0, 0)
    content = {name: (Path(zone.directory("online_retail")) / name).read_text() for name in told.drops}
    assert content == {
        DAY: HEADER + '1,85048,"MUG, RED",12,2010-12-01 08:26:00,6.95,13085,EIRE\n',
        "online_retail_2010-12-02.csv": HEADER + "2,POST,,-1,2010-12-02,2,,EIRE\n",
    }


def test_parquet_keeps_what_is_exact_and_what_is_nested_and_knows_zones(tmp_path, zone):
    path = parquet_file(
        tmp_path / "a.parquet",
        Price=pa.array([Decimal("0.001"), Decimal("1234567.890")], pa.decimal128(12, 3)),
        InvoiceDate=pa.array([datetime(2010, 12, 1, 23, tzinfo=UTC)] * 2, pa.timestamp("ns", "UTC")),
        Tags=[["a", "b"], []],
        Description=["line\nbreak", "1,2,3,4,5,6,7,8,9\n1,2,3,4,5,6,7,8,9"],
    )
    lands([path], zone)
    read = rows(zone)
    assert [row["unit_price"] for row in read] == ["0.001", "1234567.890"]
    assert [row["invoice_ts"] for row in read] == ["2010-12-01 23:00:00+00:00"] * 2
    assert [row["extra_columns"] for row in read] == [[("Tags", '["a", "b"]')], [("Tags", "[]")]]
    assert read[1]["description"] == "1,2,3,4,5,6,7,8,9\n1,2,3,4,5,6,7,8,9"


def test_a_parquet_file_that_cannot_be_read_or_lacks_a_column_is_named(tmp_path, zone):
    assert "a.parquet: is no Parquet file that can be read" in refused([file(tmp_path, b"PAR1xx", "a.parquet")], zone)
    lacking = parquet_file(tmp_path / "b.parquet", Price=None)
    assert "b.parquet: has no column for unit_price (Price or UnitPrice)" in refused([lacking], zone)
    other = parquet_file(tmp_path / "c.parquet", **dict.fromkeys(HEADERS[:5]))
    assert "c.parquet: has no table with the columns: c.parquet has no column for invoice_no" in refused([other], zone)


def test_an_archive_lands_with_all_that_is_in_it(tmp_path, zone):
    members: dict[str, str | bytes | Path] = {
        "a/sales.csv": HEADER + line(1, "2010-12-01"),
        "b/sales.csv": HEADER + line(2, "2010-12-01"),
        "packed.csv.gz": gzip.compress((HEADER + line(3, "2010-12-01")).encode()),
        "utf16.txt": (HEADER + line(4, "2010-12-01")).replace(",", "\t").encode("utf-16"),
        "book.xlsx": workbook(tmp_path / "x.xlsx", {"1": [HEADERS, [5, "a", "b", 1, "2010-12-01", 1, 1, "UK"]]}),
        "table.parquet": parquet_file(tmp_path / "x.parquet"),
        "readme.txt": "What is in here",
        "logo.png": b"\x89PNG",
        "__MACOSX/._sales.csv": b"\0",
        ".DS_Store": b"\0",
    }
    told = lands([archive(tmp_path / "all.zip", members)], zone)
    assert told.rows == 7
    assert [(row["invoice_no"], row["malformed_line"]) for row in rows(zone)] == [
        (number, None) for number in ("1", "2", "3", "5", "1", "4", "2")
    ]
    assert len(told.left_out) == 2
    assert told.left_out[0].startswith("all.zip (readme.txt) has no column for invoice_no")
    assert told.left_out[1] == "all.zip: logo.png is none of " + ", ".join(
        [".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".xlsx", ".parquet"]
    )


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.csv": HEADER + line(1, "2010-12-01"), "b.csv": ""}, "all.zip (b.csv): is empty"),
        (
            {"a.csv": HEADER + line(1, "2010-12-01"), "b.csv": HEADER.replace(",Price", "")},
            "all.zip (b.csv): has no column",
        ),
        ({"a.csv": HEADER + line(1, "soon")}, "all.zip (a.csv): has no date that can be read"),
        ({"a.csv.gz": gzip.compress(HEADER.encode() * 999)[:-9]}, "all.zip (a.csv.gz): is a truncated or corrupt gzip"),
        ({"a.xlsx": b"PK\x03\x04"}, "all.zip (a.xlsx): is no workbook"),
        ({"a.parquet": b"PAR1"}, "all.zip (a.parquet): is no Parquet file"),
        ({"inner.zip": b"PK"}, "all.zip: has no table with the columns: all.zip: inner.zip is none of"),
        ({}, "all.zip: has no table with the columns: nothing is in it"),
    ],
)
def test_what_is_wrong_in_an_archive_is_said_of_its_part(tmp_path, zone, members, said):
    assert said in refused([archive(tmp_path / "all.zip", members)], zone)


def test_an_archive_that_is_spoilt_is_named(tmp_path, zone):
    whole = archive(tmp_path / "all.zip", {"a.csv": HEADER + line(1, "2010-12-01")}).read_bytes()
    for spoilt in (b"no archive", whole[:-30], whole[:60] + b"\xff" * 9 + whole[69:]):
        assert "all.zip: is no zip archive that can be read" in refused([file(tmp_path, spoilt, "all.zip")], zone)
