"""Questions that are put to both engines: an expression over edge values, or a query over a few rows.

What Spark on a JVM answers lies in `answers_of_spark.json`, one question a line, so that it can be compared where there
is no Java. `RETAIL_ENGINE=spark python -m retail_assets_tests.engines.asking` writes it anew; with the names of values,
what was asked about these.
"""

import json
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isclose, isnan
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Row, SparkSession

ANSWERS = Path(__file__).with_name("answers_of_spark.json")

REFUSED = {"refused": True}
"""The answer where the engine raises an error instead: which words it finds for it is its own affair."""

ALMOST = 1e-9
"""Relative: functions of the C library and Java's own differ in the last bits of a double."""

Answer = dict[str, Any]
"""`type`: as Spark writes it; `values`: one for each edge value, or one for each row of the query's result."""

Expression = Callable[[], Column]
Query = Callable[[DataFrame], Any]


class Values:
    """Edge values: rows of a few columns, over which expressions and queries are asked."""

    def __init__(self, name: str, schema: str, rows: Iterable[Any]) -> None:
        self.name, self.schema = name, schema
        self.rows = [row if isinstance(row, tuple) else (row,) for row in rows]
        self.expressions: dict[str, Expression] = {}
        self.queries: dict[str, Callable[[SparkSession], Answer]] = {}

    def ask(self, **expressions: Expression) -> None:
        """Questions of one value for each row."""
        self.expressions |= expressions

    def ask_rows(self, **queries: Query) -> None:
        """Questions about all rows together; the rows of the answer count in whatever order."""
        self.queries |= {what: self._rows_of(query, in_order=False) for what, query in queries.items()}

    def ask_order(self, **queries: Query) -> None:
        """Questions about all rows together, whose answer has an order."""
        self.queries |= {what: self._rows_of(query, in_order=True) for what, query in queries.items()}

    def ask_python(self, **queries: Query) -> None:
        """Questions about what comes to the driver: any values of Python's."""
        self.queries |= {what: self._python_of(query) for what, query in queries.items()}

    def frame(self, spark: SparkSession, rows: Iterable[int] | None = None) -> DataFrame:
        """All rows, or those of these numbers; the column `row` numbers them."""
        asked = range(len(self.rows)) if rows is None else rows
        return spark.createDataFrame([(number, *self.rows[number]) for number in asked], f"row int, {self.schema}")

    def _rows_of(self, query: Query, in_order: bool) -> Callable[[SparkSession], Answer]:
        def answered(spark: SparkSession) -> Answer:
            try:
                asked = query(self.frame(spark))
                values = [encoded(row) for row in asked.collect()]
                kind = ", ".join(field.dataType.simpleString() for field in asked.schema)
            except PySparkException:
                return {"type": None, "values": [REFUSED]}
            return {"type": kind, "values": values if in_order else sorted(values, key=json.dumps)}

        return answered

    def _python_of(self, query: Query) -> Callable[[SparkSession], Answer]:
        def answered(spark: SparkSession) -> Answer:
            try:
                return {"type": "python", "values": [encoded(query(self.frame(spark)))]}
            except PySparkException:
                return {"type": None, "values": [REFUSED]}

        return answered

    def answers(self, spark: SparkSession, known: Mapping[str, Answer]) -> dict[str, Answer]:
        """Question -> what the engine answers. As an error spoils a whole query, what is `known` to be an error is
        asked by itself; nothing else comes of it."""
        of_rows = _by_row(spark, self, {what: known.get(f"{self.name}/{what}") for what in self.expressions})
        of_all = {what: answered(spark) for what, answered in self.queries.items()}
        return {f"{self.name}/{what}": answer for what, answer in (of_rows | of_all).items()}


def _by_row(spark: SparkSession, values: Values, known: Mapping[str, Answer | None]) -> dict[str, Answer]:
    calm = [what for what, answer in known.items() if not (answer and REFUSED in answer["values"])]
    try:
        found = _selected(spark, values, calm, range(len(values.rows)))
    except PySparkException:
        found = {}
    return {
        what: found[what] if what in found else _alone(spark, values, what, answer) for what, answer in known.items()
    }


