"""What Dagster's event log says was made, asked for all tables at once.

Dagster's own interface tells of one table at a time, and makes objects of whole events, at half a millisecond each,
where one of their values is wanted. A plan looks at thousands of partitions, several times a run. So these queries go
to the tables that all of Dagster's SQL storages have in common, and read an event as the JSON that it is. A test holds
what they say against what Dagster itself says.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from dagster import AssetKey, DagsterEventType, DagsterInstance

from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG

_IDS_AT_ONCE = 5000
"""SQL statements have a longest length."""


class Made(NamedTuple):
    """The newest materialization of a partition: its storage id and, where it says so, the version of the table that
    holds the partition since, and when that was told (UTC, without a zone)."""

    storage_id: int
    version: str | None
    told_at: datetime | None


def newest_materializations(instance: DagsterInstance, keys: Collection[AssetKey]) -> dict[AssetKey, dict[str, Made]]:
    """Table -> partition -> its newest materialization; in one query. What was wiped was never made."""
    from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
    from sqlalchemy import and_, func, select

    found: dict[AssetKey, dict[str, Made]] = {key: {} for key in keys}
    by_name = {key.to_string(): partitions for key, partitions in found.items()}
    logs, tags = SqlEventLogStorageTable.c, AssetEventTagsTable.c
    newest = (
        select(logs.asset_key, logs.partition, func.max(logs.id).label("id"))
        .where(
            logs.asset_key.in_(by_name),
            logs.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
            logs.partition.is_not(None),
            *_not_wiped(instance, by_name),
        )
        .group_by(logs.asset_key, logs.partition)
        .subquery()
    )
    version_of_newest = and_(tags.event_id == newest.c.id, tags.key == DATA_VERSION_TAG)
    query = select(newest.c.asset_key, newest.c.partition, newest.c.id, tags.value, tags.event_timestamp).select_from(
        newest.outerjoin(AssetEventTagsTable, version_of_newest)
    )
    for name, partition, storage_id, version, told_at in _rows(instance, query):
        by_name[name][partition] = Made(storage_id, version, told_at)
    return found


def numbers_of_all(instance: DagsterInstance, key: AssetKey) -> dict[str, list[int]]:
    """Partition of the table -> the storage ids of all its materializations, oldest first; in one query."""
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from sqlalchemy import select

    logs, name = SqlEventLogStorageTable.c, key.to_string()
    query = (
        select(logs.partition, logs.id)
        .where(
            logs.asset_key == name,
            logs.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
            logs.partition.is_not(None),
            *_not_wiped(instance, [name]),
        )
        .order_by(logs.id)
    )
    found: dict[str, list[int]] = {}
    for partition, storage_id in _rows(instance, query):
        found.setdefault(partition, []).append(storage_id)
    return found


def said(instance: DagsterInstance, storage_ids: Collection[int], names: Collection[str]) -> dict[int, dict[str, Any]]:
    """Storage id of a materialization -> what its metadata says under these names: numbers, texts and JSON, as plain
    values."""
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from sqlalchemy import select

    logs, wanted = SqlEventLogStorageTable.c, sorted(storage_ids)
    found = {}
    for start in range(0, len(wanted), _IDS_AT_ONCE):
        query = select(logs.id, logs.event).where(logs.id.in_(wanted[start : start + _IDS_AT_ONCE]))
        for storage_id, event in _rows(instance, query):
            told = json.loads(event)["dagster_event"]["event_specific_data"]["materialization"]["metadata_entries"]
            found[storage_id] = {entry["label"]: _value(entry) for entry in told if entry["label"] in names}
    return found


def _value(entry: Mapping[str, Any]) -> Any:
    value = entry["entry_data"]
    return next(value[form] for form in ("value", "text", "data") if form in value)


def _not_wiped(instance: DagsterInstance, names: Collection[str]) -> list[Any]:
    """Conditions on events: later than when their table was last wiped."""
    from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
    from sqlalchemy import or_, select

    logs, assets = SqlEventLogStorageTable.c, AssetKeyTable.c
    wiped = select(assets.asset_key, assets.wipe_timestamp).where(
        assets.asset_key.in_(names), assets.wipe_timestamp.is_not(None)
    )
    return [or_(logs.asset_key != name, logs.timestamp > moment) for name, moment in _rows(instance, wiped)]


def _rows(instance: DagsterInstance, query: Any) -> Sequence[Any]:
    """All of them: a generator that is left before its end would hold the connection, and the log's lock, until some
    thread collects it."""
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage  # brings sqlalchemy along

    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # all that Dagster has
    with storage.index_connection() as connection:
        rows: Sequence[Any] = connection.execute(query).all()
        return rows
