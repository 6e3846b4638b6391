"""A day of bronze is its files and its events, by one set of rules: what is made, what is due, what is told."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import SparkSession

from retail_assets.landing.drops import settled
from retail_assets.shops.description import BUILT_IN
from retail_assets.streaming.event_days import EventDay
from retail_assets.streaming.event_zone import Stream
from retail_assets_tests.streaming.events import SHOP, form, layout, line, put
from retail_assets_tests.workbench import Workbench
from retail_assets_tests.workbench import line as csv_line

DAILY = ("raw_invoices", "quarantined_invoices", "clean_transactions", "daily_metrics")
SAID = '\n[events]\ntopic = "orders"\nkey = ["Invoice", "line"]\n'
AT_ONCE = "quiet_seconds = 0\nlate_seconds = 0\nidle_seconds = 0\n"


class Streamed(Workbench):
    """A shop with files and events."""

    def __init__(
        self,
        directory: Path,
        spark: SparkSession,
        said: str = "",
        topic: str = "orders",
        last_day: str = "2011-12-31",
    ) -> None:
        super().__init__(directory, spark, last_day=last_day)
        (directory / "shops").mkdir()
        described = (BUILT_IN / f"{SHOP}.toml").read_text(encoding="utf-8") + SAID.replace("orders", topic) + AT_ONCE
        (directory / "shops" / f"{SHOP}.toml").write_text(described + said, encoding="utf-8")
        self.environment |= {"RETAIL_SHOPS": str(directory / "shops"), "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2011-01-01"}
        self.settings = self.settings.read(self.environment)
        self.form = form(topic)

    def put(self, *values: Any, partition: int = 0) -> None:
        """Lands events."""
        put(self.directory / "lakehouse", self.form, values, partition)

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """A table's rows, sorted."""
        return sorted(tuple(row) for row in self.table(table).select(*columns).collect())


def test_events_become_rows_as_files_do_and_what_is_none_goes_to_quarantine(tmp_path: Path, spark: SparkSession):
    bench = Streamed(tmp_path, spark)
    bench.drop("2011-01-05", [csv_line("500009", when="2011-01-05 08:00:00")])
    bench.put(line(0), line(1, Colour="red"), b"{", line(2, Quantity={"of": 6}), line(0), partition=1)
    assert bench.run(DAILY).failures == []
    raw = bench.rows("raw_invoices", "source_file", "line_number", "invoice_no", "unit_price", "malformed_line")
    assert raw == [
        ("kafka:orders/1", 1, "500000", "2.55", None),
        ("kafka:orders/1", 2, None, None, "{"),
        ("kafka:orders/1", 3, "500000", "2.55", None),
        ("kafka:orders/1", 4, "500000", "2.55", None),
        ("online_retail_2011-01-05.csv", 2, "500009", "2.55", None),
    ]
    quarantined = bench.rows("quarantined_invoices", "line_number", "reasons")
    assert quarantined == [(2, ["malformed_line"]), (3, ["invalid_quantity"])]
    of_events = bench.table("raw_invoices").filter("source_file != 'online_retail_2011-01-05.csv'").collect()
    extra = {row["line_number"]: row["extra_columns"] for row in of_events}
    assert extra[1] == {"Colour": "red"}
    assert extra[2] == {"problem": "no JSON"}


