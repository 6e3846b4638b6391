"""What rows were made from is part of the commit that wrote them, and is read from the table's own log."""

import gzip
import hashlib
from datetime import UTC, date, datetime

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.lakehouse.delta_tables import WriteRefused
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets.lakehouse.provenance import Origin, origins
from retail_assets.partitions.keys import PARTITION
from retail_assets_tests.workbench import HEADER, Workbench, line

NAME = ("shop", "sales")


def test_each_write_says_what_its_partitions_were_made_from_and_a_refused_write_says_nothing(
    tmp_path, spark: SparkSession
):
    tables = PathTables(spark, str(tmp_path))
    path = tables.place(NAME)

    def write(day: str, row_day: str, says: object) -> None:
        frame = spark.createDataFrame([(date.fromisoformat(row_day), 1)], "day date, units int")
        tables.replace(
            NAME, frame, {PARTITION: "day"}, [date.fromisoformat(day)], provenance={day: says} if says else None
        )

    before = datetime.now(tz=UTC)
    write("2011-01-04", "2011-01-04", [{"path": "a.csv"}])
    write("2011-01-05", "2011-01-05", None)
    with pytest.raises(WriteRefused):
        write("2011-01-06", "2011-01-07", [{"path": "wrong.csv"}])
    write("2011-01-04", "2011-01-04", [{"path": "b.csv"}])

    found = list(origins(path))
    assert [(origin.partition, origin.says) for origin in found] == [
        ("2011-01-04", [{"path": "b.csv"}]),
        ("2011-01-04", [{"path": "a.csv"}]),
    ]
    newest, first = found
    history = DeltaTable(path).history()
    assert history[0]["version"] == newest.version
    assert "b.csv" in history[0]["userMetadata"]
    assert before.replace(microsecond=0) <= first.written_at <= newest.written_at <= datetime.now(tz=UTC)
    assert DeltaTable(path).metadata().configuration["delta.logRetentionDuration"] == "interval 3650 days"


def test_every_drop_is_recorded_with_its_size_content_and_rows_in_the_commit_of_its_rows(workbench: Workbench):
    one, two = line("500001", when="2011-01-04 10:00:00"), line("500002", when="2011-01-04 11:00:00")
    first = workbench.drop("2011-01-04", [one, two])
    workbench.drop("2011-01-04", [one, two], name="copy_2011-01-04.csv")
    other = workbench.drop("2011-01-04", [line("500003", when="2011-01-04 12:00:00")], name="late_2011-01-04.csv")
    packed = workbench.zone / "online_retail_2011-01-05.csv.gz"
    text = f"{HEADER}\n{line('500004', when='2011-01-05 10:00:00')}\n".encode()
    packed.write_bytes(gzip.compress(text))
    workbench.drop("2011-01-06", [], header=HEADER)  # a day without a row
    workbench.drop("2011-01-07", ["1,2"], header="Invoice,StockCode")  # refused
    summary = workbench.run(["raw_invoices"])
    assert len(summary.failures) == 1

    found: dict[str, Origin] = {origin.partition: origin for origin in origins(str(workbench.path("raw_invoices")))}
    assert set(found) == {"2011-01-04", "2011-01-05", "2011-01-06"}
    drops = {drop["path"].rpartition("/")[2]: drop for origin in found.values() for drop in origin.says}
    assert {name: drop["rows"] for name, drop in drops.items()} == {
        "copy_2011-01-04.csv": 2,
        "online_retail_2011-01-04.csv": 0,  # the same content as the copy, read once
        "late_2011-01-04.csv": 1,
        packed.name: 1,
        "online_retail_2011-01-06.csv": 0,
    }
    assert drops[other.name] == {
        "path": str(other),
        "size": other.stat().st_size,
        "content_hash": hashlib.sha256(other.read_bytes()).hexdigest(),
        "rows": 1,
    }
    assert drops[packed.name]["content_hash"] == hashlib.sha256(text).hexdigest()
    assert drops[first.name]["content_hash"] == drops["copy_2011-01-04.csv"]["content_hash"]
    then = workbench.spark.read.format("delta").option("versionAsOf", found["2011-01-05"].version)
    rows = then.load(str(workbench.path("raw_invoices"))).filter("invoice_date = DATE'2011-01-05'")
    assert rows.count() == 1
