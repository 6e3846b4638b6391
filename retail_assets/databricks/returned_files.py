"""What the remote side writes beside the staged files, as the host reads it: events, prints, and its last word."""

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

from dagster._core.events.log import EventLogEntry
from dagster._serdes import deserialize_value
from dagster_shared.serdes.errors import DeserializationError

from retail_assets.databricks.remote_step import RemoteStep

EVENTS_FILE = "events.gz"
WORD_FILE = "word.json"


@dataclass(frozen=True)
class Word:
    """What a remote process said when it ended outside of its step. `again`: it was a second try of the same task, and
    did nothing; else the trace is that of an error in the code, or in what it was given."""

    again: bool
    trace: str


class ReturnedFiles:
    """Of one step. All methods raise WorkspaceError."""

    def __init__(self, step: RemoteStep) -> None:
        self._step = step
        self._seen = 0

    def new_events(self, patience: float | None = None) -> list[EventLogEntry]:
        """What the remote side has told since the last call. A file that is being written tells nothing yet."""
        content = self._step.staging.read(self._step.file(EVENTS_FILE), patience)
        if not content:
            return []
        try:
            lines = gzip.decompress(content).decode().split("\n")[:-1]
            events = [deserialize_value(line, EventLogEntry) for line in lines[self._seen :]]
        except (EOFError, OSError, zlib.error, UnicodeDecodeError, json.JSONDecodeError, DeserializationError):
            return []
        self._seen = max(self._seen, len(lines))
        return events

    def word(self) -> Word | None:
        """Its last word; None where it died without one."""
        content = self._step.staging.read(self._step.file(WORD_FILE))
        try:
            told: dict[str, Any] = json.loads(content or b"null") or {}
            return Word(bool(told["again"]), self._step.login.hide(str(told["trace"])))
        except (ValueError, KeyError):
            return None

    def printed(self) -> tuple[str, str]:
        """The end of its stdout and stderr."""
        return self._text("stdout"), self._text("stderr")

    def _text(self, name: str) -> str:
        content = self._step.staging.read(self._step.file(name)) or b""
        return self._step.login.hide(content.decode(errors="replace"))
