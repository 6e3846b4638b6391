"""Every line of a drop is accounted for once, whatever is wrong with the others."""

import csv
import gzip
import io
import os
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retail_assets.landing import drop_lines, drop_reader
from retail_assets.landing.drop_reader import DropRefused, inspect, raw_schema, read_drop
from retail_assets.landing.drops import state_of
from retail_assets_tests.made_shop import INVOICES

HEADER = b"Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
COLUMNS = list(INVOICES.columns)


def line(invoice: str, description: str = "MUG") -> bytes:
    return f"{invoice},85048,{description},12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n".encode()


def landed(directory: Path, content: bytes, name: str = "drop_2009-12-01.csv") -> str:
    path = directory / name
    path.write_bytes(content)
    return str(path)


def rows_of(path: str) -> list[dict[str, Any]]:
    batches = list(read_drop(path, INVOICES))
    assert all(batch.schema == raw_schema(INVOICES) for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def accounted(rows: list[dict[str, Any]]) -> list[tuple[int, str | None, str | None]]:
    """Line number, invoice and malformed line of each row."""
    return [(row["line_number"], row["invoice_no"], row["malformed_line"]) for row in rows]


def refusal_of(path: str) -> DropRefused:
    with pytest.raises(DropRefused) as refused:
        list(read_drop(path, INVOICES))
    assert path in str(refused.value)
    return refused.value


def test_values_are_read_as_written_under_our_names(tmp_path):
    path = landed(tmp_path, HEADER + b'489434,85048, WHITE LIGHTS ,"1,200",1.12.2009,NA,,null\n')
    assert rows_of(path) == [
        {
            "invoice_no": "489434",
            "stock_code": "85048",
            "description": " WHITE LIGHTS ",
            "quantity": "1,200",
            "invoice_ts": "1.12.2009",
            "unit_price": "NA",
            "customer_id": None,
            "country": "null",
            "extra_columns": None,
            "malformed_line": None,
            "line_number": 2,
            "source_file": "drop_2009-12-01.csv",
        }
    ]


@pytest.mark.parametrize(
    "header",
    [
        b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n",
        b" invoice , STOCKCODE,description,quantity,invoicedate,price,customer id,country\n",
        b"\xef\xbb\xbf" + HEADER,
        b'\xef\xbb\xbf"Invoice",StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\r\n',
        b"\n \r\n" + HEADER,
    ],
    ids=["the other published header", "case and spaces", "BOM", "BOM and quotes", "blank lines before it"],
)
def test_published_headers_are_recognised(tmp_path, header):
    (row,) = rows_of(landed(tmp_path, header + line("489434")))
    assert [row[column] for column in COLUMNS] == line("489434").decode().rstrip("\n").split(",")
    assert row["line_number"] == header.count(b"\n") + 1


def test_columns_may_come_in_any_order(tmp_path):
    path = landed(
        tmp_path, b"Country,Price,Invoice,StockCode,Description,Quantity,InvoiceDate,Customer ID\nEIRE,1,2,,,,,\n"
    )
    (row,) = rows_of(path)
    assert (row["country"], row["unit_price"], row["invoice_no"], row["stock_code"]) == ("EIRE", "1", "2", None)


@pytest.mark.parametrize("head", [65_536, 7])
def test_a_header_below_the_head_of_a_report_is_found_and_lines_are_numbered_from_the_top(tmp_path, monkeypatch, head):
    monkeypatch.setattr(drop_reader, "_HEAD_BYTES", head)
    report = b"Sales report\nPeriod: May, 2024\n\n"
    assert accounted(rows_of(landed(tmp_path, report + HEADER + line("489434")))) == [(5, "489434", None)]
    with pytest.raises(DropRefused, match="has no column for"):
        inspect(landed(tmp_path, report * 11 + HEADER + line("489434")), INVOICES)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_files_of_a_european_excel_are_read(tmp_path, delimiter):
    content = (HEADER + line("489434")).replace(b",", delimiter.encode()).replace(b"6.95", b"6,95")
    (row,) = rows_of(landed(tmp_path, content))
    assert (row["invoice_no"], row["unit_price"]) == ("489434", "6,95")


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_other_line_ends_are_read(tmp_path, end):
    content = (HEADER + line("489434") + line("489435", '"A, B"')).replace(b"\n", end)
    rows = rows_of(landed(tmp_path, content))
    assert accounted(rows) == [(2, "489434", None), (3, "489435", None)]
    assert [(row["description"], row["country"]) for row in rows] == [
        ("MUG", "United Kingdom"),
        ("A, B", "United Kingdom"),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_lines_of_a_file_of_many_kilobytes_are_numbered_as_an_editor_does(tmp_path, end):
    invoices = [str(number) for number in range(489434, 489534)]
    content = (HEADER + b"".join(map(line, invoices))).replace(b"\n", end)
    assert len(content) > 5_000
    assert accounted(rows_of(landed(tmp_path, content))) == [
        (number, invoice, None) for number, invoice in enumerate(invoices, start=2)
    ]


def test_unknown_columns_are_kept_by_their_header(tmp_path):
    header = HEADER.replace(b"Country", b"Country,Channel,").replace(b"Invoice,", b"Till,Invoice,", 1)
    content = header + b"7," + line("489434").replace(b"\n", b",web,\n") + b"broken\n" + b"8,489435" + b"," * 9 + b"\n"
    path = landed(tmp_path, content)
    assert inspect(path, INVOICES).extra_columns == ("Till", "Channel", "column_11")
    rows = rows_of(path)
    assert [row["extra_columns"] for row in rows] == [
        [("Till", "7"), ("Channel", "web"), ("column_11", None)],
        None,
        [("Till", "8"), ("Channel", None), ("column_11", None)],
    ]
    assert [row["country"] for row in rows] == ["United Kingdom", None, None]


def test_missing_columns_are_named_with_the_headers_that_would_do(tmp_path):
    path = landed(tmp_path, HEADER.replace(b",Price", b"").replace(b"Country", b"Land") + line("489434"))
    problem = str(refusal_of(path))
    assert "unit_price (Price or UnitPrice), country (Country)" in problem
    assert "Its header is 'Invoice,StockCode," in problem
    with pytest.raises(DropRefused, match="unit_price"):
        inspect(path, INVOICES)


def test_a_row_in_place_of_the_header_is_not_quoted(tmp_path):
    problem = str(refusal_of(landed(tmp_path, line("489434"))))
    assert "Its first line names none of the columns: add" in problem
    assert "489434" not in problem, "refusals are mailed, and rows stay in the lakehouse"


def test_a_column_that_is_there_twice_is_named(tmp_path):
    path = landed(tmp_path, HEADER.replace(b"Country", b"Country,Price"))
    assert "more than one column for unit_price" in refusal_of(path).problem


def test_of_several_headers_that_stand_for_a_column_the_first_that_is_declared_counts(tmp_path):
    path = landed(tmp_path, HEADER.replace(b"Invoice,", b"UnitPrice,Invoice,") + b"9," + line("1"))
    (row,) = rows_of(path)
    assert (row["unit_price"], row["extra_columns"]) == ("6.95", [("UnitPrice", "9")])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n\n  \r\n", "has no header"),
        (HEADER.decode().encode("utf-16-le"), "UTF-16"),
        (HEADER.decode().encode("utf-32-be"), "UTF-16"),
        (b"PK\x03\x04 workbook", "workbook"),
        (b"\x00\x01\x02\n", "binary"),
        (b"x" * 3_000_000, "has no column"),
    ],
    ids=["empty", "blank", "UTF-16", "UTF-32", "workbook", "binary", "no line end"],
)
def test_what_is_no_table_is_refused_by_its_head(tmp_path, content, problem):
    path = landed(tmp_path, content)
    with pytest.raises(DropRefused, match=problem):
        inspect(path, INVOICES)
    assert problem in refusal_of(path).problem


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding, end, monkeypatch):
    content = (HEADER + line("1", "CAFÉ €") + b"ragged\n" + line("2", '"a\nb"')).decode().replace("\n", end)
    for block in (7, 1_000_000):
        monkeypatch.setattr(drop_reader, "BLOCK_BYTES", block)
        rows = rows_of(landed(tmp_path, content.encode(encoding)))
        assert accounted(rows) == [(2, "1", None), (3, None, "ragged"), (4, "2", None)]
        assert [row["description"] for row in rows] == ["CAFÉ €", None, f"a{end}b"]


