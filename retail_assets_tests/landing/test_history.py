"""History lands as one drop a day, with every line as it was written, or not at all."""

import fcntl
import gzip
import os
import shutil
from datetime import date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from upath import UPath

from retail_assets.landing import drop_lines, drop_reader, exchange, staging
from retail_assets.landing.calendar import read_calendar
from retail_assets.landing.consent import Consent
from retail_assets.landing.drop_reader import read_drop
from retail_assets.landing.drops import Drop, LandingZone
from retail_assets.landing.history import land
from retail_assets.partitions.calendar import Calendar
from retail_assets_tests.landing.landings import HEADER, TODAY, file, line, refused, snapshot, workbook
from retail_assets_tests.made_shop import INVOICES


@pytest.fixture
def zone(tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing"))


def landed(zone: LandingZone) -> dict[str, str]:
    """The content of each drop without its header, by name."""
    drops = zone.drops("online_retail")
    assert zone.oddities("online_retail") == []
    return {drop.name: UPath(drop.path).read_text("utf-8").partition("\n")[2] for drop in drops}


def test_interleaved_days_become_one_drop_each_in_the_order_of_their_lines(tmp_path, zone):
    days = ["2010-12-01 08:26:00", "2010-12-02", "2010-12-01T09:00:00", "2010-12-02 10:00:00"]
    lines = [line(number, written) for number, written in enumerate(days)]
    told = land([file(tmp_path, HEADER + "".join(lines))], zone, INVOICES, today=TODAY)
    assert landed(zone) == {
        "online_retail_2010-12-01.csv": lines[0] + lines[2],
        "online_retail_2010-12-02.csv": lines[1] + lines[3],
    }
    assert (told.rows, told.malformed, told.undated, told.first_day, told.last_day) == (
        4,
        0,
        0,
        date(2010, 12, 1),
        date(2010, 12, 2),
    )
    assert told.drops == list(landed(zone))


def test_values_keep_the_text_of_the_source(tmp_path, zone):
    odd = line(1, "2010-12-01").replace(",12,", ',"1,200",').replace("MUG", '" ""RED"" MUG "').replace("13085.0", "")
    land([file(tmp_path, HEADER + odd)], zone, INVOICES, today=TODAY)
    assert landed(zone) == {"online_retail_2010-12-01.csv": odd}


def test_lines_that_cannot_be_read_go_with_the_row_before_them(tmp_path, zone):
    first, second = line(1, "2010-12-01"), line(2, "2010-12-02")
    undated, ragged, quote = line(3, "yesterday"), "4,too,few\n", line(5, "2010-12-05", '"MUG')
    undecodable = line(6, "2010-12-06", "CAFÉ").encode("cp1252")
    content = (HEADER + undated + first + ragged + second + quote).encode() + undecodable + (undated + first).encode()
    told = land([file(tmp_path, content)], zone, INVOICES, today=TODAY)
    drops = {drop.name: UPath(drop.path).read_bytes() for drop in zone.drops("online_retail")}
    assert drops == {
        "online_retail_2010-12-01.csv": (HEADER + undated + first + ragged + first).encode(),
        "online_retail_2010-12-02.csv": (HEADER + second + quote).encode() + undecodable + undated.encode(),
    }
    assert (told.rows, told.malformed, told.undated) == (8, 3, 2)
    rows = [
        row
        for drop in zone.drops("online_retail")
        for batch in read_drop(drop.path, INVOICES)
        for row in batch.to_pylist()
    ]
    assert len(rows) == 8
    assert sum(row["malformed_line"] is not None for row in rows) == 3


def test_a_slip_of_the_pen_in_the_year_does_not_stretch_the_calendar(tmp_path, zone):
    content = HEADER + line(1, "2010-12-01") + line(2, "0210-12-01") + line(3, "2110-12-01")
    told = land([file(tmp_path, content)], zone, INVOICES, today=TODAY)
    assert told.undated == 2
    assert list(landed(zone)) == ["online_retail_2010-12-01.csv"]


def test_landing_again_changes_nothing_not_even_a_fingerprint(tmp_path, zone):
    path = file(tmp_path, HEADER + line(1, "2010-12-01") + line(2, "2010-12-02"))
    first = land([path], zone, INVOICES, today=TODAY)
    before, drops = snapshot(zone), zone.drops("online_retail")
    assert land([path], zone, INVOICES, today=TODAY) == first
    assert snapshot(zone) == before
    assert zone.drops("online_retail") == drops


def test_a_corrected_history_replaces_its_days_and_no_others(tmp_path, zone):
    first = land([file(tmp_path, HEADER + line(1, "2010-12-01") + line(2, "2010-12-02"))], zone, INVOICES, today=TODAY)
    corrected = HEADER + line(3, "2010-12-02") + line(4, "2010-12-03")
    second = land([file(tmp_path, corrected)], zone, INVOICES, today=TODAY)
    assert (first.replaced, second.replaced) == ([], [date(2010, 12, 2)])
    assert landed(zone) == {
        "online_retail_2010-12-01.csv": line(1, "2010-12-01"),
        "online_retail_2010-12-02.csv": line(3, "2010-12-02"),
        "online_retail_2010-12-03.csv": line(4, "2010-12-03"),
    }


def test_files_of_a_day_add_up_whatever_the_order_they_are_named_in(tmp_path, zone):
    a = file(tmp_path, HEADER + line(1, "2010-12-01").rstrip("\n"), "a.csv")
    b = file(tmp_path, gzip.compress((HEADER + line(2, "2010-12-01")).encode()), "b.csv.gz")
    land([b, a, b], zone, INVOICES, today=TODAY)
    assert landed(zone) == {"online_retail_2010-12-01.csv": line(1, "2010-12-01") + line(2, "2010-12-01")}


def test_headers_that_say_the_same_share_a_drop(tmp_path, zone):
    other = HEADER.replace("Invoice,", "InvoiceNo,").replace("Price", "UnitPrice").replace("Customer ID", "CustomerID")
    a = file(tmp_path, HEADER + line(1, "2010-12-01"), "a.csv")
    b = file(tmp_path, "\ufeff" + other + line(2, "2010-12-01"), "b.csv")
    land([a, b], zone, INVOICES, today=TODAY)
    assert landed(zone) == {"online_retail_2010-12-01.csv": line(1, "2010-12-01") + line(2, "2010-12-01")}


def test_files_of_other_columns_give_a_day_a_second_drop(tmp_path, zone):
    a = file(tmp_path, HEADER + line(1, "2010-12-01"), "a.csv")
    with_channel = HEADER.replace("\n", ",Channel\n") + line(2, "2010-12-01").replace("\n", ",web\n")
    b = file(tmp_path, with_channel + "short,by,one,,,,,\n" + line(3, "2010-12-02").replace("\n", ",\n"), "b.csv")
    land([a, b], zone, INVOICES, today=TODAY)
    assert list(landed(zone)) == [
        "online_retail_2010-12-01.csv",
        "online_retail_2010-12-01_2.csv",
        "online_retail_2010-12-02.csv",
    ]
    rows = [
        (row["invoice_no"], row["extra_columns"], row["malformed_line"])
        for drop in zone.drops("online_retail")
        for batch in read_drop(drop.path, INVOICES)
        for row in batch.to_pylist()
    ]
    assert rows == [
        ("1", None, None),
        ("2", [("Channel", "web")], None),
        (None, None, "short,by,one,,,,,"),
        ("3", [("Channel", None)], None),
    ]
    replacing = Consent(fewer_rows="replace")
    assert land([b], zone, INVOICES, today=TODAY, consent=replacing).replaced == [date(2010, 12, 1)]
    assert list(landed(zone)) == ["online_retail_2010-12-01.csv", "online_retail_2010-12-02.csv"]
    assert "web" in landed(zone)["online_retail_2010-12-01.csv"]


@pytest.mark.parametrize(
    ("dates", "days"),
    [
        (["12/1/2010 8:26", "12/13/2010 8:26"], ["2010-12-01", "2010-12-13"]),
        (["1/12/2010 8:26", "13/12/2010 8:26"], ["2010-12-01", "2010-12-13"]),
        (["01.12.2010", "13.12.2010 08:26"], ["2010-12-01", "2010-12-13"]),
        (["7/7/2010", "8/8/2010"], ["2010-07-07", "2010-08-08"]),
        (["2010-12-01", "12/13/2010"], ["2010-12-01", "2010-12-13"]),
    ],
)
def test_written_dates_are_read_by_what_the_file_tells(tmp_path, zone, dates, days):
    lines = [line(number, written) for number, written in enumerate(dates)]
    land([file(tmp_path, HEADER + "".join(lines))], zone, INVOICES, today=TODAY)
    assert landed(zone) == {f"online_retail_{day}.csv": kept for day, kept in zip(days, lines, strict=True)}


@pytest.mark.parametrize(
    "written",
    ["12/13/2010 8:26 AM", "13.12.2010 8 Uhr", "13.12.10", "2010-12-13 8:26 PM", "2010-12-13 (Monday)", "2010-12-13T"],
)
def test_dates_that_silver_could_not_read_do_not_land(tmp_path, zone, written):
    problem = refused([file(tmp_path, HEADER + line(1, written))], zone)
    assert f"has no date that can be read in the column invoice_ts, but {written!r}" in problem
    assert "Write dates as 2010-12-01 or 2010-12-01 08:26:00." in problem


def test_dates_that_could_be_either_are_refused(tmp_path, zone):
    problem = refused([file(tmp_path, HEADER + line(1, "12/1/2010") + line(2, "12/2/2010"))], zone)
    assert "history.csv" in problem
    assert "month first or the day" in problem


def test_dates_that_contradict_each_other_are_refused(tmp_path, zone):
    problem = refused([file(tmp_path, HEADER + line(1, "12/13/2010") + line(2, "13/12/2010"))], zone)
    assert "history.csv" in problem
    assert "'13/12/2010'" in problem


def test_a_workbook_lands_as_its_csv_would(tmp_path, zone):
    header = HEADER.rstrip("\n").split(",")
    path = workbook(
        tmp_path / "online_retail_II.xlsx",
        {
            "Year 2009-2010": [
                header,
                [489434, 85048, "GLASS, 15CM", 12, datetime(2010, 12, 1, 7, 45), 6.95, 13085, "EIRE"],
                ["C489435", "79323P", None, -1, datetime(2010, 12, 1, 7, 46), 2, None, "EIRE"],
            ],
            "Notes": [["taken from UCI"]],
            "Year 2010-2011": [header, [489436, "POST", "MUG", 1, datetime(2010, 12, 2), 0.001, 13085, "EIRE"], [None]],
        },
    )
    told = land([path], zone, INVOICES, today=TODAY)
    assert told.rows == 3
    assert landed(zone) == {
        "online_retail_2010-12-01.csv": '489434,85048,"GLASS, 15CM",12,2010-12-01 07:45:00,6.95,13085,EIRE\n'
        "C489435,79323P,,-1,2010-12-01 07:46:00,2,,EIRE\n",
        "online_retail_2010-12-02.csv": "489436,POST,MUG,1,2010-12-02,0.001,13085,EIRE\n",
    }


def test_a_workbook_without_the_columns_is_refused(tmp_path, zone):
    problem = refused([workbook(tmp_path / "a.xlsx", {"Notes": [["Invoice", "Price"]], "Empty": []})], zone)
    assert "a.xlsx" in problem
    assert "'Notes' has no column for stock_code" in problem
    assert "workbook" in refused([file(tmp_path, b"PK\x03\x04 spoilt", "b.xlsx")], zone)


def test_one_file_that_cannot_land_keeps_all_from_landing(tmp_path, zone):
    good = file(tmp_path, HEADER + line(1, "2010-12-01"), "a.csv")
    land([good], zone, INVOICES, today=TODAY)
    newer = file(tmp_path, HEADER + line(2, "2010-12-01") + line(3, "2010-12-02"), "a.csv")
    lacking = file(tmp_path, HEADER.replace(",Price", ""), "b.csv")
    assert "unit_price (Price or UnitPrice)" in refused([newer, lacking], zone)
    packed = gzip.compress((HEADER + "".join(line(n, "2010-12-02") for n in range(9999))).encode())
    assert "c.csv.gz: is a truncated" in refused([newer, file(tmp_path, packed[:-20], "c.csv.gz")], zone)
    undated = file(tmp_path, HEADER + line(1, "Friday"), "d.csv")
    assert "d.csv: has no date that can be read in the column invoice_ts, but 'Friday'" in refused(
        [newer, undated], zone
    )
    assert landed(zone) == {"online_retail_2010-12-01.csv": line(1, "2010-12-01")}


@pytest.mark.parametrize(
    ("name", "problem"),
    [("gone.csv", "is not there"), ("directory", "is a directory"), ("drops.tar.gz", "is none of")],
)
def test_what_is_no_history_is_refused(tmp_path, zone, name, problem):
    (tmp_path / "directory").mkdir()
    file(tmp_path, b"x", "drops.tar.gz")
    assert problem in refused([tmp_path / name], zone)


def test_a_header_alone_says_that_a_day_had_no_rows_if_the_name_tells_the_day(tmp_path, zone):
    assert "no rows" in refused([file(tmp_path, HEADER)], zone)
    land([file(tmp_path, HEADER, "sales_2026-12-25.csv")], zone, INVOICES, today=TODAY)
    assert landed(zone) == {"online_retail_2026-12-25.csv": ""}


def test_drops_of_the_zone_do_not_land_again_under_another_name(tmp_path, zone):
    (Path(zone.root) / "online_retail").mkdir(parents=True)
    drop = file(Path(zone.root) / "online_retail", HEADER + line(1, "2010-12-01"), "2010-12-01_sales.csv")
    assert "in the landing zone already" in refused([drop], zone)


def test_generated_data_is_not_mixed_with_history(tmp_path, zone):
    (Path(zone.root) / "online_retail").mkdir(parents=True)
    file(Path(zone.root) / "online_retail", "{}", "_generated.json")
    assert "make clean" in refused([file(tmp_path, HEADER + line(1, "2010-12-01"))], zone)


def test_two_landings_at_once_do_not_mix(tmp_path, zone):
    path = file(tmp_path, HEADER + line(1, "2010-12-01"))
    land([path], zone, INVOICES, today=TODAY)
    other = os.open(Path(zone.root) / "online_retail", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert "another landing" in refused([path], zone)
    os.close(other)
    assert land([path], zone, INVOICES, today=TODAY).rows == 1


def drops_there(zone: LandingZone) -> list[Drop]:
    """Also while a landing is under way."""
    return zone.listed("online_retail")[0]


class Killed(BaseException):
    """As sudden as a signal."""


@pytest.mark.parametrize("survived", range(4))
def test_a_landing_that_was_killed_is_completed_by_landing_again(tmp_path, zone, monkeypatch, survived):
    path = file(tmp_path, HEADER + "".join(line(day, f"2010-12-0{day}") for day in range(1, 5)))
    put = exchange.put

    def put_until_killed(staged: Path, target: UPath) -> None:
        if len(drops_there(zone)) == survived:
            raise Killed
        put(staged, target)

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "put", put_until_killed)
        # The process that is killed does not tidy up either.
        patch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
        with pytest.raises(Killed):
            land([path], zone, INVOICES, today=TODAY)
    assert list((Path(zone.root) / "online_retail" / ".landing").iterdir()) != []
    assert all(UPath(drop.path).read_text().startswith(HEADER) for drop in drops_there(zone))
    land([path], zone, INVOICES, today=TODAY)
    expected = {f"online_retail_2010-12-0{day}.csv": line(day, f"2010-12-0{day}") for day in range(1, 5)}
    assert landed(zone) == expected
    assert not (Path(zone.root) / "online_retail" / ".landing").exists()


def test_the_calendar_is_kept_closed_for_old_history_and_open_for_a_living_one(tmp_path, zone):
    told = land([file(tmp_path, HEADER + line(1, "2010-12-01") + line(2, "2011-12-09"))], zone, INVOICES, today=TODAY)
    assert told.calendar == Calendar(date(2010, 12, 1), date(2011, 12, 9))
    assert read_calendar(zone.root, "online_retail", {}, TODAY) == told.calendar
    years_later = Consent(far_dates="keep")
    told = land([file(tmp_path, HEADER + line(1, "2026-11-19"))], zone, INVOICES, today=TODAY, consent=years_later)
    assert read_calendar(zone.root, "online_retail", {}, TODAY) == Calendar(date(2010, 12, 1), None) == told.calendar


def test_it_lands_in_an_object_store(tmp_path):
    zone = LandingZone(f"memory://landing-{uuid4().hex}")
    path = file(tmp_path, HEADER + line(1, "2010-12-01") + line(2, "2010-12-02"))
    for _ in range(2):
        land([path], zone, INVOICES, today=TODAY)
        assert landed(zone) == {
            "online_retail_2010-12-01.csv": line(1, "2010-12-01"),
            "online_retail_2010-12-02.csv": line(2, "2010-12-02"),
        }


def test_little_memory_gives_the_same_drops(tmp_path, zone, monkeypatch):
    dates = [f"2010-12-0{1 + number // 60}" if number % 3 == 0 else "undated" for number in range(500)]
    rows = [line(number, dates[number], '"TWO\nLINES"' if number % 4 else "MUG") for number in range(500)]
    path = file(tmp_path, HEADER + "".join(rows))
    land([path], zone, INVOICES, today=TODAY)
    expected = landed(zone)
    assert sum(content.count("85048") for content in expected.values()) == 500
    monkeypatch.setattr(drop_reader, "BLOCK_BYTES", 500)
    monkeypatch.setattr(drop_lines, "PART_BYTES", 100)
    monkeypatch.setattr(staging, "BYTES_IN_MEMORY", 1000)
    elsewhere = LandingZone(f"{zone.root}-2")
    land([path], elsewhere, INVOICES, today=TODAY)
    assert landed(elsewhere) == expected


def test_progress_tells_the_file_and_the_rows_so_far(tmp_path, zone):
    told: list[tuple[str, int]] = []
    files = [file(tmp_path, HEADER + line(1, "2010-12-01"), name) for name in ("a.csv", "b.csv")]
    land(files, zone, INVOICES, lambda name, rows: told.append((name, rows)), TODAY)
    assert told == [("a.csv", 1), ("b.csv", 2)]


def test_the_published_history_lands_whole(real_data, zone):
    path = real_data / "online_retail_ii" / "online_retail_ii.csv.gz"
    told = land([path], zone, INVOICES, today=TODAY)
    assert (told.rows, told.malformed, told.undated, len(told.drops)) == (1_067_371, 0, 0, 604)
    assert told.calendar == Calendar(date(2009, 12, 1), date(2011, 12, 9))
    with gzip.open(path, "rb") as source:
        lines = source.read().splitlines()[1:]
    drops = [UPath(drop.path).read_bytes().splitlines()[1:] for drop in zone.drops("online_retail")]
    assert sorted(row for drop in drops for row in drop) == sorted(lines)
