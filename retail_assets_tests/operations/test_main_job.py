"""The main job makes the same tables however the days arrive, and touches no more than what changed."""

import random
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    ConfigurableResource,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    InitResourceContext,
    MonthlyPartitionsDefinition,
    asset,
    in_process_executor,
)

from retail_assets.operations.binding import Places
from retail_assets.operations.main_job import Observer, Summary, run_main_job
from retail_assets.operations.main_job_lock import AlreadyRunning
from retail_assets.operations.planned_runs import PlannedRun
from retail_assets.operations.planning import Landed, Request
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import known_sources
from retail_assets_tests.operations.as_written import OF_A_YOUNG_HISTORY, all_rows, directories_touched, rows, version
from retail_assets_tests.workbench import Workbench, line

FIRST, LAST = "2011-01-28", "2011-02-04"
CORE = ["raw_invoices", "quarantined_invoices", "clean_transactions", "customer_month_activity", "customer_rfm"]
WITHOUT_DAY = "Invoice,StockCode,Description,Quantity,Price,Customer ID,Country"


def invoices() -> dict[str, list[str]]:
    """Day -> its lines: six customers, two of them abroad, repeats, a cancellation, duplicates and faults."""
    chance = random.Random(7)
    drops: dict[str, list[str]] = {}
    for number, day in enumerate(["2011-01-28", "2011-01-29", "2011-01-31", "2011-02-01", "2011-02-02", "2011-02-04"]):
        drops[day] = [
            line(
                f"5{number:03}{invoice:02}",
                code=chance.choice(["85123A", "22423", "POST"]),
                quantity=chance.randint(1, 9),
                when=f"{day} {9 + invoice:02}:00:00",
                price=chance.choice(["2.55", "0.295", "12.75"]),
                customer=customer,
                country="France" if customer in ("13090", "13091") else "United Kingdom",
            )
            for invoice, customer in enumerate(chance.sample(["13085", "13086", "13087", "13090", "13091", ""], 5))
        ]
        drops[day].append(drops[day][0])
        drops[day].append(line(f"6{number:05}", quantity=-4, when=f"{day} 16:00:00"))
    drops["2011-02-02"] += ["a,ragged,line", line("C570000", quantity=-2, when="2011-02-02 12:00:00")]
    return drops


def bench(directory: Path, spark: object, days: list[str] | None = None) -> Workbench:
    """A lakehouse of its own, with the calendar of all the days; `days` of them have landed."""
    directory.mkdir(parents=True)
    made = Workbench(directory, spark, last_day=LAST)  # type: ignore[arg-type]
    made.environment["RETAIL_ONLINE_RETAIL_FIRST_DAY"] = FIRST
    made.settings = made.settings.read(made.environment)
    for day, lines in invoices().items():
        if days is None or day in days:
            made.drop(day, lines)
    return made


def succeeded(summary: Summary) -> Summary:
    assert summary.failures == []
    assert not summary.waiting
    return summary


# The same tables, however the days arrive ----------------------------------------------------------------------------


def in_one_range(workbench: Workbench, tables: list[str] | None) -> None:
    succeeded(workbench.run(tables))


def day_by_day(workbench: Workbench, tables: list[str] | None) -> None:
    for day in invoices():
        succeeded(workbench.run(tables, last=day))


def month_by_month(workbench: Workbench, tables: list[str] | None) -> None:
    for first, last in (("2011-01-01", "2011-01-31"), ("2011-02-01", "2011-02-28")):
        succeeded(workbench.run(tables, first=first, last=last))


def landing_in_shuffled_order(workbench: Workbench, tables: list[str] | None) -> None:
    drops = {day: workbench.zone / f"online_retail_{day}.csv" for day in invoices()}
    content = {day: path.read_bytes() for day, path in drops.items()}
    for path in drops.values():
        path.unlink()
    shuffled = list(drops)
    random.Random(3).shuffle(shuffled)
    assert shuffled != sorted(shuffled)
    for arrival in (shuffled[:2], shuffled[2:]):
        for day in arrival:
            drops[day].write_bytes(content[day])
        succeeded(workbench.run(tables))


