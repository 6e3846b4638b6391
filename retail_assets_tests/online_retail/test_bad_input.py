"""Bad input, end to end: a clear error or quarantine, and never a lost or doubled row.

One zone holds every kind of bad drop, each on a day of its own, and a file that is being written all the while. It is
run once; then what was refused is mended, and it is run again. The tests look at what came of it.
"""

import gzip
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterEventType
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from retail_assets.landing.drops import Drop
from retail_assets.operations import bronze
from retail_assets.operations.main_job import Summary
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import known_sources
from retail_assets_tests.workbench import HEADER, Workbench, line

TABLES = ["raw_invoices", "quarantined_invoices", "clean_transactions"]
LONG = "A" * 50_000_000

Quarantined = tuple[str, int, tuple[str, ...], str | None]
"""source_file, line_number, reasons, malformed_line"""


@dataclass
class Outcome:
    """What a run came to: its summary, and by day the rows of each layer."""

    summary: Summary
    raw: dict[str, int]
    clean: dict[str, int]
    copies: dict[str, int]
    quarantined: dict[str, list[Quarantined]]


@dataclass
class Delivered:
    """The zone, what the first run made of it, and the second, after what was refused had been mended."""

    bench: Workbench
    notices: list[str]
    checks: dict[str, dict[str, Any]]
    first: Outcome
    second: Outcome

    def path(self, day: str, ending: str = "csv") -> Path:
        return self.bench.zone / f"online_retail_{day}.{ending}"


def rows_of(day: str, *invoices: int, **fields: Any) -> list[str]:
    return [line(str(invoice), when=f"{day} 10:00:00", **fields) for invoice in invoices]


def packed(lines: list[str]) -> bytes:
    return gzip.compress("\n".join([HEADER, *lines, ""]).encode())


