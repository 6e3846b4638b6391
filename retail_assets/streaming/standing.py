"""How a stream stands, as its process last told: for `retail status`. Nothing hangs on it; it may be lost."""

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = ".stream.json"
"""Beside the tables of a source."""

SILENT_SECONDS = 60
"""A process tells more often than this; if not, it does not run."""


@dataclass(frozen=True)
class StreamStanding:
    """`at`: when this was told (UTC). `messages`, `problems`, `rate` (a second): since the process began. `lag`: what
    is waiting, in messages. `last_event`: when the last message came (UTC). `refusal`: why it ended."""

    at: str
    topic: str
    messages: int
    problems: int
    rate: float
    lag: int
    last_event: str | None
    refusal: str | None = None

    def told(self, now: datetime | None = None) -> str:
        """In words."""
        ago = ((now or datetime.now(tz=UTC)) - datetime.fromisoformat(self.at)).total_seconds()
        running = "" if ago < SILENT_SECONDS else f"; retail stream has said nothing since {self.at[:19]} (UTC)"
        newest = f", the last at {self.last_event[:19]} (UTC)" if self.last_event else ""
        odd = f", {self.problems:,} of them no events" if self.problems else ""
        told = f"{self.messages:,} messages of {self.topic} landed{odd}{newest}; {self.lag:,} are waiting{running}"
        return f"{told}\n  refused: {self.refusal}" if self.refusal else told


def keep(lakehouse: str, source: str, standing: StreamStanding) -> None:
    """Tells how it stands. On a disk that is full it says nothing: what matters has been said otherwise."""
    with contextlib.suppress(OSError):
        path = Path(lakehouse, source, FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{FILE}.part")
        unfinished.write_text(json.dumps(asdict(standing)) + "\n", encoding="utf-8")
        unfinished.replace(path)


def standing_of(lakehouse: str, source: str) -> StreamStanding | None:
    """As it was last told; None where nothing was, or nothing that can be read."""
    try:
        return StreamStanding(**json.loads(Path(lakehouse, source, FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
