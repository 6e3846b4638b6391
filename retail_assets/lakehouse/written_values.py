"""Values of texts as they are written in files: NULL for what cannot be read, and for what engines read differently."""

from pyspark.sql import Column
from pyspark.sql import functions as F

_INTEGER = r"^[+-]?[0-9]{1,18}\z"
_AMOUNT = r"^[+-]?([0-9]+(\.[0-9]{0,3}0*)?|\.[0-9]{1,3}0*)\z"
_REAL = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\z"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?\z"


def written_integer(name: str) -> Column:
    """The column's text as a whole number, INT."""
    return _written(name, _INTEGER, "int")


def written_amount(name: str) -> Column:
    """The column's text as money with at most three decimals, DECIMAL(18,3)."""
    return _written(name, _AMOUNT, "decimal(18,3)")


def written_real(name: str) -> Column:
    """The column's text as a number, DOUBLE."""
    return _written(name, _REAL, "double")


def written_moment(name: str) -> Column:
    """The column's text, an ISO date with or without a time of day, as a TIMESTAMP."""
    return _written(name, _MOMENT, "timestamp")


def _written(name: str, pattern: str, kind: str) -> Column:
    # In SQL, as Spark 3.5 has it there only.
    return F.when(F.trim(name).rlike(pattern), F.expr(f"try_cast(trim({name}) AS {kind})"))
