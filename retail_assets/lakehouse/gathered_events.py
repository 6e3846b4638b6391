"""An event log that gathers events and writes many of them in one transaction; whichever database it lies in.

A range of partitions writes two events per asset and partition and one per check and partition. Stored one by one, as
Dagster does, this bookkeeping would cost more than the data. The rows are the stock storage's own: its methods write
them, only transactions are ours; and events of one kind that follow each other go to the database as one statement
with many rows.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy
from dagster import AssetCheckEvaluation, AssetKey, DagsterInstance
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    DagsterEventType,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value
from sqlalchemy.engine import Connection

from retail_assets.lakehouse.dagster_internals import EventTexts

# Events gathered before they are written. Bounds what a killed process loses and how long other processes
# wait for the index; above a few hundred a transaction's own cost no longer shows.
EVENTS_GATHERED_AT_MOST = 1000


_ASSET_EVENTS = {event_type.value for event_type in ASSET_EVENTS}
_CHECK_EVENTS = {event_type.value for event_type in ASSET_CHECK_EVENTS}
_RUN_STATUS_EVENTS = {event_type.value for event_type in EVENT_TYPE_TO_PIPELINE_RUN_STATUS}


class Stored(NamedTuple):
    """An event with its row in the event log, and the id of that."""

    event: EventLogEntry
    row: Mapping[str, Any]
    id: int

    @property
    def type(self) -> str | None:
        """None of a line that was logged."""
        return self.row["dagster_event_type"]

    @property
    def evaluation(self) -> AssetCheckEvaluation:
        """What an evaluation's event tells."""
        evaluation = self.event.get_dagster_event().event_specific_data
        assert isinstance(evaluation, AssetCheckEvaluation)
        return evaluation


