"""A person is taken out of what is written beside the tables: Dagster's storage and logs, MLflow, models kept."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from retail_assets.erasure.search import (
    SQLITE,
    Ids,
    in_cell,
    left_in,
    quoted,
    sqlite_columns,
)
from retail_assets.erasure.stored import FORGOTTEN

PATIENCE = 60.0
"""Seconds to wait for another process that writes to a database."""

EXAMPLES = ("input_example.json", "serving_input_example.json")
"""Files of a logged model that hold rows it was tried on: people's own figures, without their ids."""


def erase_from_files(directory: Path, ids: Ids, but: Path) -> int:
    """Strikes the ids out of every database and text below a directory, `but` for what lies below one of them; how many
    files had one."""
    struck = 0
    for path in sorted(directory.rglob("*")) if directory.is_dir() else [directory]:
        if not path.is_file() or path.is_symlink() or but in path.parents or not any(True for _ in left_in(path, ids)):
            continue
        with path.open("rb") as file:
            is_database = file.read(len(SQLITE)) == SQLITE
        if is_database:
            _erase_from_database(path, ids)
        elif not path.name.endswith(("-wal", "-shm")):
            path.write_bytes(ids.in_bytes.sub(FORGOTTEN.encode(), path.read_bytes()))
        struck += 1
    return struck


def _erase_from_database(path: Path, ids: Ids) -> None:
    """Then the file is written anew, as a database keeps deleted bytes, and its journal is emptied."""
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = ON")
        for table, columns in sqlite_columns(database).items():
            for rowid, column, value in list(_cells(database, table, columns, ids)):
                database.execute(
                    f"UPDATE {quoted(table)} SET {quoted(column)} = ? WHERE rowid = ?",
                    [ids.without(value, FORGOTTEN), rowid],
                )
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _cells(database: sqlite3.Connection, table: str, columns: list[str], ids: Ids) -> Iterator[tuple[int, str, Any]]:
    named = ", ".join(quoted(column) for column in columns)
    with contextlib.suppress(sqlite3.OperationalError):  # of a table without row ids, which Dagster and MLflow have not
        for rowid, *values in database.execute(f"SELECT rowid, {named} FROM {quoted(table)}"):
            for column, value in zip(columns, values, strict=True):
                if isinstance(value, str) and in_cell(table, value, ids):
                    yield rowid, column, value


def remove_examples(artifacts: Path, before: datetime) -> int:
    """Removes the sample inputs of models that were logged before; how many."""
    old = [path for name in EXAMPLES for path in artifacts.rglob(name) if path.stat().st_mtime < before.timestamp()]
    for path in old:
        path.unlink()
    return len(old)


def remove_fitted(directory: Path, before: datetime) -> None:
    """Removes models that are kept so as not to be fitted again, where they were fitted before."""
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_mtime < before.timestamp():
            path.unlink()
