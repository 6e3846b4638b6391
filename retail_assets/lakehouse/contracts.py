"""Contracts: one pandera model per table, the one source of truth about its columns and rules.

A contract says what each column is called, holds, means and comes from, and which rules its rows keep. From it derive
the schema that is written, Delta's column comments and NOT NULL constraints, the column schema and column lineage in
the Dagster UI, the checks, and the data dictionary. A contract lives in the module named after its table, which gives
the table its name; the source that has such a table gives it the other half of it (`of_source`): the contract of
`retail_assets.customers.customer_rfm` is that of table `<source>.customer_rfm` of every source that has customers.
"""

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import pandera.pyspark as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from retail_assets.lakehouse.delta_tables import REQUIRED

Text = T.StringType
Flag = T.BooleanType
Integer = T.IntegerType
Count = T.LongType
Real = T.DoubleType
Day = T.DateType
Moment = T.TimestampType
UnitPrice = Annotated[T.DecimalType, 12, 3]
Money = Annotated[T.DecimalType, 18, 3]
Texts = Annotated[T.ArrayType, T.StringType(), True]
TextMap = Annotated[T.MapType, T.StringType(), T.StringType(), True]
CountMap = Annotated[T.MapType, T.StringType(), T.LongType(), True]
RealMap = Annotated[T.MapType, T.StringType(), T.DoubleType(), True]

_SOURCE, _CURRENCY, _ELSEWHERE, _ORIGINS = "__source__", "__currency__", "__elsewhere__", "__origins__"
"""Attributes of contracts: of one source's table all but the last."""

Origin = tuple[Any, ...]
"""A contract and the names of its columns that a column is made from: `(CleanTransactions, "line_total")`."""


Expression = Callable[[], Column]
"""A rule's condition, or an aggregate that a check measures: a function that makes the Column, and is called where the
rows are (`evaluate`). A Column belongs to the engine it was made for, Spark's own or a Spark Connect server's, and
which of them runs is not known while modules load: no Column is made then, here or in a table's module."""


class ContractViolation(Exception):
    """A table that does not have the shape its contract states; the message names table, columns and remedy."""


class Contract(pa.DataFrameModel):
    """Base of every table's contract."""

    class Config:
        """Columns that are not in the contract are an error; `unique` names the key within a partition."""

        strict = True
        coerce = False


C = TypeVar("C", bound=Contract)

CURRENCY = "currency"
"""A column's unit where it is money: the currency of the source."""


Elsewhere = tuple[tuple[type[Contract], type[Contract]], ...]
"""A contract that a source has no table of, and the one of another source that it reads in its place."""


@cache
def of_source(
    contract: type[Contract], source: str, currency: str | None = None, elsewhere: Elsewhere = ()
) -> type[Contract]:
    """The contract as one source's table keeps it: the same columns and rules under the source's name, money in its
    currency. Of a contract that is some source's already: itself; of one that is `elsewhere`: the one there."""
    if hasattr(contract, _SOURCE):
        return contract
    if there := dict(elsewhere).get(contract):
        return there
    told = {_SOURCE: source, _CURRENCY: currency, _ELSEWHERE: elsewhere}
    told |= {"__module__": contract.__module__, "__doc__": contract.__doc__}
    return types.new_class(contract.__name__, (contract,), exec_body=lambda names: names.update(told))


def made_from(**origins: Origin | list[Origin]) -> Callable[[type[C]], type[C]]:
    """Decorates a contract that inherits its columns from one without a source: what each is made from in this one."""

    def decorate(contract: type[C]) -> type[C]:
        setattr(contract, _ORIGINS, {name: as_list(origin) for name, origin in origins.items()})
        return contract

    return decorate


def as_list(origin: Origin | list[Origin]) -> list[Origin]:
    """One origin, several or none."""
    return origin if isinstance(origin, list) else [origin] if origin else []


def origins(contract: type[Contract]) -> dict[str, list[Origin]]:
    """Column -> the contracts, of the same source where they are not another's, and columns that it is made from."""
    told, source = getattr(contract, _ORIGINS, {}), getattr(contract, _SOURCE, None)
    currency, elsewhere = getattr(contract, _CURRENCY, None), getattr(contract, _ELSEWHERE, ())

    def own(of: type[Contract]) -> type[Contract]:
        return of_source(of, source, currency, elsewhere) if source else of

    found: dict[str, list[Origin]] = {}
    for name, field in contract.to_schema().columns.items():
        stated = told.get(name) or field.metadata["origin"]
        found[name] = [(own(of), *columns) for of, *columns in stated]
    return found


