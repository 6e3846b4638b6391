"""What is due, and in which runs: told from the landing zone and Dagster's event log, without Spark."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, MetadataValue
from hypothesis import given, settings
from hypothesis import strategies as st

from retail_assets.customers.churn_evaluation import MONTHS_OF_HISTORY
from retail_assets.definitions import build_definitions
from retail_assets.invoices import daily_metrics, day_anomalies
from retail_assets.lakehouse.asset_metadata import asset_key
from retail_assets.lakehouse.content import CONTENT_HASH
from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG
from retail_assets.landing.drops import LandingZone
from retail_assets.operations.arrival import DROPS, fingerprints
from retail_assets.operations.planned_runs import PlannedRun, next_run, without_blocked
from retail_assets.operations.planning import Graph, Request, arrivals_since, due_partitions, looked_back, what_is_due
from retail_assets.operations.stored import Gone, Stored
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import Settings
from retail_assets.sources.arrivals import arrivals
from retail_assets_tests.made_shop import BY_THE_WEEK, SOURCE, TABLES

INGESTED = ["raw_invoices", "quarantined_invoices", "clean_transactions"]
SAME_DAY = [*INGESTED, "bronze_daily_quality", "bronze_silver_comparison"]
DAYS_AFTER = {"daily_metrics": daily_metrics.DAYS_BEFORE, "daily_counts": day_anomalies.DAYS_BEFORE}
"""Table -> how many days after a day read it."""
DAILY = [*SAME_DAY, *DAYS_AFTER]

MONTHS_AFTER = {"customer_month_activity": 0, "product_metrics": 1, "product_affinities": 1, "category_metrics": 2}
"""Table -> how many months after a month depend on its days."""
SNAPSHOTS = [
    "customer_rfm",
    "segment_model",
    "segment_champion",
    "customer_segments",
    "segment_drift",
    "segment_summary",
    "geo_metrics",
    "monthly_activity",
    "actions",
    "campaigns",
    "campaign_results",
    "dashboard",
]
"""What depends on all days before."""
MONTHLY = [*MONTHS_AFTER, *SNAPSHOTS]
CHURN = ["churn_evaluation", "churn_scores"]
LIFETIME = ["customer_clv", "clv_holdout"]  # with as many months of history


Due = Mapping[AssetKey, list[str]]


def key(table: str) -> AssetKey:
    return AssetKey(["online_retail", table])


def days(first: str, last: str) -> list[str]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [str(begin + timedelta(days=n)) for n in range((end - begin).days + 1)]


def months(first: str, last: str) -> list[str]:
    return sorted({day[:8] + "01" for day in days(first, last)})


def later(month: str, count: int) -> str:
    number = int(month[:4]) * 12 + int(month[5:7]) - 1 + count
    return f"{number // 12}-{number % 12 + 1:02}-01"


def each(tables: list[str], partitions: list[str]) -> dict[str, list[str]]:
    return dict.fromkeys(tables, partitions)


def named(due: Due) -> dict[str, list[str]]:
    """By day and by month; what is due by week is in test_weeks.py."""
    return {table.path[-1]: partitions for table, partitions in due.items() if table.path[-1] not in BY_THE_WEEK}


class Ledger:
    """A real landing zone and event log; tables are only said to have been made."""

    def __init__(self, directory: Path, first_day: str, last_day: str) -> None:
        self.settings = Settings.read(
            {
                "RETAIL_LANDING": str(directory / "landing"),
                "RETAIL_LAKEHOUSE": str(directory / "lakehouse"),
                "RETAIL_ONLINE_RETAIL_FIRST_DAY": first_day,
                "RETAIL_ONLINE_RETAIL_LAST_DAY": last_day,
            }
        )
        self.zone = directory / "landing" / "online_retail"
        self.zone.mkdir(parents=True)
        self.graph = Graph(list(build_definitions(self.settings).resolve_asset_graph().assets_defs))
        self.instance = DagsterInstance.ephemeral()

    def drop(self, *landed: str, content: str = "") -> None:
        for day in landed:
            path = self.zone / f"online_retail_{day}.csv"
            path.write_text(content)
            os.utime(path, (1_700_000_000, 1_700_000_000))  # not young: what is young is looked at twice

    def due(self, request: Request | None = None) -> dict[AssetKey, list[str]]:
        landed = arrivals(self.settings, self.instance, [SOURCE]).landed
        return due_partitions(self.graph, self.instance, request or Request(), landed)

    def make(self, due: Due, rows: str | None = None) -> None:
        """The tables are made; the hash of their `rows` is told, if it is given."""
        drops = LandingZone(self.settings.landing).drops("online_retail")
        for table in self.graph.assets:
            for partition in due.get(table, []):
                of_day = [drop for drop in drops if str(drop.day) == partition]
                metadata: dict[str, Any] = {CONTENT_HASH: rows} if rows else {}
                if table == key("raw_invoices"):
                    metadata[DROPS] = MetadataValue.json(fingerprints(of_day))
                self.instance.report_runless_asset_event(
                    AssetMaterialization(table, partition=partition, metadata=metadata)
                )

    def make_all(self, rows: str | None = None) -> None:
        self.make(self.due(), rows)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Ten months from the middle of one on; drops on some days of the first three months."""
    made = Ledger(tmp_path, "2010-01-15", "2010-10-20")
    made.drop("2010-01-15", "2010-02-01", "2010-03-10")
    with made.instance:
        yield made


