"""Dagster's PostgreSQL storage, whose event log writes many events in one transaction (gathered_events.py).

The stock event log connects anew for every write: some milliseconds, here and in the server.

Named in deploy/dagster.yaml:

    storage:
      module: retail_assets.lakehouse.postgres_event_log
      class: PostgresStorage
      config: {postgres_db: {...}}  # as under Dagster's own `storage: postgres:`
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

from retail_assets.lakehouse.gathered_events import GatheringEventLog

_WRITTEN = AssetCheckExecutionsTable.c
# Of an evaluation that was planned: what it is known by, and what is written of it.
_KNOWN_BY = {"of_asset": _WRITTEN.asset_key, "of_check": _WRITTEN.check_name, "of_partition": _WRITTEN.partition}
_OUTCOME = (
    _WRITTEN.execution_status,
    _WRITTEN.evaluation_event,
    _WRITTEN.evaluation_event_timestamp,
    _WRITTEN.evaluation_event_storage_id,
    _WRITTEN.materialization_event_storage_id,
)


class GatheringPostgresEventLogStorage(GatheringEventLog, PostgresEventLogStorage):
    """The stock PostgreSQL event log with few transactions. Holds no connection between them, as the stock one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._writing = threading.local()
        super().__init__(*arguments, **named)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "GatheringPostgresEventLogStorage":
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )

    @property
    def _transaction(self) -> Connection | None:
        """That of this thread: others read meanwhile."""
        return getattr(self._writing, "connection", None)

    @property
    def _in_transaction(self) -> bool:
        return self._transaction is not None

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """Every read and write of the stock storage passes here."""
        if self._transaction is not None:
            yield self._transaction
            return
        if self._gathered:
            with self._db_lock:
                self._store_gathered()  # whoever reads or deletes meets everything stored before
        with super()._connect() as connection:
            yield connection

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        with self._db_lock, super()._connect() as connection:
            self._committed = False
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin() as transaction:
                self._writing.connection = connection
                try:
                    yield
                finally:
                    self._writing.connection = None
                try:
                    transaction.commit()
                finally:
                    self._committed = not connection.in_transaction()

    def _insert(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        table = SqlEventLogStorageTable
        with self._connect() as connection:
            returning = table.insert().returning(table.c.id, sort_by_parameter_order=True)
            return connection.execute(returning, list(rows)).scalars().all()

    def _update_planned(self, connection: Connection, run_id: str, updates: Sequence[Mapping[str, Any]]) -> int:
        """One statement, which joins the table with what it is told."""
        columns = {**_KNOWN_BY, **{column.name: column for column in _OUTCOME}}
        lists = [
            sqlalchemy.cast([update[name] for update in updates], ARRAY(column.type))
            for name, column in columns.items()
        ]
        told = sqlalchemy.func.unnest(*lists).table_valued(*columns).render_derived("told").c
        statement = (
            AssetCheckExecutionsTable.update()
            .values({column: told[column.name] for column in _OUTCOME})
            .where(_WRITTEN.run_id == run_id, *(column == told[name] for name, column in _KNOWN_BY.items()))
        )
        return connection.execute(statement).rowcount


class PostgresStorage(DagsterPostgresStorage):
    """Dagster's own, with this event log; runs and schedules are stored as by the stock storage."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        self._event_log_storage = GatheringPostgresEventLogStorage(
            postgres_url, should_autocreate_tables, token_provider=token_provider
        )

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "PostgresStorage":
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )

    @property
    def event_storage_data(self) -> ConfigurableClassData | None:
        own = GatheringPostgresEventLogStorage
        return (
            ConfigurableClassData(own.__module__, own.__name__, self.inst_data.config_yaml) if self.inst_data else None
        )
