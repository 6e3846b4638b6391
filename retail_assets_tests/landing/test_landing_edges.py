"""What surrounds the rows: names, sheets, other people's drops, disks, pipes, and landings that end in the middle."""

import gzip
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from retail_assets.landing import drop_lines, drop_reader, exchange, history_files
from retail_assets.landing.calendar import CALENDAR_FILE, read_calendar
from retail_assets.landing.consent import Consent, Question
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import MARK, LandingUnderWay, LandingZone, ZoneRefused
from retail_assets.landing.exchange import REPLACED
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import SettingError
from retail_assets_tests.landing.landings import (
    HEADER,
    TODAY,
    file,
    invoices,
    lands,
    line,
    refused,
    rows,
    snapshot,
    workbook,
)

COLUMNS = HEADER.rstrip("\n").split(",")


@pytest.fixture
def zone(tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing"))


def cells(invoice: int, day: int, description: str = "MUG") -> list[Any]:
    return [invoice, "85048", description, 12, datetime(2010, 12, day, 8, 26), 6.95, 13085, "EIRE"]


def drop(zone: LandingZone, name: str, content: str) -> Path:
    """A drop that landing did not make."""
    return file(Path(zone.directory("online_retail")), content, name)


# Names ---------------------------------------------------------------------------------------------------------------


def test_workbooks_of_one_name_in_two_directories_are_two_workbooks(tmp_path, zone):
    books = [
        workbook(tmp_path / directory / "sales.xlsx", {"Sheet1": [COLUMNS, cells(number, 1)]})
        for number, directory in enumerate(["a", "b"], start=1)
    ]
    assert lands(books, zone).rows == 2
    assert invoices(zone) == {"online_retail_2010-12-01.csv": ["1", "2"]}


@pytest.mark.parametrize("ending", [".xlsx", ".csv", ".csv.gz"])
def test_a_file_may_have_the_longest_name_there_is(tmp_path, zone, ending):
    name = "n" * (255 - len(ending)) + ending
    content = (HEADER + line(1, "2010-12-01")).encode()
    if ending == ".xlsx":
        path = workbook(tmp_path / name, {"Sheet1": [COLUMNS, cells(1, 1)]})
    else:
        path = file(tmp_path, gzip.compress(content) if ending == ".csv.gz" else content, name)
    lands([path], zone)
    assert invoices(zone) == {"online_retail_2010-12-01.csv": ["1"]}


def test_files_of_one_name_are_told_apart_in_what_is_said(tmp_path, zone):
    good = file(tmp_path / "a", HEADER + line(1, "2010-12-01"), "sales.csv")
    undated = file(tmp_path / "b", HEADER + line(1, "Friday"), "sales.csv")
    assert str(undated) in refused([good, undated], zone)


def test_a_file_named_by_a_link_and_by_a_hard_link_lands_once(tmp_path, zone):
    path = file(tmp_path, HEADER + line(1, "2010-12-01"))
    (tmp_path / "link.csv").symlink_to(path)
    (tmp_path / "hard.csv").hardlink_to(path)
    assert lands([path, tmp_path / "link.csv", tmp_path / "hard.csv"], zone).rows == 1


@pytest.mark.parametrize("day", ["0210-12-01", "1969-12-31", "2028-01-01", "9999-12-31"])
def test_the_day_in_the_name_of_a_header_alone_is_held_to_the_plausible_years(tmp_path, zone, day):
    problem = refused([file(tmp_path, HEADER, f"sales_{day}.csv")], zone)
    assert f"sales_{day}.csv: has the day {day} in its name, which cannot be" in problem


@pytest.mark.parametrize("day", ["0210-12-01", "9999-12-31"])
def test_no_calendar_has_days_beyond_the_plausible_years(tmp_path, zone, day):
    drop(zone, f"sales_{day}.csv", HEADER)
    drop(zone, "sales_2026-02-01.csv", HEADER)
    assert read_calendar(zone.root, "online_retail", {}, TODAY) == Calendar(date(2026, 2, 1), None)
    for which in ("FIRST", "LAST"):
        variable = f"RETAIL_ONLINE_RETAIL_{which}_DAY"
        with pytest.raises(SettingError, match=f"{variable}='{day}' is no day of a shop"):
            read_calendar(zone.root, "online_retail", {variable: day}, TODAY)
    written = f'{{"first_day": "2009-12-01", "last_day": "{day}"}}'
    drop(zone, CALENDAR_FILE, written)
    with pytest.raises(SettingError, match=CALENDAR_FILE):
        read_calendar(zone.root, "online_retail", {}, TODAY)


# Sheets --------------------------------------------------------------------------------------------------------------


def test_a_sheet_that_misses_a_column_beside_one_that_has_them_all_is_named(tmp_path, zone):
    without_price = [[cell for cell in row if cell not in ("Price", 6.95)] for row in [COLUMNS, cells(2, 2)]]
    book = workbook(tmp_path / "a.xlsx", {"2010": [COLUMNS, cells(1, 1)], "2011": without_price})
    problem = refused([book], zone)
    assert "a.xlsx (sheet '2011'): has no column for unit_price (Price or UnitPrice)" in problem


def test_a_sheet_that_is_no_table_of_invoices_is_left_out_and_told(tmp_path, zone):
    sheets: dict[str, list[list[Any]]] = {
        "Data": [COLUMNS, cells(1, 1)],
        "Summary": [["Country", "Revenue"], ["EIRE", 3]],
        "Empty": [],
    }
    told = lands([workbook(tmp_path / "a.xlsx", sheets)], zone)
    assert told.rows == 1
    (left_out,) = told.left_out
    assert left_out.startswith("a.xlsx: the sheet 'Summary' has no column for invoice_no (Invoice or InvoiceNo), ")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"line {number}" for number in range(30)),
        "\n\n".join("x" * 3000),
        "a_x000D_b",
        "a_x000D_\nb",
        "a\r\nb",
        "1,2,3,4,5,6,7,8\n1;2;3;4;5;6;7;8",
        'said "yes"\n"no"',
        "2010-12-05\n",
    ],
    ids=["30 lines", "6000 lines", "CR", "CRLF", "raw CRLF", "rows", "quotes", "date"],
)
def test_a_cell_of_many_lines_is_one_cell_of_one_row(tmp_path, zone, text):
    sheet = [COLUMNS, cells(1, 1), cells(2, 2, text), cells(3, 3)]
    told = lands([workbook(tmp_path / "a.xlsx", {"Sheet1": sheet})], zone)
    assert (told.rows, told.malformed) == (3, 0)
    assert invoices(zone) == {f"online_retail_2010-12-0{day}.csv": [str(day)] for day in (1, 2, 3)}
    # XML makes line feeds of carriage returns, unless they are written as _x000D_.
    read = text.replace("\r\n", "\n").replace("\r", "\n").replace("_x000D_", "\r")
    assert [row["description"] for row in rows(zone)] == ["MUG", read, "MUG"]