def test_everything_landed_is_due_where_nothing_was_made(ledger):
    due = named(ledger.due())
    every_day, every_month = days("2010-01-15", "2010-03-10"), months("2010-01-15", "2010-03-10")
    assert due == each(DAILY, every_day) | each(MONTHLY, every_month)


def test_tables_come_after_what_they_read(ledger):
    order = list(ledger.graph.assets)
    assert {table.path[-1] for table in order} == {table.key.path[-1] for table in TABLES}
    for table in TABLES:
        read = {asset_key(upstream) for upstream, _ in table.reads.values()}
        for upstream in read & set(order):  # other sources' tables are there only where they are at work
            assert order.index(upstream) < order.index(table.key)


def test_closed_days_before_the_newest_drop_are_due_and_days_after_it_are_not(ledger):
    due = named(ledger.due())["raw_invoices"]
    assert "2010-02-28" in due  # no drop: made empty
    assert due[-1] == "2010-03-10"  # the calendar goes on to October


def test_nothing_is_due_where_nothing_has_landed(tmp_path):
    assert Ledger(tmp_path, "2010-01-15", "2010-10-20").due() == {}


def test_nothing_is_due_once_everything_was_made(ledger):
    ledger.make_all()
    assert ledger.due() == {}


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """More days than any table looks back, everything made; tests put back the drop that they change."""
    made = Ledger(tmp_path_factory.mktemp("history"), "2010-01-15", "2011-03-31")
    made.drop(*days("2010-01-15", "2011-03-31"))
    with made.instance:
        made.make_all()
        assert made.due() == {}
        yield made


@pytest.mark.parametrize("day", ["2010-01-15", "2010-03-10", "2010-10-20", "2011-03-31"])
def test_a_changed_drop_makes_due_its_day_and_what_reads_it_and_nothing_else(long_history, day):
    long_history.drop(day, content="changed")
    due = named(long_history.due())
    long_history.drop(day)
    from_its_month = months(day, "2011-03-31")
    first_score = later("2010-01-01", MONTHS_OF_HISTORY)
    assert due == {
        **each(SAME_DAY, [day]),
        **{table: days(day, "2011-03-31")[: count + 1] for table, count in DAYS_AFTER.items()},
        **{table: from_its_month[: count + 1] for table, count in MONTHS_AFTER.items()},
        **each(SNAPSHOTS, from_its_month),
        **each([*CHURN, *LIFETIME], [month for month in from_its_month if month >= first_score]),
    }


