"""Calls to a workspace's REST API, as it is documented: bodies are plain JSON.

The SDK logs in, and nothing else of it is used: it drops what its version does not know, and hides the status of what
it has no kind of error for. Every call has a time limit; what may pass (verdicts.py) is tried again for a stated time,
and each such wait is told.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import quote

import requests
from dagster import DagsterExecutionInterruptedError

from retail_assets.databricks.verdicts import PASSING_ANSWERS, login_is_refused

CALL_SECONDS = (10.0, 60.0)
"""How long a call may take to connect, and then to answer."""

PATIENCE = 300.0
"""For how many seconds a call is tried again after answers that pass, unless it says otherwise."""

LONGEST_PAUSE = 30.0

HIDDEN = "***"


class WorkspaceError(Exception):
    """A call that did not succeed. `passing`: whether the same call may succeed later."""

    passing = True


class Unreachable(WorkspaceError):
    """No answer: the connection, or the endpoint that logs in."""


class Refused(WorkspaceError):
    """An answer that is an error: `status` (HTTP), `error_code` and the message, as Databricks words them."""

    def __init__(self, status: int, error_code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:  # type: ignore[override]
        """By the table of verdicts.py."""
        return self.status in PASSING_ANSWERS

    @property
    def missing(self) -> bool:
        """Whether it says that what was asked for is not there; of runs, Databricks says so with a 400."""
        return self.status == 404 or (self.status == 400 and "does not exist" in str(self))

    @property
    def login(self) -> bool:
        """Whether it is about who is asking."""
        return self.status in (401, 403)


class Login:
    """Who is asking. `credentials` as databricks.sdk's Config takes them, with `auth_type`."""

    def __init__(self, host: str, credentials: Mapping[str, Any]) -> None:
        self.host = host.rstrip("/")
        self._credentials = dict(credentials)

    def headers(self) -> dict[str, str]:
        """The headers that log in; a token that expires is renewed. Raises Refused or Unreachable."""
        try:
            return _within(sum(CALL_SECONDS), lambda: dict(self._config.authenticate()))
        except (DagsterExecutionInterruptedError, WorkspaceError):
            raise
        except Exception as error:  # the SDK's own, of many kinds, all with the endpoint's words
            message = f"The login at {self.host} failed: {error}"
            if login_is_refused(str(error)):
                raise Refused(401, "LOGIN_REFUSED", message) from None
            raise Unreachable(message) from None

    def hide(self, text: str) -> str:
        """The text without any of these credentials."""
        for name, value in self._credentials.items():
            if value and ("secret" in name or "token" in name):
                text = text.replace(str(value), HIDDEN)
        return text

    @cached_property
    def _config(self) -> Any:
        from databricks.sdk.config import Config

        # Made when it is first asked for: with OAuth this is a call already. What fails is made anew.
        return Config(host=self.host, product="retail-assets", product_version="0.1", **self._credentials)


class WorkspaceApi:
    """`say` is told, in a sentence, of each wait."""

    def __init__(self, login: Login, say: Callable[[str], object] = lambda _: None) -> None:
        self.login = login
        self.say = say
        self._patience = PATIENCE
        self._session = requests.Session()

    @contextmanager
    def in_a_hurry(self, patience: float) -> Iterator[None]:
        """Calls that say nothing else are tried again for no longer than this."""
        before, self._patience = self._patience, patience
        try:
            yield
        finally:
            self._patience = before

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        patience: float | None = None,
    ) -> dict[str, Any]:
        """What the call answers. Raises WorkspaceError, after `patience` seconds at most for what passes."""
        content = None if body is None else json.dumps(body).encode()
        answer = self._patiently(method, path, content, query, patience)
        if not answer.content:
            return {}
        try:
            parsed = answer.json()
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):  # a login page, say, of a proxy
            raise Unreachable(f"{method} {path} was answered by something that is not Databricks: {answer.text[:200]}")
        return parsed

    def upload(self, path: str, content: bytes) -> None:
        """PUTs a file's content. Raises as `call`."""
        self._patiently("PUT", path, content, {"overwrite": "true"}, None)

    def download(self, path: str, patience: float | None = None) -> bytes:
        """A file's content. Raises as `call`."""
        return self._patiently("GET", path, None, None, patience).content

    def _patiently(
        self, method: str, path: str, content: bytes | None, query: Mapping[str, Any] | None, patience: float | None
    ) -> requests.Response:
        until = time.monotonic() + (self._patience if patience is None else patience)
        for pause in _pauses():
            try:
                return self._once(method, path, content, query)
            except WorkspaceError as error:
                after = getattr(error, "retry_after", None)
                wait = pause if after is None else after
                if not error.passing or time.monotonic() + wait > until:
                    raise
                told = self.login.hide(str(error))
                self.say(f"{method} {path} did not succeed and is tried again in {wait:g} s: {told}")
            time.sleep(wait)
        raise AssertionError("pauses never end")

    def _once(
        self, method: str, path: str, content: bytes | None, query: Mapping[str, Any] | None
    ) -> requests.Response:
        headers = self.login.headers()

        def log_in(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.update(headers)
            return request

        url = self.login.host + quote(path)
        try:
            # As `auth`: a mere header would have to give way to what ~/.netrc says of the host.
            answer = self._session.request(method, url, params=query, data=content, auth=log_in, timeout=CALL_SECONDS)
        except requests.RequestException as error:
            raise Unreachable(f"{method} {path} had no answer: {error}") from None
        if answer.ok:
            return answer
        raise _refusal(answer)


def _refusal(answer: requests.Response) -> Refused:
    try:
        told = answer.json()
        code, message = str(told.get("error_code", "")), str(told.get("message", ""))
    except (ValueError, AttributeError):
        code, message = "", ""
    after = answer.headers.get("Retry-After", "")
    return Refused(
        answer.status_code,
        code,
        message or f"{answer.status_code} {answer.reason}: {answer.text[:200]}",
        float(after) if after.isdecimal() else None,
    )


def _pauses() -> Iterator[float]:
    pause = 1.0
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def _within(seconds: float, call: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The call's result. The SDK waits for a token endpoint without any limit; here it is `seconds`."""
    outcome: list[dict[str, str] | Exception] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="login", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise Unreachable(f"The login took longer than {seconds:g} s.")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
