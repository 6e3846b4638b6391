"""A file of DuckDB with every table of the lakehouse: as views over its files, or with the data in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from retail_assets import metrics
from retail_assets.sql.tables import CURRENT, Column, StoredTable, literal, quoted

STORAGE: dict[str, str | bool | int | float | list[str]] = {"storage_compatibility_version": "v1.0.0"}
"""As every DuckDB from 1.0 on reads it: what comes with BI tools is often older than the one that writes here."""


def export(tables: Sequence[StoredTable], file: Path, data: bool) -> int:
    """Makes the file anew and says how many tables are in it; until it is whole, an older one stays as it is.

    Views name the files of the versions that the tables have now: they stay readable for as long as old versions are
    kept, and show what was made later once the file is made again.
    """
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(unfinished), config=STORAGE) as connection:
            for table in tables:
                version = table.version()
                _make(connection, table.source, table.name, version.query(), data, version.columns)
                if newest := version.newest_snapshot:
                    name, query = f"{table.name}{CURRENT}", newest.query()
                    if data:
                        where = (
                            f"(SELECT max({quoted(newest.directory or '')}) FROM {_named(table.source, table.name)})"
                        )
                        of_newest = f"{quoted(newest.directory or '')} = {where}"
                        query = f"SELECT * FROM {_named(table.source, table.name)} WHERE {of_newest}"
                    _make(connection, table.source, name, query, False, version.columns)
            for view in metrics.views(tables):
                _make(connection, view.schema, view.name, view.query, False, ())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(tables)


def _make(connection: Any, schema: str, name: str, query: str, data: bool, columns: Sequence[Column]) -> None:
    kind = "TABLE" if data else "VIEW"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    connection.execute(f"CREATE {kind} {_named(schema, name)} AS {query}")
    for column in columns:
        place = f"{_named(schema, name)}.{quoted(column.name)}"
        connection.execute(f"COMMENT ON COLUMN {place} IS {literal(column.description)}")


def _named(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"