def test_a_utf_16_file_that_breaks_off_or_is_spoilt_costs_its_line_alone(tmp_path):
    content = (HEADER + line("1") + line("2", "?")).decode().encode("utf-16-le")
    lone = "?".encode("utf-16-le"), b"\x00\xd8"  # half of a pair
    spoilt = b"\xff\xfe" + lone[1].join(content.rsplit(lone[0], 1)) + line("3").decode().encode("utf-16-le")
    rows = rows_of(landed(tmp_path, spoilt + b"4"))
    assert [row["invoice_no"] for row in rows] == ["1", None, "3", None]


@pytest.mark.parametrize(("sign", "end"), [(";", "\n"), ("|", "\r\n"), ("\t", "\n")])
def test_the_word_of_excel_on_the_delimiter_is_no_header(tmp_path, sign, end):
    content = f"sep={sign}{end}" + (HEADER + line("1")).decode().replace(",", sign).replace("\n", end)
    assert accounted(rows_of(landed(tmp_path, content.encode()))) == [(3, "1", None)]


@pytest.mark.parametrize("content", [HEADER, HEADER.rstrip(), HEADER + b"\r\n  \n"])
def test_a_header_alone_is_a_day_without_rows(tmp_path, content):
    assert rows_of(landed(tmp_path, content)) == []


