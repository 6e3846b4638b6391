"""The `retail` command, as a process of its own: what it says, with which exit code, and never a bare traceback."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from retail_assets.landing.calendar import CALENDAR_FILE
from retail_assets.landing.drops import MANIFEST, MARK
from retail_assets.landing_commands import GENERATING
from retail_assets.project import project_root
from retail_assets.setting_names import SETTINGS, misspelt
from retail_assets_tests.made_shop import TABLES
from retail_assets_tests.operations.as_written import OF_A_YOUNG_HISTORY
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.workbench import HEADER, line

YESTERDAY = datetime.now(tz=UTC).date() - timedelta(days=1)
SMALL = ("generate", "--lines", "600", "--days", "40")
TO_A_DAY = ("--until", "2011-03-10")


@pytest.fixture
def retail(tmp_path: Path) -> RetailCommand:
    return RetailCommand(tmp_path)


def refusal(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """What the command says in refusing."""
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def output(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def drops(retail: RetailCommand) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in retail.zone.glob("*.csv")}


# The main job --------------------------------------------------------------------------------------------------------


def test_with_nothing_landed_run_says_what_to_do(retail):
    said = refusal(retail("run"))
    assert f"Nothing has landed in {retail.zone}" in said
    assert "retail land FILE" in said
    assert "retail generate" in said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RETAIL_ENGINE", "warp"),
        ("RETAIL_DEPLOYMENT", "moon"),
        ("RETAIL_SPARK_SHUFFLE_PARTITIONS", "many"),
        ("RETAIL_LAKEHOUSE", "s3://bucket/lakehouse"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(retail, variable, value):
    assert f"{variable}={value!r}" in refusal(retail("run", **{variable: value}))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RETAIL_ONLINE_RETAIL_FIRST_DAY", "tomorrow"), ("RETAIL_ONLINE_RETAIL_LAST_DAY", "2001-01-01")],
)
def test_a_wrong_calendar_is_named(retail, variable, value):
    retail.drop("2011-01-04", [line()])
    said = refusal(retail("run", **{variable: value}))
    assert variable in said
    assert value in said


@pytest.fixture
def without_java(tmp_path: Path) -> str:
    """A PATH with every program but java."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*"):
            # A link to itself (some machines' `X11`) does not exist, and is there all the same.
            if program.name != "java" and not os.path.lexists(programs / program.name):
                (programs / program.name).symlink_to(program)
    return str(programs)


def test_without_java_a_run_of_spark_says_what_to_install(retail, without_java):
    said = refusal(retail("run", PATH=without_java, JAVA_HOME=None, RETAIL_ENGINE="spark"))
    assert "Java is missing" in said
    assert "openjdk-17-jre-headless" in said
    assert "the embedded engine, which needs no Java" in said


def test_the_embedded_engine_asks_for_no_java(retail, without_java):
    assert "Nothing has landed" in refusal(retail("run", PATH=without_java, JAVA_HOME=None, RETAIL_ENGINE="sail"))


def test_a_java_home_without_java_is_named(retail):
    assert "JAVA_HOME='/nowhere'" in refusal(retail("run", JAVA_HOME="/nowhere", RETAIL_ENGINE="spark"))


def test_java_from_java_home_is_enough(retail, without_java):
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no Java on this machine")
    home = str(Path(java).resolve().parent.parent)
    assert "Nothing has landed" in refusal(retail("run", PATH=without_java, JAVA_HOME=home, RETAIL_ENGINE="spark"))


@pytest.mark.parametrize("command", [("restore", "raw_invoices", "--version", "0"), ("ui",)], ids=["restore", "ui"])
def test_what_needs_java_for_spark_says_so_before_it_does_anything(retail, without_java, command):
    said = refusal(retail(*command, PATH=without_java, JAVA_HOME=None, RETAIL_ENGINE="spark"))
    assert "Java is missing" in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [("RETAIL_TIK_SECONDS", "RETAIL_TICK_SECONDS"), ("RETAIL_DATABRICKS_WORKER", "RETAIL_DATABRICKS_WORKERS")],
)
def test_a_setting_that_is_none_is_told_with_the_nearest(retail, name, meant):
    assert f"There is no setting {name}. Did you mean {meant}?" in refusal(retail("drops", **{name: "1"}))