# Rows ----------------------------------------------------------------------------------------------------------------


def test_files_whose_ends_meet_in_an_open_quote_keep_their_rows(tmp_path, zone):
    a = file(tmp_path, HEADER + line(1, "2010-12-01") + '2,85048,"open', "a.csv")
    b = file(tmp_path, HEADER + 'shut",12,2010-12-01,1,2,3\n' + line(4, "2010-12-01") + line(5, "2010-12-01"), "b.csv")
    told = lands([a, b], zone)
    assert (told.rows, told.malformed) == (5, 2)
    read = rows(zone)
    assert [row["invoice_no"] for row in read] == ["1", None, None, "4", "5"]
    assert [row["malformed_line"] for row in read if row["malformed_line"]] == [
        '2,85048,"open',
        'shut",12,2010-12-01,1,2,3',
    ]


def test_lines_that_come_to_stand_beside_each_other_by_their_day_keep_their_rows(tmp_path, zone):
    # Without the row of another day between them, the open line and the inch mark would be one row of eight fields.
    content = line(1, "2010-12-01") + '2,85048,"open\n' + line(3, "2010-12-02") + line(4, "2010-12-01", 'PLATE 12"')
    told = lands([file(tmp_path, HEADER + content)], zone)
    assert (told.rows, told.malformed) == (4, 1)
    assert invoices(zone) == {"online_retail_2010-12-01.csv": ["1", None, "4"], "online_retail_2010-12-02.csv": ["3"]}


