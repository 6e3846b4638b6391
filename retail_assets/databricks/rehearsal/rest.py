"""What the parts of the workspace share: a request, an answer, an error as Databricks words it, a table of routes."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class ApiError(Exception):
    """An answer with Databricks' error body, `{"error_code": …, "message": …}`."""

    def __init__(self, status: int, error_code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(f"{status} {error_code}: {message}")
        self.status = status
        self.error_code = error_code
        self.message = message
        self.retry_after = retry_after


def invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def does_not_exist(message: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


@dataclass(frozen=True)
class Request:
    """One call. `path` is decoded and has no query; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object; an absent one is empty."""
        if not self.content:
            return {}
        try:
            body = json.loads(self.content)
        except ValueError as error:
            raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: {error}") from None
        if not isinstance(body, dict):
            raise ApiError(400, "MALFORMED_REQUEST", "Could not parse request object: Expected 'START_OBJECT'")
        return body


@dataclass(frozen=True)
class Answer:
    """`body`: an object becomes JSON, bytes are sent as they are."""

    body: Mapping[str, Any] | bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[..., Answer | Mapping[str, Any]]


@dataclass(frozen=True)
class Route:
    """`pattern` is a regular expression for the whole path; its named groups become the handler's arguments."""

    method: str
    pattern: str
    handler: Handler


def answer(routes: Sequence[Route], request: Request) -> Answer:
    """What the first route that fits answers.

    Raises ApiError: from the handler, or ENDPOINT_NOT_FOUND where nothing fits.
    """
    for route in routes:
        match = re.fullmatch(route.pattern, request.path) if route.method == request.method else None
        if match:
            result = route.handler(request, **match.groupdict())
            return result if isinstance(result, Answer) else Answer(result)
    raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")