def test_variables_of_others_and_calendars_of_any_source_are_no_slips():
    assert misspelt(["RETAIL_SHOPIFY_TOKEN", "RETAIL_MY_SHOP_FIRST_DAY", "RETAIL_ENGINE", "HOME"]) == {}


def test_every_setting_that_the_code_reads_is_known_by_name():
    package = project_root() / "retail_assets"
    quoted = {
        name for file in package.rglob("*.py") for name in re.findall(r'"(RETAIL_[A-Z_]*[A-Z])"', file.read_text())
    }
    assert "RETAIL_TICK_SECONDS" in quoted
    assert quoted - set(SETTINGS) == set()


@pytest.mark.parametrize("command", ["drops", "run", "sql"])
def test_a_dagster_home_that_cannot_be_made_is_named(retail, command):
    assert "DAGSTER_HOME='/dev/null/home' cannot be made" in refusal(retail(command, DAGSTER_HOME="/dev/null/home"))


def test_generating_into_a_place_that_cannot_be_made_is_refused(retail):
    said = refusal(retail(*SMALL, RETAIL_LANDING="/proc/landing"))
    assert "/proc/landing/online_retail cannot be made" in said
    assert "RETAIL_LANDING" in said


def test_without_python_make_says_so_before_anything_else(tmp_path):
    # In a copy: should the check not come first, nothing of the real environment is touched.
    shutil.copy(project_root() / "Makefile", tmp_path)
    # The tests themselves may run under make, which would then tell of the directories it enters.
    environment = {n: v for n, v in os.environ.items() if n not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    for target in ("setup", "run"):
        result = subprocess.run(
            ["make", target, "PYTHON=python-of-nobody"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode != 0
        assert result.stdout == ""
        assert result.stderr.startswith("Python 3.11 is missing: 'python-of-nobody' was not found")
    assert not (tmp_path / ".venv").exists()


def test_an_unknown_table_is_named_with_those_there_are(retail):
    retail.drop("2011-01-04", [line()])
    said = refusal(retail("run", "--select", "customer_rfn"))
    assert "No table is called customer_rfn. Did you mean customer_rfm? There are: " in said


def test_a_day_that_is_none_is_refused(retail):
    assert "2011-02-30" in refusal(retail("run", "--from", "2011-02-30"))


def test_no_line_of_the_help_is_cut(retail):
    said = output(retail("--help", COLUMNS="80"))
    assert not any(text.endswith("...") for text in said.splitlines()[1:])  # the first is the usage
    assert "What has landed, what is due and why, what failed or warned and where" in " ".join(said.split())


# Landing -------------------------------------------------------------------------------------------------------------


def test_landing_a_file_that_is_not_there_names_it(retail):
    said = refusal(retail("land", "/nowhere/history.csv"))
    assert "/nowhere/history.csv" in said
    assert "is not there" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("prices.csv", b"product,price\nmug,3\n", "invoice_no"),
        ("history.zip", b"PK\x03\x04", "history.zip: is no zip archive that can be read"),
        ("history.tar", b"x", "none of .csv, .tsv, .txt, .csv.gz, .tsv.gz, .txt.gz, .xlsx, .parquet, .zip"),
        ("history.csv.gz", b"this is not compressed", "history.csv.gz"),
        ("history.xlsx", b"this is no workbook", "history.xlsx"),
        ("empty.csv", b"", "empty.csv"),
    ],
)
def test_landing_a_file_that_is_no_history_says_why(retail, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert said in refusal(retail("land", str(tmp_path / name)))
    assert drops(retail) == {}


def test_landing_says_what_landed_and_what_comes_next(retail, tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("\n".join([HEADER, line(), line(when="2011-02-01 10:00:00"), ""]))
    said = output(retail("land", str(history)))
    assert "Landed 2 rows in 2 daily drops, 2011-01-04 to 2011-02-01" in said
    assert "retail run" in said
    assert set(drops(retail)) == {"online_retail_2011-01-04.csv", "online_retail_2011-02-01.csv"}


def test_landing_names_the_days_whose_rows_it_replaced_and_how_to_add_to_them(retail, tmp_path):
    for day in ("2011-01-31", "2011-02-01"):
        (tmp_path / f"{day}.csv").write_text("\n".join([HEADER, line(when=f"{day} 10:00:00"), ""]))
    (tmp_path / "more.csv").write_text("\n".join([HEADER, line("500002", when="2011-02-01 11:00:00"), ""]))
    assert "replaced" not in output(retail("land", str(tmp_path / "2011-01-31.csv"), str(tmp_path / "2011-02-01.csv")))
    said = output(retail("land", str(tmp_path / "more.csv")))
    assert "Other rows that lay there were replaced: 2011-02-01." in said
    assert "land all of its files together" in said


def trap(name: str) -> Path:
    """A file that lies beside the project; what needs it is skipped, visibly, where it is absent."""
    path = project_root().parent / "shared" / "traps" / name
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


@pytest.mark.long
def test_a_stray_day_at_the_end_of_a_file_replaces_nothing_unasked_and_can_be_brought_back(retail):
    march, february = (str(trap(f"26-stray-day/{name}.csv")) for name in ("1-march", "2-february"))
    output(retail("land", march))
    before = drops(retail)
    said = refusal(retail("land", february))
    assert "days would lose more than 20% of their rows: 2011-03-01 from" in said
    assert "--fewer-rows replace lands the files" in said
    assert drops(retail) == before
    said = output(retail("land", february, "--fewer-rows", "replace"))
    (number,) = re.findall(r"retail bring-back ([\d-]+)\.", said)
    listed = output(retail("landings", "--day", "2011-03-01")).splitlines()
    assert [row.split()[0] for row in listed[1:]] == [number]
    assert listed[1].endswith("online_retail_2011-03-01.csv")
    assert "They replaced drops of 2011-03-01 to 2011-03-01." in refusal(retail("landings", "--day", "2011-02-01"))
    assert refusal(retail("bring-back", number, "--day", "2011-02-01", "--yes"))
    said = output(retail("bring-back", number, "--yes"))
    assert "Put back: online_retail_2011-03-01.csv." in said
    assert {name: content for name, content in drops(retail).items() if name in before} == before


def test_drops_that_landing_did_not_make_are_named_with_the_options(retail, tmp_path):
    retail.drop("2011-01-04", [line()])
    (tmp_path / "history.csv").write_text("\n".join([HEADER, line("500002"), ""]))
    said = refusal(retail("land", str(tmp_path / "history.csv")))
    assert "landing did not make: online_retail_2011-01-04.csv" in said
    assert "--other-drops replace or --other-drops keep" in said
    output(retail("land", str(tmp_path / "history.csv"), "--other-drops", "keep"))
    assert set(drops(retail)) == {"online_retail_2011-01-04.csv", "online_retail_2011-01-04_2.csv"}


def test_run_respects_a_landing_under_way_and_names_it(retail):
    retail.drop("2011-01-04", [line()])
    mark = {"landing": "20261127-230301", "begun": "2026-11-27 23:03:01 UTC", "files": ["history.csv"]}
    (retail.zone / MARK).write_text(json.dumps(mark | {"put": {}, "taken": {}}))
    said = refusal(retail("run"))
    assert "a landing is under way, or was interrupted: of history.csv, begun 2026-11-27 23:03:01 UTC" in said
    assert "land the same files again, or undo it: retail bring-back" in said
    output(retail("bring-back", "20261127-230301", "--yes"))
    assert not (retail.zone / MARK).exists()


@pytest.mark.parametrize("command", ["land", "run", "generate"])
@pytest.mark.parametrize("place", ["a file", "a file/below", "a loop"])
def test_a_landing_zone_that_cannot_be_one_is_named(retail, tmp_path, command, place):
    (tmp_path / "a file").write_text("x")
    (tmp_path / "a loop").symlink_to(tmp_path / "a loop")
    (tmp_path / "history.csv").write_text("\n".join([HEADER, line(), ""]))
    files = [str(tmp_path / "history.csv")] if command == "land" else []
    said = refusal(retail(command, *files, RETAIL_LANDING=str(tmp_path / place)))
    assert str(tmp_path / place) in said
    assert "RETAIL_LANDING" in said


def test_a_landing_zone_may_be_given_as_a_file_uri(retail, tmp_path):
    (tmp_path / "history.csv").write_text("\n".join([HEADER, line(), ""]))
    said = output(retail("land", str(tmp_path / "history.csv"), RETAIL_LANDING=f"file://{retail.zone.parent}"))
    assert f"under {retail.zone}" in said
    assert set(drops(retail)) == {"online_retail_2011-01-04.csv"}


def test_a_far_date_is_set_aside_and_told(retail):
    path = trap("25-slipped-year/in.csv")
    said = output(retail("land", str(path)))
    assert re.search(r"Set aside: 1 rows of 1974-\d\d-\d\d, far from all others \(in\.csv, line [\d,]+\)\.", said)
    assert "If the date is right: --far-dates keep." in said
    assert output(retail("calendar")) == "2011-02-01 to 2011-02-28\n"
    landed = [row for content in drops(retail).values() for row in content.splitlines()[1:]]
    assert sorted(landed) == sorted(row.rstrip(b"\r") for row in path.read_bytes().split(b"\n")[1:] if row)


def table(retail: RetailCommand, name: str, column: str, days: list[str]) -> None:
    write_deltalake(
        str(retail.lakehouse / "online_retail" / name),
        pa.table({column: pa.array([date.fromisoformat(day) for day in days], pa.date32())}),
    )


@pytest.mark.long
def test_a_calendar_that_was_stretched_is_shortened_with_all_that_lies_outside_it(retail, tmp_path):
    (tmp_path / "history.csv").write_text(
        "\n".join([HEADER, *(line(when=f"{day} 10:00:00") for day in ("1974-02-11", "2011-02-01", "2011-02-28")), ""])
    )
    output(retail("land", str(tmp_path / "history.csv"), "--far-dates", "keep"))
    before = drops(retail)
    table(retail, "raw_invoices", "invoice_date", ["1974-02-11", "2011-02-01", "2011-02-28"])
    table(retail, "customer_rfm", "snapshot_month", ["1974-02-01", "1974-03-01", "2011-02-01"])
    table(retail, "daily_metrics", "invoice_date", ["2011-02-01"])
    pages = retail.directory / "dashboards"
    pages.mkdir()
    for month in ("1974-02", "2011-02"):
        (pages / f"online_retail-{month}.html").write_text("x")
    assert output(retail("calendar")) == "1974-02-11 to 2011-02-28\n"
    said = output(retail("calendar", "--first-day", "2011-02-01", "--yes"))
    assert "The calendar becomes: 2011-02-01 to 2011-02-28" in said
    assert "Drops that go, and are kept: online_retail_1974-02-11.csv" in said
    assert "Rows of tables that go: 1 of raw_invoices, 2 of customer_rfm" in said
    assert "Pages of the dashboard that go: online_retail-1974-02.html" in said
    (number,) = re.findall(r"retail bring-back ([\d-]+)", said)
    assert output(retail("calendar")) == "2011-02-01 to 2011-02-28\n"
    lakehouse = retail.lakehouse / "online_retail"
    left = {name: DeltaTable(str(lakehouse / name)).to_pyarrow_table() for name in ("raw_invoices", "customer_rfm")}
    assert left["raw_invoices"]["invoice_date"].to_pylist() == [date(2011, 2, 1), date(2011, 2, 28)]
    assert left["customer_rfm"]["snapshot_month"].to_pylist() == [date(2011, 2, 1)]
    assert DeltaTable(str(lakehouse / "daily_metrics")).version() == 0
    assert [page.name for page in pages.iterdir()] == ["online_retail-2011-02.html"]
    output(retail("bring-back", number, "--yes"))
    assert drops(retail) == before
    assert output(retail("calendar")) == "1974-02-11 to 2011-02-28\n"


@pytest.mark.long
def test_a_calendar_that_cannot_be_is_refused_and_a_spoilt_one_is_mended(retail):
    assert "would end on 2010-01-01, before it begins on 2011-01-01" in refusal(
        retail("calendar", "--first-day", "2011-01-01", "--last-day", "2010-01-01", "--yes")
    )
    assert "give both --first-day and --last-day" in refusal(retail("calendar", "--first-day", "2011-01-01", "--yes"))
    (retail.zone / CALENDAR_FILE).write_text('{"first_day": "2011-01-01", "last_day": "9999-12-31"}')
    assert "retail calendar --first-day DAY --last-day DAY" in refusal(retail("calendar"))
    output(retail("calendar", "--first-day", "2011-01-01", "--last-day", "open", "--yes"))
    assert re.search(r"^2011-01-01 to yesterday \(\d{4}-\d\d-\d\d\), open$", output(retail("calendar")))


# Generating ----------------------------------------------------------------------------------------------------------


def test_generated_data_ends_yesterday_and_what_is_said_is_what_lies_there(retail):
    said = output(retail(*SMALL))
    manifest = json.loads((retail.zone / MANIFEST).read_text())
    newest = max(drops(retail))
    assert newest == f"online_retail_{manifest['last_drop']}.csv"
    assert said.startswith(f"Made 600 invoice lines over 40 days up to {manifest['last_drop']} in {retail.zone}")
    assert json.loads((retail.zone / CALENDAR_FILE).read_text()) == {
        "first_day": str(YESTERDAY - timedelta(days=39)),
        "last_day": "open",
    }
    assert not (retail.zone / GENERATING).exists()


def test_generating_twice_makes_the_same_data(retail):
    output(retail(*SMALL, *TO_A_DAY))
    before = drops(retail)
    output(retail(*SMALL, *TO_A_DAY))
    assert drops(retail) == before


def test_generating_on_a_later_day_is_refused_and_leaves_the_data_as_it_is(retail):
    output(retail(*SMALL, *TO_A_DAY))
    before = drops(retail)
    said = refusal(retail(*SMALL, "--until", "2011-04-10"))
    assert "make clean" in said
    assert drops(retail) == before
    assert (retail.zone / MANIFEST).exists()
    assert not (retail.zone / GENERATING).exists()


@pytest.fixture
def interrupted(retail) -> RetailCommand:
    """Killed in the middle of writing drops."""
    process = retail.start("generate", "--lines", "300000", "--days", "400", *TO_A_DAY)
    while process.poll() is None and len(list(retail.zone.glob("*.csv"))) < 3:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert len(drops(retail)) >= 3
    assert (retail.zone / GENERATING).exists()
    assert not (retail.zone / MANIFEST).exists()
    return retail


def test_an_interrupted_generate_is_neither_run_nor_landed_upon_and_is_repeated_by_the_same_call(interrupted, tmp_path):
    said = refusal(interrupted("run"))
    assert "interrupted" in said
    assert "make clean" in said
    (tmp_path / "history.csv").write_text("\n".join([HEADER, line(), ""]))
    assert "interrupted" in refusal(interrupted("land", str(tmp_path / "history.csv")))
    output(interrupted("generate", "--lines", "300000", "--days", "400", *TO_A_DAY))
    assert not (interrupted.zone / GENERATING).exists()
    manifest = json.loads((interrupted.zone / MANIFEST).read_text())
    assert len(drops(interrupted)) == manifest["days_with_a_drop"]


def test_landing_over_generated_data_is_refused(retail, tmp_path):
    output(retail(*SMALL, *TO_A_DAY))
    before = drops(retail)
    (tmp_path / "history.csv").write_text("\n".join([HEADER, line(), ""]))
    said = refusal(retail("land", str(tmp_path / "history.csv")))
    assert "generated data" in said
    assert "make clean" in said
    assert drops(retail) == before


def test_generating_over_landed_data_is_refused(retail):
    retail.drop("2011-01-04", [line()])
    before = drops(retail)
    said = refusal(retail(*SMALL))
    assert "landed" in said
    assert "make clean" in said
    assert drops(retail) == before


@pytest.mark.parametrize("command", [SMALL, ("run", "--generate-if-empty")], ids=["generate", "run"])
def test_generating_into_an_object_store_is_refused_before_anything_is_written(retail, command):
    before = set(retail.directory.rglob("*"))
    said = refusal(retail(*command, RETAIL_LANDING="memory://bucket/landing"))
    assert "memory://bucket/landing is no directory of this machine" in said
    assert "RETAIL_LANDING" in said
    made = set(retail.directory.rglob("*")) - before
    assert [path for path in made if not path.is_relative_to(retail.home)] == []


@pytest.mark.parametrize("option", ["--lines", "--days"])
def test_generating_nothing_is_refused(retail, option):
    assert option in refusal(retail("generate", option, "0"))


# All of it -----------------------------------------------------------------------------------------------------------

ROW = re.compile(r"^online_retail\.(\w+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d.]+)$", re.MULTILINE)


def test_a_run_in_the_background_of_a_script_is_stopped_by_sigterm(retail):
    """There SIGINT is ignored, and Dagster does on SIGTERM what it does on SIGINT."""
    retail.drop("2011-03-10", [line()])
    process = retail.start("run", preexec=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    while process.poll() is None and not (retail.lakehouse / "online_retail" / "raw_invoices").exists():
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    assert (retail.directory / "command.log").read_text().rstrip().endswith("the same command makes the rest.")
    assert not (retail.lakehouse / "online_retail" / "dashboard").exists()
    assert "raw_invoices" in output(retail("run", "--select", "raw_invoices", "--from", "2011-03-10"))


@pytest.mark.parametrize(
    "made",
    [
        ["raw_invoices", "quarantined_invoices", "clean_transactions", "customer_month_activity", "customer_rfm"],
        pytest.param(OF_A_YOUNG_HISTORY, marks=pytest.mark.long),
    ],
    ids=["some", "all"],
)
def test_the_main_job_ends_with_a_summary_and_then_finds_nothing_to_do(retail, made):
    output(retail("generate", "--lines", "1000", "--days", "40"))
    manifest = json.loads((retail.zone / MANIFEST).read_text())
    selection = [] if made == OF_A_YOUNG_HISTORY else [option for table in made for option in ("--select", table)]
    said = output(retail("run", *selection))
    summary = {table: [figure.replace(",", "") for figure in figures] for table, *figures in ROW.findall(said)}
    assert set(summary) == set(made)
    landed_days = (date.fromisoformat(manifest["last_drop"]) - YESTERDAY).days + 40
    for table in (table for table in TABLES if table.key.path[-1] in summary):
        rows, partitions, *checks, seconds = summary[table.key.path[-1]]
        assert int(rows) == DeltaTable(str(retail.lakehouse / "online_retail" / table.key.path[-1])).count()
        # Every check gives one verdict for each partition, and none of them is against the generated data.
        assert sum(map(int, checks)) == int(partitions) * len(table.checks)
        assert checks[2] == "0"
        assert float(seconds) > 0
    assert summary["raw_invoices"][:2] == [str(manifest["landed_lines"]), str(landed_days)]
    assert summary["quarantined_invoices"][0] == str(manifest["quarantined_lines"])
    assert summary["clean_transactions"][0] == str(manifest["clean_lines"])
    assert re.search(r"^[\d.]+ s in all", said, re.MULTILINE)
    assert f"The lakehouse: {retail.lakehouse}" in said
    assert "Next: retail ui (in a checkout: make ui), then open http://localhost:3000" in said

    listed = output(retail("drops")).splitlines()
    assert len(listed) == 1 + len(drops(retail))
    days = [row.split()[0] for row in listed[1:]]
    assert days == sorted(days, reverse=True)
    assert f"There are drops of {days[-1]} to {days[0]}." in refusal(retail("drops", "--day", "1999-01-01"))
    one_day = output(retail("drops", "--day", manifest["last_drop"])).splitlines()[1:]
    assert [row.split()[0] for row in one_day] == [manifest["last_drop"]]
    assert str(retail.zone) in one_day[0]

    again = output(retail("run", *selection))
    assert "Nothing to do: everything that has landed is up to date." in again
    assert ROW.findall(again) == []
