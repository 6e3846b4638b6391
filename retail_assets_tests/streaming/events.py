"""Events as a shop would send them, and a consumer of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Message
from deltalake import DeltaTable

from retail_assets.landing.layout import SourceLayout
from retail_assets.streaming.consumer import Allowed, EventConsumer
from retail_assets.streaming.event_form import EventForm
from retail_assets.streaming.event_log import EventLog, Moved
from retail_assets.streaming.kafka_settings import KafkaSettings
from retail_assets.streaming.landing_rows import LandingRows
from retail_assets.streaming.topic import Topic
from retail_assets_tests.made_shop import INVOICES

SHOP = INVOICES.name

KAFKA_TIME = 1_294_135_200_000
"""2011-01-04 10:00 UTC, in milliseconds."""


def form(topic: str = "orders", **says: Any) -> EventForm:
    """A shop's events: order lines, each known by its invoice and line; days are closed at once."""
    told: dict[str, Any] = {"key": ("Invoice", "line"), "quiet_seconds": 0, "late_seconds": 0, "idle_seconds": 0}
    return EventForm(topic, **told | says)


def layout(of: EventForm) -> SourceLayout:
    """The published layout, with events."""
    return replace(INVOICES, events=of)


def line(number: int, when: str = "2011-01-04 10:00:00", **says: Any) -> dict[str, Any]:
    """One order line."""
    told = {"Invoice": str(500000 + number // 3), "line": number, "StockCode": "85123A", "Description": "HEART"}
    told |= {"Quantity": 6, "InvoiceDate": when, "Price": 2.55, "Customer ID": "13085", "Country": "United Kingdom"}
    return told | says


def consumer(
    servers: str, lakehouse: Path, of: EventForm, say: Callable[[str], object] = lambda told: None
) -> EventConsumer:
    """One that has not started."""
    topic = Topic(KafkaSettings(servers), of.topic)
    return EventConsumer(topic, EventLog(str(lakehouse), SHOP), layout(of), of, say)


def land(servers: str, lakehouse: Path, of: EventForm, allowed: Allowed | None = None) -> EventConsumer:
    """Lands all that is in the topic now."""
    made = consumer(servers, lakehouse, of)
    try:
        made.start(allowed or Allowed())
        made.run(until_end=True)
    finally:
        made._topic.close()
    return made


def landed(lakehouse: Path) -> list[dict[str, Any]]:
    """All that has landed, by partition and offset."""
    rows = DeltaTable(EventLog(str(lakehouse), SHOP).place).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["partition"], row["offset"]))


def put(lakehouse: Path, of: EventForm, values: Sequence[Any], partition: int = 0, now: datetime | None = None) -> None:
    """Lands messages behind those that have landed, as the consumer does once it has them."""
    log = EventLog(str(lakehouse), SHOP)
    log.create()
    begin = log.position(of.topic, "an id", partition) or 0
    messages = [
        Message(of.topic, partition, offset, None, encoded(value), timestamp=(1, KAFKA_TIME))
        for offset, value in enumerate(values, begin)
    ]
    rows = LandingRows(of.topic, log, layout(of), of).of(messages, now or datetime.now(tz=UTC))
    log.append(rows, [Moved("an id", of.topic, partition, begin, begin + len(values))])


def encoded(value: Any) -> bytes | None:
    """A message: bytes as they are, None as a tombstone, all else as JSON."""
    return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
