"""Provenance: what rows were made from, kept by the very commit that wrote them.

A commit of Delta may carry a text of its own, `userMetadata`. Ours is JSON: under PROVENANCE, by partition key, what
the rows of that partition were made from. As part of the commit it can be neither lost nor wrong while the rows are
there: a write that was killed leaves neither, a table that is restored or copied brings it along. Columns would repeat
it in every row, and could say nothing of a drop without rows. It is read from the table's log, without Spark.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PROVENANCE = "provenance"


@dataclass(frozen=True)
class Origin:
    """What one write made a partition from: the version it made of the table, when, and what it said itself."""

    partition: str
    version: int
    written_at: datetime
    says: Any


def origins(path: str) -> Iterator[Origin]:
    """What every partition of the table at `path` was made from, newest write first; as far as its log goes back."""
    from deltalake import DeltaTable

    for commit in DeltaTable(path, without_files=True).history():
        written_at = datetime.fromtimestamp(commit["timestamp"] / 1000, tz=UTC)
        for partition, says in _said(commit.get("userMetadata")).items():
            yield Origin(partition, commit["version"], written_at, says)


def _said(text: str | None) -> dict[str, Any]:
    """The provenance in a commit's own text; others may write texts of another kind, or none."""
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}
    found = said.get(PROVENANCE) if isinstance(said, dict) else None
    return found if isinstance(found, dict) else {}