@pytest.fixture(scope="module")
def core_in_one_range(tmp_path_factory, spark) -> Path:
    """The lakehouse of the days made at once, without what takes long; tests only read it."""
    workbench = bench(tmp_path_factory.mktemp("core") / "range", spark)
    in_one_range(workbench, CORE)
    return workbench.directory / "lakehouse"


@pytest.fixture(scope="module")
def all_in_one_range(tmp_path_factory, spark) -> Path:
    """The lakehouse of the days made at once, all tables; tests only read it."""
    workbench = bench(tmp_path_factory.mktemp("all") / "range", spark)
    in_one_range(workbench, None)
    return workbench.directory / "lakehouse"


@pytest.mark.long
def test_days_that_land_in_shuffled_order_make_the_tables_of_one_range(tmp_path, spark, core_in_one_range):
    workbench = bench(tmp_path / "shuffled", spark)
    landing_in_shuffled_order(workbench, CORE)
    assert all_rows(workbench.directory / "lakehouse", CORE) == all_rows(core_in_one_range, CORE)
    assert workbench.run(CORE).tables == {}


@pytest.mark.long
@pytest.mark.parametrize("way", [day_by_day, month_by_month, landing_in_shuffled_order])
def test_all_tables_are_those_of_one_range(tmp_path, spark, all_in_one_range, way):
    workbench = bench(tmp_path / "other", spark)
    way(workbench, None)
    tables = OF_A_YOUNG_HISTORY
    assert all_rows(workbench.directory / "lakehouse", tables) == all_rows(all_in_one_range, tables)
    assert workbench.run().tables == {}


# What changed, and nothing else --------------------------------------------------------------------------------------


