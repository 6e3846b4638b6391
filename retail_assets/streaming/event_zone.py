"""The landing zone with events in it: a day's events stand beside the day's files, as a drop of their own.

So whatever asks for drops (what is due, arrival, bronze, provenance) knows of events, and goes by one set of rules.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from retail_assets.landing.drops import Drop, LandingZone, Oddity
from retail_assets.landing.layout import SourceLayout
from retail_assets.streaming.event_days import EventDay
from retail_assets.streaming.event_form import EventForm
from retail_assets.streaming.event_log import EventLog


@dataclass(frozen=True)
class EventDrop(Drop):
    """The events of a day, as they are at one version of their table. `size` is the number of messages; `offsets` says
    between which they lie, partition by partition."""

    offsets: str = ""

    @property
    def fingerprint(self) -> str:
        """Differs when another message has landed for the day: its offset is above all others of its partition."""
        return f"{self.name}:{self.size}:{self.offsets}"

    @property
    def can_move(self) -> bool:
        """A version of a table never changes."""
        return False


class Landed(NamedTuple):
    """What has landed of one partition of a topic for one day: offsets, messages, and when the last one came."""

    topic: str
    partition: int
    day: date
    first: int
    last: int
    messages: int
    at: datetime


@dataclass(frozen=True)
class EventZone(LandingZone):
    """`streams`: of each source that has events, where their table lies, and how its days begin and end."""

    streams: Mapping[str, "Stream"] = field(default_factory=dict)

    def listed(self, source: str) -> tuple[list[Drop], list[Oddity], bool]:
        """As that of a landing zone without events, with a drop for each day that has some."""
        drops, oddities, under_way = super().listed(source)
        stream = self.streams.get(source)
        if stream is not None:
            drops = sorted([*drops, *stream.drops()], key=lambda drop: (drop.day, drop.name))
        return drops, oddities, under_way


@dataclass(frozen=True)
class Stream:
    """The landed events of one source, by day."""

    lakehouse: str
    source: str
    form: EventForm
    zone: ZoneInfo

    def drops(self, now: datetime | None = None) -> Iterator[EventDrop]:
        """Of each day one. A day that is open, or that events still come in for, is held back."""
        log = EventLog(self.lakehouse, self.source)
        if not log.exists():
            return
        version, landed = landed_days(log.place)
        now = now or datetime.now(tz=UTC)
        by_day: dict[tuple[date, str], list[Landed]] = {}
        for each in landed:
            by_day.setdefault((each.day, each.topic), []).append(each)
        for (day, topic), of in sorted(by_day.items()):
            newest = max(each.at for each in of)
            quiet = now - newest >= timedelta(seconds=self.form.quiet_seconds)
            yield EventDrop(
                day=day,
                path=EventDay(log.place, version, topic, day).path,
                name=f"kafka:{topic}",
                size=sum(each.messages for each in of),
                modified_ns=int(newest.timestamp() * 1e6) * 1000,
                held_back=not (quiet and self.is_closed(day, landed, now)),
                offsets=" ".join(f"{each.partition}={each.first}-{each.last}" for each in sorted(of)),
            )

    def is_closed(self, day: date, landed: Iterable[Landed], now: datetime) -> bool:
        """Whether no more events of a day are waited for: it ended long enough ago in the shop's time zone, and every
        partition of the topic has messages of a later day, or has been idle. What comes later makes the day anew."""
        ended = datetime.combine(day + timedelta(days=1), time(), self.zone)
        if now < ended + timedelta(seconds=self.form.late_seconds):
            return False
        newest: dict[tuple[str, int], tuple[date, datetime]] = {}
        for each in landed:
            known = newest.get((each.topic, each.partition), (each.day, each.at))
            newest[each.topic, each.partition] = max(known[0], each.day), max(known[1], each.at)
        idle = now - timedelta(seconds=self.form.idle_seconds)
        return all(
            reached > day or at <= idle for (topic, _), (reached, at) in newest.items() if topic == self.form.topic
        )


def stream_of(settings: Any, layout: SourceLayout | None) -> Stream | None:
    """The landed events of a shop; None of one without, and where tables are in a catalog, which they do not lie in."""
    if layout is None or layout.events is None or settings.catalog or "://" in settings.lakehouse:
        return None
    return Stream(settings.lakehouse, layout.name, layout.events, layout.dialect.zone)


def zone_of(settings: Any, owners: Iterable[Any]) -> LandingZone:
    """The landing zone, with the events of those of the sources that have some."""
    found = {owner.name: stream_of(settings, getattr(owner, "layout", None)) for owner in owners}
    streams = {name: stream for name, stream in found.items() if stream}
    if not streams:
        return LandingZone(settings.landing, settings.drop_marker)
    return EventZone(settings.landing, settings.drop_marker, streams)


def landed_days(place: str) -> tuple[int, list[Landed]]:
    """The newest version of a table of events, and what it has, by topic, partition and day."""
    from deltalake import DeltaTable

    table = DeltaTable(place)
    files = [_of_file(uri) for uri in table.file_uris()]
    if not files:
        return table.version(), []
    together = pa.concat_tables(files).group_by(["topic", "partition", "day"])
    counted = together.aggregate([("first", "min"), ("last", "max"), ("messages", "sum"), ("at", "max")])
    names = ["topic", "partition", "day", "first_min", "last_max", "messages_sum", "at_max"]
    return table.version(), sorted(Landed(*row.values()) for row in counted.select(names).to_pylist())


@lru_cache(100_000)
def _of_file(uri: str) -> pa.Table:
    """What a file has; files of a table never change."""
    import pyarrow.parquet as pq

    columns = ["topic", "partition", "event_day", "offset", "landed_at"]
    rows = pq.ParquetFile(uri).read(columns).group_by(["topic", "partition", "event_day"])
    counted = rows.aggregate([("offset", "min"), ("offset", "max"), ("offset", "count"), ("landed_at", "max")])
    names = ["topic", "partition", "event_day", "offset_min", "offset_max", "offset_count", "landed_at_max"]
    return counted.select(names).rename_columns(["topic", "partition", "day", "first", "last", "messages", "at"])
