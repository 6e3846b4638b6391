"""What cannot be done is refused in the same words on either engine: the file, the reason, the remedy."""

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_assets.landing import drop_reader
from retail_assets.operations import bronze
from retail_assets_tests.workbench import Workbench, line


def test_a_drop_that_turns_unreadable_in_the_worker_is_told_by_name(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
):
    bench = Workbench(tmp_path, spark, last_day="2011-01-31")
    drop = bench.drop("2011-01-04", [line("500001")])
    an_hour_ago = drop.stat().st_mtime - 3600
    os.utime(drop, (an_hour_ago, an_hour_ago))
    read = drop_reader.content_hash

    def read_and_written_to(path: str) -> str:
        found = read(path)
        with drop.open("a") as file:
            file.write(line("500002") + "\n")
        return found

    monkeypatch.setattr(bronze, "content_hash", read_and_written_to)
    summary = bench.run(tables=["raw_invoices"])
    assert summary.failures == [
        f"online_retail.raw_invoices: {drop}: is still being written. Run again once it is complete."
    ]