def test_an_order_has_a_row_for_each_of_its_items_and_its_newest_version_counts(tmp_path: Path):
    of = form(form="order", key=("Invoice",), version="updated", items="lines")
    items = [{"StockCode": code, "Quantity": 1, "Price": "2.50", "Description": "HEART"} for code in ("1", "2", "3")]
    order = {"Invoice": "500000", "InvoiceDate": "2011-01-04 10:00:00", "Customer ID": 13085, "Country": "France"}
    put(tmp_path, of, [{**order, "updated": "2011-01-04T12:00:00Z", "lines": items}])
    put(tmp_path, of, [{**order, "updated": "2011-01-04T11:00:00Z", "lines": items[:1]}, {**order, "lines": []}])
    (drop,) = Stream(str(tmp_path), SHOP, of, ZoneInfo("Europe/London")).drops()
    rows = [row for batch in EventDay.of(drop.path).rows(layout(of)) for row in batch.to_pylist()]
    assert [(row["stock_code"], row["customer_id"], row["line_number"]) for row in rows if row["stock_code"]] == [
        ("1", "13085", 0), ("2", "13085", 0), ("3", "13085", 0),
    ]  # fmt: skip
    (none,) = [row for row in rows if row["malformed_line"]]
    assert dict(none["extra_columns"]) == {"problem": "an order without items"}


def test_late_events_make_their_days_due_and_doubled_ones_none(tmp_path: Path, spark: SparkSession):
    bench = Streamed(tmp_path, spark)
    bench.put(line(0), line(1, "2011-01-05 09:00:00"), line(2, "2011-01-06 09:00:00"))
    bench.run(["raw_invoices"])
    bench.put(line(1, "2011-01-05 09:00:00"))
    assert bench.run(["raw_invoices"]).tables == {}
    bench.put(line(3, "2011-01-05 17:00:00"), partition=1)
    (made,) = bench.run(["raw_invoices"]).tables.values()
    assert made.partitions == {"2011-01-05"}
    assert bench.rows("raw_invoices", "invoice_date", "line_number")[1:3] == [
        (date(2011, 1, 5), 0), (date(2011, 1, 5), 3),
    ]  # fmt: skip


@pytest.mark.parametrize(("truth", "kept"), [("drops", "online_retail_2011-01-04.csv"), ("events", "kafka:orders/0")])
def test_of_files_and_events_of_a_day_one_is_the_truth_and_the_other_compared(
    tmp_path: Path, spark: SparkSession, truth: str, kept: str
):
    bench = Streamed(tmp_path, spark, f'truth = "{truth}"\n')
    bench.drop("2011-01-04", [csv_line(quantity=6), csv_line("500001", quantity=2)])
    bench.put(line(0))
    bench.run(["raw_invoices"])
    assert {row[0] for row in bench.rows("raw_invoices", "source_file")} == {kept}
    told = bench.table("dq_results").filter("check_name = 'drops_as_expected'").collect()
    assert "the day's events have -1 rows and -5.10 GBP against its files" in str(told)


def test_a_day_is_held_back_while_it_is_open_and_while_events_still_come(tmp_path: Path):
    now = datetime(2011, 1, 5, 0, 10, tzinfo=UTC)
    of = form(quiet_seconds=60, late_seconds=300, idle_seconds=600)
    stream = Stream(str(tmp_path), SHOP, of, ZoneInfo("Europe/London"))

    def held_back(of_stream: Stream, at: datetime) -> dict[int, bool]:
        return {drop.day.day: drop.held_back for drop in of_stream.drops(at)}

    put(tmp_path, of, [line(0)], now=now)
    assert held_back(stream, now + timedelta(minutes=2)) == {4: True}  # its partition may have more of the day
    assert held_back(stream, now + timedelta(minutes=11)) == {4: False}  # it has been idle
    put(tmp_path, of, [line(1, "2011-01-05 00:01:00")], now=now + timedelta(minutes=1))
    assert held_back(stream, now + timedelta(minutes=2)) == {4: False, 5: True}
    put(tmp_path, of, [line(2)], now=now + timedelta(minutes=3))
    assert held_back(stream, now + timedelta(minutes=3, seconds=59)) == {4: True, 5: True}  # not quiet
    assert held_back(stream, now + timedelta(minutes=4)) == {4: False, 5: True}
    ready, moving = settled(list(stream.drops(now + timedelta(minutes=4))))
    assert ([drop.day.day for drop in ready], [drop.day.day for drop in moving]) == ([4], [5])