def deliver(bench: Workbench) -> None:
    """Every kind of bad drop, on days 4 to 25 of January 2011, and one of the future."""
    zone = bench.zone
    bench.drop("2011-01-04", rows_of("2011-01-04", 500401, 500402))
    bench.drop("2011-01-05", [f"{row},7" for row in rows_of("2011-01-05", 500501)], header=f"{HEADER},Till")
    bench.drop("2011-01-06", [])
    ragged = [*rows_of("2011-01-07", 500701), "500702,too,few", *rows_of("2011-01-07", 500703, description='"OPEN')]
    bench.drop("2011-01-07", [*ragged, *rows_of("2011-01-07", 500704), *rows_of("2011-01-07", 500705, country="UK,x")])
    cafe = "\n".join([HEADER, *rows_of("2011-01-08", 500801), *rows_of("2011-01-08", 500802, description="CAFÉ"), ""])
    (zone / "online_retail_2011-01-08.csv").write_bytes(cafe.encode("cp1252"))
    windows = "\r\n".join([HEADER, *rows_of("2011-01-09", 500901, country="Österreich"), ""])
    (zone / "online_retail_2011-01-09.csv").write_bytes(windows.encode("utf-8-sig"))
    bench.drop("2011-01-10", [*rows_of("2011-01-10", 501001, description=LONG), *rows_of("2011-01-10", 501002)])
    written = ["11/01/2011 8:05", "1/11/2011 8:05", "11.01.2011", "2011-01-11", "2011-01-11T08:05:00"]
    nonsense = ["31/31/2011", "2011-13-45", "yesterday", "2011-01-12 10:00:00", ""]
    dates = enumerate(written + nonsense, start=501101)
    bench.drop("2011-01-11", [line(str(invoice), when=when) for invoice, when in dates])
    thousands = rows_of("2011-01-12", 501201, quantity='"1,200"') + rows_of("2011-01-12", 501202, price='"1,234.50"')
    bench.drop("2011-01-12", [*thousands, *rows_of("2011-01-12", 501203, quantity=1200, price="1234.50")])
    twice = rows_of("2011-01-13", 501301, 501302)
    bench.drop("2011-01-13", twice)
    bench.drop("2011-01-13", twice, name="redelivered_2011-01-13.csv")
    (zone / "zipped_2011-01-13.csv.gz").write_bytes(packed(twice))
    bench.drop("2011-01-13", rows_of("2011-01-13", 501303), name="supplement_2011-01-13.csv")
    (zone / "online_retail_2011-01-14.csv.gz").write_bytes(packed(rows_of("2011-01-14", 501401)))
    (zone / "online_retail_2011-01-15.csv").mkdir()
    # What is refused as a whole:
    bench.drop(
        "2011-01-20",
        ["502001,85123A,MUG,1,2011-01-20,13085"],
        header=HEADER.replace(",Price,", ",").replace(",Country", ""),
    )
    (zone / "online_retail_2011-01-21.csv").write_bytes(b"")
    bench.drop("2011-01-22", []).write_text(HEADER + "\n" + line("502201"), encoding="utf-16-le")
    bench.drop("2011-01-23", rows_of("2011-01-23", 502301))
    broken = packed(rows_of("2011-01-23", *range(502302, 512302)))
    (zone / "online_retail_2011-01-23.csv.gz").write_bytes(broken[: len(broken) // 2])
    (zone / "online_retail_2011-01-24.csv.gz").write_bytes(broken[:-4])
    (zone / "online_retail_2011-01-25.csv.gz").write_text(HEADER)
    # After the day whose drop is still being written: it waits with that.
    bench.drop("2011-01-27", rows_of("2011-01-27", 502701))
    bench.drop("2026-12-24", rows_of("2026-12-24", 599901))


def mend(bench: Workbench) -> None:
    """The refused drops as they should have been, or none in their place."""
    bench.drop("2011-01-20", rows_of("2011-01-20", 502001))
    (bench.zone / "online_retail_2011-01-21.csv").unlink()
    bench.drop("2011-01-22", rows_of("2011-01-22", 502201))
    (bench.zone / "online_retail_2011-01-23.csv.gz").write_bytes(packed(rows_of("2011-01-23", 502302)))
    (bench.zone / "online_retail_2011-01-24.csv.gz").unlink()
    (bench.zone / "online_retail_2011-01-25.csv.gz").write_bytes(packed(rows_of("2011-01-25", 502501)))


def growing(path: Path, begun: threading.Event, stop: threading.Event) -> None:
    with path.open("w") as file:
        file.write(f"{HEADER}\n")
        begun.set()
        while not stop.wait(0.05):
            file.write(line("502601", when="2011-01-26 10:00:00") + "\n")
            file.flush()


def outcome(bench: Workbench, summary: Summary) -> Outcome:
    raw, quarantined, clean = (bench.table(table) for table in TABLES)
    by_day = F.col("invoice_date").cast("string").alias("day")
    sums = clean.groupBy(by_day).agg(F.count("*").alias("rows"), F.sum("landed_rows").alias("copies")).collect()
    found: dict[str, list[Quarantined]] = {}
    for row in quarantined.select("*", by_day).orderBy("source_file", "line_number").collect():
        told = (row.source_file, row.line_number, tuple(row.reasons), row.malformed_line)
        found.setdefault(row.day, []).append(told)
    return Outcome(
        summary,
        {row["day"]: row["count"] for row in raw.groupBy(by_day).count().collect()},
        {row["day"]: row["rows"] for row in sums},
        {row["day"]: row["copies"] for row in sums},
        found,
    )


def evaluations(bench: Workbench, check: str) -> dict[str, Any]:
    """Partition -> the newest evaluation of a check of raw_invoices."""
    found: dict[str, Any] = {}
    for run in reversed(bench.instance.get_runs()):
        for entry in bench.instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = entry.get_dagster_event().asset_check_evaluation_data
            if (evaluation.asset_key.path[-1], evaluation.check_name) == ("raw_invoices", check):
                found |= {evaluation.partition: evaluation} if evaluation.partition else {}
    return found


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Delivered:
    bench = Workbench(tmp_path_factory.mktemp("bad_input"), spark, last_day="2011-01-31")
    deliver(bench)
    begun, stop = threading.Event(), threading.Event()
    writer = threading.Thread(target=growing, args=(bench.zone / "online_retail_2011-01-26.csv", begun, stop))
    writer.start()
    begun.wait()
    try:
        notices = arrivals(bench.settings, bench.instance, known_sources(bench.settings).values()).notices
        first = outcome(bench, bench.run(tables=TABLES))
    finally:
        stop.set()
        writer.join()
    checks = {check: evaluations(bench, check) for check in ("drops_readable", "drops_as_expected")}
    mend(bench)
    return Delivered(bench, notices, checks, first, outcome(bench, bench.run(tables=TABLES)))


def notes(delivered: Delivered, day: str) -> list[str]:
    """What the check of the drops warned about."""
    evaluation = delivered.checks["drops_as_expected"][day]
    told = evaluation.metadata["notes"].value if "notes" in evaluation.metadata else []
    assert evaluation.passed == (not told)
    return list(told)


def test_every_landed_row_is_clean_or_a_copy_or_in_quarantine(delivered: Delivered):
    for made in (delivered.first, delivered.second):
        for day, rows in made.raw.items():
            assert rows == made.copies.get(day, 0) + len(made.quarantined.get(day, [])), day
    lines = len(delivered.path("2011-01-26").read_text().splitlines()) - 1
    assert delivered.second.raw == {
        f"2011-01-{day:02}": rows
        for day, rows in zip(
            (4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 20, 22, 23, 25, 26, 27),
            (2, 1, 5, 2, 1, 2, 10, 3, 3, 1, 1, 1, 2, 1, lines, 1),
            strict=True,
        )
    }


def test_an_unknown_column_is_kept_and_warned_about(delivered: Delivered):
    raw = delivered.bench.table("raw_invoices")
    extra = raw.filter("extra_columns IS NOT NULL").select(F.col("invoice_date").cast("string"), "extra_columns")
    assert [tuple(row) for row in extra.collect()] == [("2011-01-05", {"Till": "7"})]
    assert notes(delivered, "2011-01-05") == [
        "online_retail_2011-01-05.csv: unknown columns Till (kept in extra_columns)"
    ]
    assert delivered.first.clean["2011-01-05"] == 1


def test_a_header_alone_is_a_day_without_rows(delivered: Delivered):
    assert delivered.checks["drops_readable"]["2011-01-06"].passed
    assert "2011-01-06" not in delivered.first.raw


def test_ragged_lines_and_broken_quotes_are_in_quarantine_with_their_line_numbers(delivered: Delivered):
    file, malformed = "online_retail_2011-01-07.csv", ("malformed_line",)
    assert delivered.first.quarantined["2011-01-07"] == [
        (file, 3, malformed, "500702,too,few"),
        (file, 4, malformed, '500703,85123A,"OPEN,1,2011-01-07 10:00:00,2.55,13085,United Kingdom'),
        (file, 6, malformed, "500705,85123A,WHITE HANGING HEART,1,2011-01-07 10:00:00,2.55,13085,UK,x"),
    ]
    assert delivered.first.clean["2011-01-07"] == 2
    assert notes(delivered, "2011-01-07") == ["3 malformed lines, kept in malformed_line"]


def test_a_line_in_another_encoding_is_in_quarantine_and_its_neighbours_are_clean(delivered: Delivered):
    [(file, number, reasons, landed)] = delivered.first.quarantined["2011-01-08"]
    assert (file, number, reasons) == ("online_retail_2011-01-08.csv", 3, ("malformed_line",))
    assert landed == "500802,85123A,CAF\\xc9,1,2011-01-08 10:00:00,2.55,13085,United Kingdom"
    assert delivered.first.clean["2011-01-08"] == 1


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(delivered: Delivered):
    day = delivered.bench.table("clean_transactions").filter("invoice_date = '2011-01-09'")
    assert [(row.invoice_no, row.country) for row in day.collect()] == [("500901", "Österreich")]
    assert notes(delivered, "2011-01-09") == []


def test_a_field_of_50_megabytes_is_a_field(delivered: Delivered):
    day = delivered.bench.table("clean_transactions").filter("invoice_date = '2011-01-10'")
    lengths = day.select("invoice_no", F.length("description").alias("length")).orderBy("invoice_no")
    assert [tuple(row) for row in lengths.collect()] == [("501001", len(LONG)), ("501002", len("WHITE HANGING HEART"))]


def test_other_forms_of_dates_are_read_by_the_day_of_the_drop_and_no_dates_are_in_quarantine(delivered: Delivered):
    day = delivered.bench.table("clean_transactions").filter("invoice_date = '2011-01-11'").orderBy("invoice_no")
    assert [tuple(row) for row in day.select("invoice_no", F.col("invoice_ts").cast("string")).collect()] == [
        ("501101", "2011-01-11 08:05:00"),
        ("501102", "2011-01-11 08:05:00"),
        ("501103", "2011-01-11 00:00:00"),
        ("501104", "2011-01-11 00:00:00"),
        ("501105", "2011-01-11 08:05:00"),
    ]
    told = [(number, reasons) for _, number, reasons, _ in delivered.first.quarantined["2011-01-11"]]
    assert told == [(number, ("invalid_invoice_date",)) for number in range(7, 12)]


def test_numbers_with_thousands_separators_are_in_quarantine(delivered: Delivered):
    told = [(number, reasons) for _, number, reasons, _ in delivered.first.quarantined["2011-01-12"]]
    assert told == [(2, ("invalid_quantity",)), (3, ("invalid_unit_price",))]
    assert delivered.first.clean["2011-01-12"] == 1


def test_a_delivery_under_other_names_is_read_once_and_warned_about(delivered: Delivered):
    raw = delivered.bench.table("raw_invoices").filter("invoice_date = '2011-01-13'")
    assert Counter(row.source_file for row in raw.collect()) == {
        "online_retail_2011-01-13.csv": 2,
        "supplement_2011-01-13.csv": 1,
    }
    assert notes(delivered, "2011-01-13") == [
        "redelivered_2011-01-13.csv: the same content as online_retail_2011-01-13.csv, read once",
        "zipped_2011-01-13.csv.gz: the same content as online_retail_2011-01-13.csv, read once",
    ]


def test_a_directory_named_like_a_drop_and_a_drop_of_the_future_are_left_alone_and_noticed(delivered: Delivered):
    assert (
        f"{delivered.path('2011-01-15')} is a directory where a file should be: move its files up, or remove it."
        in (delivered.notices)
    )
    [outside] = [notice for notice in delivered.notices if "outside the calendar" in notice]
    assert outside.startswith("1 drops lie outside the calendar, 2011-01-04 to 2011-01-31, and are left alone: ")
    assert "online_retail_2026-12-24.csv" in outside
    assert "a day in the future waits until it is over" in outside


def test_a_file_that_is_being_written_is_noticed_and_left_for_the_next_run(delivered: Delivered):
    path = delivered.path("2011-01-26")
    assert f"{path} is still being written: left for the next run." in delivered.notices
    assert max(delivered.checks["drops_readable"]) == "2011-01-25", "its day was not made, not even without rows"
    lines = len(path.read_text().splitlines()) - 1
    assert lines > 1
    assert (delivered.second.clean["2011-01-26"], delivered.second.copies["2011-01-26"]) == (1, lines)


@pytest.mark.parametrize(
    ("day", "ending", "problem", "remedy"),
    [
        ("2011-01-20", "csv", "no column for unit_price (Price or UnitPrice), country (Country)", "add the column"),
        ("2011-01-21", "csv", "is empty", "a day without rows has the header alone"),
        ("2011-01-22", "csv", "is UTF-16 without a byte order mark", "Save it as CSV in UTF-8"),
        ("2011-01-23", "csv.gz", "is a truncated or corrupt gzip file", "Deliver the whole file again"),
        ("2011-01-24", "csv.gz", "is a truncated or corrupt gzip file", "Deliver the whole file again"),
        ("2011-01-25", "csv.gz", "is named .gz but is no gzip file", "Compress it, or name it .csv"),
    ],
)
def test_a_drop_that_cannot_be_read_is_refused_by_name_with_a_remedy_and_takes_only_its_day_along(
    delivered: Delivered, day: str, ending: str, problem: str, remedy: str
):
    evaluation = delivered.checks["drops_readable"][day]
    assert not evaluation.passed
    told = str(evaluation.metadata["explanation"].value)
    assert told.startswith(f"1 drop cannot be read: {delivered.path(day, ending)}: ")
    assert problem in told
    assert remedy in told
    [failure] = delivered.first.summary.failures
    assert f"{day}: check 'drops_readable' failed: {told}" in failure
    assert "Traceback" not in failure
    assert day not in delivered.first.raw


def test_only_what_was_refused_waits_and_mended_drops_are_made_by_the_next_run(delivered: Delivered):
    [failure] = delivered.first.summary.failures
    assert failure.startswith("online_retail.raw_invoices: 6 of 22 partitions were not published")
    assert {day for _, day in delivered.first.summary.waiting} == {f"2011-01-{day}" for day in range(20, 26)}
    raw = AssetKey(["online_retail", "raw_invoices"])
    made = {f"2011-01-{day:02}" for day in range(4, 20)}
    partitions = {key.path[-1]: table.partitions for key, table in delivered.first.summary.tables.items()}
    assert partitions == dict.fromkeys(TABLES, made)
    assert delivered.second.summary.failures == []
    assert delivered.second.summary.tables[raw].partitions == {f"2011-01-{day}" for day in range(20, 28)}


def test_a_drop_that_changes_between_the_look_at_it_and_its_reading_is_told_in_one_line_and_read_next_time(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
):
    path = workbench.drop("2011-01-04", rows_of("2011-01-04", 500401))
    look = bronze._inspected

    def look_while_more_arrives(drops: list[Drop], *about: Any) -> tuple[list[bronze.InspectedDrop], list[str]]:
        seen = look(drops, *about)
        with path.open("a") as file:
            file.write(line("500402") + "\n")
        return seen

    with monkeypatch.context() as patched:
        patched.setattr(bronze, "_inspected", look_while_more_arrives)
        summary = workbench.run(tables=["raw_invoices"])
    assert summary.failures == [
        f"online_retail.raw_invoices: {path}: is still being written. Run again once it is complete."
    ]
    assert not workbench.path("raw_invoices").exists()
    assert workbench.run(tables=["raw_invoices"]).failures == []
    assert workbench.table("raw_invoices").count() == 2


def test_a_table_selected_before_what_it_reads_was_made_says_so(workbench: Workbench):
    workbench.drop("2011-01-04", rows_of("2011-01-04", 500401))
    [failure] = workbench.run(tables=["quarantined_invoices"]).failures
    assert "online_retail.raw_invoices has not been materialized yet" in failure
    assert "Materialize it first, or together with what reads it." in failure
    assert "Traceback" not in failure
