"""An event log that gathers events and writes many of them in one transaction; whichever database it lies in.

A range of partitions writes two events per asset and partition and one per check and partition. Stored one by one, as
Dagster does, this bookkeeping would cost more than the data. The rows are the stock storage's own: its methods write
them, only transactions are ours; and events of one kind that follow each other go to the database as one statement
with many rows.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from typing import Any

import sqlalchemy
from dagster import AssetKey, DagsterInstance
from dagster._core.events import ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value
from sqlalchemy.engine import Connection

# Events gathered before they are written. Bounds what a killed process loses and how long other processes
# wait for the index; above a few hundred a transaction's own cost no longer shows.
EVENTS_GATHERED_AT_MOST = 1000


class GatheringEventLog(SqlEventLogStorage):
    """Stands before one of Dagster's storages, whose methods write into the transaction that is open here."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._gathered: list[EventLogEntry] = []
        self._gathering = 0
        self._newest_by_asset: dict[AssetKey, dict[DagsterEventType, tuple[EventLogEntry, int]]] = {}
        self._tables_seen: set[str] = set()
        self._asset_key_columns_seen: set[str] = set()
        super().__init__(*arguments, **named)
        # Reentrant: within one transaction the stock methods connect several times.
        self._db_lock = threading.RLock()

    def _one_transaction(self) -> AbstractContextManager[None]:
        """One transaction for all that is written inside."""
        raise NotImplementedError

    @property
    def _in_transaction(self) -> bool:
        """Whether one is open."""
        raise NotImplementedError

    # What the stock storage asks the schema at every event ------------------------------------------------

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables_seen and super().has_table(table_name):  # type: ignore[safe-super]  # of the stock class behind
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        seen = self._asset_key_columns_seen
        if column_name not in seen and super()._has_asset_key_col_on_connection(conn, column_name):
            seen.add(column_name)
        return column_name in seen

    # Events -----------------------------------------------------------------------------------------------

    def store_event(self, event: EventLogEntry) -> None:
        with self._db_lock:
            self._gathered.append(event)
            # A run's change of status also goes to the run storage, at once: the log must not lag behind it.
            at_once = event.is_dagster_event and event.dagster_event_type in EVENT_TYPE_TO_PIPELINE_RUN_STATUS
            if not self._gathering or at_once or len(self._gathered) >= EVENTS_GATHERED_AT_MOST:
                self._store_gathered()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """All of the events or, with the error raised, none: Dagster then stores them one by one."""
        with self._db_lock:
            self._store_gathered()
            self._store_together(events)

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        with self._one_transaction():
            self._newest_by_asset = {}
            for kind, alike in groupby(events, _kind):
                if kind:
                    self._store_alike(*kind, list(alike))
                else:
                    for event in alike:
                        super().store_event(event)
            for by_type in self._newest_by_asset.values():
                for event, event_id in by_type.values():
                    with self.index_connection() as connection:
                        super()._store_asset_event(connection, event, event_id)

    def _store_alike(self, run_id: str, event_type: DagsterEventType, events: Sequence[EventLogEntry]) -> None:
        """As the stock `store_event`, for events of one run and type: a row is made once, a table written once."""
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_connection() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            # Nobody else writes while this transaction does, so that the ids follow each other.
            last = connection.execute(sqlalchemy.text("SELECT last_insert_rowid()")).scalar_one()
            ids = range(last - len(events) + 1, last + 1)
            if event_type in ASSET_EVENTS:
                self._store_asset_event_tags(connection, events, ids)
                for event, event_id in zip(events, ids, strict=True):
                    self._store_asset_event(connection, event, event_id)
            else:
                self._store_evaluations(connection, run_id, list(zip(events, ids, rows, strict=True)))

    def _store_evaluations(
        self, connection: Connection, run_id: str, stored: Sequence[tuple[EventLogEntry, int, Mapping[str, Any]]]
    ) -> None:
        """As the stock method for one evaluation, which makes a statement of its own for each. What was not planned
        (a cluster's events are not), or is planned twice, is left to it."""
        table = AssetCheckExecutionsTable.c
        told = [event.get_dagster_event().asset_check_evaluation_data for event, _, _ in stored]
        assets = {evaluation.asset_key.to_string() for evaluation in told}  # not all of the run's, for each batch anew
        of_run = sqlalchemy.select(table.asset_key, table.check_name, table.partition).where(
            table.run_id == run_id, table.asset_key.in_(assets)
        )
        planned = Counter(tuple(row) for row in connection.execute(of_run))
        updates = []
        for evaluation, (event, event_id, row) in zip(told, stored, strict=True):
            target = evaluation.target_materialization_data
            key = (evaluation.asset_key.to_string(), evaluation.check_name, evaluation.partition)
            if evaluation.partition is None or planned[key] != 1:
                self.store_asset_check_event(event, event_id)
                continue
            status = (
                AssetCheckExecutionRecordStatus.SUCCEEDED
                if evaluation.passed
                else (AssetCheckExecutionRecordStatus.FAILED)
            )
            updates.append(
                {
                    "of_asset": key[0],
                    "of_check": key[1],
                    "of_partition": key[2],
                    "execution_status": status.value,
                    "evaluation_event": row["event"],
                    "evaluation_event_timestamp": row["timestamp"],
                    "evaluation_event_storage_id": event_id,
                    "materialization_event_storage_id": target.storage_id if target else None,
                }
            )
        if updates:
            one = AssetCheckExecutionsTable.update().where(
                table.run_id == run_id,
                table.asset_key == sqlalchemy.bindparam("of_asset"),
                table.check_name == sqlalchemy.bindparam("of_check"),
                table.partition == sqlalchemy.bindparam("of_partition"),
            )
            connection.execute(one, updates)

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        """Keep the event for the asset's own row until the transaction ends: only the last of a type shows.

        Each type of event sets columns of its own choice, so the last events of each type, in the order they
        came, leave the row as all of them would have.
        """
        if not self._in_transaction:
            super()._store_asset_event(conn, event, event_id)
            return
        dagster_event = event.get_dagster_event()
        if dagster_event.asset_key:
            by_type = self._newest_by_asset.setdefault(dagster_event.asset_key, {})
            by_type.pop(dagster_event.event_type, None)
            by_type[dagster_event.event_type] = (event, event_id)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """As the stock method, which serializes the event and compiles the row anew for every partition."""
        planned = event.get_dagster_event().asset_check_planned_data
        subset = planned.partitions_subset
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),
            "evaluation_event_storage_id": event_id,
        }
        keys = subset.get_partition_keys() if subset else [None]
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), [{**row, "partition": key} for key in keys])

    def _store_gathered(self) -> None:
        """Write the gathered events in their order. One that cannot be stored does not take others with it."""
        if not self._gathered:
            return
        events, self._gathered = self._gathered, []
        try:
            self._store_together(events)
        except sqlalchemy.exc.OperationalError:  # locked, full, read-only: no event alone would fare better
            raise
        except Exception:
            if len(events) == 1:
                raise
            errors = []
            for event in events:
                try:
                    self._store_together([event])
                except Exception as error:
                    errors.append(error)
            if errors:
                raise errors[0] from None

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """See `stored_together`."""
        with self._db_lock:
            self._gathering += 1
        try:
            yield
        finally:
            with self._db_lock:
                self._gathering = max(0, self._gathering - 1)  # a forked child starts from zero
                self._store_gathered()


def _kind(event: EventLogEntry) -> tuple[str, DagsterEventType] | None:
    """The run and the type of an event whose like come by the thousand; None of any other."""
    if not event.run_id or not event.is_dagster_event:
        return None
    event_type = event.get_dagster_event().event_type
    many = event_type in ASSET_EVENTS or event_type == DagsterEventType.ASSET_CHECK_EVALUATION
    return (event.run_id, event_type) if many else None


@contextmanager
def stored_together(instance: DagsterInstance) -> Iterator[None]:
    """Gather the events stored inside and write them in one transaction at the end, in their order.

    For an asset that emits one evaluation per partition, and may yield its output inside as well:

        with stored_together(context.instance):
            yield MaterializeResult(...)
            for day in days:
                yield AssetCheckEvaluation(..., partition=day)

    An event is never recorded before what it tells of was done, only later: at the end of the block (also
    when it is left by an error), before anything is read through the same instance, before a run changes its
    status, and after every EVENTS_GATHERED_AT_MOST events. A process killed inside loses the gathered events
    and no others. With another event log (as on a remote cluster) nothing is gathered.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, GatheringEventLog):
        yield
        return
    with storage.gathering():
        yield
