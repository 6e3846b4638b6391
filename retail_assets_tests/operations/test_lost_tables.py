"""After a disaster: `retail run` says what is gone, makes it again, and the tables are as if nothing had happened."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance

from retail_assets.operations.main_job import Observer, Summary, run_main_job
from retail_assets.operations.planning import Request
from retail_assets.sources.arrivals import arrivals
from retail_assets_tests.made_shop import SOURCE
from retail_assets_tests.operations.as_written import all_rows
from retail_assets_tests.operations.homes import home_of
from retail_assets_tests.operations.test_main_job import CORE, LAST, bench, invoices, made, succeeded
from retail_assets_tests.workbench import Workbench, line

DAYS, MONTHS = set(invoices()) | {"2011-01-30", "2011-02-03"}, {"2011-01-01", "2011-02-01"}
EVERYTHING = {**dict.fromkeys(CORE[:3], DAYS), **dict.fromkeys(CORE[3:], MONTHS)}


class Told(Observer):
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def noticed(self, notice: str) -> None:
        self.notices.append(notice)


class Shop:
    """A lakehouse with a Dagster home, all days landed and made."""

    def __init__(self, directory: Path, spark: object, instance: DagsterInstance) -> None:
        self.workbench: Workbench = bench(directory, spark)
        self.lakehouse = directory / "lakehouse"
        self.run(instance)
        self.rows = all_rows(self.lakehouse, CORE)

    def run(self, instance: DagsterInstance) -> tuple[Summary, list[str]]:
        self.workbench.instance = instance
        arrived, told = (
            arrivals(self.workbench.settings, instance, [SOURCE]),
            Told(),
        )
        request = Request(tables=frozenset(AssetKey(["online_retail", table]) for table in CORE))
        definitions = self.workbench.definitions()
        summary = run_main_job(definitions, instance, arrived.landed, request, told, places=arrived.places)
        return succeeded(summary), told.notices

    def back_up(self) -> Path:
        return Path(shutil.copytree(self.lakehouse, self.lakehouse.with_name("backup")))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with home_of(tmp_path / "home") as instance:
        yield instance


@pytest.fixture
def shop(tmp_path: Path, spark: object, instance: DagsterInstance) -> Shop:
    return Shop(tmp_path / "bench", spark, instance)


def test_a_lakehouse_that_was_moved_away_is_told_and_made_again(shop, instance):
    shop.lakehouse.rename(shop.lakehouse.with_name("away"))
    summary, notices = shop.run(instance)
    assert made(summary) == EVERYTHING
    assert notices == [
        f"5 tables with 28 partitions were made once and are no longer in {shop.lakehouse}. They are made again. If "
        "the lakehouse was moved, stop this, and set RETAIL_LAKEHOUSE to where it is now."
    ]
    assert all_rows(shop.lakehouse, CORE) == shop.rows
    summary, notices = shop.run(instance)
    assert (made(summary), notices) == ({}, [])


def test_a_table_that_was_removed_is_told_and_made_again(shop, instance):
    shutil.rmtree(shop.lakehouse / "online_retail" / "clean_transactions")
    summary, notices = shop.run(instance)
    assert made(summary)["clean_transactions"] == DAYS
    assert "raw_invoices" not in made(summary)
    assert "online_retail.clean_transactions: 2011-01-28 … 2011-02-04 (8 partitions) was made once" in notices[0]
    assert all_rows(shop.lakehouse, CORE) == shop.rows
    assert made(shop.run(instance)[0]) == {}


def test_a_backup_that_is_older_is_told_and_brought_up_to_date_though_another_day_lands_first(shop, instance):
    day = "2011-01-29"
    old = shop.back_up()
    shop.workbench.drop(day, [*invoices()[day][1:5], line("599999", quantity=100, when=f"{day} 11:11:11")])
    shop.run(instance)
    corrected = all_rows(shop.lakehouse, CORE)
    assert corrected != shop.rows
    shutil.rmtree(shop.lakehouse)
    old.rename(shop.lakehouse)
    shop.workbench.drop(LAST, [*invoices()[LAST], line("588888", when=f"{LAST} 10:00:00")])
    summary, notices = shop.run(instance)
    assert made(summary)["raw_invoices"] == {day, LAST}
    assert [notice.split(":")[0] for notice in notices] == [f"online_retail.{table}" for table in CORE]
    assert f"{day} was made once and is no longer there" in notices[0]
    found = all_rows(shop.lakehouse, CORE)
    assert found["clean_transactions"][day] == corrected["clean_transactions"][day]
    assert any("'588888'" in text for text in found["clean_transactions"][LAST])
    assert made(shop.run(instance)[0]) == {}


def test_two_homes_take_turns_on_one_lakehouse(shop, instance, tmp_path):
    with home_of(tmp_path / "other_home") as other:
        summary, notices = shop.run(other)
        assert made(summary) == EVERYTHING
        assert f"another Dagster home, {tmp_path}/home" in notices[0]
        assert all_rows(shop.lakehouse, CORE) == shop.rows
        summary, notices = shop.run(instance)
        assert made(summary) == {}
        assert f"another Dagster home, {tmp_path}/other_home" in notices[0]
