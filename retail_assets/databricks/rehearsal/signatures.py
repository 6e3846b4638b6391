"""Holds what is sent against the signatures of the Databricks SDK: nothing unknown, nothing missing, every type right.

Each method of the SDK is generated from the published schema of one call, so its parameters are that call's fields. A
field that the SDK does not know is an error here, even where the real server would overlook it.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from types import UnionType
from typing import Any

from retail_assets.databricks.rehearsal.rest import ApiError, invalid


def check_body(method: Callable[..., Any], body: Mapping[str, Any]) -> None:
    """Raises ApiError, naming the field, unless `body` could have been made by calling `method`."""
    hints = typing.get_type_hints(method)
    parameters = {name: p for name, p in inspect.signature(method).parameters.items() if name != "self"}
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in body:
            raise invalid(f"Missing required field: {name}")
    for name, value in body.items():
        if name not in parameters:
            raise _unknown(name, f"{method.__qualname__}")
        _check(value, hints[name], name)


def read_query(method: Callable[..., Any], query: Mapping[str, str]) -> dict[str, Any]:
    """The query's values with the types that `method` says. Raises ApiError like `check_body`."""
    hints = typing.get_type_hints(method)
    values = {name: _from_text(value, hints.get(name, str)) for name, value in query.items()}
    check_body(method, values)
    return values


def _from_text(value: str, hint: Any) -> Any:
    kinds = typing.get_args(hint) or (hint,)
    if bool in kinds and value in ("true", "false"):
        return value == "true"
    return int(value) if int in kinds and value.removeprefix("-").isdigit() else value


def _check(value: Any, hint: Any, where: str) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        return _check(value, kinds[0], where)
    if origin is list:
        _expect(isinstance(value, list), where, "an array", value)
        for index, item in enumerate(value):
            _check(item, arguments[0], f"{where}[{index}]")
    elif origin is dict:
        _expect(isinstance(value, dict), where, "an object", value)
        for key, item in value.items():
            _check(item, arguments[1], f"{where}.{key}")
    elif dataclasses.is_dataclass(hint):
        _check_object(value, typing.cast(type, hint), where)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        members = [member.value for member in hint]
        _expect(value in members, where, f"one of {', '.join(map(str, members))}", value)
    elif hint in (int, float):
        _expect(isinstance(value, (int, hint)) and not isinstance(value, bool), where, "a number", value)
    elif hint in (str, bool):
        _expect(isinstance(value, hint), where, "a string" if hint is str else "true or false", value)
    return None


def _check_object(value: Any, hint: type, where: str) -> None:
    _expect(isinstance(value, dict), where, "an object", value)
    fields = typing.get_type_hints(hint)
    names = {field.name: field for field in dataclasses.fields(hint)}
    for name, field in names.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise invalid(f"Missing required field: {where}.{name}")
    for name, item in value.items():
        if name not in names:
            raise _unknown(f"{where}.{name}", hint.__name__)
        _check(item, fields[name], f"{where}.{name}")


def _expect(holds: bool, where: str, expected: str, value: Any) -> None:
    if not holds:
        raise ApiError(400, "MALFORMED_REQUEST", f"Field '{where}' expects {expected}, not {value!r}")


def _unknown(where: str, of: str) -> ApiError:
    return ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: unknown field '{where}' of {of}")
