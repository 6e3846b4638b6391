"""What is stored is looked at, not remembered: tables moved away, removed, put back from a backup, restored by hand."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance
from deltalake import DeltaTable, write_deltalake

from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG
from retail_assets.operations.materializations import Made, newest_materializations
from retail_assets.operations.stored import CLOCKS_APART, FEW_TABLES, ROWS, Gone, Stored, TableUnreadable, told

SALES, STOCK = AssetKey(["shop", "sales"]), AssetKey(["shop", "stock"])
DAYS = [f"2011-01-{number:02}" for number in range(4, 8)]


class Shop:
    """Tables written day by day, and what an event log would have been told of them."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "lakehouse"
        self.stored = Stored(str(self.root))
        self.instance = DagsterInstance.ephemeral()
        self.made: dict[AssetKey, dict[str, Made]] = {SALES: {}, STOCK: {}}
        self.numbers = 0

    def place(self, key: AssetKey) -> Path:
        return self.root.joinpath(*key.path)

    def make(self, key: AssetKey, *days: str, at: datetime | None = None) -> None:
        for day in days:
            rows = pa.table({"day": [date.fromisoformat(day)], "value": [self.numbers]})
            predicate = f"day = DATE'{day}'" if self.place(key).exists() else None
            write_deltalake(str(self.place(key)), rows, mode="overwrite", predicate=predicate)
            self.tell(key, day, DeltaTable(str(self.place(key))).version(), at)

    def tell(
        self, key: AssetKey, day: str, version: int | str | None, at: datetime | None = None, rows: int = 1
    ) -> None:
        said = None if version is None else str(version)
        tags = {DATA_VERSION_TAG: said} if said else None
        told = AssetMaterialization(key, partition=day, metadata={ROWS: rows}, tags=tags)
        self.instance.report_runless_asset_event(told)
        self.numbers = newest_materializations(self.instance, [key])[key][day].storage_id
        self.made[key][day] = Made(self.numbers, said, at or datetime.now(tz=UTC).replace(tzinfo=None))

    def back_up(self, key: AssetKey) -> Path:
        return Path(shutil.copytree(self.place(key), self.root.parent / "backup"))

    def put_back(self, key: AssetKey, backup: Path) -> None:
        shutil.rmtree(self.place(key))
        shutil.move(backup, self.place(key))

    def gone(self) -> dict[AssetKey, list[str]]:
        return {gone.key: list(gone.partitions) for gone in self.looked()}

    def looked(self) -> list[Gone]:
        return self.stored.gone(self.instance, self.made, dict.fromkeys(self.made, "day"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Four days of two tables, each made twice but the first."""
    shop = Shop(tmp_path)
    for key in (SALES, STOCK):
        shop.make(key, *DAYS, *DAYS[1:])
    assert shop.gone() == {}
    return shop


def test_a_table_that_was_removed_is_gone_and_no_other(shop):
    shutil.rmtree(shop.place(SALES))
    assert shop.gone() == {SALES: DAYS}
    assert str(shop.looked()[0]) == (
        "shop.sales: 2011-01-04 … 2011-01-07 (4 partitions) was made once and is no longer there: "
        f"there is no table at {shop.place(SALES)}."
    )


def test_what_came_after_a_backup_that_was_put_back_is_gone_until_it_is_made_again(shop):
    backup = shop.back_up(SALES)
    shop.make(SALES, DAYS[1], DAYS[3])
    shop.put_back(SALES, backup)
    assert shop.gone() == {SALES: [DAYS[1], DAYS[3]]}
    shop.make(SALES, DAYS[1])
    assert shop.gone() == {SALES: [DAYS[3]]}
    shop.make(SALES, DAYS[3])
    assert shop.gone() == {}


def test_a_version_that_was_made_anew_after_a_backup_is_not_taken_for_the_one_that_was_told(shop):
    backup = shop.back_up(SALES)
    long_ago = datetime.now(tz=UTC).replace(tzinfo=None) - 2 * CLOCKS_APART
    shop.make(SALES, DAYS[0], at=long_ago)
    shop.put_back(SALES, backup)
    shop.make(SALES, DAYS[2])
    assert int(shop.made[SALES][DAYS[0]].version or 0) == int(shop.made[SALES][DAYS[2]].version or 0)
    assert shop.gone() == {SALES: [DAYS[0]]}


def test_upkeep_and_partitions_that_others_wrote_later_take_nothing_away(shop):
    table = DeltaTable(str(shop.place(SALES)))
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    table.create_checkpoint()
    write_deltalake(str(shop.place(SALES)), pa.table({"day": [date(2012, 1, 1)], "value": [1]}), mode="append")
    assert shop.gone() == {}


@pytest.mark.parametrize("by", ["version", "moment"])
def test_a_table_restored_by_hand_has_lost_what_came_after(shop, by):
    table = DeltaTable(str(shop.place(SALES)))
    before = table.version() - 2
    moment = next(commit["timestamp"] for commit in table.history() if commit["version"] == before)
    table.restore(before if by == "version" else datetime.fromtimestamp(moment / 1000, UTC))
    assert shop.gone() == {SALES: DAYS[2:]}
    shop.make(SALES, DAYS[2])
    assert shop.gone() == {SALES: DAYS[3:]}


def test_what_names_no_version_is_taken_as_it_was_told(shop):
    shop.tell(SALES, "2011-02-01", None)
    shop.tell(SALES, "2011-02-02", "a5f3")
    assert shop.gone() == {}
    shutil.rmtree(shop.root)
    shop.stored = Stored(None)
    assert shop.gone() == {}


def test_rows_that_were_deleted_are_gone_and_days_without_rows_are_not(shop):
    shop.tell(SALES, "2011-01-01", DeltaTable(str(shop.place(SALES))).version(), rows=0)
    shop.tell(SALES, "2011-03-01", DeltaTable(str(shop.place(SALES))).version(), rows=0)
    assert shop.gone() == {}
    DeltaTable(str(shop.place(SALES))).delete(f"day > DATE'{DAYS[2]}'")
    assert shop.gone() == {SALES: DAYS[3:]}
    assert str(shop.looked()[0]).endswith(f"{shop.place(SALES)} has no rows of it any more.")
    shop.make(SALES, DAYS[3])
    assert shop.gone() == {}


def test_a_table_that_has_not_changed_is_not_read_again(shop, monkeypatch):
    monkeypatch.setattr("retail_assets.operations.stored._read_log", None)
    assert shop.gone() == {}
    monkeypatch.undo()
    shop.make(SALES, DAYS[0])
    shutil.rmtree(shop.place(STOCK))
    assert shop.gone() == {STOCK: DAYS}


def test_a_log_that_cannot_be_read_is_named_with_what_to_do(shop):
    newest = max(shop.place(SALES).joinpath("_delta_log").glob("*.json"))
    newest.write_text("{")
    shop.stored = Stored(str(shop.root))
    with pytest.raises(TableUnreadable, match=f"{shop.place(SALES)} cannot be read: .*move it away"):
        shop.gone()


def test_a_whole_lakehouse_that_is_gone_is_told_in_one_line_with_what_to_do():
    tables = [Gone(AssetKey(["shop", f"table_{n}"]), DAYS, "there is no table", True) for n in range(FEW_TABLES)]
    older = Gone(SALES, DAYS[:1], "it is older")
    assert len(told([*tables[1:], older], "/lakehouse")) == FEW_TABLES
    of_all, of_one = told([*tables, older], "/lakehouse")
    assert of_all.startswith("4 tables with 16 partitions were made once and are no longer in /lakehouse.")
    assert "set RETAIL_LAKEHOUSE" in of_all
    assert of_one == "shop.sales: 2011-01-04 was made once and is no longer there: it is older. It is made again."


def test_a_log_that_forgot_its_oldest_commits_still_has_what_they_made(shop):
    table = DeltaTable(str(shop.place(SALES)))
    table.create_checkpoint()
    for entry in sorted(shop.place(SALES).joinpath("_delta_log").glob("*.json"))[:-1]:
        entry.unlink()
    old = datetime.now(tz=UTC).replace(tzinfo=None) - timedelta(days=40)
    shop.made[SALES] = {day: made._replace(told_at=old) for day, made in list(shop.made[SALES].items())[:3]}
    assert shop.gone() == {}
