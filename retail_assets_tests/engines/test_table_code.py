"""Rules of table code: what only one engine has, or what engines do differently, stays out of it.

Functions are banned by name by ruff (pyproject.toml), which says what to use instead; here is what it cannot express.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import types as T

from retail_assets.lakehouse.contracts import partition_column, spark_schema, unique_key
from retail_assets_tests.engines.constructs import PACKAGE, constructs, literals_of, table_code
from retail_assets_tests.made_shop import TABLES

ONLY_ON_A_JVM = {
    "rdd", "sparkContext", "_jvm", "_jsc", "_jdf", "_sc", "cache", "persist", "unpersist", "checkpoint",
    "localCheckpoint", "foreach", "foreachPartition", "observe", "inputFiles", "toJSON", "storageLevel", "sql",
    "createOrReplaceTempView", "createTempView", "hint", "dropDuplicates", "drop_duplicates",
}  # fmt: skip
"""Methods and attributes that Spark Connect does not have, or the embedded engine cannot do or only slowly."""

OF_ITS_OWN_CODE = {"lakehouse/delta_tables.py": {"sql"}}
"""A catalog's tables are declared in SQL there; a path's are not."""

READS_TEXTS = {"invoices/written_values.py", "lakehouse/written_values.py"}
"""Casts what was landed to numbers and dates, each behind a pattern on which engines agree."""

COMPARED = {
    "invoices/product_metrics.py": "a count, and a description that was filtered for being there",
    "invoices/customer_recommendations.py": "a count, and a description that was filtered for being there",
    "invoices/price_tiers.py": "a price and a median quantity of at least one line",
    "invoices/monthly_activity.py": "a count and a sum over at least one line",
    "olist/dashboard.py": "day, number and state of a delivered order",
    "invoices/bronze_silver_comparison.py": "steps of positive values and their counts",
    "invoices/geo_metrics.py": "a segment and its count; the highest of totals and codes, where NULL never is it",
    "invoices/product_demand.py": "a country, which every clean line has, and its units",
    "invoices/customer_month_activity.py": "moment, invoice and key of a clean line",
    "olist/item_sales.py": "categories and states of items, which the contract wants",
    "olist/order_payments.py": "a value and a means of payment, of which none is missing any more",
    "olist/order_reviews.py": "moments and a review of which none is missing any more",
    "wdi/country_indicators.py": "a code and a value, filtered for being there",
}
"""Modules that put structs in order, and why none of their structs' fields is NULL."""

IN_ORDER = {"min", "max", "array_min", "array_max", "array_sort", "sort_array", "max_by", "min_by"}


def _relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _calls(path: Path, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node


def _text_of(node: ast.AST) -> str:
    return ast.unparse(node)


def _module(path: Path) -> str:
    return _relative(path)


every_module = pytest.mark.parametrize("path", table_code(), ids=_module)


@every_module
def test_table_code_uses_nothing_that_only_a_jvm_has(path: Path):
    found = {
        f"line {node.lineno}: .{node.attr}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ONLY_ON_A_JVM - OF_ITS_OWN_CODE.get(_relative(path), set())
    }
    assert not found, "an engine without a JVM does not have it; what differs stands in lakehouse/engines"


@every_module
def test_patterns_mean_the_same_in_java_and_in_rust(path: Path):
    patterns = list(literals_of(path, "rlike", "regexp_replace", "regexp_extract", "regexp_like", "split"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "str_matches" and isinstance(node.value, ast.Constant):
            patterns.append((node.value.lineno, str(node.value.value).removesuffix("$")))  # contracts take care of it
        elif isinstance(node, ast.Assign | ast.Dict):  # patterns may be named
            values = node.values if isinstance(node, ast.Dict) else [node.value]
            texts = [value for value in values if isinstance(value, ast.Constant)]
            patterns += [(text.lineno, str(text.value)) for text in texts if str(text.value).startswith("^")]
    in_place = re.compile(r"-?([$][0-9])+")  # of what was found: the second text of regexp_replace
    wrong = {
        line: text
        for line, text in patterns
        if re.search(r"\\[dswbDSWBh]|(?<!\\)\$", text) and not in_place.fullmatch(text)
    }
    assert not wrong, r"write [0-9] for \d, [ \t] for \s, \z for $: see retail_assets_tests/engines/differences.py"


@every_module
def test_texts_are_read_as_numbers_and_dates_in_one_place_behind_patterns(path: Path):
    used = {
        name for name in constructs(path) if name.startswith(("F.try_to_", "F.to_timestamp", "F.try_cast", ".try_cast"))
    }
    used |= {text for _, text in literals_of(path, "expr") if "cast" in text.lower()}
    used |= {"cast to date" for call in _calls(path, "cast") if "'date'" in _text_of(call)}
    assert not used or _relative(path) in READS_TEXTS


@every_module
def test_doubles_are_divided_not_decimals(path: Path):
    wrong = [
        f"line {call.lineno}: {_text_of(call)}"
        for call in _calls(path, "cast")
        if call.args and _text_of(call.args[0]) == "'double'" and isinstance(call.func, ast.Attribute)
        if any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) for node in ast.walk(call.func.value))
    ]
    assert not wrong, "ratio() of lakehouse/contracts.py divides them"


@every_module
def test_a_median_becomes_money_by_way_of_more_decimals(path: Path):
    wrong = [
        f"line {call.lineno}: {_text_of(call)}"
        for call in _calls(path, "cast")
        if "decimal" in _text_of(call) and any(f"F.{name}(" in _text_of(call) for name in ("median", "percentile"))
    ]
    assert not wrong, "money_of_real() of lakehouse/contracts.py rounds it the same on every engine"


@every_module
def test_structs_are_put_in_order_only_where_none_holds_null(path: Path):
    ordered = [call for call in _calls(path, *IN_ORDER) if "struct(" in _text_of(call)]
    named = {
        target.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and "F.struct(" in _text_of(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    ordered += [call for call in _calls(path, *IN_ORDER) if named & set(re.findall(r"\w+", _text_of(call)))]
    assert not ordered or _relative(path) in COMPARED, (
        "NULL in a struct is the lowest on a JVM and the highest on Sail: say in COMPARED why none is there"
    )


def test_no_key_is_a_double():
    real = {
        table.contract.__name__: name
        for table in TABLES
        for name in (*unique_key(table.contract), partition_column(table.contract))
        if isinstance(spark_schema(table.contract)[name].dataType, T.DoubleType | T.FloatType)
    }
    assert not real, "samples of keys are shown as text, which engines write differently of doubles"
