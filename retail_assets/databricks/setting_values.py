"""Values of settings that are more than a word: JSON, and seconds; an error names the variable and what would do."""

import json
import re
from collections.abc import Mapping
from typing import Any

from retail_assets.settings import SettingError

PREFIX = "RETAIL_DATABRICKS_"


def texts(given: Mapping[str, str], variable: str, example: str) -> dict[str, str]:
    """A JSON object as texts, with true and false as Spark and the clouds write them."""
    values = json_value(given.get(variable, "{}"), variable, dict, example)
    nested = [name for name, value in values.items() if isinstance(value, dict | list) or value is None]
    if nested:
        raise SettingError(f"{variable}: {nested[0]!r} must be a text or a number. Example: {example}.")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def json_value(value: str, variable: str, kind: type, example: str) -> Any:
    try:
        parsed = json.loads(value)
    except ValueError as problem:
        # The value itself is not shown: Spark's configuration is where people put keys.
        raise SettingError(f"{variable} is not JSON ({problem}). Example: {example}.") from None
    if not isinstance(parsed, kind):
        raise SettingError(f"{variable} is not a JSON {'object' if kind is dict else 'list'}. Example: {example}.")
    return parsed


def seconds(given: Mapping[str, str], variable: str, default: float) -> float:
    value = given.get(variable, str(default))
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) or float(value) == 0:
        raise SettingError(f"{variable}={value!r} is not a number of seconds above 0. Unset it for {default}.")
    return float(value)
