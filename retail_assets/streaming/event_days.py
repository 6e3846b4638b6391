"""The events of one day as what reads drops wants them: rows, what is in them, which fields nobody knows."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlencode

import pyarrow as pa
import pyarrow.compute as pc

from retail_assets.landing.drops import EVENTS
from retail_assets.landing.layout import SourceLayout
from retail_assets.streaming.event_rows import rows_of

_OLDEST = -(2**63)


@dataclass(frozen=True)
class EventDay:
    """The events of one topic and day, at one version of the table at a place."""

    place: str
    version: int
    topic: str
    day: date

    @property
    def path(self) -> str:
        """As a drop's path."""
        asked = {"topic": self.topic, "day": self.day.isoformat(), "version": self.version}
        return f"{EVENTS}{quote(self.place)}?{urlencode(asked)}"

    @classmethod
    def of(cls, path: str) -> Self:
        """What a path leads to."""
        place, _, asked = path.removeprefix(EVENTS).partition("?")
        told = {name: values[0] for name, values in parse_qs(asked).items()}
        return cls(unquote(place), int(told["version"]), told["topic"], date.fromisoformat(told["day"]))

    def rows(self, layout: SourceLayout) -> Iterator[pa.RecordBatch]:
        """The rows as those of a drop. Raises DropRefused where the shop's description no longer has events."""
        if layout.events is None:
            raise _no_events(self.path)
        for batch in self._counting(["topic", "partition", "offset", "value", "problem"]).to_batches(20_000):
            yield from rows_of(batch.to_pylist(), layout, layout.events)

    def content_hash(self) -> str:
        """Of all that counts, in whatever order it came, and however often."""
        rows, digest = self._counting(["value", "problem"]), hashlib.sha256()
        told = pc.binary_join_element_wise(rows["problem"], rows["value"], "\n", null_handling="replace")
        for text in sorted(told.to_pylist()):
            digest.update(text.encode() + b"\n")
        return digest.hexdigest()

    def unknown_fields(self) -> list[str]:
        """The fields that the description did not know as they landed."""
        texts = pc.unique(self._counting(["unknown_fields"])["unknown_fields"]).to_pylist()
        return list(dict.fromkeys(name for text in texts if text for name in text.split(", ")))

    def _counting(self, columns: list[str]) -> pa.Table:
        """The messages that count, by partition and offset: of those about the same, the one of the highest version,
        and of these the one that came last."""
        order = ["event_key", "event_version", "kafka_time", "partition", "offset"]
        table = _table(self.place, self.version).to_pyarrow_table(
            partitions=[("event_month", "=", f"{self.day:%Y-%m}")],
            filters=(pc.field("event_day") == self.day) & (pc.field("topic") == self.topic),
            columns=list(dict.fromkeys([*columns, *order])),
        )
        at = table.schema.get_field_index("event_version")
        table = table.set_column(at, "event_version", pc.fill_null(table["event_version"], _OLDEST))
        table = table.sort_by([(name, "ascending") for name in order])
        keys = table["event_key"].combine_chunks()
        if len(keys) > 1 and keys.null_count < len(keys):
            # The last of each key is followed by another one, or by none.
            last = pc.fill_null(pc.not_equal(keys[:-1], keys[1:]), True)
            table = table.filter(pa.concat_arrays([last, pa.array([True])]))
        return table.sort_by([("partition", "ascending"), ("offset", "ascending")]).select(columns)


@lru_cache(8)
def _table(place: str, version: int) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(place, version)


def _no_events(path: str) -> Exception:
    from retail_assets.landing.drop_reader import DropRefused

    return DropRefused(path, "are events of a shop that has none", "Put [events] back into its description.")
