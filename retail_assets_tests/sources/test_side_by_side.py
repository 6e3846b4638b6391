"""Two shops and a marketplace in one lakehouse and one Dagster instance: each keeps to its own."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DagsterEvent,
    DagsterEventType,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
)
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.test_utils import create_run_for_test
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.definitions import build_definitions
from retail_assets.lakehouse.pseudonyms import key_of, pseudonym
from retail_assets.landing.drops import MARK, LandingUnderWay, LandingZone
from retail_assets.olist.landing import land
from retail_assets.operations.alerts.events import AssetGraph
from retail_assets.operations.arrival_decision import Asked
from retail_assets.operations.catch_up import JOB, request, what_to_make
from retail_assets.operations.main_job import Observer, Summary, _origin, run_main_job
from retail_assets.operations.planning import Request
from retail_assets.settings import Settings
from retail_assets.shops.description import BUILT_IN
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import sources_at_work
from retail_assets_tests.olist.test_landing import TODAY, delivered
from retail_assets_tests.operations.alerts.listening import Listening
from retail_assets_tests.operations.alerts.servers import Endpoint, http_endpoint
from retail_assets_tests.workbench import Workbench, line

KEY = "a key of more than thirty-two characters"
CUSTOMERS = ("raw_invoices", "quarantined_invoices", "clean_transactions", "customer_month_activity", "customer_rfm")
ORDERS = ("raw_orders", "raw_order_items", "raw_order_payments", "raw_order_reviews", "raw_customers", "raw_products",
          "raw_category_translation", "raw_sellers", "orders", "order_items", "order_payments", "order_reviews",
          "orders_master", "customer_month_activity", "customer_rfm")  # fmt: skip
HEADER = "Rechnung;StockCode;Description;Quantity;InvoiceDate;Preis;Customer ID;Country"


OWN_WORDS = {"GBP": "EUR", '["Invoice", "InvoiceNo"]': '"Rechnung"', '["Price", "UnitPrice"]': '"Preis"'}
OWN_SIGNS = '\n[files]\ndelimiter = ";"\n[numbers]\ndecimal = ","\n'
"""What the second shop writes otherwise than the first."""


class Together:
    """The three of them, landed."""

    def __init__(self, directory: Path, spark: SparkSession) -> None:
        self.bench = Workbench(directory, spark)
        (directory / "shops").mkdir()
        described = (BUILT_IN / "online_retail.toml").read_text()
        for theirs, ours in OWN_WORDS.items():
            described = described.replace(theirs, ours)
        (directory / "shops" / "boxes.toml").write_text(described + OWN_SIGNS)
        self.settings = Settings.read(
            self.bench.environment
            | {"RETAIL_SHOPS": str(directory / "shops"), "RETAIL_BOXES_LAST_DAY": "2011-01-31"}
            | {"RETAIL_PSEUDONYM_KEY": KEY}
        )
        self.bench.drop("2011-01-04", [line()])
        self.bench.drop("2011-01-05", [line("500002", when="2011-01-05 10:00:00")])
        self.boxes("2011-01-04", "2,55")
        land([delivered(directory / "olist", "2017-01", "2017-02")], LandingZone(self.settings.landing), today=TODAY)

    def boxes(self, day: str, price: str, header: str = HEADER) -> None:
        """A drop of the second shop."""
        zone = self.bench.directory / "landing" / "boxes"
        zone.mkdir(exist_ok=True)
        row = f"500001;85123A;BOX;2;{day} 10:00:00;{price};13085;Germany"
        (zone / f"boxes_{day}.csv").write_text(f"{header}\n{row}\n")

    def run(self, *sources: str, everything: bool = False, only: str = "") -> Summary:
        """The main job, of tables of these sources, or of all three."""
        every = {"online_retail": CUSTOMERS, "boxes": CUSTOMERS, "olist": ORDERS}
        wanted = {source: tables for source, tables in every.items() if source in (sources or every)}
        keys = frozenset(
            AssetKey([source, table]) for source, tables in wanted.items() for table in tables if only in ("", table)
        )
        arrived = arrivals(self.settings, self.bench.instance, sources_at_work(self.settings))
        definitions = build_definitions(self.settings)
        request = Request(tables=keys, everything=everything)
        return run_main_job(
            definitions, self.bench.instance, arrived.landed, request, Observer(), places=arrived.places
        )

    def table(self, name: str) -> DeltaTable:
        """A table, by another reader."""
        return DeltaTable(str(self.bench.directory / "lakehouse" / name))


def made(summary: Summary) -> dict[str, int]:
    """Source -> tables that were made."""
    found: dict[str, int] = {}
    for key, table in summary.tables.items():
        if table.partitions:
            found[key.path[0]] = found.get(key.path[0], 0) + 1
    return found


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Iterator[Together]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RETAIL_PSEUDONYM_KEY", KEY)  # which Dagster reads there, as it must not be shown
        found = Together(tmp_path_factory.mktemp("together"), spark)
        summary = found.run()
        assert summary.failures == []
        assert made(summary) == {"online_retail": len(CUSTOMERS), "boxes": len(CUSTOMERS), "olist": len(ORDERS)}
        yield found


def test_each_source_has_its_own_rows_in_its_own_currency(together: Together):
    totals = {
        source: together.table(f"{source}/clean_transactions").to_pyarrow_table()["line_total"].to_pylist()
        for source in ("online_retail", "boxes")
    }
    assert {source: [str(total) for total in found] for source, found in totals.items()} == {
        "online_retail": ["2.550", "2.550"],
        "boxes": ["5.100"],
    }
    units = {"online_retail": "GBP", "boxes": "EUR", "olist": "BRL"}
    for source, currency in units.items():
        assert f"[{currency}]" in comment(together.table(f"{source}/customer_rfm"), "monetary")


def comment(table: DeltaTable, column: str) -> str:
    fields = json.loads(table.schema().to_json())["fields"]
    (found,) = (field["metadata"]["comment"] for field in fields if field["name"] == column)
    return str(found)


def test_whoever_is_known_by_the_same_id_in_two_shops_has_two_pseudonyms(together: Together, spark: SparkSession):
    one = spark.createDataFrame([("13085",)], "id string")
    expected = {}
    for source in ("online_retail", "boxes"):
        (expected[source],) = one.select(pseudonym(key_of(KEY, source), one.id)).collect()[0]
    assert len(set(expected.values())) == 2
    for source, known_by in expected.items():
        ids = together.table(f"{source}/customer_rfm").to_pyarrow_table()["customer_id"].to_pylist()
        assert set(ids) == {known_by}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with http_endpoint() as opened:
        yield opened


@pytest.fixture(scope="module")
def definitions(together: Together) -> Definitions:
    return build_definitions(together.settings)


@pytest.fixture
def channel(together: Together, definitions: Definitions, endpoint: Endpoint) -> Listening:
    """A real one, over the graph of the three."""
    return Listening(together.bench.instance, endpoint, AssetGraph.of(list(definitions.assets or [])))


def test_a_broken_drop_of_one_holds_up_no_other_and_a_corrected_one_makes_only_its_own_tables_due(
    together: Together, channel: Listening, endpoint: Endpoint
):
    together.boxes("2011-01-05", "1,00", header=HEADER.replace("Preis", "?"))
    # Of the other's new day, most prices are none: a check warns of it, or fails.
    unpriced = [line("500003", when="2011-01-06 10:00:00", price="?", code=f"8512{n}") for n in range(9)]
    together.bench.drop("2011-01-06", [line("500003", when="2011-01-06 10:00:00"), *unpriced])
    summary = together.run()
    told = channel.tick()
    assert told == [
        ("failed", "check", "boxes/raw_invoices", ["2011-01-05"]),
        ("failed", "check", "online_retail/quarantined_invoices", ["2011-01-06"]),
    ]
    blocks = endpoint.messages[-1]["items"][0]["blocks"]
    assert {table.split("/")[0] for table in blocks} == {"boxes"}
    assert len(summary.failures) == 1
    assert "boxes.raw_invoices" in summary.failures[0]
    assert "unit_price" in summary.failures[0]
    assert made(summary) == {"online_retail": len(CUSTOMERS)}
    assert summary.tables[AssetKey(["online_retail", "customer_rfm"])].partitions == {"2011-01-01"}
    together.boxes("2011-01-05", "1,00")
    summary = together.run()
    assert summary.failures == []
    assert made(summary) == {"boxes": len(CUSTOMERS)}
    assert channel.tick() == [("recovered", "check", "boxes/raw_invoices", ["2011-01-05"])]
    together.bench.drop("2011-01-06", [line("500003", when="2011-01-06 10:00:00")])
    assert "boxes" not in made(together.run())
    assert channel.tick() == [("recovered", "check", "online_retail/quarantined_invoices", ["2011-01-06"])]


def test_a_landing_that_is_under_way_at_one_is_left_for_the_next_run_and_holds_up_no_other(together: Together):
    mark = Path(LandingZone(together.settings.landing).directory("boxes")) / MARK
    mark.write_text("{}")
    try:
        together.boxes("2011-01-04", "9,99")
        together.bench.drop("2011-01-07", [line("500004", when="2011-01-07 10:00:00")])
        assert made(together.run()) == {"online_retail": len(CUSTOMERS)}
        sources = sources_at_work(together.settings)
        arrived = arrivals(together.settings, together.bench.instance, sources)
        assert any("boxes: a landing is under way" in notice for notice in arrived.notices)
        with pytest.raises(LandingUnderWay):
            arrivals(together.settings, together.bench.instance, [each for each in sources if each.name == "boxes"])
        inboxes = {inbox.table.to_user_string(): inbox for each in sources for inbox in each.inboxes(together.settings)}
        asked = arrival(together, "online_retail", DagsterRunStatus.STARTED)
        waiting = arrival(together, "boxes", DagsterRunStatus.QUEUED)
        taken = what_to_make(asked, together.bench.instance, inboxes)
        assert {inbox.source: days for inbox, days in taken.items()} == {"online_retail": ["2011-01-04", "2011-01-05"]}
        taken = what_to_make(waiting, together.bench.instance, inboxes)
        assert [inbox.source for inbox in taken] == ["boxes"]  # which then fails, and says why
        together.bench.instance.delete_run(waiting.run_id)
    finally:
        mark.unlink()


def arrival(together: Together, source: str, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> DagsterRun:
    """A run that a sensor asked for, of two days."""
    asked = request(AssetKey([source, "raw_invoices"]), Asked("", ("2011-01-04", "2011-01-05")))
    return create_run_for_test(
        together.bench.instance,
        JOB,
        run_config=asked.run_config,
        tags=asked.tags,
        status=status,
        remote_job_origin=_origin().get_job_origin(JOB),
    )


def test_an_arrival_that_breaks_off_is_told_by_its_table_and_is_no_matter_of_another_source(
    together: Together, channel: Listening, endpoint: Endpoint
):
    instance = together.bench.instance
    together.boxes("2011-01-05", "1,10")
    instance.report_run_failed(arrival(together, "boxes"), "the machine went down")
    days = ["2011-01-04", "2011-01-05"]
    assert channel.tick() == [("failed", "run", "boxes/raw_invoices", days)]
    assert endpoint.messages[-1]["items"][0]["facts"]["details"] == "the machine went down"
    succeeded = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, JOB)
    instance.report_dagster_event(succeeded, arrival(together, "online_retail").run_id)
    assert channel.tick() == []
    instance.report_run_failed(arrival(together, "online_retail"), "the machine went down again")
    assert channel.tick() == [("failed", "run", "online_retail/raw_invoices", days)]
    together.run("boxes", everything=True, only="raw_invoices")
    assert channel.tick() == [("recovered", "run", "boxes/raw_invoices", days)]


def test_a_late_source_is_told_alone(together: Together, channel: Listening):
    open_ended = replace(together.settings, calendars={**together.settings.calendars, "RETAIL_BOXES_LAST_DAY": "open"})
    late = {
        spec.key.path[0]
        for asset in build_definitions(open_ended).assets or []
        for spec in (asset.specs if isinstance(asset, AssetsDefinition) else [asset])
        if isinstance(spec, AssetSpec) and spec.freshness_policy
    }
    assert late == {"boxes"}

    def becomes(source: str, state: FreshnessState, before: FreshnessState) -> list[tuple[str, str, str, list[str]]]:
        key, now = AssetKey([source, "raw_invoices"]), time.time()
        change = FreshnessStateChange(key=key, new_state=state, previous_state=before, state_change_timestamp=now)
        together.bench.instance._report_runless_asset_event(change)
        return channel.tick()

    fails, passes = FreshnessState.FAIL, FreshnessState.PASS
    assert becomes("boxes", fails, passes) == [("failed", "freshness", "boxes/raw_invoices", [])]
    assert becomes("online_retail", passes, fails) == []
    assert becomes("online_retail", fails, passes) == [("failed", "freshness", "online_retail/raw_invoices", [])]
    assert becomes("boxes", passes, fails) == [("recovered", "freshness", "boxes/raw_invoices", [])]


def test_upkeep_that_fails_at_a_table_of_one_source_is_told_by_its_name_and_silences_no_other(
    together: Together, channel: Listening, definitions: Definitions
):
    job = definitions.get_job_def("maintenance")
    steps = {source: f"maintain__{source}__customer_rfm" for source in ("boxes", "online_retail")}
    logs = {source: together.bench.directory / "lakehouse" / source / "customer_rfm/_delta_log" for source in steps}

    def upkeep(*spoilt: str) -> list[tuple[str, str, str]]:
        commits = {source: logs[source] / f"{len([*logs[source].glob('*.json')]):020}.json" for source in spoilt}
        for commit in commits.values():
            commit.write_text("spoilt")
        result = job.execute_in_process(
            instance=together.bench.instance, op_selection=list(steps.values()), raise_on_error=False
        )
        for commit in commits.values():
            commit.unlink()
        assert result.success == (not spoilt)
        return [(status, kind, what) for status, kind, what, _ in channel.tick()]

    named = {source: f"maintenance, step {step}" for source, step in steps.items()}
    assert upkeep("boxes") == [("failed", "run", named["boxes"])]
    assert upkeep("boxes", "online_retail") == [("failed", "run", named["online_retail"])]
    assert upkeep("online_retail") == [("recovered", "run", named["boxes"])]
    assert upkeep() == [("recovered", "run", named["online_retail"])]


def test_a_backfill_of_one_makes_its_tables_anew_and_leaves_nothing_of_the_others_to_do(together: Together):
    before = {source: together.table(f"{source}/customer_rfm").version() for source in ("online_retail", "olist")}
    assert made(together.run("boxes", everything=True)) == {"boxes": len(CUSTOMERS)}
    assert made(together.run()) == {}
    assert {source: together.table(f"{source}/customer_rfm").version() for source in before} == before


def test_jobs_sensors_and_upkeep_name_the_tables_of_all(definitions: Definitions):
    sensors: Mapping[str, object] = {sensor.name: sensor for sensor in definitions.sensors or []}
    assert {"online_retail_arrivals", "boxes_arrivals", "olist_orders_arrivals", "olist_products_arrivals"} <= set(
        sensors
    )
    assert "wdi_indicators_arrivals" not in sensors
    steps = {node.name for node in definitions.get_job_def("maintenance").nodes}
    assert {f"maintain__{source}__customer_rfm" for source in ("online_retail", "boxes", "olist")} <= steps