def test_what_is_there_but_no_file_is_refused(tmp_path):
    directory = tmp_path / "drop_2009-12-01.csv"
    directory.mkdir()
    assert "is a directory" in refusal_of(str(directory)).problem
    assert "is not there" in refusal_of(str(tmp_path / "gone_2009-12-01.csv")).problem


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed[:-3],
        lambda packed: packed[: len(packed) // 2] + b"\xff" * 9 + packed[len(packed) // 2 + 9 :],
        lambda packed: packed[:2],
        lambda packed: b"not packed",
    ],
    ids=["half", "without its end", "corrupt", "two bytes", "no gzip"],
)
def test_a_spoilt_gzip_is_refused(tmp_path, spoil):
    rows = b"".join(line(str(number)) for number in range(400_000, 440_000))
    path = landed(tmp_path, spoil(gzip.compress(HEADER + rows)), "drop_2009-12-01.csv.gz")
    assert "gzip" in refusal_of(path).problem


def test_gzip_is_read_like_the_plain_file(tmp_path):
    content = HEADER + line("489434") + b"ragged,line\n" + line("489435")
    plain = rows_of(landed(tmp_path, content))
    packed = rows_of(landed(tmp_path, gzip.compress(content), "drop_2009-12-01.csv.gz"))
    assert len(plain) == 3
    assert accounted(packed) == accounted(plain)


def test_ragged_lines_are_malformed_and_their_neighbours_are_not(tmp_path):
    content = HEADER + line("1") + b"2,too,few\n\n" + line("3") + line("4").replace(b"\n", b",too many\n") + line("5")
    assert accounted(rows_of(landed(tmp_path, content))) == [
        (2, "1", None),
        (3, None, "2,too,few"),
        (5, "3", None),
        (6, None, line("4").decode().rstrip("\n") + ",too many"),
        (7, "5", None),
    ]


