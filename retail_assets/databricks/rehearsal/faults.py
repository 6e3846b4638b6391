"""Faults to order: the next calls that fail, and reads that are slow or torn."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from retail_assets.databricks.rehearsal.rest import ApiError

# drop: the connection breaks before anything is done; lose: it is done, and the answer is lost on the way.
Break = Literal["drop", "lose"]

WORDS = {
    400: ("BAD_REQUEST", "The request is invalid."),
    403: ("PERMISSION_DENIED", "You do not have permission for this."),
    404: ("RESOURCE_DOES_NOT_EXIST", "It does not exist."),
    429: ("REQUEST_LIMIT_EXCEEDED", "Your request was rejected since your organization has exceeded the rate limit."),
    500: ("INTERNAL_ERROR", "An internal error occurred."),
    503: ("TEMPORARILY_UNAVAILABLE", "The service at this endpoint is taking too long to process your request."),
    504: ("DEADLINE_EXCEEDED", "The request took too long."),
}


@dataclass
class Fault:
    pattern: str
    status: int | Break
    times: int
    retry_after: int | None


@dataclass
class Moment:
    """`handled`: after the call was done, before its answer is sent; else before anything is done."""

    pattern: str
    handled: bool
    action: Callable[[], object]


@dataclass
class SlowReads:
    """`torn`: of a file that is read, only this share of its bytes is seen, as in the middle of a write."""

    pattern: str
    seconds: float
    torn: float
    times: int


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: list[Fault] = []
        self._reads: list[SlowReads] = []
        self._moments: list[Moment] = []

    def fail_next(self, path_pattern: str, status: int | Break, times: int, retry_after: int | None) -> None:
        with self._lock:
            self._next.append(Fault(path_pattern, status, times, retry_after))

    def at_next(self, path_pattern: str, handled: bool, action: Callable[[], object]) -> None:
        with self._lock:
            self._moments.append(Moment(path_pattern, handled, action))

    def moment(self, path: str, handled: bool) -> bool:
        """Carries out what was ordered for this moment of a call; whether there was anything."""
        with self._lock:
            now = next((m for m in self._moments if m.handled == handled and re.search(m.pattern, path)), None)
            if now is None:
                return False
            self._moments.remove(now)
        now.action()
        return True

    def slow_reads(self, file_pattern: str, seconds: float, torn: float, times: int) -> None:
        with self._lock:
            self._reads.append(SlowReads(file_pattern, seconds, torn, times))

    def strike(self, path: str) -> Break | None:
        """For a call to this path: nothing, or how its connection breaks. Raises ApiError for an ordered status."""
        with self._lock:
            fault = next((f for f in self._next if f.times > 0 and re.search(f.pattern, path)), None)
            if fault is None:
                return None
            fault.times -= 1
        if isinstance(fault.status, str):
            return fault.status
        error_code, message = WORDS.get(fault.status, ("UNKNOWN", "A fault that was ordered."))
        raise ApiError(fault.status, error_code, message, fault.retry_after)

    def read(self, file: str, content: bytes) -> bytes:
        """What a reader of this file gets, and when."""
        with self._lock:
            slow = next((r for r in self._reads if r.times > 0 and re.search(r.pattern, file)), None)
            if slow is None:
                return content
            slow.times -= 1
        time.sleep(slow.seconds)
        return content[: int(len(content) * slow.torn)]