class GatheringEventLog(SqlEventLogStorage):
    """Stands before one of Dagster's storages, whose methods write into the transaction that is open here."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._gathered: list[EventLogEntry] = []
        self._gathering = 0
        self._committed = False
        self._newest_by_asset: dict[AssetKey, dict[DagsterEventType, tuple[EventLogEntry, int]]] = {}
        self._tables_seen: set[str] = set()
        self._asset_key_columns_seen: set[str] = set()
        self._db_lock = threading.RLock()
        super().__init__(*arguments, **named)
        # Dagster's own, where it has one, is not reentrant: within one transaction its methods connect several times.
        self._db_lock = threading.RLock()

    def _one_transaction(self) -> AbstractContextManager[None]:
        """One transaction for all that is written inside; `_committed` says whether an interrupt left it so."""
        raise NotImplementedError

    def _insert(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        """Writes rows of the event log; returns the ids that others know them by (0 of events that have none)."""
        raise NotImplementedError

    def _update_planned(self, connection: Connection, run_id: str, updates: Sequence[Mapping[str, Any]]) -> int:
        """Writes of planned evaluations what came of them (see `_update`); returns how many were planned."""
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
            told = event.dagster_event
            at_once = told is not None and told.event_type_value in _RUN_STATUS_EVENTS
            if not self._gathering or at_once or len(self._gathered) >= EVENTS_GATHERED_AT_MOST:
                self._store_gathered()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """All of the events or, with the error raised, none: Dagster then stores them one by one."""
        with self._db_lock:
            if self._gathering:  # written with what comes next: an error of theirs would have Dagster store all again
                self._gathered += events
                return
            self._store_gathered()
            self._store_together(events)

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        texts = EventTexts()
        with self._one_transaction():
            self._newest_by_asset = {}
            for run_id, of_run in groupby(events, lambda event: event.run_id):
                self._store_of_run(run_id, list(of_run), texts)
            self._store_newest_of_assets()

    def _store_of_run(self, run_id: str, events: Sequence[EventLogEntry], texts: EventTexts) -> None:
        """As the stock `store_event` for each: a row is made once, a table written once."""
        rows = [self._row(event, texts) for event in events]
        stored = [Stored(*each) for each in zip(events, rows, self._insert(run_id, rows), strict=True)]
        with self.index_connection() as connection:
            of_assets = [each for each in stored if each.type in _ASSET_EVENTS]
            self._store_asset_event_tags(
                connection, [each.event for each in of_assets], [each.id for each in of_assets]
            )
            for each in of_assets:
                self._store_asset_event(connection, each.event, each.id)
            of_checks = [each for each in stored if each.type in _CHECK_EVENTS]
            for event_type, alike in groupby(of_checks, lambda each: each.type):
                if event_type == DagsterEventType.ASSET_CHECK_EVALUATION.value and run_id:
                    self._store_evaluations(connection, run_id, list(alike))
                else:
                    for each in alike:
                        self.store_asset_check_event(each.event, each.id)

    def _row(self, event: EventLogEntry, texts: EventTexts) -> dict[str, Any]:
        """As the stock `_event_to_row`."""
        told = event.dagster_event
        asset_key = partition = None
        # That of a check's event stands in its text alone; to hear so takes the stock method as long as all the rest.
        if told and told.event_type_value not in _CHECK_EVENTS:
            asset_key, partition = told.asset_key, told.partition
        return {
            "run_id": event.run_id,
            "event": texts.of(event),
            "dagster_event_type": told.event_type_value if told else None,
            "timestamp": self._event_insert_timestamp(event),
            "step_key": told.step_key if told else event.step_key,
            "asset_key": asset_key.to_string() if asset_key else None,
            "partition": partition or None,
        }

    def _store_evaluations(self, connection: Connection, run_id: str, stored: Sequence[Stored]) -> None:
        """As the stock method for one evaluation, which makes a statement or two of its own for each: what was planned
        becomes what came of it, what was not (a partition of a check that has none, a cluster's) is a new row."""
        updates = [_update(each) for each in stored if each.evaluation.partition is not None]
        if updates and self._update_planned(connection, run_id, updates) == len(stored):
            return
        table = AssetCheckExecutionsTable.c
        assets = {update["of_asset"] for update in updates}
        there = sqlalchemy.select(table.asset_key, table.check_name, table.partition).where(
            table.run_id == run_id, table.asset_key.in_(assets), table.partition.is_not(None)
        )
        planned = {tuple(row) for row in connection.execute(there)} if updates else set()
        new = {tuple(update.pop(name) for name in _KEY): update for update in updates}  # the last one counts
        rows = [
            {"asset_key": key[0], "check_name": key[1], "partition": key[2], "run_id": run_id, **update}
            for key, update in new.items()
            if key not in planned
        ]
        if rows:
            connection.execute(AssetCheckExecutionsTable.insert(), rows)
        for each in stored:
            if each.evaluation.partition is None:
                self.store_asset_check_event(each.event, each.id)

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

    def _store_newest_of_assets(self) -> None:
        # In the order of their keys, so that two writers, each waiting for the other's row, cannot be.
        for _, by_type in sorted(self._newest_by_asset.items()):
            for event, event_id in by_type.values():
                with self.index_connection() as connection:
                    super()._store_asset_event(connection, event, event_id)

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
        except BaseException:  # an interrupt: what was done before it is told all the same, with what is told next
            if not self._committed:
                self._gathered = [*events, *self._gathered]
            raise

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


_KEY = ("of_asset", "of_check", "of_partition")


def _update(stored: Stored) -> dict[str, Any]:
    """Of which asset, check, and partition an evaluation is, and what its row in the table of evaluations becomes."""
    evaluation = stored.evaluation
    target, status = evaluation.target_materialization_data, AssetCheckExecutionRecordStatus
    return {
        "of_asset": evaluation.asset_key.to_string(),
        "of_check": evaluation.check_name,
        "of_partition": evaluation.partition,
        "execution_status": (status.SUCCEEDED if evaluation.passed else status.FAILED).value,
        "evaluation_event": stored.row["event"],
        "evaluation_event_timestamp": stored.row["timestamp"],
        "evaluation_event_storage_id": stored.id,
        "materialization_event_storage_id": target.storage_id if target else None,
    }


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