@pytest.mark.parametrize("broken", ['"MUG', '"MUG" 12', '"MUG" "RED"'])
def test_a_broken_quote_does_not_swallow_the_lines_after_it(tmp_path, broken):
    content = HEADER + line("1") + line("2", broken) + line("3") + line("4", '"A ""B"", C"') + line("5", broken)
    assert accounted(rows_of(landed(tmp_path, content))) == [
        (2, "1", None),
        (3, None, line("2", broken).decode().rstrip("\n")),
        (4, "3", None),
        (5, "4", None),
        (6, None, line("5", broken).decode().rstrip("\n")),
    ]


def test_two_broken_quotes_do_not_swallow_the_row_between_them(tmp_path):
    # Joined, lines 2 to 4 would be one row of eight fields.
    content = HEADER + b'1,2,"open\n' + line("2") + b'shut",4,5,6,7,8\n' + line("3")
    assert accounted(rows_of(landed(tmp_path, content))) == [
        (2, None, '1,2,"open'),
        (3, "2", None),
        (4, None, 'shut",4,5,6,7,8'),
        (5, "3", None),
    ]


def test_a_quoted_field_over_several_lines_is_one_row(tmp_path):
    content = HEADER + line("1", '"RED\r\n\n""MUG"", LARGE"') + line("2")
    rows = rows_of(landed(tmp_path, content))
    assert accounted(rows) == [(2, "1", None), (5, "2", None)]
    assert rows[0]["description"] == 'RED\r\n\n"MUG", LARGE'


def test_the_first_field_over_several_lines_is_one_row(tmp_path):
    # Its last line alone would be a row that starts with the text 6".
    rows = rows_of(landed(tmp_path, HEADER + line('"48943\n6"') + line("2")))
    assert accounted(rows) == [(2, "48943\n6", None), (4, "2", None)]


def test_a_broken_quote_does_not_swallow_an_inch_mark_in_the_next_row(tmp_path):
    # Joined, the two lines would be one row of eight fields.
    rows = rows_of(landed(tmp_path, HEADER + line("1", '"MUG') + line("2", 'PLATE 12"')))
    assert accounted(rows) == [(2, None, line("1", '"MUG').rstrip().decode()), (3, "2", None)]
    assert rows[1]["description"] == 'PLATE 12"'


@pytest.mark.parametrize("lines", [30, 1000, 32_766])
def test_a_field_goes_over_as_many_lines_as_a_cell_of_a_workbook_can_hold(tmp_path, lines):
    field = "\n".join("x" * lines)
    rows = rows_of(landed(tmp_path, HEADER + line("1", f'"{field}"') + line("2")))
    assert accounted(rows) == [(2, "1", None), (lines + 2, "2", None)]
    assert rows[0]["description"] == field


def test_a_field_over_more_lines_than_that_is_a_broken_quote(tmp_path):
    content = HEADER + line("1", '"' + "\n".join("x" * 32_768) + '"') + line("2")
    rows = rows_of(landed(tmp_path, content))
    assert [row["malformed_line"] is None for row in rows] == [False] * 32_768 + [True]
    assert rows[-1]["invoice_no"] == "2"


def test_an_unclosed_quote_before_megabytes_of_no_rows_costs_its_line_alone(tmp_path):
    content = HEADER + line("1", '"open') + (b"x" * 9_999 + b"\n") * 200 + line("2")
    rows = rows_of(landed(tmp_path, content))
    assert [row["malformed_line"] is None for row in rows] == [False] * 201 + [True]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_the_header_once_more_is_no_row(tmp_path, mark, end):
    content = (HEADER + line("1") + mark + HEADER + line("2") + HEADER + HEADER + line("3")).replace(b"\n", end)
    path = landed(tmp_path, content + mark + HEADER.rstrip())
    assert accounted(rows_of(path)) == [(2, "1", None), (4, "2", None), (7, "3", None)]


def test_no_field_goes_on_over_the_header(tmp_path):
    content = HEADER + b'1,2,"open\n' + HEADER + b'shut",4,5,6,7,8\n' + line("3")
    assert accounted(rows_of(landed(tmp_path, content))) == [
        (2, None, '1,2,"open'),
        (4, None, 'shut",4,5,6,7,8'),
        (5, "3", None),
    ]


