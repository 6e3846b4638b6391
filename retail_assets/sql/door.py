"""SQL over the tables of a lakehouse: DuckDB in this process, over the files themselves: no JVM, no copy, read only."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import duckdb

from retail_assets import metrics
from retail_assets.sql.tables import CURRENT, Column, NotReadable, StoredTable, literal, quoted, tables_in

_READS = {"SELECT", "EXPLAIN", "SET", "VARIABLE_SET", "MULTI"}
"""Kinds of statements that only read; MULTI is what DuckDB makes of PIVOT."""

_IN_MEMORY = re.compile(r"\s*create\s+(or\s+replace\s+)?(temp(orary)?\s+)?(view|macro|function|table)\b", re.IGNORECASE)
_EXPLAINED = re.compile(r"\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", re.IGNORECASE)
_UNKNOWN = re.compile(r"Table with name (\S+) does not exist")
_LISTS = re.compile(r"\b(information_schema|show|duckdb_\w+|pg_catalog)\b", re.IGNORECASE)


class NotAnswered(Exception):
    """A question that cannot be answered; the message says why, and what is meant perhaps."""


@dataclass(frozen=True)
class When:
    """Which version of a table is read: of those named its number, of all others that of a moment, or the newest."""

    moment: datetime | None = None
    versions: Mapping[str, int] = field(default_factory=dict)

    def of(self, table: StoredTable) -> int | datetime | None:
        """The version's number or moment."""
        for name in (table.full_name, table.name):
            if name in self.versions:
                return self.versions[name]
        return self.moment


class Door:
    """The tables of one lakehouse, ready to be asked. A table becomes a view when a question names it.

    `source`: whose tables need no schema before their names; without one, tables whose name no other source has. Raises
    NotAnswered where there is no table at all.
    """

    def __init__(self, lakehouse: str, when: When | None = None, source: str | None = None) -> None:
        self.tables, self._when, self._ready = tables_in(lakehouse), when or When(), set[str]()
        self._count = Counter(table.name for table in self.tables)
        self._check(lakehouse, source)
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": False})
        self.connection.execute("SET TimeZone = 'UTC'")
        for name in self.sources:
            self.connection.execute(f"CREATE SCHEMA {quoted(name)}")
        if source:
            self.connection.execute(f"SET search_path = {literal(source)}")

    def _check(self, lakehouse: str, source: str | None) -> None:
        if not self.tables:
            raise NotAnswered(f"There is no table in {lakehouse} yet. Make them first: retail run.")
        if source and source not in self.sources:
            near = get_close_matches(source, self.sources, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise NotAnswered(f"No source is called {source}.{meant} There are: {', '.join(self.sources)}.")
        for name in self._when.versions:
            if not any(name in (table.name, table.full_name) for table in self.tables):
                raise NotAnswered(self._no_table(name))

    @property
    def sources(self) -> list[str]:
        """Whose tables there are."""
        return list(dict.fromkeys(table.source for table in self.tables))

    def columns(self, name: str) -> Sequence[Column]:
        """Of the table of that name. Raises NotAnswered."""
        found = [table for table in self.tables if name in (table.name, table.full_name)]
        if len(found) != 1:
            raise NotAnswered(self._no_table(name))
        try:
            return found[0].version(self._when.of(found[0])).columns
        except NotReadable as problem:
            raise NotAnswered(str(problem)) from None

    def answer(self, query: str) -> "duckdb.DuckDBPyRelation | None":
        """What the last statement says; None where it says nothing, as SET. Raises NotAnswered."""
        try:
            statements = duckdb.extract_statements(query)
        except duckdb.Error as problem:
            raise NotAnswered(_told(problem)) from None
        said = None
        for statement in statements:
            _must_only_read(statement)
            said = self._said(statement.query.strip().rstrip(";"))
        return said

    def _said(self, query: str) -> "duckdb.DuckDBPyRelation | None":
        try:
            self._prepare(query)
            return self.connection.sql(query)
        except NotReadable as problem:
            raise NotAnswered(str(problem)) from None
        except duckdb.Error as problem:
            raise NotAnswered(self._explained(problem)) from None

    def _prepare(self, query: str) -> None:
        """Makes the views that the query may read: of tables whose name is in it, or of all where it lists them."""
        words = {word.lower() for word in re.findall(r"\w+", query)}
        everything = bool(_LISTS.search(query))
        for table in self.tables:
            wanted = {table.name, f"{table.name}{CURRENT}"} & words
            if everything or wanted or (f"{table.source}{metrics.SCHEMA}" in words and table.name in metrics.TABLES):
                self._make(table)
            for number in re.findall(rf"\b{table.name}@(\d+)", query, re.IGNORECASE):
                self._view(table.source, f"{table.name}@{number}", table.version(int(number)).query())
        for view in metrics.views(self.tables):
            if everything or view.schema in words:
                self._view(view.schema, view.name, view.query)

    def _make(self, table: StoredTable) -> None:
        if table.full_name not in self._ready:
            version = table.version(self._when.of(table))
            names = {table.name: version, f"{table.name}{CURRENT}": version.newest_snapshot}
            for name, of in names.items():
                if of:
                    self._view(table.source, name, of.query())
                    if self._count[table.name] == 1:
                        self._view("main", name, f"SELECT * FROM {quoted(table.source)}.{quoted(name)}")
            self._ready.add(table.full_name)

    def _view(self, schema: str, name: str, query: str) -> None:
        self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        self.connection.execute(f"CREATE OR REPLACE VIEW {quoted(schema)}.{quoted(name)} AS {query}")

    def _explained(self, problem: duckdb.Error) -> str:
        """What DuckDB says, and of a table that it does not know, which there are by a like name."""
        unknown = _UNKNOWN.search(str(problem))
        if not unknown:
            return _told(problem)
        return self._no_table(unknown[1].strip('"!'))

    def _no_table(self, name: str) -> str:
        called = name.rpartition(".")[2].removesuffix(CURRENT)
        near = get_close_matches(called.lower(), {table.name for table in self.tables}, 1)
        same = [table.full_name for table in self.tables if table.name in near]
        if len(same) > 1 and near == [called]:
            return f"Several sources have a table {name}: say which, {' or '.join(same)}."
        meant = f" Did you mean {' or '.join(same)}?" if same else ""
        return f"No table is called {name}.{meant} retail tables lists all."


def _must_only_read(statement: Any) -> None:
    kind, query = statement.type.name, statement.query
    if kind == "EXPLAIN":  # EXPLAIN ANALYZE does what it explains
        for inner in duckdb.extract_statements(_EXPLAINED.sub("", query, count=1)):
            _must_only_read(inner)
    elif kind not in _READS and not (kind == "CREATE" and _IN_MEMORY.match(query)):
        raise NotAnswered(
            f"{kind} is not done here: tables are only read. To keep an answer: --format csv, json or parquet with "
            "--output FILE; to have all tables in a file of DuckDB: retail export duckdb FILE."
        )


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong only as rows are fetched, such as a value that is no number, is told as any other problem."""
    try:
        yield
    except duckdb.Error as problem:
        raise NotAnswered(_told(problem)) from None


def _told(problem: duckdb.Error) -> str:
    """DuckDB's words; with the place in the query where that is no SQL, else without, as it may be one in a view."""
    text = str(problem).strip()
    return text if isinstance(problem, duckdb.ParserException) else text.split("\n\nLINE ")[0]
