"""Time travel: a table's versions, its rows as they were, and a table put back to an older version.

History and reading go by the table's own log (deltalake), without a JVM. A restoration is a write as any other: of the
partitions that differ, in one commit, and recorded in Dagster, so that what reads them is due as after any change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterInstance,
    EventLogRecord,
    MetadataValue,
    RunsFilter,
)
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.delta_tables import Commit, Tables
from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG, commit_metadata
from retail_assets.lakehouse.provenance import origins
from retail_assets.partitions.keys import PARTITION, as_days, within

_RECORDS_AT_ONCE = 2000


class TravelRefused(Exception):
    """A version that is not there, or a restoration that must not be made now. The message says what to do."""


@dataclass(frozen=True)
class Version:
    """One commit of a table. `partitions` are keys where Dagster knows them, else Delta's own condition."""

    version: int
    at: datetime
    operation: str
    partitions: list[str]
    rows: int | None
    run_id: str | None
    restored_from: int | None


def history(instance: DagsterInstance, place: str, key: AssetKey, limit: int | None = None) -> list[Version]:
    """The newest versions of the table at `place`, newest first; from its log, and from what Dagster knows of it."""
    commits = _table(place).history(limit)
    if not commits:
        return []
    made = _materializations_by_version(instance, key, min(int(commit["version"]) for commit in commits))
    found = []
    for commit in commits:
        records = made.get(int(commit["version"]), [])
        parameters = commit.get("operationParameters", {})
        keys = sorted({str(record.partition_key) for record in records if record.partition_key})
        found.append(
            Version(
                version=int(commit["version"]),
                at=datetime.fromtimestamp(commit["timestamp"] / 1000, UTC),
                operation=str(commit.get("operation", "?")),
                partitions=keys or [text for text in [str(parameters.get("predicate", ""))] if text not in ("", "[]")],
                rows=_rows_written(commit.get("operationMetrics", {})),
                run_id=next((record.run_id for record in records if record.run_id), None),
                restored_from=next((_shown(record).get("restored_from_version") for record in records), None),
            )
        )
    return found


def _rows_written(metrics: Mapping[str, Any]) -> int | None:
    written = metrics.get("numOutputRows", metrics.get("num_added_rows"))
    return None if written is None else int(written) - int(metrics.get("numCopiedRows", 0))


def _shown(record: EventLogRecord) -> dict[str, Any]:
    materialization = record.asset_materialization
    assert materialization is not None
    return {name: value.value for name, value in materialization.metadata.items()}


def _materializations_by_version(
    instance: DagsterInstance, key: AssetKey, oldest: int
) -> dict[int, list[EventLogRecord]]:
    """Delta version -> the materializations that it was recorded with, for the versions from `oldest` on."""
    found: dict[int, list[EventLogRecord]] = {}
    cursor = None
    while True:
        page = instance.fetch_materializations(AssetRecordsFilter(key), limit=_RECORDS_AT_ONCE, cursor=cursor)
        versions = [(_shown(record).get("delta_version"), record) for record in page.records]
        for version, record in versions:
            if version is not None:
                found.setdefault(version, []).append(record)
        known = [version for version, _ in versions if version is not None]
        if not page.has_more or (known and max(known) < oldest):
            return found
        cursor = page.cursor


def _table(place: str, version: int | datetime | None = None) -> Any:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    table = DeltaTable(place)
    if version is not None:
        try:
            table.load_as_version(version)
        except DeltaError as problem:
            first = min(int(commit["version"]) for commit in table.history())
            raise TravelRefused(
                f"{place} cannot be read as of {version}: {problem}. Its log goes from version {first} to "
                f"{DeltaTable(place).version()}; retail history shows them."
            ) from None
        files = [file.removeprefix("file://") for file in table.file_uris()]
        if not all("://" in file or Path(file).exists() for file in files):
            raise TravelRefused(
                f"Version {table.version()} of {place} can no longer be read: its files were removed, having been "
                "out of use for longer than RETAIL_RETENTION_DAYS. Take a later version."
            )
    return table


def must_be_there(place: str, version: int) -> None:
    """Raises TravelRefused, saying which versions are there, for one that is not."""
    _table(place, version)


def version_at(place: str, moment: datetime) -> int:
    """The version that readers saw at that moment. Raises TravelRefused for a moment before the table's first."""
    commits = _table(place).history()
    before = [int(commit["version"]) for commit in commits if commit["timestamp"] <= moment.timestamp() * 1000]
    if not before:
        first = datetime.fromtimestamp(min(commit["timestamp"] for commit in commits) / 1000, UTC)
        raise TravelRefused(f"{place} has no version as old as {moment}: its log begins at {first:%Y-%m-%d %H:%M:%S}.")
    return max(before)


def read_rows(place: str, version: int | None, where: str | None, limit: int | None) -> Any:
    """Rows of the table as a pyarrow table. `where` is a SQL condition. Raises TravelRefused where it is none."""
    import pyarrow as pa
    from deltalake import QueryBuilder

    query = "SELECT * FROM rows" + (f" WHERE {where}" if where else "") + ("" if limit is None else f" LIMIT {limit}")
    table = _table(place, version)
    try:
        return pa.table(QueryBuilder().register("rows", table).execute(query).read_all())
    except Exception as problem:  # of no narrower type: whatever the engine says of the query
        raise TravelRefused(f"{query!r} cannot be answered: {str(problem).strip()}") from None