@pytest.mark.parametrize(
    "before",
    [line(1, "unknown") * 2000, "x" * 100_000 + "\n", line(1, "unknown") * 2000 + "x" * 100_000 + "\n"],
    ids=["2,000 undated rows", "a long malformed one", "both"],
)
def test_a_file_whose_first_date_comes_late_lands(tmp_path, zone, monkeypatch, before):
    monkeypatch.setattr(drop_reader, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(drop_lines, "PART_BYTES", 4096)
    told = lands([file(tmp_path, HEADER + before + line(2, "2010-12-01"))], zone)
    assert told.rows == len(rows(zone)) == before.count("\n") + 1
    assert list(invoices(zone)) == ["online_retail_2010-12-01.csv"]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + line(1, "x" * 1_000_000),
        HEADER + line(1, "12/1/2010" + " " * 1_000_000),
        HEADER.replace("Country", "x" * 1_000_000) + line(1, "2010-12-01"),
        HEADER.replace("Country", "Country," + ",".join(["x" * 500_000] * 2)) + line(1, "2010-12-01"),
        "x" * 1_000_000,
    ],
    ids=["date", "date of two readings", "header", "header twice", "no table"],
)
def test_no_message_is_longer_than_people_read(tmp_path, zone, content):
    assert len(refused([file(tmp_path, content)], zone)) < 1500


# Drops that landing did not make -------------------------------------------------------------------------------------

LATE = "online_retail_2010-12-02_late.csv"


@pytest.mark.parametrize("name", ["online_retail_2010-12-02.csv.gz", "sales_2010-12-02.csv", LATE])
def test_drops_of_others_are_asked_about(tmp_path, zone, name):
    theirs = drop(zone, name, HEADER + line(9, "2010-12-02"))
    if name.endswith(".gz"):
        theirs.write_bytes(gzip.compress(theirs.read_bytes()))
    path = file(tmp_path, HEADER + line(1, "2010-12-01") + line(2, "2010-12-02"))
    problem = refused([path], zone)
    assert f"drops lie there that landing did not make: {name}." in problem
    assert "--other-drops replace or --other-drops keep" in problem

    lands([path], zone, Consent(other_drops="keep"))
    assert invoices(zone) == {
        "online_retail_2010-12-01.csv": ["1"],
        name: ["9"],
        "online_retail_2010-12-02.csv": ["2"],
    }
    assert theirs.exists()
    told = lands([path], zone, Consent(other_drops="replace", fewer_rows="replace"))
    assert told.replaced == [date(2010, 12, 2)]
    assert invoices(zone) == {"online_retail_2010-12-01.csv": ["1"], "online_retail_2010-12-02.csv": ["2"]}
    assert told.landing
    assert (theirs.parent / REPLACED / told.landing / name).exists(), "what is replaced is kept"


def test_a_drop_of_others_that_has_our_name_is_kept_beside_ours(tmp_path, zone):
    drop(zone, "online_retail_2010-12-02.csv", HEADER + line(9, "2010-12-02"))
    path = file(tmp_path, HEADER + line(2, "2010-12-02"))
    lands([path], zone, Consent(other_drops="keep"))
    kept = {"online_retail_2010-12-02.csv": ["9"], "online_retail_2010-12-02_2.csv": ["2"]}
    assert invoices(zone) == kept
    lands([path], zone, Consent(other_drops="keep"))
    assert invoices(zone) == kept


def test_a_drop_of_ours_that_somebody_corrected_is_theirs(tmp_path, zone):
    path = file(tmp_path, HEADER + line(1, "2010-12-01"))
    lands([path], zone)
    drop(zone, "online_retail_2010-12-01.csv", HEADER + line(7, "2010-12-01"))
    assert "landing did not make: online_retail_2010-12-01.csv" in refused([path], zone)


def test_the_answer_is_asked_for_where_somebody_can_be_asked(tmp_path, zone):
    drop(zone, LATE, HEADER + line(9, "2010-12-02"))
    asked: list[Question] = []

    def ask(question: Question) -> str | None:
        asked.append(question)
        return "keep" if len(asked) > 1 else None

    path = file(tmp_path, HEADER + line(2, "2010-12-02"))
    assert LATE in refused([path], zone, Consent(ask=ask))
    lands([path], zone, Consent(ask=ask))
    assert [question.answers for question in asked] == [("replace", "keep")] * 2
    assert invoices(zone) == {"online_retail_2010-12-02.csv": ["2"], LATE: ["9"]}


