"""What the event log says was made, asked all at once, is what Dagster itself says; in each of its storages."""

import random
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    MetadataValue,
)

from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG
from retail_assets.operations.materializations import newest_materializations, said
from retail_assets_tests.operations.homes import home_of
from retail_assets_tests.operations.postgres import DATABASE, Postgres

SALES, STOCK, NEVER = AssetKey(["shop", "sales"]), AssetKey(["shop", "stock"]), AssetKey(["shop", "never"])


def in_memory(directory: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def with_open_files(directory: Path) -> Iterator[DagsterInstance]:
    with home_of(directory / "home") as instance:
        yield instance


def stock(directory: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(directory)) as instance:
        yield instance


def postgres(directory: Path) -> Iterator[DagsterInstance]:
    server = Postgres()
    place = {"hostname": "127.0.0.1", "port": server.port, "db_name": DATABASE, "username": "retail", "password": ""}
    place["scheme"] = "postgresql+psycopg2"  # as in deploy/dagster.yaml
    storage = {"storage": {"postgres": {"postgres_db": place}}}
    try:
        with DagsterInstance.local_temp(str(directory), overrides=storage) as instance:
            yield instance
    finally:
        server.stop()


@pytest.fixture(params=[in_memory, with_open_files, stock, postgres], ids=lambda kind: kind.__name__)
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DagsterInstance]:
    yield from request.param(tmp_path)


def make(instance: DagsterInstance, key: AssetKey, partition: str | None, version: str | None, number: int) -> None:
    metadata = {
        "rows": MetadataValue.int(number),
        "share": MetadataValue.float(number / 7),
        "drops": MetadataValue.json([f"ä{number}.csv", {"size": number}]),
        "note": MetadataValue.text(f'"{number}" rows'),
        "place": MetadataValue.path("/somewhere"),
    }
    tags = {DATA_VERSION_TAG: version} if version else None
    instance.report_runless_asset_event(AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags))


def test_it_says_what_dagster_says(instance):
    chance = random.Random(7)
    for number in range(60):
        key, partition = chance.choice([SALES, STOCK]), chance.choice(["2011-01-04", "2011-01-05", "2011-01-06", None])
        make(instance, key, partition, chance.choice([str(number), None]), number)
        instance.report_runless_asset_event(AssetObservation(key, partition=partition))
    told = newest_materializations(instance, [SALES, STOCK, NEVER])
    for key in (SALES, STOCK, NEVER):
        newest = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION
        )
        assert {partition: made.storage_id for partition, made in told[key].items()} == newest
        records = instance.fetch_materializations(AssetRecordsFilter(key), limit=100).records
        by_id = {record.storage_id: record for record in records}
        metadata = said(instance, newest.values(), ("rows", "share", "drops", "note", "unknown"))
        for made in told[key].values():
            materialization = by_id[made.storage_id].asset_materialization
            assert materialization is not None
            assert made.version == (materialization.tags or {}).get(DATA_VERSION_TAG)
            if made.told_at:
                told_at = made.told_at.replace(tzinfo=UTC).timestamp()
                assert told_at == pytest.approx(by_id[made.storage_id].timestamp, abs=0.001)
            assert metadata[made.storage_id] == {
                name: value.value for name, value in materialization.metadata.items() if name != "place"
            }


def test_what_was_wiped_was_never_made_until_it_is_made_again(instance):
    for key in (SALES, STOCK):
        make(instance, key, "2011-01-04", "1", 1)
    instance.wipe_assets([SALES])
    told = newest_materializations(instance, [SALES, STOCK])
    assert (told[SALES], list(told[STOCK])) == ({}, ["2011-01-04"])
    make(instance, SALES, "2011-01-05", "2", 2)
    assert list(newest_materializations(instance, [SALES])[SALES]) == ["2011-01-05"]


def test_of_thousands_of_events_what_they_say_is_asked_for_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("retail_assets.operations.materializations._IDS_AT_ONCE", 7)
    with DagsterInstance.ephemeral() as instance:
        for number in range(20):
            make(instance, SALES, str(number), None, number)
        newest = newest_materializations(instance, [SALES])[SALES]
        metadata = said(instance, [made.storage_id for made in newest.values()], ["rows"])
        assert {partition: metadata[made.storage_id]["rows"] for partition, made in newest.items()} == {
            str(number): number for number in range(20)
        }
