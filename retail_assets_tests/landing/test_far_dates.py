"""A date far from the others of its landing is set aside and told, or asked about, and stretches no calendar."""

import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from retail_assets.landing.calendar import read_calendar
from retail_assets.landing.consent import ASK, NONE_GIVEN, Consent
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.far_dates import far_stretches
from retail_assets.partitions.calendar import Calendar
from retail_assets_tests.landing.landings import HEADER, TODAY, file, invoices, lands, line, refused, rows

FEBRUARY = [f"2011-02-{day:02}" for day in range(1, 29)]


@pytest.fixture
def zone(tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing"))


def month(directory: Path, *strays: str, name: str = "february.csv") -> Path:
    """Four lines a day, and after the tenth the strays."""
    lines = [line(number, FEBRUARY[number // 4]) for number in range(4 * len(FEBRUARY))]
    lines[40:40] = [line(1000 + number, stray) for number, stray in enumerate(strays)]
    return file(directory, HEADER + "".join(lines), name)


@pytest.mark.parametrize("stray", ["1974-02-11", "1970-01-01", "2010-02-11", "2012-02-11"])
def test_a_single_date_far_from_the_others_is_set_aside_and_told(tmp_path, zone, stray):
    told = lands([month(tmp_path, stray)], zone)
    (aside,) = told.set_aside
    assert (str(aside.day), aside.rows, aside.name, aside.line, str(aside.target)) == (
        stray,
        1,
        "february.csv",
        42,
        "2011-02-10",
    )
    assert told.calendar == read_calendar(zone.root, "online_retail", {}, TODAY)
    assert told.calendar == Calendar(date(2011, 2, 1), date(2011, 2, 28))
    landed = invoices(zone)
    assert len(landed) == 28
    assert landed["online_retail_2011-02-10.csv"] == ["36", "37", "38", "39", "1000"]
    assert sum(map(len, landed.values())) == told.rows == 113


def test_the_option_keeps_a_far_date_as_a_day_of_its_own(tmp_path, zone):
    told = lands([month(tmp_path, "1974-02-11")], zone, Consent(far_dates="keep"))
    assert told.set_aside == []
    assert told.first_day == date(1974, 2, 11)
    assert invoices(zone)["online_retail_1974-02-11.csv"] == ["1000"]


def test_lines_without_a_date_stay_with_the_far_row_before_them(tmp_path, zone):
    content = (
        month(tmp_path, "1974-02-11").read_text().replace(line(1000, "1974-02-11"), line(1000, "1974-02-11") + '"')
    )
    told = lands([file(tmp_path, content)], zone)
    assert (told.malformed, told.set_aside[0].rows) == (1, 2)
    read = rows(zone)
    assert len(read) == told.rows
    assert [row["invoice_no"] for row in read if row["source_file"].endswith("02-10.csv")][-2:] == ["1000", None]


def test_far_dates_of_files_with_other_columns_keep_their_columns(tmp_path, zone):
    other = HEADER.replace("\n", ",Channel\n") + line(2000, "1974-02-11").replace("\n", ",web\n")
    told = lands([month(tmp_path), file(tmp_path, other, "other.csv")], zone)
    assert [aside.name for aside in told.set_aside] == ["other.csv"]
    (row,) = [row for row in rows(zone) if row["invoice_no"] == "2000"]
    assert row["extra_columns"] == [("Channel", "web")]
    assert row["malformed_line"] is None


def test_many_rows_far_away_are_asked_about(tmp_path, zone):
    path = month(tmp_path, *["1974-02-11"] * 30)
    problem = refused([path], zone)
    assert (
        "dates lie more than 730 days from the others, 2011-02-01 to 2011-02-28 (112 rows): 1974-02-11 (30 rows)"
        in problem
    )
    assert "--far-dates keep or --far-dates set-aside lands the files" in problem
    told = lands([path], zone, Consent(far_dates="set-aside"))
    assert [aside.rows for aside in told.set_aside] == [30]
    assert told.calendar.first_day == date(2011, 2, 1)


def test_a_landing_all_of_which_is_far_from_the_calendar_is_asked_about(tmp_path, zone):
    lands([month(tmp_path)], zone)
    path = file(tmp_path, HEADER + line(1, "1974-02-11"), "slipped.csv")
    problem = refused([path], zone)
    assert "from the calendar, 2011-02-01 to 2011-02-28: 1974-02-11 (1 row)" in problem
    assert "--far-dates keep lands the files" in problem
    assert "set-aside" not in problem
    assert lands([path], zone, Consent(far_dates="keep")).calendar.first_day == date(1974, 2, 11)


def test_late_rows_within_the_calendar_are_not_far(tmp_path, zone):
    lands([file(tmp_path, HEADER + line(1, "2009-12-01") + line(2, "2011-02-28"), "first.csv")], zone)
    told = lands([month(tmp_path, "2009-12-02")], zone)
    assert told.set_aside == []
    assert "online_retail_2009-12-02.csv" in invoices(zone)


def test_a_day_that_only_a_files_name_tells_may_be_far_too(tmp_path, zone):
    told = lands([month(tmp_path), file(tmp_path, HEADER, "sales_1974-02-11.csv")], zone)
    assert [(aside.name, aside.rows) for aside in told.set_aside] == [("sales_1974-02-11.csv", 0)]
    assert len(invoices(zone)) == 28


def test_a_drop_put_there_by_hand_starts_no_calendar_far_before_the_others(zone, tmp_path):
    for day in ["1974-02-11", "2026-02-01", "2026-03-02"]:
        file(Path(zone.directory("online_retail")), HEADER, f"sales_{day}.csv")
    assert read_calendar(zone.root, "online_retail", {}, TODAY) == Calendar(date(2026, 2, 1), None)
    shutil.rmtree(zone.root)
    file(Path(zone.directory("online_retail")), HEADER, "sales_1974-02-11.csv")
    assert read_calendar(zone.root, "online_retail", {}, TODAY) == Calendar(date(1974, 2, 11), None)


A_YEAR_OF_ROWS = {date(2011, month, 1): 100 for month in range(1, 13)}
KEPT = Calendar(date(2009, 1, 1), date(2011, 12, 31))


@pytest.mark.parametrize(
    ("more", "kept", "far"),
    [
        ({date(2010, 7, 4): 1}, None, []),  # 180 days between
        ({date(2010, 7, 3): 1}, None, ["2010-07-03 (1 row)"]),
        ({date(2009, 1, 5): 12}, None, ["2009-01-05 (12 rows)"]),  # a hundredth
        ({date(2010, 1, 5): 13}, None, []),  # more, but less than two years away
        ({date(2009, 1, 5): 12}, KEPT, []),
        ({date(1999, 1, 5): 12}, KEPT, ["1999-01-05 (12 rows)"]),
        ({date(1999, 1, 5): 6, date(2024, 1, 1): 5}, None, ["1999-01-05 (6 rows)", "2024-01-01 (5 rows)"]),
    ],
)
def test_what_is_far_and_what_are_few(more: Mapping[date, int], kept: Calendar | None, far: list[str]):
    assert [str(one) for one in far_stretches(A_YEAR_OF_ROWS | dict(more), kept, "x", NONE_GIVEN)] == far


@pytest.mark.parametrize("rows", [{date(2010, 12, 1): 1, date(2011, 12, 9): 1}, {date(2011, 12, 9): 0}])
def test_of_a_few_rows_none_is_few(rows: Mapping[date, int]):
    assert far_stretches(rows, None, "x", NONE_GIVEN) == []


def test_only_what_is_asked_about_can_be_refused():
    rows = {date(2011, 1, 1): 10, date(2008, 1, 1): 5}
    with pytest.raises(DropRefused, match="--far-dates keep"):
        far_stretches(rows, None, "x", NONE_GIVEN)
    assert far_stretches(rows, None, "x", Consent(far_dates=ASK, ask=lambda question: "keep")) == []