def test_a_drop_that_lies_there_as_landing_would_have_made_it_is_taken_over(tmp_path, zone):
    drop(zone, "online_retail_2010-12-01.csv", HEADER + line(1, "2010-12-01"))
    before = zone.drops("online_retail")
    assert lands([file(tmp_path, HEADER + line(1, "2010-12-01"))], zone).replaced == []
    assert zone.drops("online_retail") == before
    assert lands([file(tmp_path, HEADER + line(2, "2010-12-01"))], zone).replaced == [date(2010, 12, 1)]


# Refused, and nothing changed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CALENDAR_FILE, "_landed.json", MARK])
def test_what_landing_wrote_and_cannot_read_is_noticed_before_anything_is_changed(tmp_path, zone, name):
    lands([file(tmp_path, HEADER + line(1, "2010-12-01"))], zone)
    spoilt = drop(zone, name, "{")
    before = snapshot(zone)
    with pytest.raises((DropRefused, SettingError), match=name):
        lands([file(tmp_path, HEADER + line(2, "2010-12-02"))], zone)
    assert snapshot(zone) == before
    assert spoilt.read_text() == "{"


def test_a_directory_that_has_the_name_of_a_drop_is_noticed_before_anything_is_changed(tmp_path, zone):
    lands([file(tmp_path, HEADER + line(1, "2010-12-01"))], zone)
    (Path(zone.directory("online_retail")) / "online_retail_2010-12-02.csv").mkdir()
    path = file(tmp_path, HEADER + "".join(line(day, f"2010-12-0{day}") for day in (2, 3)) + line(9, "2010-12-01"))
    assert "online_retail_2010-12-02.csv: is a directory where a file should be" in refused([path], zone)


def test_what_fails_in_the_middle_of_putting_drops_in_place_is_undone(tmp_path, zone, monkeypatch):
    lands([file(tmp_path, HEADER + "".join(line(day, f"2010-12-0{day}") for day in (1, 2, 3)))], zone)
    put = exchange.put

    def put_until_full(staged: Path, target) -> None:
        if target.name == "online_retail_2010-12-03.csv":
            # A directory at the wrong moment: as real an error of the disk as any.
            Path(target.path).mkdir()
            (Path(target.path) / "x").touch()
        try:
            put(staged, target)
        finally:
            if Path(target.path).is_dir():
                shutil.rmtree(target.path)

    monkeypatch.setattr(exchange, "put", put_until_full)
    path = file(tmp_path, HEADER + "".join(line(day + 10, f"2010-12-0{day}") for day in (1, 2, 3, 4)))
    problem = refused([path], zone)
    assert "Mend that and land again: all is as it was." in problem
    assert invoices(zone) == {f"online_retail_2010-12-0{day}.csv": [str(day)] for day in (1, 2, 3)}


# Interrupted ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As sudden as a signal."""


@pytest.fixture
def interrupted(tmp_path, zone, monkeypatch) -> Path:
    """A landing of four days over one that was there, killed after two; the file that was landed."""
    lands([file(tmp_path, HEADER + line(1, "2010-12-01") + line(8, "2010-12-08"))], zone)
    path = file(tmp_path, HEADER + "".join(line(day + 10, f"2010-12-0{day}") for day in range(1, 5)), "four.csv")
    put = exchange.put
    done: list[UPath] = []

    def put_until_killed(staged: Path, target) -> None:
        if len(done) == 2:
            raise Killed
        done.append(target)
        put(staged, target)

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "put", put_until_killed)
        with pytest.raises(Killed):
            lands([path], zone)
    return path


def test_what_was_interrupted_is_not_taken_for_all_of_it(interrupted, zone):
    assert [drop.name[-6:-4] for drop in zone.listed("online_retail")[0]] == ["01", "02", "08"]
    with pytest.raises(LandingUnderWay, match=r"a landing is under way, or was interrupted: of four\.csv, begun 20"):
        zone.drops("online_retail")
    with pytest.raises(LandingUnderWay):
        zone.newest_day("online_retail")
    # Definitions load: the calendar is there.
    assert read_calendar(zone.root, "online_retail", {}, TODAY).first_day == date(2010, 12, 1)


def test_what_was_interrupted_is_completed_by_landing_it_again(interrupted, zone):
    told = lands([interrupted], zone)
    assert told.rows == 4
    assert invoices(zone) == {f"online_retail_2010-12-0{day}.csv": [str(day + 10)] for day in range(1, 5)} | {
        "online_retail_2010-12-08.csv": ["8"]
    }


