"""`retail stream`: the process that lands a shop's events."""

import signal
import time
from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from retail_assets.settings import SettingError, Settings
from retail_assets.streaming.standing import StreamStanding, keep
from retail_assets.table_commands import SOURCE, Refusal, local, one_source

if TYPE_CHECKING:
    from retail_assets.streaming.consumer import Allowed, EventConsumer

TOLD_EVERY_SECONDS = 10.0


@click.command()
@SOURCE
@click.option("--once", is_flag=True, help="End when all that is in the topic now has landed.")
@click.option("--accept-loss", is_flag=True, help="Go on behind messages that were removed before they were read.")
@click.option("--new-topic", is_flag=True, help="Go on with a topic that was made anew under its old name.")
@click.pass_obj
def stream(settings: Settings, source: str | None, once: bool, accept_loss: bool, new_topic: bool) -> None:
    """Land a shop's events from its topic of Kafka, each exactly once, until stopped (docs/streaming.md)."""
    from retail_assets.streaming.consumer import Allowed
    from retail_assets.streaming.event_log import StreamRefused

    local(settings)
    shop = one_source(settings, source).owner
    layout = getattr(shop, "layout", None)
    if layout is None or layout.events is None:
        raise Refusal(f"{shop.name} has no events: say in its description, under [events], which topic has them.")
    try:
        _land(settings, layout, once, Allowed(accept_loss, new_topic))
    except (StreamRefused, SettingError) as refusal:
        raise Refusal(str(refusal)) from None


def _land(settings: Settings, layout: Any, once: bool, allowed: "Allowed") -> None:
    from retail_assets.streaming.consumer import EventConsumer
    from retail_assets.streaming.event_log import EventLog, StreamRefused
    from retail_assets.streaming.kafka_settings import KafkaSettings
    from retail_assets.streaming.topic import Topic

    topic, told = Topic(KafkaSettings.read(), layout.events.topic), _Told(settings, layout.name, layout.events.topic)
    consumer = EventConsumer(topic, EventLog(settings.lakehouse, layout.name), layout, layout.events, click.echo)
    consumer.landed, consumer.waiting = told.landed, told.waiting
    try:
        consumer.start(allowed)
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, lambda *_: _stop(consumer))
        click.echo(f"Landing {topic.name}: {consumer.progress.lag:,} messages are waiting.")
        consumer.run(until_end=once)
        told.say(consumer)
    except StreamRefused as refusal:
        told.keep(consumer, str(refusal))
        raise
    finally:
        topic.close()


def _stop(consumer: "EventConsumer") -> None:
    """What was gathered is landed first."""
    consumer.stopped = True


class _Told:
    """What people, and the calendar, hear of what has landed."""

    def __init__(self, settings: Settings, source: str, topic: str) -> None:
        self._settings, self._source, self._topic = settings, source, topic
        self._days: set[date] = set()
        self._said = self._began = time.monotonic()
        self._last: str | None = None

    def landed(self, consumer: "EventConsumer", days: Collection[date]) -> None:
        """After each commit, with the days of its events."""
        self._last = datetime.now(tz=UTC).isoformat()
        if not self._days.issuperset(days):
            self._days |= set(days)
            keep_days(self._settings, self._source, self._days)
        if time.monotonic() - self._said > TOLD_EVERY_SECONDS:
            self.say(consumer)

    def waiting(self, consumer: "EventConsumer") -> None:
        """While nothing comes, that is kept, too, and not said."""
        if time.monotonic() - self._said > TOLD_EVERY_SECONDS:
            self._said = time.monotonic()
            self.keep(consumer)

    def say(self, consumer: "EventConsumer") -> None:
        """How far it is."""
        progress, self._said = consumer.progress, time.monotonic()
        self.keep(consumer)
        odd = f", {progress.problems:,} of them no events" if progress.problems else ""
        click.echo(f"Landed {progress.messages:,} messages{odd}; {progress.lag:,} are waiting.")

    def keep(self, consumer: "EventConsumer", refusal: str | None = None) -> None:
        """For `retail status`."""
        progress, seconds = consumer.progress, max(time.monotonic() - self._began, 0.001)
        counted = (progress.messages, progress.problems, round(progress.messages / seconds, 1), progress.lag)
        standing = StreamStanding(datetime.now(tz=UTC).isoformat(), self._topic, *counted, self._last, refusal)
        keep(self._settings.lakehouse, self._source, standing)


def keep_days(settings: Settings, source: str, days: Collection[date]) -> None:
    """Stretches the source's calendar to the days of its events, as landing files does; not over a gap of years, which
    is a slip of the pen, nor into the future."""
    from retail_assets.landing.calendar import LONGEST_GAP, keep_calendar, kept_calendar, last_day_of
    from retail_assets.partitions.calendar import current_day

    kept, past = kept_calendar(settings.landing, source), sorted((d for d in days if d <= current_day()), reverse=True)
    if not past:
        return
    first = kept.first_day if kept else past[0]
    for day in past:
        if (first - day).days <= LONGEST_GAP:
            first = min(first, day)
    keep_calendar(settings.landing, source, first, last_day_of(past[0]))


COMMANDS = [stream]
