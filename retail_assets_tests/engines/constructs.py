"""What of PySpark a piece of code uses, as its source tells: functions, methods, SQL, types, kinds of joins."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import GroupedData, Window, WindowSpec
from pyspark.sql.classic.column import Column
from pyspark.sql.classic.dataframe import DataFrame

import retail_assets

PACKAGE = Path(retail_assets.__file__).parent

ELSEWHERE = {
    "databricks": "the rehearsal of a cluster, and what a Unity Catalog is asked",
    "lakehouse/engines": "what differs between engines",
    "lakehouse/catalog_tables.py": "tables of a catalog, which only Spark has",
    "lakehouse/maintenance.py": "its SQL is for a catalog's tables",
    "streaming/broker.py": "fetches Apache Kafka by Spark's resolver",
    "analytics/segment_engines.py": "MLlib, which only Spark has; scikit-learn beside it asks no engine",
}
"""Code that is not a table's, and may use what only Spark on a JVM has."""

_METHODS = {
    name
    for kind in (Column, DataFrame, GroupedData, Window, WindowSpec)
    for name in vars(kind) | {}
    if not name.startswith("_")
}
_OF_PYTHON = {
    *(
        "alias",
        "copy",
        "count",
        "crosstab",
        "drop",
        "dropna",
        "endswith",
        "exists",
        "filter",
        "first",
        "groupby",
        "head",
        "join",
    ),
    *(
        "max",
        "mean",
        "min",
        "name",
        "replace",
        "sample",
        "scalar",
        "sort",
        "stat",
        "sum",
        "summary",
        "tail",
        "transform",
    ),
}
"""Names that paths, texts and pandas have as well."""

UNKNOWN = "x"
"""What stands in an f-string where only its run will tell."""

_SQL_METHODS = {"expr", "filter", "where", "selectExpr"}
_SQL_WORDS = re.compile(r"\b(AND|OR|NOT|IN|IS NULL|IS NOT NULL|BETWEEN|LIKE|CASE|DATE)\b")
_SQL_FUNCTION = re.compile(r"\b([a-z_0-9]+)\s*\(")
_SQL_TYPE = re.compile(r"\bAS ([a-z]+)")


def table_code() -> list[Path]:
    """The modules whose queries either engine may run."""
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if "pyspark" in path.read_text(encoding="utf-8")
        and not any(path.relative_to(PACKAGE).as_posix().startswith(place) for place in ELSEWHERE)
    ]


def constructs(path: Path) -> set[str]:
    """Such as `F.trim`, `.rlike`, `cast decimal`, `join left`, `SQL slice`, `SQL CASE`."""
    return {found for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for found in _of(node)}


def _of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "F":
            yield f"F.{node.attr}"
        elif node.attr in _METHODS - _OF_PYTHON and not isinstance(node.value, ast.Constant):
            yield f".{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        method, texts = node.func.attr, [text for argument in node.args for text in _text(argument)]
        if method == "cast" and texts:
            yield f"cast {_kind(texts[0])}"
        elif method == "join" and len(node.args) == 3:
            yield from (f"join {text}" for text in _text(node.args[2]))
        elif method in _SQL_METHODS:
            for text in texts:
                yield from _of_sql(text)


def _text(node: ast.AST) -> list[str]:
    """A text as it is written; of an f-string what is written of it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else UNKNOWN for part in node.values)]
    return []


def _kind(name: str) -> str:
    return re.split(r"[(\s]", name.replace(", ", ","))[0].lower()


def _of_sql(text: str) -> Iterator[str]:
    yield from (f"SQL {name}" for name in _SQL_FUNCTION.findall(text))
    yield from (f"SQL {word}" for word in _SQL_WORDS.findall(text))
    yield from (f"cast {name}" for name in _SQL_TYPE.findall(text) if name != UNKNOWN)


def literals_of(path: Path, *methods: str) -> Iterator[tuple[int, str]]:
    """Line and text of what is given to these methods as text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
            for argument in node.args:
                yield from ((node.lineno, text) for text in _text(argument))
