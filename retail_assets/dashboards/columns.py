"""Rows as a page holds them: columns of equal length."""

from typing import Any

import pandas as pd


def columns(rows: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as JSON has them, each number as short as it can be written."""
    return {str(name): [_short(value) for value in rows[name].tolist()] for name in rows.columns}


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def moments(days: pd.Series) -> pd.Series:
    """The days as pandas' moments; as they are where they are that, which to look at costs as much as the sums."""
    return days if days.dtype.kind == "M" else pd.to_datetime(days)