def test_a_drop_that_is_gone_makes_its_day_due_even_if_it_was_the_newest(ledger):
    ledger.make_all()
    (ledger.zone / "online_retail_2010-03-10.csv").unlink()
    due = ledger.due()
    assert named(due) == each(DAILY, ["2010-03-10"]) | each(MONTHLY, ["2010-03-01"])
    # One table at a time, as the main job goes: the day stays due for the next although its drop is dealt with.
    for table in ledger.graph.assets:
        if table in due:
            assert ledger.due()[table] == due[table]
            ledger.make({table: due[table]})
    assert ledger.due() == {}


def test_a_drop_that_arrives_late_makes_its_closed_day_due(ledger):
    ledger.make_all()
    ledger.drop("2010-02-14")
    assert named(ledger.due())["clean_transactions"] == ["2010-02-14"]


def test_a_second_drop_of_a_day_makes_the_day_due(ledger):
    ledger.make_all()
    (ledger.zone / "correction_2010-02-01.csv").write_text("more")
    os.utime(ledger.zone / "correction_2010-02-01.csv", (1_700_000_000, 1_700_000_000))
    assert named(ledger.due())["raw_invoices"] == ["2010-02-01"]


def test_a_new_day_makes_due_the_days_up_to_it_and_the_running_month(ledger):
    ledger.make_all()
    ledger.drop("2010-03-12")
    assert named(ledger.due()) == each(DAILY, ["2010-03-11", "2010-03-12"]) | each(MONTHLY, ["2010-03-01"])


def test_what_was_interrupted_is_due_again_with_what_reads_it(ledger):
    due = ledger.due()
    ledger.make({table: partitions for table, partitions in due.items() if table.path[-1] in INGESTED})
    ledger.make({key("clean_transactions"): ["2010-02-01"]})  # again, after its readers would have been made
    left = [table for table in DAILY if table not in INGESTED]
    every_month = months("2010-01-15", "2010-03-10")
    assert named(ledger.due()) == each(left, due[key("raw_invoices")]) | each(MONTHLY, every_month)


def test_a_table_made_anew_makes_due_what_reads_it(ledger):
    ledger.make_all()
    ledger.make({key("customer_rfm"): ["2010-02-01"]})
    # Which model scores a month follows from every month so far.
    assert named(ledger.due()) == each(["segment_model", "geo_metrics", "actions"], ["2010-02-01"]) | each(
        ["segment_champion", "customer_segments", "segment_drift", "segment_summary", "dashboard"],
        ["2010-02-01", "2010-03-01"],
    )


def test_a_drop_of_a_day_in_the_future_or_outside_the_calendar_is_left_alone_and_named(ledger):
    ledger.drop("2010-12-24", "2009-12-24")
    arrived = arrivals(ledger.settings, ledger.instance, [SOURCE])
    assert len(arrived.notices) == 1
    assert "online_retail_2009-12-24.csv, online_retail_2010-12-24.csv" in arrived.notices[0]
    assert named(ledger.due())["raw_invoices"] == days("2010-01-15", "2010-03-10")


def test_what_is_gone_is_due_and_what_reads_it_is_once_that_was_made_anew(ledger):
    ledger.make_all()
    every_day = days("2010-01-15", "2010-03-10")
    gone = [
        Gone(key("clean_transactions"), every_day, "there is no table"),
        Gone(key("daily_metrics"), ["2010-02-01"], ""),
    ]
    past = replace(looked_back(ledger.graph, ledger.instance, None), gone=gone)
    arrived = arrivals_since(past, arrivals(ledger.settings, ledger.instance, [SOURCE]).landed)
    due = what_is_due(ledger.graph, past, arrived, Request())
    assert named(due) == {"clean_transactions": every_day, "daily_metrics": ["2010-02-01"]}
    ledger.make({key("clean_transactions"): every_day})
    assert "daily_metrics" in named(ledger.due())


