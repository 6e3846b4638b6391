"""Two shops and a marketplace in one lakehouse and one Dagster instance: each keeps to its own."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dagster import AssetKey
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.definitions import build_definitions
from retail_assets.lakehouse.pseudonyms import key_of, pseudonym
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.landing import land
from retail_assets.operations.main_job import Observer, Summary, run_main_job
from retail_assets.operations.planning import Request
from retail_assets.settings import Settings
from retail_assets.shops.description import BUILT_IN
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import sources_at_work
from retail_assets_tests.olist.test_landing import TODAY, delivered
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

    def run(self, *sources: str, everything: bool = False) -> Summary:
        """The main job, of tables of these sources, or of all three."""
        every = {"online_retail": CUSTOMERS, "boxes": CUSTOMERS, "olist": ORDERS}
        wanted = {source: tables for source, tables in every.items() if source in (sources or every)}
        keys = frozenset(AssetKey([source, table]) for source, tables in wanted.items() for table in tables)
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


def test_a_broken_drop_of_one_holds_up_no_other_and_a_corrected_one_makes_only_its_own_tables_due(together: Together):
    together.boxes("2011-01-05", "1,00", header=HEADER.replace("Preis", "?"))
    together.bench.drop("2011-01-06", [line("500003", when="2011-01-06 10:00:00")])
    summary = together.run()
    assert len(summary.failures) == 1
    assert "boxes.raw_invoices" in summary.failures[0]
    assert "unit_price" in summary.failures[0]
    assert made(summary) == {"online_retail": len(CUSTOMERS)}
    assert summary.tables[AssetKey(["online_retail", "customer_rfm"])].partitions == {"2011-01-01"}
    together.boxes("2011-01-05", "1,00")
    summary = together.run()
    assert summary.failures == []
    assert made(summary) == {"boxes": len(CUSTOMERS)}


def test_a_backfill_of_one_makes_its_tables_anew_and_leaves_nothing_of_the_others_to_do(together: Together):
    before = {source: together.table(f"{source}/customer_rfm").version() for source in ("online_retail", "olist")}
    assert made(together.run("boxes", everything=True)) == {"boxes": len(CUSTOMERS)}
    assert made(together.run()) == {}
    assert {source: together.table(f"{source}/customer_rfm").version() for source in before} == before


def test_jobs_sensors_and_upkeep_name_the_tables_of_all(together: Together):
    definitions = build_definitions(together.settings)
    sensors: Mapping[str, object] = {sensor.name: sensor for sensor in definitions.sensors or []}
    assert {"online_retail_arrivals", "boxes_arrivals", "olist_orders_arrivals", "olist_products_arrivals"} <= set(
        sensors
    )
    assert "wdi_indicators_arrivals" not in sensors
    steps = {node.name for node in definitions.get_job_def("maintenance").nodes}
    assert {f"maintain__{source}__customer_rfm" for source in ("online_retail", "boxes", "olist")} <= steps
