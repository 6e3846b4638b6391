"""Messages as rows of the table of events: as they came, with what is to be known without reading them again."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from retail_assets.landing.layout import SourceLayout
from retail_assets.streaming.event_form import EventForm
from retail_assets.streaming.event_log import EventLog
from retail_assets.streaming.event_rows import NO_DATE, NO_TEXT, EventReader, NotAnEvent, Told, as_text, event_of


class LandingRows:
    """Makes the rows of one topic."""

    def __init__(self, topic: str, log: EventLog, layout: SourceLayout, form: EventForm) -> None:
        self._topic, self._log, self._zone = topic, log, layout.dialect.zone
        self._reader = EventReader(layout, form)

    def of(self, messages: Sequence[Any], now: datetime) -> pa.Table:
        """The rows of messages of a client of Kafka, landed now."""
        read = [self._read(message) for message in messages]
        days = self._reader.days([told.date for told, _ in read])
        times = [_moment(message, now) for message in messages]
        values = [message.value() for message in messages]
        problems = [problem or (NO_DATE if day is None else None) for (_, problem), day in zip(read, days, strict=True)]
        return self.table(
            {
                "partition": [message.partition() for message in messages],
                "offset": [message.offset() for message in messages],
                "kafka_time": times,
                "message_key": [as_text(message.key()) for message in messages],
                "value": [as_text(value) for value in values],
                "value_bytes": [value if p == NO_TEXT else None for value, p in zip(values, problems, strict=True)],
                "problem": problems,
                "event_key": [told.key for told, _ in read],
                "event_version": [told.version for told, _ in read],
                "unknown_fields": [told.unknown for told, _ in read],
                "event_day": [day or self.day_of(time) for day, time in zip(days, times, strict=True)],
            },
            now,
        )

    def _read(self, message: Any) -> tuple[Told, str | None]:
        """What is to be known of a message, or why it is no event."""
        try:
            return self._reader.landing(event_of(message.value())), None
        except NotAnEvent as reason:
            return _NOTHING, str(reason)

    def day_of(self, moment: datetime) -> date:
        """The day that it is then in the shop's time zone."""
        return moment.astimezone(self._zone).date()

    def table(self, columns: dict[str, list[Any]], now: datetime) -> pa.Table:
        """As the table of events wants it; columns that are not given are NULL."""
        months = [f"{day:%Y-%m}" for day in columns["event_day"]]
        told = {"topic": [self._topic] * len(months), "landed_at": [now] * len(months), "event_month": months}
        given, schema = columns | told, self._log.schema()
        arrays = [pa.array(given.get(field.name, [None] * len(months)), field.type) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)


_NOTHING = Told(None, None, None, None)


def _moment(message: Any, now: datetime) -> datetime:
    """Kafka's time of a message; now where it has none."""
    kind, milliseconds = message.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else now