def test_what_is_gone_and_out_of_date_brings_along_what_reads_it(ledger):
    ledger.make_all()
    ledger.make({key("raw_invoices"): ["2010-02-01"]})
    before = named(ledger.due())
    gone = [Gone(key("clean_transactions"), ["2010-02-01"], "")]
    past = replace(looked_back(ledger.graph, ledger.instance, None), gone=gone)
    arrived = arrivals_since(past, arrivals(ledger.settings, ledger.instance, [SOURCE]).landed)
    assert named(what_is_due(ledger.graph, past, arrived, Request())) == before


def test_a_table_that_is_not_where_it_was_made_is_due(ledger):
    ledger.make_all()
    tags = {DATA_VERSION_TAG: "3"}
    ledger.instance.report_runless_asset_event(
        AssetMaterialization(key("daily_metrics"), partition="2010-02-01", tags=tags)
    )
    stored = Stored(ledger.settings.lakehouse)
    landed = arrivals(ledger.settings, ledger.instance, [SOURCE]).landed
    due = due_partitions(ledger.graph, ledger.instance, Request(), landed, stored)
    assert named(due)["daily_metrics"] == ["2010-02-01"]


# What did not change --------------------------------------------------------------------------------------------------


def test_what_is_made_again_with_the_rows_that_it_had_makes_nothing_due(ledger):
    ledger.make_all("rows")
    three_days = days("2010-02-01", "2010-02-03")
    for table in ("daily_metrics", "clean_transactions", "raw_invoices"):
        ledger.make({key(table): three_days}, "rows")
        assert ledger.due() == {}
    ledger.make({key("customer_rfm"): ["2010-02-01", "2010-03-01"]}, "rows")
    assert ledger.due() == {}


def test_only_what_reads_changed_rows_is_due(ledger):
    ledger.make_all("rows")
    before = ledger.due()
    ledger.make({key("raw_invoices"): ["2010-02-01", "2010-02-02"]}, "rows")
    ledger.make({key("raw_invoices"): ["2010-02-02"]}, "other rows")
    assert before == {}
    assert named(ledger.due())["clean_transactions"] == ["2010-02-02"]


def test_rows_that_are_again_as_they_were_read_make_nothing_due(ledger):
    ledger.make_all("rows")
    ledger.make({key("customer_rfm"): ["2010-02-01"]}, "other rows")
    assert "segment_model" in named(ledger.due())
    ledger.make({key("customer_rfm"): ["2010-02-01"]}, "rows")
    assert ledger.due() == {}
    ledger.make({key("customer_rfm"): ["2010-02-01"]}, "other rows")
    ledger.make({key("segment_model"): ["2010-02-01"]}, "rows")  # which read them
    ledger.make({key("customer_rfm"): ["2010-02-01"]}, "rows")
    assert named(ledger.due())["segment_model"] == ["2010-02-01"]


def test_what_does_not_tell_its_rows_counts_as_changed(ledger):
    ledger.make_all()
    ledger.make({key("daily_metrics"): ["2010-02-01"]}, "rows")
    assert ledger.due() != {}
    ledger.make_all("rows")
    ledger.make({key("daily_metrics"): ["2010-02-01"]})
    assert ledger.due() != {}


def test_what_comes_back_as_it_was_after_it_was_lost_makes_nothing_else_due(ledger):
    ledger.make_all("rows")
    gone = [Gone(key("clean_transactions"), days("2010-01-15", "2010-03-10"), "there is no table")]
    past = replace(looked_back(ledger.graph, ledger.instance, None), gone=gone)
    due = what_is_due(
        ledger.graph,
        past,
        arrivals_since(past, arrivals(ledger.settings, ledger.instance, [SOURCE]).landed),
        Request(),
    )
    assert list(named(due)) == ["clean_transactions"]
    ledger.make(due, "rows")
    assert ledger.due() == {}


# Requests -----------------------------------------------------------------------------------------------------------


def test_from_and_to_bound_the_days_and_take_in_the_months_of_their_days(ledger):
    due = named(ledger.due(Request(first_day=date(2010, 1, 20), last_day=date(2010, 2, 3))))
    assert due == each(DAILY, days("2010-01-20", "2010-02-03")) | each(MONTHLY, ["2010-01-01", "2010-02-01"])


