"""A profile of a table: what its columns hold, and rules that all of it keeps but its contract does not ask for yet.

Read by the deltalake package, column by column, without Spark: for people who look at a local table.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retail_assets.lakehouse.contracts import Contract, rules, unique_key

FEW_VALUES = 12
"""Of so many different texts at most, a list of those allowed can be meant."""

ENOUGH_ROWS = 100
"""In fewer rows a regularity may be chance, and no rule is suggested."""

_LONGEST_CODE = 12


@dataclass(frozen=True)
class ColumnProfile:
    """One column. `common`: the most frequent values with their rows; `quantiles` at 5, 50 and 95 % of numbers."""

    name: str
    kind: str
    rows: int
    nulls: int
    distinct: int | None = None
    least: Any = None
    most: Any = None
    mean: float | None = None
    quantiles: tuple[float, ...] = ()
    common: tuple[tuple[str, int], ...] = ()
    pattern: str | None = None
    """The regular expression of a code of fixed form that every value has."""
    few: tuple[str, ...] = field(default=(), repr=False)
    """All values, if they are few texts."""


def profile(place: str) -> list[ColumnProfile]:
    """The columns of the Delta table at `place`, in its order."""
    from deltalake import DeltaTable

    dataset = DeltaTable(place).to_pyarrow_dataset()
    return [profile_column(name, dataset.to_table(columns=[name])[name]) for name in dataset.schema.names]


def profile_column(name: str, values: pa.ChunkedArray) -> ColumnProfile:
    """The profile of one column. Lists and maps are counted only."""
    kind, rows, nulls = str(values.type), len(values), values.null_count
    if pa.types.is_nested(values.type) or rows == nulls:
        return ColumnProfile(name, kind, rows, nulls)
    counts = sorted(
        ((one["values"], one["counts"]) for one in values.drop_null().value_counts().to_pylist()),
        key=lambda pair: (-pair[1], str(pair[0])),
    )
    extremes: dict[str, Any] = {"least": None, "most": None}
    if not pa.types.is_boolean(values.type):
        found = pc.min_max(values).as_py()
        extremes = {"least": found["min"], "most": found["max"]}
    numbers: dict[str, Any] = {}
    if _is_number(values.type):
        floats = values.drop_null().cast(pa.float64())
        levels = tuple(round(one, 4) for one in pc.quantile(floats, [0.05, 0.5, 0.95]).to_pylist())
        numbers = {"mean": pc.mean(floats).as_py(), "quantiles": levels}
    texts: dict[str, Any] = {}
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        texts = {"pattern": _pattern(value for value, _ in counts)}
        if len(counts) <= FEW_VALUES:
            texts["few"] = tuple(sorted(value for value, _ in counts))
    common = tuple((str(value), count) for value, count in counts[:3]) if len(counts) < rows - nulls else ()
    return ColumnProfile(name, kind, rows, nulls, len(counts), **extremes, **numbers, common=common, **texts)


def suggestions(columns: Iterable[ColumnProfile], contract: type[Contract]) -> dict[str, list[str]]:
    """Column -> rules, as a contract writes them, that every row keeps and the contract does not ask for.

    They say what is, not what must be: whoever knows the business chooses.
    """
    fields = contract.to_schema().columns
    asked = {rule.name for rule in rules(contract)}
    found: dict[str, list[str]] = {}
    for column in columns:
        if column.rows < ENOUGH_ROWS or column.nulls == column.rows or column.name not in fields:
            continue
        if fields[column.name].metadata["role"] != "value":
            continue
        own = {name.removeprefix(f"{column.name}_") for name in asked if name.startswith(f"{column.name}_")}
        found[column.name] = [text for rules_asked, text in _candidates(column) if not own & rules_asked]
    if not unique_key(contract):
        for column in columns:
            # Money that never repeats is chance, not a key.
            if column.distinct == column.rows >= ENOUGH_ROWS and column.kind in ("string", "int32", "int64"):
                found.setdefault(column.name, []).append("unique")
    return {name: texts for name, texts in found.items() if texts}


_RANGES = {"greater_than", "greater_than_or_equal_to", "in_range", "equal_to", "isin"}


def _candidates(column: ColumnProfile) -> list[tuple[set[str], str]]:
    """Rules that a column keeps, each with those of the contract that make it needless."""
    found: list[tuple[set[str], str]] = []
    if not column.nulls:
        found.append(({"not_null"}, "nullable=False"))
    if column.mean is not None and column.least >= 0:
        found.append((_RANGES, f"ge={1 if column.least >= 1 else 0}"))
    if column.few and column.distinct != column.rows:
        found.append(({"isin", "equal_to"}, f"isin={list(column.few)!r}"))
    elif column.pattern:
        found.append(({"str_matches", "isin"}, f'str_matches=r"^{column.pattern}$"'))
    return found


_CLASSES: Mapping[str, str] = {"[0-9]": r"[0-9]", "[A-Z]": r"[A-Z]", "[a-z]": r"[a-z]"}


def _pattern(values: Iterable[str]) -> str | None:
    """The form that all values share, characters by their class; None if they differ or are no codes."""
    shape = None
    for value in values:
        if not 0 < len(value) <= _LONGEST_CODE:
            return None
        own = "".join(_class(character) for character in value)
        if shape is not None and own != shape:
            return None
        shape = own
    if shape is None:
        return None
    return re.sub(r"(\[[^]]+\])\1+", lambda run: f"{run[1]}{{{len(run[0]) // len(run[1])}}}", shape)


def _class(character: str) -> str:
    for written, pattern in _CLASSES.items():
        if re.fullmatch(pattern, character):
            return written
    return re.escape(character)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
