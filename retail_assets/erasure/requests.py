"""Who is to be forgotten: kept from the moment it was asked for until the search found nothing left, and no longer.

A request is a file of the Dagster home that only its owner can read. Run configurations and tags are kept for good, so
that no id may stand in them; a request goes as soon as it is done.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

DIRECTORY = "forget"


@dataclass(frozen=True)
class ForgetRequest:
    """People of a source. `named` are ids that are no code and no invoice's number. `revenue` is the sum of all lines
    before anything was done, as text: where lines stay, it must be the same afterwards. `drops` and `lines` are what
    was written anew so far, `tables` which tables of."""

    source: str
    ids: tuple[str, ...]
    named: tuple[str, ...]
    begun: str
    revenue: str | None
    drops: int = 0
    lines: int = 0
    tables: tuple[str, ...] = ()

    @property
    def begun_at(self) -> datetime:
        """In UTC."""
        return datetime.fromisoformat(self.begun)


def directory(home: Path) -> Path:
    """Where requests lie."""
    return home / DIRECTORY


def keep(home: Path, request: ForgetRequest) -> Path:
    """Writes the request of a source, in the place of the one that it goes on with."""
    place = directory(home)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = place / f"{request.source}.json"
    part = place / f".{request.source}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(request), file)
    part.replace(path)
    return path


def pending(home: Path) -> Iterator[tuple[Path, ForgetRequest]]:
    """Requests that are not done, by source."""
    for path in sorted(directory(home).glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        for name in ("ids", "named", "tables"):
            told[name] = tuple(told[name])
        yield path, ForgetRequest(**told)
