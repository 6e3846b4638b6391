"""`retail status`: what it says of a corrected drop, a failed check, a restored table, a lakehouse that was moved."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from retail_assets.operations.binding import Places
from retail_assets.operations.due_reasons import CORRECTED, FAILED, LANDED, TAKEN_AWAY, Due
from retail_assets.operations.main_job import Observer, run_main_job
from retail_assets.operations.planning import Request
from retail_assets.operations.status import Status, status
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import sources_at_work
from retail_assets_tests.operations.homes import home_of
from retail_assets_tests.workbench import HEADER, Workbench, line

DAYS = ["2011-01-03", "2011-01-04", "2011-01-05"]
TABLES = ["raw_invoices", "quarantined_invoices"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with home_of(tmp_path / "home") as instance:
        yield instance


@pytest.fixture
def shop(tmp_path: Path, spark: object, instance: DagsterInstance) -> Workbench:
    """Three days, ingested, and what cannot be used set aside."""
    bench = Workbench(tmp_path, spark, instance, last_day=DAYS[-1])  # type: ignore[arg-type]
    bench.environment["RETAIL_ONLINE_RETAIL_FIRST_DAY"] = DAYS[0]
    bench.settings = bench.settings.read(bench.environment)
    for number, day in enumerate(DAYS):
        bench.drop(day, [line(f"50000{number}", when=f"{day} 10:00:00")])
    run(bench)
    return bench


def run(bench: Workbench) -> None:
    """Makes what is due of these tables, in the lakehouse that is the home's from then on."""
    definitions = bench.definitions()
    keys = frozenset(key for key in definitions.resolve_asset_graph().get_all_asset_keys() if key.path[-1] in TABLES)
    arrived = arrivals(bench.settings, bench.instance, sources_at_work(bench.settings))
    places = Places.of(bench.settings)
    run_main_job(definitions, bench.instance, arrived.landed, Request(tables=keys), Observer(), places=places)


def state(bench: Workbench) -> Status:
    return status(bench.settings, bench.instance, bench.definitions(), sources_at_work(bench.settings))


def due(bench: Workbench) -> list[Due]:
    """What is due of the tables that are made here."""
    (source,) = state(bench).sources
    return [each for each in source.due if each.table.split(".")[1] in TABLES]


READS = "it reads raw_invoices, due as well"


def follows(days: list[str], why: str) -> list[Due]:
    """That these days are due in bronze for this reason, and in silver as it reads them."""
    return [Due("online_retail.raw_invoices", why, days), Due("online_retail.quarantined_invoices", READS, days)]


def test_what_is_up_to_date_is_not_due_and_a_corrected_drop_is_told_from_one_that_was_taken_away(shop):
    assert due(shop) == []
    (source,) = state(shop).sources
    (landed,) = source.landed
    assert (landed.drops, landed.first_day, landed.last_day) == (3, DAYS[0], DAYS[-1])
    fresh = {table.table.split(".")[1]: table for table in source.tables}
    assert (fresh["raw_invoices"].rows, fresh["raw_invoices"].newest_partition) == (3, DAYS[-1])
    assert fresh["raw_invoices"].layer == "bronze"
    assert fresh["daily_metrics"].rows is None
    shop.drop(DAYS[1], [line("500009", when=f"{DAYS[1]} 11:00:00")])
    (shop.zone / f"online_retail_{DAYS[2]}.csv").unlink()
    assert due(shop) == [
        Due("online_retail.raw_invoices", CORRECTED, [DAYS[1]]),
        Due("online_retail.raw_invoices", TAKEN_AWAY, [DAYS[2]]),
        Due("online_retail.quarantined_invoices", READS, DAYS[1:]),
    ]


def test_a_failed_check_is_named_with_what_was_found_and_what_waits_for_it(shop):
    without_day = "Invoice,StockCode,Description,Quantity,Price,Customer ID,Country"
    shop.drop(DAYS[1], ["500001,85123A,HEART,1,2.55,13085,France"], header=without_day)
    run(shop)
    assert due(shop) == follows([DAYS[1]], FAILED)
    (source,) = state(shop).sources
    broken = next(each for each in source.not_passed if each.severity == "ERROR")
    assert (broken.table, broken.partitions, broken.kept_back) == ("online_retail.raw_invoices", [DAYS[1]], True)
    assert "InvoiceDate" in broken.explanation
    shop.drop(DAYS[1], [line("500001", when=f"{DAYS[1]} 10:00:00")], header=HEADER)
    run(shop)
    (source,) = state(shop).sources
    assert [each for each in source.not_passed if each.severity == "ERROR"] == []


def test_what_reads_a_table_that_was_put_back_is_due_and_says_so(shop, spark):
    from retail_assets.lakehouse.asset_metadata import layout
    from retail_assets.lakehouse.path_tables import PathTables
    from retail_assets.operations.time_travel import plan_restoration, restore

    shop.drop(DAYS[1], [line("500009", quantity=7, when=f"{DAYS[1]} 11:00:00")])
    run(shop)
    (source,) = sources_at_work(shop.settings)
    table = next(table for table in source.tables if table.key.path[-1] == "raw_invoices")
    tables = PathTables(spark, shop.settings.lakehouse)
    restore(
        tables,
        shop.instance,
        plan_restoration(tables, table.key.path, layout(table.contract), 1),
        layout(table.contract),
    )
    assert due(shop) == follows([DAYS[1]], CORRECTED)


def test_a_lakehouse_that_was_moved_away_is_told_and_nothing_is_said_to_be_due(shop, tmp_path):
    (tmp_path / "lakehouse").rename(tmp_path / "elsewhere")
    told = state(shop)
    assert told.problem is not None
    assert f"The lakehouse at {tmp_path}/lakehouse is not there" in told.problem
    assert "set RETAIL_LAKEHOUSE to where it is now" in told.problem
    assert [source.due for source in told.sources] == [[]]


def test_days_that_have_landed_and_were_never_ingested_are_due_as_such(tmp_path, spark, instance):
    bench = Workbench(tmp_path, spark, instance, last_day=DAYS[0])
    bench.environment["RETAIL_ONLINE_RETAIL_FIRST_DAY"] = DAYS[0]
    bench.settings = bench.settings.read(bench.environment)
    bench.drop(DAYS[0], [line(when=f"{DAYS[0]} 10:00:00")])
    assert due(bench)[0] == Due("online_retail.raw_invoices", LANDED, [DAYS[0]])


def test_status_and_a_dry_run_answer_people_and_machines(tmp_path):
    from retail_assets_tests.operations.command import RetailCommand

    retail = RetailCommand(tmp_path)
    retail.drop("2011-01-04", [line()])
    told = json.loads(retail("status", "--json").stdout)
    assert told["sources"][0]["due"][0]["why"] == LANDED
    said = retail("run", "--dry-run", "--select", "raw_invoices", "--to", "2011-01-04")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == [
        "due: 1 partitions of 1 tables (retail run)",
        f"  online_retail.raw_invoices  2011-01-04: {LANDED}",
    ]
    assert not (tmp_path / "lakehouse").exists()
    assert retail("--version").stdout.startswith("retail, version ")