def column(
    description: str,
    *,
    origin: Origin | list[Origin] = (),
    unit: str | None = None,
    role: str = "value",
    of_the_writing: bool = False,
    **rules: Any,
) -> Any:
    """A column: what it means, what it is made from, its unit, and pandera's rules (nullable, ge, le, isin …).

    `of_the_writing`: it differs each time that the same rows are written, such as the moment of it.
    """
    metadata = {"origin": as_list(origin), "unit": unit, "role": role, "of_the_writing": of_the_writing}
    return pa.Field(description=description, metadata=metadata, **rules)


def partition(description: str, **options: Any) -> Any:
    """The DATE column that says which Dagster partition a row belongs to (a day, or the first day of a month)."""
    return column(description, role="partition", **options)


def month_directory(of: str) -> Any:
    """The column by which a daily table is laid out in directories: one a month, as days make too small files."""
    return column(f"Month of {of} (yyyy-MM), by which the files are laid out", role="directory")


def row_rule(description: str) -> Callable[[Expression], Any]:
    """A rule over several columns of one row: decorates a function that returns the condition rows must meet.

    A condition that is NULL counts as met, as in SQL's CHECK constraints and in pandera's own checks.
    """

    def decorate(condition: Expression) -> Any:
        def holds(cls: type, frame: DataFrame, condition: Expression) -> bool:
            return frame.filter(~condition()).isEmpty()

        holds.__name__ = condition.__name__
        return pa.dataframe_check(holds, name=condition.__name__, description=description, condition=condition)

    return decorate


@dataclass(frozen=True)
class Rule:
    """One rule of a contract and the condition its rows must meet (NULL counts as met)."""

    name: str
    column: str | None
    description: str
    condition: Expression


_BUILT_IN: dict[str, Callable[[Column, dict[str, Any]], Column]] = {
    "equal_to": lambda c, s: c == s["value"],
    "greater_than": lambda c, s: c > s["min_value"],
    "greater_than_or_equal_to": lambda c, s: c >= s["min_value"],
    "less_than": lambda c, s: c < s["max_value"],
    "less_than_or_equal_to": lambda c, s: c <= s["max_value"],
    "in_range": lambda c, s: (
        (c >= s["min_value"] if s["include_min"] else c > s["min_value"])
        & (c <= s["max_value"] if s["include_max"] else c < s["max_value"])
    ),
    "isin": lambda c, s: c.isin(list(s["allowed_values"])),
    "notin": lambda c, s: ~c.isin(list(s["forbidden_values"])),
    "str_matches": lambda c, s: c.rlike(_anchored(s["pattern"])),
    "str_startswith": lambda c, s: c.startswith(s["string"]),
}


def _anchored(pattern: Any) -> str:
    """pandera matches from the start of the text, as Python's re.match does; Spark searches anywhere. A text ends where
    it ends: by `$` it might end, on a JVM, before a line end."""
    text = getattr(pattern, "pattern", pattern)
    if text.endswith("$") and not text.endswith("\\$"):
        text = f"{text[:-1]}\\z"
    return text if text.startswith("^") else f"^(?:{text})"


def money(amount: Column) -> Column:
    """An amount as Money; NULL, as the sum over no rows is, as 0."""
    return F.coalesce(amount, F.lit(0)).cast("decimal(18,3)")


def ratio(part: Column, whole: Column) -> Column:
    """What part is of a whole, DOUBLE. Amounts are divided as doubles: how many decimals the quotient of two has, and
    whether the last is rounded, differs from engine to engine."""
    return part.cast("double") / whole.cast("double")


def days_between(earlier: str | Column, later: str | Column) -> Column:
    """Days from one date to another, INT: engines give whole numbers of different widths, which would change the
    precision of a decimal that is divided by them."""
    return F.datediff(later, earlier).cast("int")  # noqa: TID251


def money_of_real(amount: Column) -> Column:
    """An amount in doubles, below a billion, as Money; halves away from 0. By way of more decimals: what is written
    1.0005 lies below it as a double, and engines differ over which of the two they round."""
    return amount.cast("decimal(24,6)").cast("decimal(18,3)")


def rules(contract: type[Contract]) -> list[Rule]:
    """Every rule that a row must keep, in the order of the columns: nullability, value rules, rules across columns."""
    schema = contract.to_schema()
    found = []
    for name, field in schema.columns.items():
        if not field.nullable:
            found.append(Rule(f"{name}_not_null", name, f"{name} is there", _is_there(name)))
        for check in field.checks:
            if check.name not in _BUILT_IN:
                raise TypeError(f"{contract.__name__}.{name}: no translation for pandera's check {check.name!r}")
            build, statistics = _BUILT_IN[check.name], check.statistics
            found.append(
                Rule(
                    f"{name}_{check.name}",
                    name,
                    f"{name}: {check.error or check.name}",
                    _translated(build, name, statistics),
                )
            )
    found += [
        Rule(check.name, None, check.description or check.name, check._check_kwargs["condition"])
        for check in schema.checks
    ]
    return found