@dataclass(frozen=True)
class Restoration:
    """What putting a table back to `version` changes: partitions that differ, and those that the version had not."""

    name: Sequence[str]
    version: int
    changed: list[str]
    not_in_version: list[str]


def plan_restoration(
    tables: Tables, name: Sequence[str], layout: Mapping[str, str], version: int, partitions: Sequence[str] = ()
) -> Restoration:
    """Compares the table as it is with the version, partition by partition, by content; changes nothing.

    `partitions`: only these.
    """
    now, then = (
        {str(row[0]): (row[1], row[2]) for row in _digests(frame, layout[PARTITION]).collect()}
        for frame in (tables.read(name), _as_of(tables, name, version))
    )
    if partitions:
        unknown = sorted(set(partitions) - set(then))
        if unknown:
            raise TravelRefused(f"Version {version} of {'.'.join(name)} has no rows of {', '.join(unknown)}.")
        then = {key: digest for key, digest in then.items() if key in partitions}
    return Restoration(
        name,
        version,
        changed=sorted(key for key, digest in then.items() if now.get(key) != digest),
        not_in_version=[] if partitions else sorted(set(now) - set(then)),
    )


def _digests(frame: DataFrame, partition: str) -> DataFrame:
    """Partition, rows, and a sum over hashes of the rows: equal for the same rows in any order."""
    text = F.struct(*[F.col(column) for column in frame.columns]).cast("string")
    return frame.groupBy(partition).agg(F.count("*"), F.sum(F.xxhash64(text).cast("decimal(38,0)")))


def _as_of(tables: Tables, name: Sequence[str], version: int) -> DataFrame:
    """The version with the columns of now: those that came later are NULL."""
    now, then = tables.read(name), tables.read(name, version)
    return then.select(
        [
            (F.col(field.name) if field.name in then.columns else F.lit(None).cast(field.dataType)).alias(field.name)
            for field in now.schema
        ]
    )


def restore(
    tables: Tables, instance: DagsterInstance, restoration: Restoration, layout: Mapping[str, str]
) -> Commit | None:
    """Puts the partitions that differ back as they were, in one commit, and tells Dagster of each; None if none does.

    Partitions that the version had not stay as they are. The caller holds the main job's lock. Raises TravelRefused
    while a run is in progress.
    """
    if instance.get_runs(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES), limit=1):
        raise TravelRefused("A run is in progress, and a table has one writer at a time. Wait until it has ended.")
    if not restoration.changed:
        return None
    name, version = restoration.name, restoration.version
    days = as_days(restoration.changed)
    rows = _as_of(tables, name, version).filter(within(layout[PARTITION], days))
    counts = {str(row[0]): row[1] for row in rows.groupBy(layout[PARTITION]).count().collect()}
    provenance = _provenance_at(tables.place(name), restoration)
    commit = tables.replace(name, rows, layout, days, provenance)
    _record(instance, AssetKey(list(name)), restoration, commit, tables.place(name), counts)
    return commit


def _provenance_at(place: str, restoration: Restoration) -> dict[str, Any]:
    """Partition -> what its rows in the version were made from; of tables that do not keep that, nothing."""
    found: dict[str, Any] = {}
    for origin in origins(place):  # newest first
        if origin.version <= restoration.version and origin.partition in restoration.changed:
            found.setdefault(origin.partition, origin.says)
    return found


def _record(
    instance: DagsterInstance,
    key: AssetKey,
    restoration: Restoration,
    commit: Commit,
    place: str,
    counts: Mapping[str, int],
) -> None:
    """A materialization for each partition: what was known of the rows when they were made, and that they are back."""
    from retail_assets.lakehouse.gathered_events import stored_together

    then = _metadata_at(instance, key, restoration)
    with stored_together(instance):
        for partition in restoration.changed:
            metadata = {
                **then.get(partition, {}),
                **commit_metadata(commit, place),
                "dagster/partition_row_count": MetadataValue.int(counts[partition]),
                "restored_from_version": MetadataValue.int(restoration.version),
            }
            instance.report_runless_asset_event(
                AssetMaterialization(
                    key, partition=partition, metadata=metadata, tags={DATA_VERSION_TAG: str(commit.version)}
                )
            )


def _metadata_at(instance: DagsterInstance, key: AssetKey, restoration: Restoration) -> dict[str, Mapping[str, Any]]:
    """Partition -> metadata of the materialization by which it was in the version. Raw rows are known by their drops:
    put back without them, a day whose drop was corrected would not be due again."""
    found: dict[str, Mapping[str, Any]] = {}
    wanted = set(restoration.changed)
    by_version = _materializations_by_version(instance, key, 0)
    for version in sorted((version for version in by_version if version <= restoration.version), reverse=True):
        for record in by_version[version]:
            if record.partition_key in wanted and record.partition_key not in found:
                assert record.asset_materialization is not None
                found[str(record.partition_key)] = record.asset_materialization.metadata
    return found
