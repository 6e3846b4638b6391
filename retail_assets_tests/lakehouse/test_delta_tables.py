"""Writes replace what they were asked to and nothing else; Delta's own log, read without Spark, is the witness."""

import json
import shutil
import threading
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.contracts import conform, written_schema
from retail_assets.lakehouse.delta_tables import Commit, Tables, WriteRefused
from retail_assets.lakehouse.path_tables import STAGED, PathTables
from retail_assets.partitions.keys import DIRECTORY, PARTITION
from retail_assets_tests.lakehouse.shop import Row, Sales, frame

NAME = ("shop", "sales")
BY_MONTH = {PARTITION: "day", DIRECTORY: "month"}
DAYS = ["2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02"]
EVERY_DAY: list[Row] = [(str(n), n, f"{n}.50", "food", day) for n, day in enumerate(DAYS, start=1)]


class Lake:
    """One table of sales, written as the I/O manager writes it."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark, self.root = spark, root
        self.tables: Tables = PathTables(spark, str(root))

    def write(self, rows: Sequence[Row], *days: str) -> Commit:
        # One file a month, so that a day shares its file with its neighbours.
        return self.write_frame(conform(frame(self.spark, rows), Sales).coalesce(1), *days)

    def write_frame(self, rows: DataFrame, *days: str) -> Commit:
        keys = [date.fromisoformat(day) for day in days]
        declared = {field.name: field for field in written_schema(Sales)}
        described = [f if f.metadata.get("comment") else declared.get(f.name, f) for f in rows.schema]
        schema = T.StructType(described)
        same = all(schema[field.name].dataType == field.dataType for field in rows.schema)
        return self.tables.replace(NAME, rows, BY_MONTH, keys, schema=schema if same else rows.schema)

    def rows(self, version: int | None = None) -> list[tuple[str, int, str]]:
        read = self.tables.read(NAME, version).select("ticket", "quantity", F.col("day").cast("string"))
        return sorted(tuple(row) for row in read.collect())

    @property
    def delta(self) -> DeltaTable:
        return DeltaTable(str(self.root / "shop" / "sales"))

    def actions(self, version: int) -> list[dict[str, dict[str, str]]]:
        log = self.root / "shop" / "sales" / "_delta_log" / f"{version:020}.json"
        return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, tmp_path)


@pytest.fixture(scope="module")
def written_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(spark, tmp_path_factory.mktemp("filled"))
    lake.write(EVERY_DAY, *DAYS)
    return lake.root


@pytest.fixture
def filled(lake: Lake, written_once: Path) -> Lake:
    shutil.copytree(written_once, lake.root, dirs_exist_ok=True)
    return lake


def test_what_was_written_is_what_other_readers_of_delta_see(filled: Lake):
    filled.write([("7", 7, "7.00", "drink", "2020-01-31")], "2020-01-31")
    by_delta = filled.spark.read.format("delta").load(filled.tables.place(NAME))
    ours = sorted(map(str, filled.tables.read(NAME).collect()))
    assert sorted(map(str, by_delta.collect())) == ours
    assert sorted(row["ticket"] for row in filled.delta.to_pyarrow_table().to_pylist()) == ["1", "3", "4", "7"]


def test_nothing_is_left_of_rows_that_are_not_published(filled: Lake):
    place = Path(filled.tables.place(NAME))
    before = sorted(place.rglob("*"))
    rows = conform(frame(filled.spark, EVERY_DAY), Sales)
    keys = [date.fromisoformat(day) for day in DAYS]
    with filled.tables.stage(NAME, rows, BY_MONTH, keys) as staged:
        assert staged.frame.count() == 4
        assert (place / STAGED).is_dir()
    assert sorted(place.rglob("*")) == before


def test_what_a_killed_step_left_is_not_taken_for_rows(filled: Lake):
    left = Path(filled.tables.place(NAME), STAGED, "rows", "month=2020-01")
    left.mkdir(parents=True)
    shutil.copy(next(Path(filled.tables.place(NAME)).glob("month=2020-01/*.parquet")), left / "left.parquet")
    filled.write([("9", 9, "9.00", "food", "2020-02-02")], "2020-02-02")
    assert [ticket for ticket, _, _ in filled.rows()] == ["1", "2", "3", "9"]


def test_only_the_partitions_that_passed_are_published(filled: Lake):
    rows = conform(frame(filled.spark, [(f"1{n}", n, "1.00", "food", day) for n, day in enumerate(DAYS)]), Sales)
    keys = [date.fromisoformat(day) for day in DAYS]
    with filled.tables.stage(NAME, rows, BY_MONTH, keys, written_schema(Sales)) as staged:
        commit = staged.publish([keys[0], keys[3]])
    assert commit.rows == 2
    assert [(ticket, day) for ticket, _, day in filled.rows()] == [
        ("10", DAYS[0]),
        ("13", DAYS[3]),
        ("2", DAYS[1]),
        ("3", DAYS[2]),
    ]


@pytest.mark.jvm  # a connected client is not told the files
def test_reading_partitions_opens_only_the_files_that_may_hold_them(filled: Lake):
    asked = [date(2020, 2, 1), date(2020, 2, 2)]
    read = filled.tables.read_partitions(NAME, "day", asked)
    assert sorted(row.ticket for row in read.collect()) == ["3", "4"]
    assert {Path(file).parent.name for file in read.inputFiles()} == {"month=2020-02"}


@pytest.mark.jvm  # only Spark makes such a table
def test_a_table_whose_rows_its_files_alone_do_not_tell_is_read_by_delta(filled: Lake):
    path = filled.tables.identifier(NAME)
    filled.spark.sql(f"ALTER TABLE {path} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    filled.spark.sql(f"DELETE FROM {path} WHERE ticket = '1'")
    assert filled.rows() == [("2", 2, "2020-01-31"), ("3", 3, "2020-02-01"), ("4", 4, "2020-02-02")]


def test_a_write_replaces_its_partitions_and_leaves_the_others(filled: Lake):
    filled.write([("7", 7, "7.00", "drink", "2020-01-31"), ("8", 8, "8.00", "food", "2020-02-01")], *DAYS[1:3])
    assert filled.rows() == [
        ("1", 1, "2020-01-30"),
        ("4", 4, "2020-02-02"),
        ("7", 7, "2020-01-31"),
        ("8", 8, "2020-02-01"),
    ]


def test_partitions_that_are_not_consecutive_are_replaced_and_those_between_are_kept(filled: Lake):
    filled.write([("9", 9, "9.00", "food", "2020-02-02")], DAYS[0], DAYS[3])
    assert filled.rows() == [("2", 2, "2020-01-31"), ("3", 3, "2020-02-01"), ("9", 9, "2020-02-02")]


def test_a_partition_written_without_rows_becomes_empty(filled: Lake):
    commit = filled.write([], DAYS[2])
    assert filled.rows() == [("1", 1, "2020-01-30"), ("2", 2, "2020-01-31"), ("4", 4, "2020-02-02")]
    assert (commit.rows, commit.table_rows) == (0, 3)


def test_the_same_write_twice_gives_the_same_rows_and_a_version_of_its_own(filled: Lake):
    once = filled.rows()
    again = filled.write(EVERY_DAY, *DAYS)
    assert filled.rows() == once == filled.rows(again.version - 1)
    assert (again.rows, again.table_rows) == (4, 4)


def test_replacing_a_day_leaves_the_files_of_other_months_untouched(filled: Lake):
    commit = filled.write([("7", 7, "7.00", "drink", "2020-01-31")], "2020-01-31")
    touched = {
        Path(action[kind]["path"]).parent.name
        for action in filled.actions(commit.version)
        for kind in ("add", "remove")
        if kind in action
    }
    assert touched == {"month=2020-01"}
    assert filled.rows() == [
        ("1", 1, "2020-01-30"),
        ("3", 3, "2020-02-01"),
        ("4", 4, "2020-02-02"),
        ("7", 7, "2020-01-31"),
    ]


def test_files_lie_in_a_directory_a_month(filled: Lake):
    assert filled.delta.metadata().partition_columns == ["month"]
    directories = {Path(uri).parent.name for uri in filled.delta.file_uris()}
    assert directories == {"month=2020-01", "month=2020-02"}


def test_rows_of_other_partitions_are_refused_and_nothing_is_written(filled: Lake):
    before, version = filled.rows(), filled.delta.version()
    with pytest.raises(WriteRefused, match=r"^shop.sales: some rows have a day outside .* nothing was written"):
        filled.write(EVERY_DAY, *DAYS[:3])
    assert (filled.rows(), filled.delta.version()) == (before, version)


def test_rows_between_partitions_that_are_not_consecutive_are_refused(filled: Lake):
    version = filled.delta.version()
    with pytest.raises(WriteRefused, match="outside"):
        filled.write(EVERY_DAY, DAYS[0], DAYS[3])
    assert filled.delta.version() == version


def test_a_write_to_no_partition_is_refused_and_makes_no_table(lake: Lake):
    with pytest.raises(WriteRefused, match=r"^shop.sales: no partition"):
        lake.write(EVERY_DAY)
    assert not lake.tables.exists(NAME)


def test_a_new_column_is_added_and_older_rows_have_nothing_in_it(filled: Lake):
    wider = conform(frame(filled.spark, [("7", 7, "7.00", "food", DAYS[3])]), Sales).withColumn("till", F.lit("A"))
    filled.write_frame(wider, DAYS[3])
    assert [tuple(row) for row in filled.tables.read(NAME).select("ticket", "till").orderBy("ticket").collect()] == [
        ("1", None),
        ("2", None),
        ("3", None),
        ("7", "A"),
    ]


def test_a_column_that_goes_or_changes_is_refused_by_name_with_a_remedy(filled: Lake):
    version, before = filled.delta.version(), filled.rows()
    other = conform(frame(filled.spark, EVERY_DAY), Sales).drop("kind").withColumn("quantity", F.lit("many"))
    with pytest.raises(WriteRefused) as refused:
        filled.write_frame(other, *DAYS)
    message = str(refused.value)
    assert message.startswith(f"shop.sales at {filled.tables.place(NAME)} cannot take these rows: ")
    assert "column kind is missing" in message
    assert "column quantity would change from int to string" in message
    assert "move the old table away" in message
    assert (filled.delta.version(), filled.rows()) == (version, before)


def test_an_older_version_can_be_read(filled: Lake):
    version = filled.delta.version()
    filled.write([], *DAYS)
    assert filled.rows() == []
    assert filled.rows(version) == [(str(n), n, day) for n, day in enumerate(DAYS, start=1)]


def test_a_commit_says_what_the_log_says(filled: Lake):
    commit = filled.write(
        [("7", 7, "7.00", "drink", "2020-01-31"), ("8", 8, "8.00", "drink", "2020-01-31")], "2020-01-31"
    )
    added = [action["add"] for action in filled.actions(commit.version) if "add" in action]
    assert commit.version == filled.delta.version()
    assert commit.table_rows == filled.delta.to_pyarrow_table().num_rows == 5
    assert commit.rows == 2, "rows of its own; the other day in the rewritten file is not counted"
    assert commit.files == len(added)
    assert commit.bytes == sum(int(add["size"]) for add in added)
    assert commit.seconds > 0


def test_comments_and_not_null_are_kept_by_the_table_itself(filled: Lake):
    stored = {field.name: field for field in filled.delta.schema().fields}
    assert (stored["quantity"].nullable, stored["amount"].nullable) == (False, True)
    assert stored["amount"].metadata["comment"] == "What was paid [GBP]"
    version = filled.delta.version()
    with pytest.raises(WriteRefused, match=r"must not have it.*NOT NULL constraint violated for column: ticket"):
        filled.write([(None, 1, "1.00", "food", DAYS[0])], DAYS[0])
    assert filled.delta.version() == version


def test_rows_are_appended_and_take_the_place_of_those_that_meet_a_condition(lake: Lake):
    def append(ticket: str, replaced: str | None = None) -> Commit:
        row = (ticket, 1, Decimal("2.000"), None, date(2020, 1, 31), "2020-01")
        return lake.tables.append(NAME, written_schema(Sales), [row, row], "day", "month", replaced)

    assert [append("1").table_rows, append("2").table_rows] == [2, 4]
    commit = append("1", replaced="ticket = '1'")
    assert (commit.rows, commit.table_rows, commit.version) == (2, 4, 3)
    rows = lake.tables.read(NAME).collect()
    assert sorted((row.ticket, row.amount, row.kind, row.month) for row in rows) == [
        (ticket, Decimal("2.000"), None, "2020-01") for ticket in ("1", "1", "2", "2")
    ]
    assert lake.tables.append(NAME, written_schema(Sales), [], "day", "month").table_rows == 4


def test_several_writers_of_one_table_wait_for_each_other_from_its_making_on(tmp_path: Path):
    tables = PathTables(None, str(tmp_path))  # type: ignore[arg-type]  # nothing here needs Spark
    together = threading.Barrier(4)
    errors = []

    def write(ticket: str) -> None:
        rows = [(ticket, number, Decimal(number), None, date(2020, 1, 31), "2020-01") for number in range(3)]
        try:
            together.wait()
            tables.append(NAME, written_schema(Sales), rows, "day", "month")
            tables.append(NAME, written_schema(Sales), rows[:2], "day", "month", f"ticket = '{ticket}'")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=[ticket]) for ticket in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    written = DeltaTable(tables.place(NAME)).to_pyarrow_table().to_pylist()
    assert sorted((row["ticket"], row["quantity"]) for row in written) == [(t, n) for t in "1234" for n in range(2)]