def _is_there(name: str) -> Expression:
    return lambda: F.col(name).isNotNull()


def _translated(build: Callable[[Column, dict[str, Any]], Column], name: str, statistics: dict[str, Any]) -> Expression:
    return lambda: build(F.col(name), statistics)


def unique_key(contract: type[Contract]) -> list[str]:
    """The columns that together are unique in the table; empty where the contract promises none."""
    unique: Iterable[str] = contract.to_schema().unique or []
    return list(unique)


def table_name(contract: type[Contract]) -> tuple[str, str]:
    """(source, table); also the asset key. The table is called as the contract's module, and so is the source where
    the contract is of none: as the package then."""
    package, table = contract.__module__.rsplit(".", 2)[-2:]
    return getattr(contract, _SOURCE, package), table


def column_in_role(contract: type[Contract], role: str) -> str | None:
    """The column declared with `partition()` or `month_directory()`, if any."""
    for name, field in contract.to_schema().columns.items():
        if field.metadata["role"] == role:
            return name
    return None


def partition_column(contract: type[Contract]) -> str:
    """The name of the partition column; every table has one."""
    name = column_in_role(contract, "partition")
    if name is None:
        raise TypeError(f"{contract.__name__} declares no partition() column")
    return name


def spark_schema(contract: type[Contract]) -> T.StructType:
    """The schema as written: types, NOT NULL constraints, and descriptions as column comments."""
    return T.StructType(
        [
            T.StructField(name, field.dtype.type, field.nullable, {"comment": described(contract, name)})
            for name, field in contract.to_schema().columns.items()
        ]
    )


def written_schema(contract: type[Contract]) -> T.StructType:
    """The schema of what is written: nullable, as a frame cannot promise more; its metadata has the columns' comments,
    and says which columns the table must have."""
    return T.StructType(
        [
            T.StructField(f.name, f.dataType, True, {**f.metadata, REQUIRED: not f.nullable})
            for f in spark_schema(contract)
        ]
    )


def described(contract: type[Contract], name: str) -> str:
    """A column's description with its unit."""
    field = contract.to_schema().columns[name]
    unit = field.metadata["unit"]
    if unit == CURRENCY:
        unit = getattr(contract, _CURRENCY, None) or unit
    return f"{field.description} [{unit}]" if unit else str(field.description)


def conform(frame: DataFrame, contract: type[Contract]) -> DataFrame:
    """The frame with exactly the contract's columns, in its order, with its types.

    Numbers are brought to the contract's precision (an overflow is an error in ANSI mode); any other difference of
    type, a missing or an undeclared column is a ContractViolation. The month directory is filled in.
    """
    wanted, name = spark_schema(contract), ".".join(table_name(contract))
    directory = column_in_role(contract, "directory")
    if directory and directory not in frame.columns:
        frame = frame.withColumn(directory, F.date_format(partition_column(contract), "yyyy-MM"))
    have = {field.name: field.dataType for field in frame.schema}
    problems = [f"column {f.name} is missing" for f in wanted if f.name not in have]
    problems += [f"column {c} is not in the contract" for c in have if c not in wanted.fieldNames()]
    problems += [
        f"column {f.name} is {have[f.name].simpleString()}, not {f.dataType.simpleString()}"
        for f in wanted
        if f.name in have and not _fits(have[f.name], f.dataType)
    ]
    if problems:
        raise ContractViolation(
            f"{name} does not have the shape of its contract {contract.__name__}: {'; '.join(problems)}. "
            "Change the transform or the contract, so that both say the same."
        )
    return frame.select([_brought(f.name, have[f.name], f.dataType).alias(f.name) for f in wanted])


def _brought(name: str, have: T.DataType, wanted: T.DataType) -> Column:
    value = F.col(name)
    real_as_money = isinstance(have, T.DoubleType) and isinstance(wanted, T.DecimalType)
    return (money_of_real(value) if real_as_money else value).cast(wanted)


def _fits(have: T.DataType, wanted: T.DataType) -> bool:
    if isinstance(have, T.NumericType) and isinstance(wanted, T.NumericType):
        return isinstance(have, T.FractionalType) <= isinstance(wanted, T.FractionalType)
    return have.simpleString() == wanted.simpleString()
