"""Dagster's SQLite event log with its files kept open, and many events written in one transaction.

The stock storage makes a new engine and connection for every write, for the run's file and for the index:
6-9 ms per event. Here connections stay open, an event is one transaction per file, and `stored_together` writes what
many events say in one transaction (gathered_events.py).

Named in dagster.yaml:

    event_log_storage:
      module: retail_assets.lakehouse.event_log
      class: OpenSqliteEventLogStorage
      config: {}
"""

import os
import shutil
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster
import sqlalchemy
from dagster import Field, StringSource
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
    SqliteEventLogStorageWatchdog,
)
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool, StaticPool
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from retail_assets.lakehouse.gathered_events import GatheringEventLog

_MIRRORED = {kind.value for kind in (*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS)}

# Files of runs kept open in one process, each with three handles (database, log, shared memory). A process
# writes one run at a time; the webserver shows a few.
RUN_SHARDS_KEPT_OPEN = 8

_storages: "weakref.WeakSet[OpenSqliteEventLogStorage]" = weakref.WeakSet()


class OpenSqliteEventLogStorage(GatheringEventLog, SqliteEventLogStorage):
    """The stock SQLite event log, run-sharded, with connections kept open and few transactions.

    Durability: write-ahead log with `synchronous=NORMAL`. A killed process loses nothing that was stored; a
    power cut may lose the last moments but never leaves a broken file. Copy a live home with the `-wal` files.

    `base_dir` is the folder of the files, by default `$DAGSTER_HOME/history/runs`, as in the stock storage.
    """

    _db_lock: Any
    _obs: Any

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._kept_open: OrderedDict[str, tuple[Engine, int]] = OrderedDict()
        self._transaction: dict[str, Connection] | None = None
        super().__init__(base_dir, inst_data)
        _storages.add(self)

    @classmethod
    def config_type(cls) -> Any:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "OpenSqliteEventLogStorage":
        base_dir = config_value.get("base_dir")
        if base_dir is None:
            home = os.environ.get("DAGSTER_HOME")
            if not home:
                raise ValueError("the event log needs a base_dir in dagster.yaml, or DAGSTER_HOME set")
            base_dir = str(Path(home).expanduser() / "history" / "runs")
        return cls(base_dir, inst_data)

    # Connections ------------------------------------------------------------------------------------------

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """A connection in a transaction; every read and write of the stock storage passes here."""
        with self._db_lock:
            if self._transaction is None:
                self._store_gathered()  # whoever reads or deletes meets everything stored before
                with self._engine(shard).begin() as connection:
                    yield connection
            else:
                if shard not in self._transaction:
                    connection = self._engine(shard).connect()
                    connection.begin()
                    self._transaction[shard] = connection
                yield self._transaction[shard]

    @property
    def _in_transaction(self) -> bool:
        return self._transaction is not None

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """One transaction per file for all that is written inside, committed in the order of first use.

        The run's file comes before the index, as in the stock storage: what the index shows, the run has.
        """
        with self._db_lock:
            self._transaction, self._committed = {}, False
            try:
                yield
                self._commit(list(self._transaction.values()))
            finally:
                for connection in self._transaction.values():
                    connection.close()  # rolls back what was not committed
                self._transaction = None

    def _commit(self, connections: Sequence[Connection]) -> None:
        """What the first file has, the others must have, too: an interrupt waits for them."""
        try:
            for connection in connections:
                connection.commit()
        except Exception:
            raise
        except BaseException:
            for connection in connections:
                connection.commit()  # of one that is committed, nothing
            raise
        finally:
            self._committed = not any(connection.in_transaction() for connection in connections)

    def _engine(self, shard: str) -> Engine:
        """The engine of a file, opened at first use and again when the file was removed meanwhile."""
        path = Path(self.path_for_shard(shard))
        if shard in self._kept_open:
            engine, inode = self._kept_open[shard]
            try:
                if path.stat().st_ino == inode:
                    self._kept_open.move_to_end(shard)
                    return engine
            except FileNotFoundError:
                pass
            self._close(shard)
        if not path.exists():
            self._initialized_dbs.discard(shard)
            if shard != INDEX_SHARD_NAME:
                self._copy_blank(path)
        url = self.conn_string_for_shard(shard)
        patience = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
        if shard not in self._initialized_dbs:
            if not _has_revision(path):
                self._initdb(sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=patience))
            self._initialized_dbs.add(shard)
        # One connection serves all threads: the lock lets only one of them use it at a time.
        engine = sqlalchemy.create_engine(
            url, poolclass=StaticPool, connect_args={**patience, "check_same_thread": False}
        )
        sqlalchemy.event.listen(engine, "connect", _sync_only_at_checkpoints)
        self._kept_open[shard] = (engine, path.stat().st_ino)
        in_use = self._transaction or {}
        closable = [each for each in self._kept_open if each not in in_use and each not in (INDEX_SHARD_NAME, shard)]
        for oldest in closable[: max(0, len(self._kept_open) - 1 - RUN_SHARDS_KEPT_OPEN)]:
            self._close(oldest)
        return engine

    def _copy_blank(self, path: Path) -> None:
        """A run's file as the stock storage makes it, which reads a hundred migrations each time: made once, copied."""
        blank = Path(self._base_dir) / f"blank_run-{dagster.__version__}"
        own = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            if not blank.exists():
                self._initdb(sqlalchemy.create_engine(f"sqlite:///{own}", poolclass=NullPool))
                own.replace(blank)
            shutil.copyfile(blank, own)
            with own.open("rb") as file:
                os.fsync(file)
            path.hardlink_to(own)  # not over what another process has made meanwhile
        except OSError:  # another made it meanwhile, or there are no links here: the stock storage looks after it
            pass
        finally:
            own.unlink(missing_ok=True)

    def _close(self, shard: str) -> None:
        engine, _ = self._kept_open.pop(shard)
        engine.dispose()

    def release(self) -> None:
        """Write what is gathered and close every file; the next use opens them again."""
        with self._db_lock:
            self._store_gathered()
            for shard in list(self._kept_open):
                self._close(shard)

    def dispose(self) -> None:
        self.release()
        super().dispose()

    # Writing many rows ------------------------------------------------------------------------------------

    def _insert(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        """All go to the run's file, and what is asked of all runs together to the index, too."""
        with self.run_connection(run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        mirrored = [row for row in rows if row["dagster_event_type"] in _MIRRORED]
        if not mirrored:
            return [0] * len(rows)
        with self.index_connection() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), mirrored)
            # Nobody else writes while this transaction does, so that the ids follow each other.
            last = connection.execute(sqlalchemy.text("SELECT last_insert_rowid()")).scalar_one()
        ids = iter(range(last - len(mirrored) + 1, last + 1))
        return [next(ids) if row["dagster_event_type"] in _MIRRORED else 0 for row in rows]

    def _update_planned(self, connection: Connection, run_id: str, updates: Sequence[Mapping[str, Any]]) -> int:
        table = AssetCheckExecutionsTable.c
        one = AssetCheckExecutionsTable.update().where(
            table.run_id == run_id,
            table.asset_key == sqlalchemy.bindparam("of_asset"),
            table.check_name == sqlalchemy.bindparam("of_check"),
            table.partition == sqlalchemy.bindparam("of_partition"),
        )
        return connection.execute(one, updates).rowcount

    # Deleting and watching --------------------------------------------------------------------------------

    def delete_events(self, run_id: str) -> None:
        with self._db_lock:
            super().delete_events(run_id)
            if run_id in self._kept_open:
                self._close(run_id)

    def wipe(self) -> None:
        with self._db_lock:
            self.release()  # the files of runs are removed
            super().wipe()

    def watch(self, run_id: str, cursor: str | None, callback: Any) -> None:
        if self._obs is None:
            self._obs = Observer()
            self._obs.start()
        watchdog = _Watchdog(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = (
            watchdog,
            self._obs.schedule(watchdog, self._base_dir, recursive=True),
        )


class _Watchdog(SqliteEventLogStorageWatchdog):
    """Tells of new events. While a database stays open they change its `-wal` file, not the file itself."""

    def __init__(self, storage: OpenSqliteEventLogStorage, run_id: str, callback: Any, cursor: str | None) -> None:
        super().__init__(storage, run_id, callback, cursor)
        self._patterns = [self._log_path, f"{self._log_path}-wal"]

    def on_modified(self, event: FileSystemEvent) -> None:
        self._process_log()


def _has_revision(path: Path) -> bool:
    """Whether the file holds the tables: of such a file the stock storage would find out the same, and leave it."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS)) as connection:
        try:
            return connection.execute("SELECT version_num FROM alembic_version").fetchone() is not None
        except sqlite3.OperationalError:  # no such table
            return False


def _sync_only_at_checkpoints(connection: Any, _: Any) -> None:
    # Without a write-ahead log, synchronous=NORMAL could leave a broken file after a power cut.
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        connection.execute("PRAGMA synchronous=NORMAL")


# SQLite's connections and locks do not survive a fork: files are closed before it and reopened by both sides.


def _before_fork() -> None:
    for storage in list(_storages):
        storage._db_lock.acquire()
        if storage._transaction is None:
            storage.release()


def _after_fork_in_parent() -> None:
    for storage in list(_storages):
        storage._db_lock.release()


def _after_fork_in_child() -> None:
    for storage in list(_storages):
        storage._db_lock = threading.RLock()
        storage._gathering = 0


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