class Story:
    """A lakehouse that goes on from test to test; each test looks only at what its own change did."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench, self.lakehouse = workbench, workbench.directory / "lakehouse"
        succeeded(workbench.run(CORE))

    def run(self) -> tuple[Summary, "Before"]:
        before = Before(self.lakehouse)
        return self.workbench.run(CORE), before


class Before:
    """Rows (with the moments they were written) and versions of the tables before a change."""

    def __init__(self, lakehouse: Path) -> None:
        self.lakehouse = lakehouse
        self.rows = {table: rows(lakehouse, table, times=True) for table in CORE}
        self.versions = {table: version(lakehouse, table) for table in CORE}

    def changed(self) -> dict[str, set[str]]:
        """Table -> the partitions whose rows are not those they were; a row written anew has another moment."""
        found = {}
        for table, old in self.rows.items():
            new = rows(self.lakehouse, table, times=True)
            changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
            if changed:
                found[table] = changed
        return found

    def directories_touched(self) -> dict[str, set[str]]:
        touched = {table: directories_touched(self.lakehouse, table, self.versions[table]) for table in CORE}
        return {table: directories for table, directories in touched.items() if directories}


@pytest.fixture(scope="module")
def story(tmp_path_factory, spark) -> Story:
    """All days landed and made."""
    return Story(bench(tmp_path_factory.mktemp("story") / "bench", spark))


def each(tables: list[str], partitions: set[str]) -> dict[str, set[str]]:
    return dict.fromkeys(tables, partitions)


def made(summary: Summary) -> dict[str, set[str]]:
    return {key.path[-1]: table.partitions for key, table in summary.tables.items()}


def test_a_corrected_drop_replaces_its_day_and_what_depends_on_it_and_nothing_else(story):
    day = "2011-01-29"
    story.workbench.drop(day, [*invoices()[day][1:5], line("599999", quantity=100, when=f"{day} 11:11:11")])
    summary, before = story.run()
    succeeded(summary)
    january, both = {"2011-01-01"}, {"2011-01-01", "2011-02-01"}
    assert made(summary) == {
        **each(CORE[:3], {day}),
        "customer_month_activity": january,
        "customer_rfm": both,
    }
    assert before.changed() == {
        **each(CORE[:3], {day}),
        "customer_month_activity": january,
        "customer_rfm": both,
    }
    assert before.directories_touched() == {
        "raw_invoices": {"2011-01"},
        "quarantined_invoices": {"2011-01"},
        "clean_transactions": {"2011-01"},
        "customer_month_activity": january,
        "customer_rfm": both,
    }
    found = [text for text in rows(story.lakehouse, "clean_transactions")[day] if "'599999'" in text]
    assert len(found) == 1
    assert story.run()[0].tables == {}


@pytest.mark.long  # what is due is told by test_planning in the normal run
def test_a_drop_that_is_gone_takes_its_rows_along_even_the_newest(story):
    (story.workbench.zone / f"online_retail_{LAST}.csv").unlink()
    summary, before = story.run()
    succeeded(summary)
    assert before.changed() == {
        **each(CORE[:3], {LAST}),
        "customer_month_activity": {"2011-02-01"},
        "customer_rfm": {"2011-02-01"},
    }
    assert LAST not in rows(story.lakehouse, "clean_transactions")
    assert story.run()[0].tables == {}


@pytest.mark.long  # what is due is told by test_planning in the normal run
def test_a_late_drop_fills_its_closed_day(story):
    story.workbench.drop("2011-01-30", [line("577777", when="2011-01-30 10:00:00", customer="14000")])
    summary, before = story.run()
    succeeded(summary)
    changed = before.changed()
    assert {table: changed[table] for table in ("raw_invoices", "clean_transactions")} == {
        "raw_invoices": {"2011-01-30"},
        "clean_transactions": {"2011-01-30"},
    }
    assert changed["customer_month_activity"] == {"2011-01-01"}
    assert before.directories_touched()["clean_transactions"] == {"2011-01"}
    assert any("'14000'" in text for text in rows(story.lakehouse, "customer_rfm")["2011-01-01"])
    assert story.run()[0].tables == {}


def test_a_refused_drop_leaves_the_previous_version_and_its_mended_delivery_recovers(story):
    day = "2011-01-28"
    good = invoices()[day]
    path = story.workbench.drop(day, good, header=WITHOUT_DAY)
    story.workbench.drop("2011-02-03", [line("588888", when="2011-02-03 10:00:00")])
    summary, before = story.run()
    assert len(summary.failures) == 1
    assert path.name in summary.failures[0]
    assert "InvoiceDate" in summary.failures[0] or "invoice_ts" in summary.failures[0]
    # What does not read the refused day is made; what reads it waits, and readers see what was there before.
    assert before.changed() == each(["raw_invoices", "clean_transactions"], {"2011-02-03"}) | {
        "customer_month_activity": {"2011-02-01"}
    }
    assert {(key.path[-1], partition) for key, partition in summary.waiting} == {
        ("quarantined_invoices", day),
        ("clean_transactions", day),
        ("customer_month_activity", "2011-01-01"),
        ("customer_rfm", "2011-01-01"),
        ("customer_rfm", "2011-02-01"),
    }
    again, untouched = story.run()
    assert len(again.failures) == 1
    assert untouched.changed() == {}

    story.workbench.drop(day, [*good, line("566666", when=f"{day} 20:00:00", customer="15000")])
    mended, earlier = story.run()
    succeeded(mended)
    assert earlier.changed()["clean_transactions"] == {day}
    assert any("'15000'" in text for text in rows(story.lakehouse, "customer_rfm")["2011-02-01"])
    assert story.run()[0].tables == {}


def test_one_refused_drop_of_many_keeps_no_other_day_from_being_made(tmp_path, spark):
    workbench = bench(tmp_path / "bench", spark, days=["2011-01-28"])
    workbench.drop("2011-01-29", ["1,2,3"], header=WITHOUT_DAY)
    workbench.drop("2011-01-30", [line(when="2011-01-30 10:00:00")])
    summary = workbench.run(CORE[:3])
    assert len(summary.failures) == 1
    assert made(summary) == each(CORE[:3], {"2011-01-28", "2011-01-30"})
    assert {partition for _, partition in summary.waiting} == {"2011-01-29"}


# One at a time -------------------------------------------------------------------------------------------------------


class SecondJob(Observer):
    """Starts another main job as soon as the first has planned its work."""

    def __init__(self, start: object) -> None:
        self.start, self.refusal = start, ""

    def planned(self, due: Mapping[AssetKey, list[str]]) -> None:
        with pytest.raises(AlreadyRunning) as refused:
            self.start()  # type: ignore[operator]
        self.refusal = str(refused.value)


def test_a_second_main_job_at_the_same_time_is_refused(tmp_path, spark):
    home = tmp_path / "home"
    home.mkdir()
    with DagsterInstance.local_temp(str(home)) as instance:
        workbench = Workbench(tmp_path / "bench", spark, instance=instance)
        workbench.drop("2011-01-04", [line()])
        second = SecondJob(lambda: workbench.run(["raw_invoices"]))
        summary = run_main_job(
            workbench.definitions(),
            instance,
            arrivals(workbench.settings, instance, known_sources(workbench.settings).values()).landed,
            Request(tables=frozenset({AssetKey(["online_retail", "raw_invoices"])})),
            second,
            places=Places.of(workbench.settings),
        )
        assert str(home) in second.refusal
        assert made(succeeded(summary)) == {"raw_invoices": {"2011-01-04"}}
        assert workbench.run(["raw_invoices"]).tables == {}


def test_observers_hear_of_every_table_from_its_start_to_its_end(tmp_path, spark):
    class Heard(Observer):
        def __init__(self) -> None:
            self.events: list[tuple[str, str, str]] = []

        def started(self, key: AssetKey, run: PlannedRun) -> None:
            self.events.append(("started", key.path[-1], str(run)))

        def finished(self, key: AssetKey, run: PlannedRun, table: object, succeeded: bool, seconds: float) -> None:
            assert seconds > 0
            self.events.append(("made" if succeeded else "failed", key.path[-1], str(run)))

    workbench = Workbench(tmp_path / "bench", spark)
    workbench.drop("2011-01-04", [line()])
    heard = Heard()
    keys = frozenset({AssetKey(["online_retail", name]) for name in CORE[:2]})
    landed = arrivals(workbench.settings, workbench.instance, known_sources(workbench.settings).values()).landed
    run_main_job(workbench.definitions(), workbench.instance, landed, Request(tables=keys), heard)
    assert heard.events == [
        (event, table, "2011-01-04 (1 partition)") for table in CORE[:2] for event in ("started", "made")
    ]


def test_a_run_that_fails_before_its_first_table_tells_its_reason_beside_those_of_other_runs():
    class Unreachable(ConfigurableResource):
        def setup_for_execution(self, context: InitResourceContext) -> None:
            raise ConnectionError("nobody answers")

    @asset(partitions_def=DailyPartitionsDefinition("2011-01-04", end_date="2011-01-05"))
    def sales() -> None:
        raise ValueError("the rows are wrong")

    @asset(partitions_def=MonthlyPartitionsDefinition("2011-01-01", end_date="2011-02-01"))
    def takings(shop: Unreachable) -> None:
        pass

    definitions = Definitions([sales, takings], resources={"shop": Unreachable()}, executor=in_process_executor)
    landed: dict[AssetKey, Landed] = {table.key: lambda made: (set(), "2011-01-04") for table in (sales, takings)}
    with DagsterInstance.ephemeral() as instance:
        summary = run_main_job(definitions, instance, landed, Request(), Observer())
    assert sorted(summary.failures) == ["ConnectionError: nobody answers", "sales: ValueError: the rows are wrong"]


def test_an_interrupted_job_stops_and_the_next_one_makes_the_rest(tmp_path, spark):
    class Impatient(Observer):
        def started(self, key: AssetKey, run: PlannedRun) -> None:
            if key.path[-1] == CORE[1]:
                signal.raise_signal(signal.SIGINT)

    workbench = Workbench(tmp_path / "bench", spark)
    workbench.drop("2011-01-04", [line()])
    keys = frozenset({AssetKey(["online_retail", name]) for name in CORE[:4]})
    landed = arrivals(workbench.settings, workbench.instance, known_sources(workbench.settings).values()).landed
    with pytest.raises(KeyboardInterrupt):
        run_main_job(workbench.definitions(), workbench.instance, landed, Request(tables=keys), Impatient())
    assert workbench.path(CORE[0]).exists()
    assert not workbench.path(CORE[3]).exists()
    assert set(made(succeeded(workbench.run(CORE[:4])))) == set(CORE[1:4])