def test_only_selected_tables_are_due(ledger):
    assert named(ledger.due(Request(tables=frozenset({key("raw_invoices")})))) == {
        "raw_invoices": days("2010-01-15", "2010-03-10")
    }


def test_all_makes_due_what_is_up_to_date(ledger):
    ledger.make_all()
    every = named(ledger.due(Request(everything=True)))
    assert every["clean_transactions"] == days("2010-01-15", "2010-03-10")
    assert every["customer_segments"] == months("2010-01-15", "2010-03-10")
    selected = Request(everything=True, tables=frozenset({key("customer_rfm")}))
    assert named(ledger.due(selected)) == {"customer_rfm": months("2010-01-15", "2010-03-10")}


def test_newest_month_leaves_older_snapshots_out_but_nothing_that_the_newest_reads(ledger):
    due = named(ledger.due(Request(newest_month_only=True)))
    assert due == each(DAILY, days("2010-01-15", "2010-03-10")) | each(MONTHLY, ["2010-03-01"]) | {
        "customer_month_activity": months("2010-01-15", "2010-03-10"),
        **each(["customer_rfm", "product_metrics"], ["2010-02-01", "2010-03-01"]),
        "campaigns": months("2010-01-15", "2010-03-10"),
    }


def test_what_was_made_of_the_newest_month_is_not_made_again_for_older_months_that_nobody_asked_for(ledger):
    newest = Request(newest_month_only=True)
    ledger.make(ledger.due(newest))
    assert ledger.due(newest) == {}


# Failures -----------------------------------------------------------------------------------------------------------


def test_a_failed_partition_blocks_exactly_what_reads_it(ledger):
    due = ledger.due()
    left, waiting = without_blocked(ledger.graph, due, {(key("raw_invoices"), "2010-02-01")})
    before, after = days("2010-01-15", "2010-01-31"), days("2010-02-02", "2010-03-10")
    assert named(left) == {
        **each(SAME_DAY, before + after),
        **each([*DAYS_AFTER], before),
        **each(MONTHLY, ["2010-01-01"]),
        "customer_month_activity": ["2010-01-01", "2010-03-01"],
    }
    waiting = {(table, partition) for table, partition in waiting if table.path[-1] not in BY_THE_WEEK}
    assert waiting == {(key(table), "2010-02-01") for table in [*SAME_DAY[1:], "customer_month_activity"]} | {
        (key(table), day) for table in DAYS_AFTER for day in ["2010-02-01", *after]
    } | {(key(table), month) for table in MONTHLY[1:] for month in ("2010-02-01", "2010-03-01")}


def test_a_failed_snapshot_leaves_tables_beside_it_alone(ledger):
    left, waiting = without_blocked(ledger.graph, ledger.due(), {(key("segment_model"), "2010-02-01")})
    # What reads earlier months as far as they were made goes on without this one.
    scored = {"segment_champion", "customer_segments", "segment_drift", "segment_summary", "dashboard"}
    assert waiting == {(key(table), "2010-02-01") for table in scored}
    assert named(left)["customer_rfm"] == months("2010-01-15", "2010-03-10")


# Runs ---------------------------------------------------------------------------------------------------------------


def runs(graph: Graph, due: Due) -> list[PlannedRun]:
    """Every run, each made before the next is planned."""
    left, planned = {table: list(partitions) for table, partitions in due.items()}, []
    while run := next_run(graph, left):
        planned.append(run)
        for table in run.keys:
            left[table] = [partition for partition in left[table] if partition not in run.partitions]
        left = {table: partitions for table, partitions in left.items() if partitions}
    return planned


def test_a_first_run_takes_few_dagster_runs_in_the_order_of_the_data(ledger):
    assert [({table.path[-1] for table in run.keys}, str(run)) for run in runs(ledger.graph, ledger.due())][:2] == [
        (set(DAILY), "2010-01-15 to 2010-03-10 (55 partitions)"),
        (set(MONTHLY), "2010-01-01 to 2010-03-01 (3 partitions)"),
    ]


