"""Delta tables read without Spark: deltalake reads the log, DuckDB the files."""

from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable


class IndependentReader:
    """SQL over the tables of a lakehouse, each under its own name."""

    def __init__(self, source: Path) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self.tables = sorted(path.name for path in source.iterdir() if DeltaTable.is_deltatable(str(path)))
        for name in self.tables:
            self.connection.register(name, DeltaTable(str(source / name)).to_pyarrow_dataset())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.sql(query).fetchall()

    def row(self, query: str) -> tuple[Any, ...]:
        """The only row of a query."""
        (row,) = self.rows(query)
        return row