def test_only_lines_that_cannot_be_decoded_are_malformed(tmp_path):
    content = HEADER + line("1", "CAFÉ") + line("2").replace(b"MUG", "CAFÉ £".encode("cp1252")) + line("3")
    rows = rows_of(landed(tmp_path, content))
    assert [row["invoice_no"] for row in rows] == ["1", None, "3"]
    assert rows[0]["description"] == "CAFÉ"
    assert rows[1]["malformed_line"] == "2,85048,CAF\\xc9 \\xa3,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom"


def test_a_line_with_nuls_is_malformed(tmp_path):
    content = HEADER + line("1") + line("2", "M\0G") + line("3")
    rows = rows_of(landed(tmp_path, content))
    assert [row["invoice_no"] for row in rows] == ["1", None, "3"]
    assert rows[1]["malformed_line"].startswith("2,85048,M\\x00G,12")


def test_a_field_of_50_megabytes_is_read(tmp_path):
    size = 50_000_000
    content = HEADER + line("1") + line("2", "x" * size) + line("3", '"' + "y" * size + '"') + b"ragged\n" + line("4")
    rows = rows_of(landed(tmp_path, content))
    assert [row["invoice_no"] for row in rows] == ["1", "2", "3", None, "4"]
    assert [len(row["description"] or "") for row in rows] == [3, size, size, 0, 3]


def test_an_unclosed_quote_before_50_megabytes_costs_its_line_alone(tmp_path):
    content = HEADER + line("1", '"' + "x" * 50_000_000) + line("2")
    rows = rows_of(landed(tmp_path, content))
    assert [row["invoice_no"] for row in rows] == [None, "2"]


def test_a_line_beyond_any_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(drop_reader, "LONGEST_LINE", 100_000)
    monkeypatch.setattr(drop_reader, "BLOCK_BYTES", 10_000)
    path = landed(tmp_path, HEADER + line("1", "x" * 300_000))
    assert "line of more than 100,000 bytes" in refusal_of(path).problem


def test_a_file_that_changed_since_it_was_listed_is_still_being_written(tmp_path):
    path = landed(tmp_path, HEADER + line("1"))
    size, modified_ns = state_of(path)
    assert sum(batch.num_rows for batch in read_drop(path, INVOICES, size, modified_ns)) == 1
    with Path(path).open("ab") as file:
        file.write(line("2"))
    with pytest.raises(DropRefused, match="still being written"):
        next(read_drop(path, INVOICES, size, modified_ns))


def test_a_file_that_changes_while_it_is_read_is_still_being_written(tmp_path):
    path = landed(tmp_path, HEADER + line("1"))
    reading = read_drop(path, INVOICES, *state_of(path))
    assert next(reading).num_rows == 1
    os.utime(path, (1, 1))
    with pytest.raises(DropRefused, match="still being written"):
        next(reading)


