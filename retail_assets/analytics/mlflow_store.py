"""MLflow's store in a SQLite file: the one that this version of MLflow makes can be made, and written, without it."""

import fcntl
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version as installed
from importlib.resources import files
from pathlib import Path

SQLITE = "sqlite:///"
MLFLOW = "3.17.2"
"""The version whose rows and files these are."""
REVISION = "dc11669786a5"
"""The revision of the schema that it makes, `mlflow_store.sql`."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes to the file."""


def sqlite_file(tracking_uri: str) -> Path | None:
    """The file of a SQLite store."""
    return Path(tracking_uri.removeprefix(SQLITE)).absolute() if tracking_uri.startswith(SQLITE) else None


def artifacts_of(database: Path) -> str:
    """Where the artifacts of a new experiment lie: beside the file."""
    return (database.parent / "mlflow-artifacts").as_uri()


def known_file(tracking_uri: str) -> Path | None:
    """The file of a store that can be written here; None where it is MLflow's own client's to write."""
    database = sqlite_file(tracking_uri)
    if database is None or "?" in tracking_uri or installed("mlflow") != MLFLOW:
        return None
    ensure_store(tracking_uri)
    with connection_to(database) as connection:
        revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        elsewhere = connection.execute("SELECT 1 FROM experiments WHERE artifact_location NOT LIKE 'file:%'").fetchone()
    return database if revisions == [(REVISION,)] and not elsewhere else None


def ensure_store(tracking_uri: str) -> None:
    """Makes the tables of a SQLite store that is new: aside, and put into its place once it is whole, as MLflow cannot
    use what is left of an interruption in between."""
    database = sqlite_file(tracking_uri)
    if database is None or database.exists():
        return
    aside = database.with_name(f".{database.name}.in-the-making")
    database.parent.mkdir(parents=True, exist_ok=True)
    with aside.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time, of threads and of processes; let go of when one is killed
        if database.exists():
            return
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        made = aside / database.name
        if installed("mlflow") == MLFLOW:
            _make(made, artifacts_of(database))
        else:
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            SqlAlchemyStore(f"{SQLITE}{made}", artifacts_of(database)).engine.dispose()
        made.rename(database)
        aside.rmdir()


def _make(database: Path, artifacts: str) -> None:
    """MLflow makes its tables by a hundred migrations; here they are as these leave them."""
    made_at = now()
    with connection_to(database) as connection:
        # On a cluster the package is imported from a zip.
        connection.executescript(files(__package__).joinpath("mlflow_store.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO alembic_version VALUES (?)", [REVISION])
        connection.execute(
            "INSERT INTO workspaces (name, description) VALUES ('default', 'Default workspace for legacy resources')"
        )
        default = [f"{artifacts}/0", made_at, made_at]
        connection.execute("INSERT INTO experiments VALUES (0, 'Default', ?, 'active', ?, ?, 'default')", default)


def schema(database: Path) -> str:
    """The statements that make a store's tables: what `mlflow_store.sql` holds, of a store that MLflow made."""
    with connection_to(database) as connection:
        made = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
    return "".join(f"{statement};\n" for (statement,) in made)


@contextmanager
def connection_to(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def now() -> int:
    return int(time.time() * 1000)