def _selected(spark: SparkSession, values: Values, asked: list[str], rows: Iterable[int]) -> dict[str, Answer]:
    columns = [values.expressions[what]().alias(what) for what in asked]
    frame = values.frame(spark, rows).select("row", *columns)
    told = {row["row"]: row for row in frame.collect()}
    kinds = {field.name: field.dataType.simpleString() for field in frame.schema}
    return {what: {"type": kinds[what], "values": [encoded(told[row][what]) for row in sorted(told)]} for what in asked}


def _alone(spark: SparkSession, values: Values, what: str, known: Answer | None) -> Answer:
    """One question, its errors row by row."""
    kinds: set[str] = set()

    def told(rows: list[int]) -> dict[int, Any]:
        try:
            answer = _selected(spark, values, [what], rows)[what]
        except PySparkException:
            return {rows[0]: REFUSED} if len(rows) == 1 else {row: told([row])[row] for row in rows}
        kinds.add(answer["type"])
        return dict(zip(rows, answer["values"], strict=True))

    all_rows = range(len(values.rows))
    refused = [row for row in all_rows if known and known["values"][row] == REFUSED]
    found = told([row for row in all_rows if row not in refused]) if len(refused) < len(all_rows) else {}
    for row in refused:
        found |= told([row])
    return {"type": min(kinds, default=None), "values": [found[row] for row in all_rows]}


def encoded(value: Any) -> Any:
    """A value as JSON can hold it; the answer's type says which kind of text it is."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return repr(float(value))
        case Row() | list() | tuple():
            return [encoded(item) for item in value]
        case dict():
            return sorted(([encoded(key), encoded(item)] for key, item in value.items()), key=json.dumps)
        case bytes() | bytearray():
            return bytes(value).hex()
        case date() | datetime() | Decimal():
            return str(value)
    return str(value)


def same(ours: Any, theirs: Any, kind: str) -> bool:
    """Whether two encoded values are one: doubles almost, everything else exactly."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(same(a, b, kind) for a, b in zip(ours, theirs, strict=True))
    if ours == theirs:
        return type(ours) is type(theirs)
    if "double" in kind and isinstance(ours, str) and isinstance(theirs, str):
        try:
            left, right = float(ours), float(theirs)
        except ValueError:
            return False
        return isclose(left, right, rel_tol=ALMOST) or (isnan(left) and isnan(right))
    return False


def differing(ours: Answer, theirs: Answer) -> list[tuple[Any, Any]]:
    """Where two answers are not the same: what we have, and what they have."""
    if ours["type"] != theirs["type"] and None not in (ours["type"], theirs["type"]):
        return [(ours["type"], theirs["type"])]
    if len(ours["values"]) != len(theirs["values"]):
        return [(ours["values"], theirs["values"])]
    pairs = zip(ours["values"], theirs["values"], strict=True)
    return [(one, other) for one, other in pairs if not same(one, other, theirs["type"] or "")]


def known_answers() -> dict[str, Answer]:
    """What Spark on a JVM answered, by the question's name."""
    found: dict[str, Answer] = json.loads(ANSWERS.read_text(encoding="utf-8"))["answers"]
    return found


def write_answers(spark: SparkSession, asked: Iterable[Values], anew: Container[str]) -> None:
    """Asks Spark, and keeps what it says; of values that are not in `anew`, if there are such, what it said before."""
    known = known_answers() if ANSWERS.exists() else {}
    found: dict[str, Answer] = {}
    for values in asked:
        names = [f"{values.name}/{what}" for what in (*values.expressions, *values.queries)]
        if anew and values.name not in anew and all(name in known for name in names):
            found |= {name: known[name] for name in names}
        else:
            found |= values.answers(spark, known)
    lines = [f"{json.dumps(name)}: {json.dumps(answer, ensure_ascii=False)}" for name, answer in found.items()]
    head = json.dumps({"spark": spark.version})[1:-1]
    ANSWERS.write_text(f'{{{head}, "answers": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    from retail_assets.lakehouse.engines.choice import start
    from retail_assets.settings import Settings
    from retail_assets_tests.engines.questions import VALUES

    session = start(Settings.read(), short=True)
    write_answers(session, VALUES, sys.argv[1:])
    session.stop()
