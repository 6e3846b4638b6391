"""Batch = stream: the same rows once as files, once as events, shuffled, doubled, late: every table the same."""

import csv
import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.generator.generate import generate
from retail_assets.lakehouse.table import Table
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import land as land_files
from retail_assets_tests.made_shop import INVOICES, SOURCE
from retail_assets_tests.streaming.conftest import MadeTopic
from retail_assets_tests.streaming.events import SHOP, form, land
from retail_assets_tests.streaming.test_one_bronze import Streamed
from retail_assets_tests.workbench import Workbench

FILES = {"source_file", "line_number", "files"}
"""Columns that name files, lines and their number."""

ELSEWHERE = {"path", "page", "run_id", "mlflow_run_id"}
"""Columns that say where something lies, or by which run it was made."""

DAILY = ("raw_invoices", "quarantined_invoices", "clean_transactions")
BATCH = 20_000


def events_of(zone: Path) -> Iterator[dict[str, Any]]:
    """The lines of all drops as events, each with a number of its own."""
    number = 0
    for drop in sorted(zone.glob("*.csv*")):
        with drop.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                number += 1
                yield {**row, "line": number}


def late_and_not(events: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The events in any order, some of them twice, and those that come late."""
    shuffled, chance = list(events), random.Random(23)
    chance.shuffle(shuffled)
    cut = len(shuffled) // 50
    late, first = shuffled[:cut], shuffled[cut:]
    first += chance.sample(first, cut)
    chance.shuffle(first)
    return first, late + chance.sample(first, cut // 2)


def rows(place: Path, table: Table) -> list[str]:
    """A table's rows, without what tells of files or of the writing."""
    columns = table.contract.to_schema().columns
    left_out = FILES | ELSEWHERE | {name for name, column in columns.items() if column.metadata["of_the_writing"]}
    stored = DeltaTable(place / table.key.path[-1]).to_pyarrow_table()
    kept = stored.select([name for name in stored.column_names if name not in left_out])
    return sorted(map(repr, kept.to_pylist()))


def assert_same(files: Workbench, events: Workbench, names: Sequence[str] | None = None) -> None:
    """Every table, row for row."""
    for table in SOURCE.tables:
        if names is None or table.key.path[-1] in names:
            theirs, ours = (rows(bench.path(table.key.path[-1]).parent, table) for bench in (files, events))
            differing = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
            assert (table.key.path[-1], len(theirs), differing[:1]) == (table.key.path[-1], len(ours), [])


def only_of_their_day(zone: Path) -> None:
    """Takes away what a file may say of another day, and lines that are none: a topic knows no names of files."""
    for drop in zone.glob("*.csv"):
        head, *lines = drop.read_text(encoding="utf-8").splitlines()
        day = drop.stem[-10:]
        sound = [text for text in lines if len(row := next(csv.reader([text]))) == 8 and row[4].startswith(day)]
        drop.write_text("\n".join([head, *sound]) + "\n", encoding="utf-8")


def test_made_days_are_the_same_as_files_and_as_events(tmp_path: Path, spark: SparkSession):
    files, events = Workbench(tmp_path / "files", spark), Streamed(tmp_path / "events", spark)
    generate(files.zone, lines=900, days=4, last_day=date(2011, 1, 20), seed=7)
    only_of_their_day(files.zone)
    assert files.run(DAILY, last="2011-01-20").failures == []
    first, late = late_and_not(events_of(files.zone))
    for start in range(0, len(first), 200):
        events.put(*first[start : start + 200], partition=start // 200 % 2)
    events.put(*late)
    assert events.run(DAILY, first="2011-01-17").failures == []
    assert len(rows(files.path("raw_invoices").parent, SOURCE.tables[0])) > 800
    assert_same(files, events, DAILY)


@pytest.mark.long
def test_the_second_year_is_the_same_as_files_and_as_events(
    tmp_path: Path, spark: SparkSession, topic: MadeTopic, real_data: Path
):
    files, events = (
        Workbench(tmp_path / "files", spark, last_day="2011-12-09"),
        Streamed(tmp_path / "events", spark, topic=topic.name, last_day="2011-12-09"),
    )
    zone = LandingZone(str(tmp_path / "history"))
    land_files([real_data / "online_retail_ii" / "online_retail_ii.csv.gz"], zone, INVOICES)
    for drop in zone.drops(SHOP):
        if drop.day >= date(2010, 12, 1):
            shutil.copy2(drop.path, files.zone)
    for bench in (files, events):
        bench.environment["RETAIL_ONLINE_RETAIL_FIRST_DAY"] = "2010-12-01"
        bench.settings = bench.settings.read(bench.environment)
    assert files.run().failures == []
    first, late = late_and_not(events_of(files.zone))
    for number, start in enumerate(range(0, len(first), BATCH)):
        topic.send(first[start : start + BATCH], partition=number % 2)
        if number % 5 == 0:
            topic.transaction(first[:200], commit=False, partition=number % 2)
    of, lakehouse = form(topic.name), events.directory / "lakehouse"
    land(topic.broker.servers, lakehouse, of)
    assert events.run().failures == []
    topic.send(late)
    land(topic.broker.servers, lakehouse, of)
    assert events.run().failures == []
    assert_same(files, events)