def test_another_landing_does_not_lift_the_mark_of_one_that_was_interrupted(interrupted, tmp_path, zone):
    other = file(tmp_path, HEADER + line(3, "2010-12-02"), "other.csv")
    problem = refused([other], zone)
    assert "the landing of four.csv, begun 20" in problem
    assert "was interrupted, and these files have not all of its days (2010-12-01, 2010-12-03, 2010-12-04)" in problem
    assert "retail bring-back 20" in problem
    lands([interrupted, other], zone, Consent(fewer_rows="replace"))
    assert zone.drops("online_retail")[1].day == date(2010, 12, 2)


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_interrupted_can_be_undone(interrupted, zone, times):
    directory = UPath(zone.directory("online_retail"))
    for _ in range(times):
        if (mark := exchange.unfinished(directory)) is not None:
            exchange.undo(directory, mark)
    assert invoices(zone) == {"online_retail_2010-12-01.csv": ["1"], "online_retail_2010-12-08.csv": ["8"]}
    assert not (Path(directory.path) / MARK).exists()


# Files that cannot be read to an end ----------------------------------------------------------------------------------


def test_a_file_that_still_grows_does_not_land(tmp_path, zone, monkeypatch):
    monkeypatch.setattr(history_files, "SETTLE_SECONDS", 0.5)
    path = file(tmp_path, HEADER + line(1, "2010-12-01") + "2,850")

    def write_on() -> None:
        with path.open("a") as growing:
            growing.write(line(2, "2010-12-01")[5:])

    writer = threading.Timer(0.1, write_on)
    writer.start()
    problem = refused([path], zone)
    writer.join()
    assert "history.csv: is still being written. Land it once it is complete." in problem
    os.utime(path, (time.time() - 60, time.time() - 60))
    assert lands([path], zone).rows == 2


def test_a_pipe_without_a_writer_is_refused_at_once(tmp_path, zone):
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is no regular file but a pipe" in refused([tmp_path / "pipe.csv"], zone)
    assert "is no regular file but a pipe" in refused([Path("/dev/null")], zone)


def test_a_loop_of_links_is_refused(tmp_path, zone):
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    assert "loop.csv: leads nowhere" in refused([tmp_path / "loop.csv"], zone)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    path = file(tmp_path, HEADER + line(1, "2010-12-01"))
    looped = LandingZone(str(tmp_path / "loop"))
    with pytest.raises(DropRefused, match="symbolic links"):
        lands([path], looped)
    with pytest.raises(ZoneRefused, match="cannot be listed"):
        looped.drops("online_retail")


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc", "/dev/null"])
def test_a_place_where_nothing_can_be_written_is_named(tmp_path, place):
    (tmp_path / "a file").write_text("x")
    zone = LandingZone(str(tmp_path / place))
    with pytest.raises(DropRefused, match=r"Nothing was changed\. Check RETAIL_LANDING") as refusal:
        lands([file(tmp_path, HEADER + line(1, "2010-12-01"))], zone)
    assert str(tmp_path / place) in str(refusal.value)


def test_a_zone_that_cannot_be_listed_is_no_empty_zone(tmp_path):
    (tmp_path / "landing").write_text("x")
    with pytest.raises(ZoneRefused, match="cannot be listed"):
        LandingZone(str(tmp_path / "landing")).drops("online_retail")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, zone):
    lands([file(tmp_path, HEADER + line(1, "2010-12-01"))], zone)
    path = file(tmp_path, HEADER + line(2, "2010-12-01", "x" * 200_000))
    before = snapshot(zone)
    program = (
        "import signal, sys; from pathlib import Path; from retail_assets.landing.drops import LandingZone;"
        "from retail_assets_tests.landing.landings import lands; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "lands([Path(sys.argv[1])], LandingZone(sys.argv[2]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path), zone.root],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert "DropRefused" in result.stderr.splitlines()[-1]
    assert "cannot be worked with (File too large)" in result.stderr.splitlines()[-1]
    assert snapshot(zone) == before


def test_a_landing_says_that_its_drops_are_complete_where_that_is_asked_for(tmp_path, zone):
    marked = LandingZone(zone.root, marker=".done")
    lands([file(tmp_path, HEADER + line(1, "2010-12-01") + line(2, "2010-12-02"))], marked)
    assert invoices(marked) == {"online_retail_2010-12-01.csv": ["1"], "online_retail_2010-12-02.csv": ["2"]}
