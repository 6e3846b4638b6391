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

from retail_assets.lakehouse.contracts import conform, written_schema
from retail_assets.lakehouse.delta_tables import Commit, Tables, WriteRefused
from retail_assets.lakehouse.path_tables import DeltaTables
from retail_assets_tests.lakehouse.shop import Row, Sales, frame

NAME = ("shop", "sales")
DAYS = ["2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02"]
EVERY_DAY: list[Row] = [(str(n), n, f"{n}.50", "food", day) for n, day in enumerate(DAYS, start=1)]


class Lake:
    """One table of sales, written as the I/O manager writes it: by Spark, or, being told their count, as few rows."""

    def __init__(self, spark: SparkSession, root: Path, counts: bool = False) -> None:
        self.spark, self.root, self.counts = spark, root, counts
        self.tables: Tables = DeltaTables(spark, str(root))

    def write(self, rows: Sequence[Row], *days: str) -> Commit:
        # One file a month, so that a day shares its file with its neighbours.
        return self.write_frame(conform(frame(self.spark, rows), Sales).coalesce(1), *days)

    def write_frame(self, rows: DataFrame, *days: str) -> Commit:
        keys = [date.fromisoformat(day) for day in days]
        return self.tables.replace(NAME, rows, "day", keys, "month", count=rows.count() if self.counts else None)

    def rows(self, version: int | None = None) -> list[tuple[str, int, str]]:
        read = self.tables.read(NAME, version).select("ticket", "quantity", F.col("day").cast("string"))
        return sorted(tuple(row) for row in read.collect())

    @property
    def delta(self) -> DeltaTable:
        return DeltaTable(str(self.root / "shop" / "sales"))

    def actions(self, version: int) -> list[dict[str, dict[str, str]]]:
        log = self.root / "shop" / "sales" / "_delta_log" / f"{version:020}.json"
        return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture(params=[False, True], ids=["by_spark", "as_few"])
def lake(spark: SparkSession, tmp_path: Path, request: pytest.FixtureRequest) -> Lake:
    return Lake(spark, tmp_path, request.param)


@pytest.fixture(scope="module")
def written_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    lakes = {counts: Lake(spark, tmp_path_factory.mktemp("filled"), counts) for counts in (False, True)}
    for lake in lakes.values():
        lake.write(EVERY_DAY, *DAYS)
    return {counts: lake.root for counts, lake in lakes.items()}


@pytest.fixture
def filled(lake: Lake, written_once: dict[bool, Path]) -> Lake:
    shutil.copytree(written_once[lake.counts], lake.root, dirs_exist_ok=True)
    return lake


def test_few_rows_are_written_without_spark_and_both_ways_write_one_table(filled: Lake):
    filled.write([("7", 7, "7.00", "drink", "2020-01-31")], "2020-01-31")
    filled.counts = not filled.counts
    filled.write([("8", 8, "8.00", "food", "2020-02-01")], "2020-02-01")
    filled.counts = not filled.counts
    filled.write([("9", 9, "9.00", "food", "2020-02-02")], "2020-02-02")
    with_spark = [not str(commit["engineInfo"]).startswith("delta-rs") for commit in filled.delta.history(3)]
    by_spark_alone = not hasattr(DataFrame, "toArrow")  # before Spark 4
    expected = [False, True, False] if filled.counts else [True, False, True]
    assert with_spark == [by_spark_alone or way for way in expected]
    assert filled.rows() == [
        ("1", 1, "2020-01-30"),
        ("7", 7, "2020-01-31"),
        ("8", 8, "2020-02-01"),
        ("9", 9, "2020-02-02"),
    ]
    by_delta = filled.spark.read.format("delta").load(filled.tables.place(NAME))
    assert sorted(map(str, by_delta.collect())) == sorted(map(str, filled.tables.read(NAME).collect()))


def test_reading_partitions_opens_only_the_files_that_may_hold_them(filled: Lake):
    asked = [date(2020, 2, 1), date(2020, 2, 2)]
    read = filled.tables.read_partitions(NAME, "day", asked)
    assert sorted(row.ticket for row in read.collect()) == ["3", "4"]
    assert {Path(file).parent.name for file in read.inputFiles()} == {"month=2020-02"}


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
    tables = DeltaTables(None, str(tmp_path))  # type: ignore[arg-type]  # nothing here needs Spark
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
