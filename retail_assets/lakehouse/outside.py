"""Calls to what lies outside this process: each with a time limit, and a line that says what is waited for."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

TOLD_AFTER = 3.0
"""Seconds after which people are told what is waited for."""

Answer = TypeVar("Answer")

_logger = logging.getLogger(__name__)


class NoAnswer(ConnectionError):
    """What was called did not answer; the message says what, for how long, and what to do. It may pass by itself."""


class Outside:
    """Something outside, called from a thread of its own, one call after the other.

    Clients have limits of their own for each try, and few for all tries together; some can be waited for without an
    end. So that nobody waits longer than was said, a call that goes on is left to its thread and never asked again.
    `what` is its name in messages, `advice` what to do when it is gone, `log` a run's log (people at a terminal are
    told by Python's).
    """

    def __init__(self, what: str, seconds: float, advice: str, log: Any = None) -> None:
        self.what, self.seconds, self._advice, self._log = what, seconds, advice, log
        self.lost: NoAnswer | None = None
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name=f"calls of {what}", daemon=True).start()

    def call(self, purpose: str, function: Callable[[], Answer], seconds: float | None = None) -> Answer:
        """What `function` returns or raises. Raises NoAnswer after `seconds`, and at once if there was none before."""
        if self.lost:
            raise self.lost
        limit = self.seconds if seconds is None else seconds
        answered: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._calls.put(lambda: answered.put(_outcome(function)))
        first = min(TOLD_AFTER, limit)
        try:
            succeeded, answer = answered.get(timeout=first)
        except queue.Empty:
            self._tell(f"Waiting for {self.what} to {purpose}, for {limit:.0f} s at most.")
            try:
                succeeded, answer = answered.get(timeout=max(limit - first, 0.01))
            except queue.Empty:
                raise self.gone(purpose, f"did not answer within {limit:.0f} s") from None
        if not succeeded:
            raise answer
        return answer

    def gone(self, purpose: str, why: str) -> NoAnswer:
        """The error of a call that found nobody, after which none is made any more."""
        self.lost = NoAnswer(f"{self.what} {why}, when it was to {purpose}. {self._advice}")
        return self.lost

    def close(self) -> None:
        """Its thread ends with the calls that were made."""
        self._calls.put(None)

    def _tell(self, line: str) -> None:
        _logger.warning(line)
        if self._log:
            self._log.warning(line)

    def _serve(self) -> None:
        while call := self._calls.get():
            call()


def _outcome(function: Callable[[], Answer]) -> tuple[bool, Any]:
    try:
        return True, function()
    except BaseException as error:  # handed over to whoever asked
        return False, error
