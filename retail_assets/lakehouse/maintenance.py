"""Upkeep of Delta tables: small files made into larger ones; files and log entries removed that no version needs.

Nothing of this changes a row. A version of a table can be read for as many days as the retention says: vacuum takes
only files that have been out of every version for longer, and what a killed write left; the log is kept as long, and
longer where it remembers what rows were made from. Every step is one commit, or removes what nobody needs, so it may be
killed anywhere and done again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dagster import MetadataValue
from pyspark.sql import SparkSession

from retail_assets.lakehouse.catalog_tables import CatalogTables
from retail_assets.lakehouse.delta_tables import LOG_RETENTION, REMEMBERED_FOR

TARGET_BYTES = 64 * 1024 * 1024
"""Files are made no larger than this, so that several tasks can share a directory."""


@dataclass(frozen=True)
class Upkeep:
    """What was done to a table. Files and bytes are those of its newest version, before and after."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    files_compacted: int
    """Small files that larger ones have taken the place of; older versions still have them."""
    files_vacuumed: int
    """Files removed from storage, as no version within the retention needs them."""
    log_entries_removed: int
    delta_version: int
    seconds: float

    def metadata(self) -> dict[str, Any]:
        """As the Dagster UI shows it."""
        return {
            name: MetadataValue.float(round(value, 2)) if isinstance(value, float) else MetadataValue.int(value)
            for name, value in asdict(self).items()
        }


def retention(days: int, current: Mapping[str, str]) -> dict[str, str]:
    """The properties by which every engine keeps a table's deleted files, and its log, for so many days.

    By its `current` properties a table may remember what its rows were made from: its log stays as it was created.
    """
    interval = f"interval {days} days"
    log = REMEMBERED_FOR if current.get(LOG_RETENTION) == REMEMBERED_FOR else interval
    return {"delta.deletedFileRetentionDuration": interval, LOG_RETENTION: log}


def maintain_path(place: str, days: int) -> Upkeep:
    """Upkeep of the table at a local path or URI by the deltalake package: needs no JVM.

    Only one may write the table at a time; readers, of older versions too, are not disturbed.
    """
    from deltalake import DeltaTable

    began, table = time.monotonic(), DeltaTable(place)
    (files_before, bytes_before), entries = _size(table), _log_entries(place)
    current = table.metadata().configuration
    wanted = retention(days, current)
    if any(current.get(name) != value for name, value in wanted.items()):
        table.alter.set_table_properties(wanted)
    compacted = table.optimize.compact(target_size=TARGET_BYTES)
    # In full: also what no version ever knew.
    vacuumed = table.vacuum(24 * days, dry_run=False, full=True)
    # The log before a checkpoint that is old enough can go.
    table.create_checkpoint()
    table = DeltaTable(place)  # as its log is now
    table.cleanup_metadata()
    files_after, bytes_after = _size(table)
    return Upkeep(
        files_before,
        files_after,
        bytes_before,
        bytes_after,
        files_compacted=int(compacted["numFilesRemoved"]),
        files_vacuumed=len(vacuumed),
        log_entries_removed=len(entries - _log_entries(place)),
        delta_version=table.version(),
        seconds=time.monotonic() - began,
    )


def _size(table: Any) -> tuple[int, int]:
    import pyarrow as pa

    sizes = pa.table(table.get_add_actions(flatten=True))["size_bytes"].to_pylist()
    return len(sizes), sum(sizes)


def _log_entries(place: str) -> set[str]:
    """The commits that the log of a local table holds; none for one that is not on a local disk."""
    return {entry.name for entry in Path(place, "_delta_log").glob("*.json")}


def maintain_in_catalog(spark: SparkSession, catalog: str, name: Sequence[str], days: int) -> Upkeep:
    """Upkeep of a table by its name in a catalog, by SQL; its log is cleaned by the engine, as its properties say."""
    began, table = time.monotonic(), CatalogTables(spark, catalog).identifier(name)
    (before,) = spark.sql(f"DESCRIBE DETAIL {table}").select("numFiles", "sizeInBytes", "properties").collect()
    current = before.properties
    wanted = {key: value for key, value in retention(days, current).items() if current.get(key) != value}
    if wanted:
        listed = ", ".join(f"'{key}' = '{value}'" for key, value in wanted.items())
        spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ({listed})")
    (optimized,) = spark.sql(f"OPTIMIZE {table}").select("metrics.numFilesRemoved").collect()
    stale = spark.sql(f"VACUUM {table} RETAIN {24 * days} HOURS DRY RUN").count()
    if stale:
        spark.sql(f"VACUUM {table} RETAIN {24 * days} HOURS")
    (after,) = spark.sql(f"DESCRIBE DETAIL {table}").select("numFiles", "sizeInBytes").collect()
    (newest,) = spark.sql(f"DESCRIBE HISTORY {table} LIMIT 1").select("version").collect()
    return Upkeep(
        before.numFiles,
        after.numFiles,
        before.sizeInBytes,
        after.sizeInBytes,
        files_compacted=optimized.numFilesRemoved,
        files_vacuumed=stale,
        log_entries_removed=0,
        delta_version=newest.version,
        seconds=time.monotonic() - began,
    )
