"""`retail stream`: a topic's messages into the table of landed events, each exactly once, in commits of a second.

Memory is bounded by a commit's size: what is gathered is written before more is read, and the client's own queue has a
limit. What cannot be landed in full is refused by name: messages that retention removed before they were read, and a
topic that was made anew under its old name.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from retail_assets.landing.layout import SourceLayout
from retail_assets.streaming.event_form import EventForm
from retail_assets.streaming.event_log import EventLog, Moved, StreamRefused
from retail_assets.streaming.landing_rows import LandingRows
from retail_assets.streaming.topic import OutOfRange, Span, Topic

ROWS_A_COMMIT = 100_000
BYTES_A_COMMIT = 32 * 1024 * 1024
SECONDS_A_COMMIT = 1.0
MESSAGES_AT_ONCE = 10_000
PLACES_AFTER_SECONDS = 30.0
"""So long after a partition has moved without a message, as over aborted ones, that is kept, too."""


@dataclass(frozen=True)
class Allowed:
    """What somebody has looked at and takes: that messages are lost, that the topic is another one."""

    loss: bool = False
    new_topic: bool = False


@dataclass
class Progress:
    """What was landed since the start, and how far behind the topic's end that is."""

    messages: int = 0
    problems: int = 0
    commits: int = 0
    places: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    @property
    def lag(self) -> int:
        """Offsets between what has landed and the topic's end, as it was last seen."""
        return sum(max(0, end - self.places.get(number, 0)) for number, end in self.ends.items())


