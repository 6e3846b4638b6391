"""Copies what Dagster's event log says into a Delta table: only what is new, and every event once. Needs no Spark.

The watermark is the storage id of the last event copied. It is kept in the table's own log, in the commit that adds the
rows (as a transaction of an application, which Delta provides for this): rows and watermark cannot disagree, whatever
is killed. Rows are added to the very version of the table that the watermark was read in: of two that copy at once one
is refused. The watermark goes by the name of the event log, as another Dagster home counts its events anew.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType, DagsterInstance, EventLogRecord, EventRecordsFilter, RunsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from retail_assets.lakehouse.contracts import Contract, spark_schema, table_name

if TYPE_CHECKING:
    from deltalake import DeltaTable

EVENTS_AT_ONCE = 5000
"""Events of one commit: bounds the memory that the first copy of a long history takes."""

LONGEST_RUN_SECONDS = 24 * 3600
"""A run that began longer ago and is not said to have ended has died unseen: its events are waited for no longer."""

SETTLING_SECONDS = 10.0
"""In a log that several write at once an event may become visible after one with a higher id; later than this, none."""

Rows = Callable[[DagsterInstance, Sequence[EventLogRecord]], list[dict[str, Any]]]
"""From events, in the order of their ids, to the rows that the table has of them."""


@dataclass(frozen=True)
class Copied:
    """What a copy did: events seen, rows added, and the table's version now (None where there is no table yet)."""

    events: int
    rows: int
    version: int | None


def copy_events(
    instance: DagsterInstance,
    place: str,
    contract: type[Contract],
    event_type: DagsterEventType,
    rows: Rows,
) -> Copied:
    """Adds what is new in the event log to the table at `place`, which is created for it.

    Copied are events of runs that have ended, so that `rows` may ask what became of the run; an event of a run that
    goes on, and all after it, wait for the next copy.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError

    schema = Schema.from_json(spark_schema(contract).json())
    table = DeltaTable(place) if DeltaTable.is_deltatable(place) else None
    after, events, added = _watermark(instance, table), 0, 0
    while found := _next(instance, event_type, after):
        told, last = rows(instance, found), found[-1].storage_id
        if not told:
            after, events = last, events + len(found)
            continue
        try:
            if table is None:
                DeltaTable.create(place, schema, mode="ignore", name=table_name(contract)[1])
                table = DeltaTable(place)
                if _watermark(instance, table) > after:  # another created it, and has copied some meanwhile
                    after = _watermark(instance, table)
                    continue
            write_deltalake(
                table,
                pa.Table.from_pylist(told, pa.schema(schema.to_arrow())),
                mode="append",
                commit_properties=CommitProperties(app_transactions=[Transaction(_application(instance), last)]),
            )
        except CommitFailedError:
            seen, table = table, DeltaTable(place)
            if seen is not None and seen.version() == table.version():
                raise
            after = max(after, _watermark(instance, table))  # another committed meanwhile, perhaps these
            continue
        after, events, added = last, events + len(found), added + len(told)
    return Copied(events, added, None if table is None else table.version())


def _watermark(instance: DagsterInstance, table: "DeltaTable | None") -> int:
    """The storage id of the last event that the table has been told; 0 before the first."""
    return 0 if table is None else table.transaction_version(_application(instance)) or 0


def _next(instance: DagsterInstance, event_type: DagsterEventType, after: int) -> Sequence[EventLogRecord]:
    """The events after an id, up to the first that has to wait."""
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

    records = instance.event_log_storage.get_event_records(
        EventRecordsFilter(event_type, after_cursor=after), limit=EVENTS_AT_ONCE, ascending=True
    )
    going_on = _going_on(instance, {record.run_id for record in records})
    one_writes_at_a_time = isinstance(instance.event_log_storage, SqliteEventLogStorage)
    settled = time.time() - (0 if one_writes_at_a_time else SETTLING_SECONDS)
    for position, record in enumerate(records):
        if record.run_id in going_on or record.timestamp > settled:
            return records[:position]
    return records


def _going_on(instance: DagsterInstance, run_ids: set[str]) -> set[str]:
    if not run_ids:
        return set()
    # A run that was deleted, and what was reported outside a run, is over.
    records = instance.get_run_records(RunsFilter(run_ids=sorted(run_ids)))
    oldest = time.time() - LONGEST_RUN_SECONDS
    return {
        record.dagster_run.run_id
        for record in records
        if record.dagster_run.status not in FINISHED_STATUSES and record.create_timestamp.timestamp() > oldest
    }


def _application(instance: DagsterInstance) -> str:
    return f"dagster_event_log:{home(instance)}"


def home(instance: DagsterInstance) -> str:
    """The name of a Dagster home's storage, which it was given when it was made."""
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage), "every storage of Dagster's own is one"
    return storage.get_run_storage_id()
