"""What did not change is not made again: made anew of the same drops, a table holds the same rows, and says so."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from retail_assets.generator.generate import generate
from retail_assets.lakehouse.content import CONTENT_HASH
from retail_assets.operations.materializations import newest_materializations, said
from retail_assets_tests.made_shop import TABLES
from retail_assets_tests.operations.test_main_job import CORE, bench, succeeded
from retail_assets_tests.workbench import Workbench

Hashes = dict[tuple[str, str], str]
"""(table, partition) -> what its newest materialization says of its rows."""


def told(workbench: Workbench) -> Hashes:
    """Of all that was made."""
    newest = newest_materializations(workbench.instance, [table.key for table in TABLES])
    numbers = {made.storage_id for partitions in newest.values() for made in partitions.values()}
    says = said(workbench.instance, numbers, (CONTENT_HASH,))
    return {
        (table.path[-1], partition): says[made.storage_id][CONTENT_HASH]
        for table, partitions in newest.items()
        for partition, made in partitions.items()
    }


@pytest.fixture(scope="module")
def young(tmp_path_factory, spark) -> Workbench:
    """Eight days of two months, of the core of the tables."""
    workbench = bench(tmp_path_factory.mktemp("contents") / "bench", spark)
    succeeded(workbench.run(CORE))
    return workbench


def test_days_made_again_with_the_rows_that_they_had_leave_what_reads_them_alone(young):
    before = told(young)
    assert {table for table, _ in before} == set(CORE)
    assert len(set(before.values())) > len(CORE)
    succeeded(young.run(CORE[:3], everything=True))
    assert told(young) == before
    assert young.run(CORE).tables == {}


def test_a_drop_delivered_again_as_it_was_or_packed_makes_nothing(young):
    touched, packed = sorted(young.zone.glob("*.csv"))[:2]
    touched.write_bytes(touched.read_bytes())
    packed.with_name(f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes(), mtime=0))
    packed.unlink()
    assert young.run(CORE).tables == {}


@pytest.mark.long
def test_every_table_made_again_holds_the_rows_that_it_had(tmp_path: Path, spark):
    """With models that are fitted anew, and in a lakehouse of its own."""
    hashes = []
    for name in ("first", "second"):
        workbench = Workbench(tmp_path / name, spark, last_day="2011-08-20")
        generate(workbench.zone, lines=1500, days=215, last_day=date(2011, 8, 20), seed=7)
        succeeded(workbench.run())
        hashes.append(told(workbench))
    assert {table for table, _ in hashes[0]} == {table.key.path[-1] for table in TABLES}
    succeeded(workbench.run(everything=True))
    hashes.append(told(workbench))
    assert workbench.run().tables == {}
    for again in hashes[1:]:
        assert {of for of in hashes[0].keys() | again.keys() if hashes[0].get(of) != again.get(of)} == set()