class EventConsumer:
    """Lands one topic of one shop."""

    def __init__(
        self,
        topic: Topic,
        log: EventLog,
        layout: SourceLayout,
        form: EventForm,
        say: Callable[[str], object] = lambda told: None,
    ) -> None:
        self._topic, self._log, self._say = topic, log, say
        self._rows = LandingRows(topic.name, log, layout, form)
        self._id = ""
        self.progress = Progress()
        self.landed: Callable[[EventConsumer, Collection[date]], object] = lambda consumer, days: None
        """Called after each commit, with the days of its events, without what is none."""
        self.waiting: Callable[[EventConsumer], object] = lambda consumer: None
        """Called again and again, whether messages come or not."""
        self.stopped = False

    def start(self, allowed: Allowed = Allowed()) -> None:
        """Takes up where it was left. Raises StreamRefused for what is lost since."""
        self._log.create()
        self._id, spans = self._topic.look()
        self._same_topic(allowed)
        places = {}
        for number, span in spans.items():
            place = self._log.position(self._topic.name, self._id, number)
            places[number] = self._begin(number, span, place, allowed)
        self.progress.places, self.progress.ends = places, {number: span.end for number, span in spans.items()}
        self._topic.read_from(places)

    def _same_topic(self, allowed: Allowed) -> None:
        name, known = self._topic.name, self._log.topic_id(self._topic.name)
        if known == self._id:
            return
        if known is not None and not allowed.new_topic:
            raise StreamRefused(
                f"The topic {name!r} was made anew since it was last read: its id was {known} and is {self._id}. What "
                f"has landed of the old one stays; what nobody had read of it is gone. If this is as it should be, go "
                "on with the new one, from its first message: retail stream --new-topic."
            )
        self._log.keep_topic_id(name, self._id)

    def _begin(self, number: int, span: Span, place: int | None, allowed: Allowed) -> int:
        """Where to go on with a partition."""
        if place is None:
            if span.first:
                self._say(f"{self._topic.name}/{number}: begins at offset {span.first:,}, the first that there is.")
            return span.first
        if place > span.end:
            raise StreamRefused(
                f"{self._topic.name}/{number}: messages up to offset {place - 1:,} have landed, and the topic ends at "
                f"{span.end - 1:,}: the broker has lost messages, or is another. Nothing was changed. If it has lost "
                "them, and goes on with offsets that were used: make a new topic, and name it in [events]."
            )
        if place < span.first:
            self._lost(number, place, span.first, allowed)
            return span.first
        return place

    def _lost(self, number: int, place: int, first: int, allowed: Allowed) -> None:
        lost = f"{self._topic.name}/{number}: offsets {place:,} to {first - 1:,} were removed before they were read"
        if not allowed.loss:
            raise StreamRefused(
                f"{lost}, {first - place:,} at most: the topic's retention is shorter than retail stream was away. "
                "Nothing was changed. Put them back if you can, or deliver their days as files; then go on behind "
                "them: retail stream --accept-loss, which puts a row that names them into quarantine."
            )
        now = datetime.now(tz=UTC)
        row: dict[str, list[Any]] = {"partition": [number], "offset": [place], "kafka_time": [now]}
        row["event_day"] = [self._rows.day_of(now)]
        row["problem"] = [f"{lost}, and that was accepted"]
        self._log.append(self._rows.table(row, now), [Moved(self._id, self._topic.name, number, place, first)])
        self._say(f"{lost}, and that was accepted: it is said in quarantine.")

    def run(self, until_end: bool = False) -> Progress:
        """Lands messages until it is `stopped`, or, if asked, until the topic's end as it was at the start."""
        ends, left = dict(self.progress.ends), set(self.progress.ends)
        batch, kept = _Batch(self.progress.places), time.monotonic()
        while not self.stopped:
            left = {number for number in left if batch.places[number] < ends[number]} if until_end else left
            if until_end and not left:
                break
            try:
                found = self._topic.messages(MESSAGES_AT_ONCE, min(0.2, batch.seconds_left()))
            except OutOfRange:
                self._land(batch)
                self._told_out_of_range(batch)
            batch.add(found)
            self.waiting(self)
            moved_alone = not batch.messages and batch.moved() and time.monotonic() - kept > PLACES_AFTER_SECONDS
            if batch.is_full() or moved_alone:
                self._land(batch)
                batch, kept = _Batch(batch.places), time.monotonic()
        self._land(batch)
        return self.progress

    def _told_out_of_range(self, batch: "_Batch") -> None:
        """Says what is missing. Raises StreamRefused."""
        topic_id, spans = self._topic.look()
        if topic_id != self._id:
            self._id = topic_id
            self._same_topic(Allowed())
        for number, span in spans.items():
            self._begin(number, span, batch.places.get(number, 0), Allowed())
        raise StreamRefused(f"{self._topic.name}: the broker says that an offset is out of range, and has them all.")

    def _land(self, batch: "_Batch") -> None:
        moved = [Moved(self._id, self._topic.name, *of) for of in batch.moved()]
        if not moved:
            return
        now = datetime.now(tz=UTC)
        rows = self._rows.of(batch.messages, now)
        self._log.append(rows, moved)
        progress = self.progress
        progress.messages += rows.num_rows
        progress.problems += rows.num_rows - rows["problem"].null_count
        progress.commits += 1
        progress.places = dict(batch.places)
        progress.ends |= {number: max(end, progress.ends.get(number, 0)) for number, end in batch.places.items()}
        # What is no event has the day that it came on, which says nothing of the shop's days.
        sound = rows.filter(rows["problem"].is_null())
        self.landed(self, set(sound["event_day"].unique().to_pylist()))


class _Batch:
    """Messages gathered for one commit, and how far they lead."""

    def __init__(self, places: dict[int, int]) -> None:
        self.before, self.places = dict(places), dict(places)
        self.messages: list[Any] = []
        self._bytes, self._since = 0, 0.0

    def add(self, found: Sequence[Any]) -> None:
        """Messages, and ends of partitions, which lie behind what was aborted."""
        for message in found:
            number = message.partition()
            if message.error() is not None:
                self.places[number] = max(self.places[number], message.offset())
                continue
            if not self.messages:
                self._since = time.monotonic()
            self.messages.append(message)
            self._bytes += len(message)
            self.places[number] = message.offset() + 1

    def moved(self) -> list[tuple[int, int, int]]:
        """Partition, from where, to where."""
        return [(n, self.before[n], place) for n, place in self.places.items() if place != self.before[n]]

    def seconds_left(self) -> float:
        """Until it is to be committed."""
        return max(0.0, self._since + SECONDS_A_COMMIT - time.monotonic()) if self.messages else SECONDS_A_COMMIT

    def is_full(self) -> bool:
        """Whether it is to be committed now."""
        large = len(self.messages) >= ROWS_A_COMMIT or self._bytes >= BYTES_A_COMMIT
        return bool(self.messages) and (large or not self.seconds_left())