def test_fields_and_lines_are_whole_across_blocks(tmp_path, monkeypatch):
    lines = [
        line(str(number), '"OVER\nTWO LINES"' if number % 5 == 0 else "MUG") if number % 7 else b"ragged\n"
        for number in range(1, 400)
    ]
    path = landed(tmp_path, HEADER + b"".join(lines))
    expected = accounted(rows_of(path))
    assert len(expected) == 399
    for block in (97, 1000, 5000):
        monkeypatch.setattr(drop_reader, "BLOCK_BYTES", block)
        monkeypatch.setattr(drop_lines, "PART_BYTES", block // 3)
        monkeypatch.setattr(drop_reader, "_HEAD_BYTES", block)
        assert accounted(rows_of(path)) == expected


def without_blanks(content: bytes) -> list[bytes]:
    """The lines that are data: neither blank nor the header."""
    return [one for one in content.split(b"\n") if one.strip(b" \t\r\v\f") and one.rstrip(b"\r") != HEADER.rstrip()]


pieces = st.sampled_from(
    [b"a", b",", b",,,,,,,", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"\xe9", "é".encode(), b"\0"]
)
whole_lines = st.sampled_from([line("1"), line("2", '"x, y"'), HEADER])
soups = st.lists(pieces | whole_lines, max_size=40).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(soup=soups, block=st.sampled_from([30, 200, 1_000_000]))
def test_every_line_of_any_soup_is_accounted_for_once(tmp_path_factory, soup, block):
    path = landed(tmp_path_factory.getbasetemp(), HEADER + soup)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drop_reader, "BLOCK_BYTES", block)
        patch.setattr(drop_lines, "PART_BYTES", block)
        rows = rows_of(path)
    lines = soup.split(b"\n")
    starts = [row["line_number"] - 2 for row in rows]
    assert starts == sorted(set(starts))
    covered: list[bytes] = []
    for row, (start, following) in zip(rows, pairwise([*starts, len(lines)]), strict=True):
        span = without_blanks(b"\n".join(lines[start:following]))
        if row["malformed_line"] is not None:
            # A malformed row is its own line; all that may follow before the next row are blank lines.
            assert len(span) == 1
            assert row["malformed_line"] == drop_lines._as_landed(lines[start])
        else:
            # A good row is its lines and nothing else: parsed strictly, they are one row.
            own = lines[start:following]
            while own[-1] + b"\n" == HEADER or not own[-1].strip(b" \t\r\v\f"):
                own.pop()
            text = b"\n".join(own).rstrip(b" \t\r\n\v\f").decode()
            (parsed,) = csv.reader(io.StringIO(text, newline=""), strict=True)
            values = [row[column] or "" for column in COLUMNS]
            assert [value.rstrip() for value in values] == [value.rstrip() for value in parsed]
        covered += span
    assert covered == without_blanks(soup)


# Unicode text of any kind; not NULs (malformed by decision), nor so many commas or line ends that a line of a field
# could be a row, or a row go over more lines than a sound one does.
characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from(',"\n\r')
texts = st.text(characters, max_size=8).filter(lambda text: text.count(",") < 2 and text.count("\n") < 3)
tables = st.lists(st.lists(texts, min_size=8, max_size=8), max_size=8)


@settings(max_examples=300, deadline=None)
@given(table=tables, quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), end=st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_wrote_is_read_back_exactly(tmp_path_factory, table, quoting, end):
    # Python's own writer leaves a lone CR without quotes if rows end with LF alone (until Python 3.13).
    assume(end == "\r\n" or quoting == csv.QUOTE_ALL or not any("\r" in value for row in table for value in row))
    written = io.StringIO(newline="")
    csv.writer(written, quoting=quoting, lineterminator=end).writerows(table)
    rows = rows_of(landed(tmp_path_factory.getbasetemp(), HEADER + written.getvalue().encode()))
    assert [[row[column] for column in COLUMNS] for row in rows] == [[value or None for value in row] for row in table]
    assert all(row["malformed_line"] is None for row in rows)


@settings(max_examples=200, deadline=None)
@given(soup=soups)
def test_the_fast_way_reads_what_the_careful_way_reads(tmp_path_factory, soup):
    path = landed(tmp_path_factory.getbasetemp(), HEADER + soup)
    fast = rows_of(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drop_lines, "_all_sound", lambda data, header: None)
        assert rows_of(path) == fast


def test_the_real_drops_are_read_whole(tmp_path, real_data):
    with tarfile.open(real_data / "online_retail_ii" / "daily_drops_2025_2026.tar.gz") as archive:
        archive.extractall(tmp_path)
    batches = [batch for path in tmp_path.rglob("*.csv") for batch in read_drop(str(path), INVOICES)]
    table = pa.Table.from_batches(batches)
    assert table.num_rows == 525_461
    assert table["malformed_line"].null_count == 525_461
    assert table["extra_columns"].null_count == 525_461
    assert len(table["source_file"].unique()) == 307