def test_a_run_covers_consecutive_partitions_only(ledger):
    due = {key("raw_invoices"): ["2010-01-20", "2010-01-21", "2010-02-03"]}
    assert [run.partitions for run in runs(ledger.graph, due)] == [("2010-01-20", "2010-01-21"), ("2010-02-03",)]


def test_tables_share_a_run_only_if_the_same_partitions_of_both_are_due(ledger):
    due = {
        key("raw_invoices"): ["2010-01-20"],
        key("clean_transactions"): ["2010-01-20", "2010-01-21"],
        key("daily_metrics"): ["2010-01-20"],
    }
    # daily_metrics has the same day due as raw_invoices, but has to wait for clean_transactions.
    assert [([table.path[-1] for table in run.keys], run.first, run.last) for run in runs(ledger.graph, due)] == [
        (["raw_invoices"], "2010-01-20", "2010-01-20"),
        (["clean_transactions"], "2010-01-20", "2010-01-21"),
        (["daily_metrics"], "2010-01-20", "2010-01-20"),
    ]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_due_is_made_once_and_after_what_it_reads(data, runs_graph):
    due = {}
    for table in runs_graph.assets:
        chosen = data.draw(st.sets(st.sampled_from(list(runs_graph.partitions(table)))), label=table.path[-1])
        if chosen:
            due[table] = sorted(chosen)
    planned = runs(runs_graph, due)
    made: dict[AssetKey, list[str]] = {}
    for run in planned:
        for table in run.keys:
            for parent in runs_graph.parents(table):
                unmade = set(due.get(parent, [])) - set(made.get(parent, []))
                read = runs_graph.reads(table, parent)
                for partition in run.partitions:
                    assert not unmade.intersection(runs_graph.partitions(parent)[read[partition]])
            made.setdefault(table, []).extend(run.partitions)
    assert made == due


@pytest.fixture(scope="module")
def runs_graph() -> Graph:
    """A short calendar, so that arbitrary subsets of its partitions meet often."""
    return graph_of(Calendar(date(2010, 1, 25), date(2010, 7, 5)))


def graph_of(calendar: Calendar) -> Graph:
    return Graph([table.asset(calendar) for table in TABLES])


# What reads what ----------------------------------------------------------------------------------------------------

_yesterday = date.today() - timedelta(days=1)

CALENDARS = [
    Calendar(date(2010, 1, 1), date(2010, 12, 31)),
    Calendar(date(2009, 12, 15), date(2011, 2, 10)),
    Calendar(date(2012, 2, 29), date(2012, 2, 29)),
    Calendar(date(2010, 1, 31), date(2010, 2, 1)),
    Calendar(_yesterday - timedelta(days=500), None),
    Calendar(_yesterday.replace(day=1), None),
    Calendar(_yesterday, None),
]


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda calendar: f"{calendar.first_day}..{calendar.last_day}")
def test_what_a_partition_reads_is_what_dagster_says_it_reads(calendar):
    graph = graph_of(calendar)
    edges = [(table, parent) for table in graph.assets for parent in graph.parents(table)]
    read = {(table.key, asset_key(of)) for table in TABLES for of, _ in table.reads.values()}
    assert set(edges) == {(table, parent) for table, parent in read if parent in graph.assets}
    for table, parent in edges:
        if table.path[-1] in BY_THE_WEEK and calendar.first_day == calendar.last_day:
            continue  # a week that begins before the only day there is: Dagster's windows end before it
        reads = graph.reads(table, parent)
        own = list(graph.partitions(table))
        assert list(reads) == own
        mapping = graph.assets[table].get_partition_mapping(parent)
        assert mapping is not None
        for partition in {*own[:2], *own[-2:], *own[5:-1:97]}:
            told = mapping.get_upstream_mapped_partitions_result_for_partitions(
                graph.partitions_def(table).subset_with_partition_keys([partition]),
                graph.partitions_def(table),
                graph.partitions_def(parent),
            )
            expected = sorted(told.partitions_subset.get_partition_keys())
            assert list(graph.partitions(parent)[reads[partition]]) == expected, (table, parent, partition)
