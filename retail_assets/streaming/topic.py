"""A topic as it is read: from where it was left, through to its end, with nothing left out unsaid.

Partitions are assigned by hand and places kept in the table, so that no group of consumers, and no committed offset at
the broker, has a say in what has landed.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retail_assets.streaming.event_log import StreamRefused
from retail_assets.streaming.kafka_settings import KafkaSettings

ANSWER_SECONDS = 8.0
"""So long a broker may take to answer before it counts as out of reach."""

_READING: dict[str, Any] = {
    "group.id": "retail-stream",  # librdkafka wants one; no offset is ever committed to it
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "fetch.queue.backoff.ms": 20,
    "fetch.wait.max.ms": 100,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 64 * 1024,
}


@dataclass(frozen=True)
class Span:
    """The offsets of a partition that the broker has: from `first` on, up to but without `end`."""

    first: int
    end: int


class Topic:
    """One topic, read. Raises StreamRefused for a broker, a password or a topic that is not as it should be."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        try:
            from confluent_kafka import Consumer
        except ImportError:
            raise StreamRefused(
                "The client of Kafka is missing. Install it: pip install 'retail-assets[stream]' (make setup has it)."
            ) from None
        self.name, self._settings = name, settings
        self._problems: list[Any] = []
        self._reads = False
        self._quiet: dict[str, Any] = {"error_cb": self._problems.append, "logger": _Silent()}
        self._client = Consumer(settings.client() | _READING | self._quiet)

    def look(self) -> tuple[str, dict[int, Span]]:
        """The broker's id of the topic, and what it has of each partition."""
        from confluent_kafka import TopicPartition

        partitions = self._partitions()
        spans = {}
        for number in partitions:
            first, end = self._asked(self._client.get_watermark_offsets, TopicPartition(self.name, number))
            spans[number] = Span(first, end)
        return self._id(), spans

    def _partitions(self) -> list[int]:
        found = self._asked(self._client.list_topics, self.name).topics[self.name]
        if found.error:
            raise StreamRefused(
                f"The brokers at {self._settings.servers} have no topic {self.name!r} that this user may read "
                f"({found.error.str()}). Create it, or correct topic in [events] of the shop's description."
            )
        return sorted(found.partitions)

    def _id(self) -> str:
        from confluent_kafka import TopicCollection
        from confluent_kafka.admin import AdminClient

        admin = AdminClient(self._settings.client() | self._quiet)
        waiting = admin.describe_topics(TopicCollection([self.name]), request_timeout=ANSWER_SECONDS)
        try:
            return str(waiting[self.name].result().topic_id)
        except Exception as problem:
            raise self._refused(problem) from None

    def _asked(self, ask: Any, about: Any) -> Any:
        """An answer of the broker. A wrong password is told to a callback alone, while the call waits in vain."""
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            if not self._reads:  # a poll would take a message, which nobody lands then
                self._client.poll(0)
            self._raise_what_is_hopeless()
            try:
                return ask(about, timeout=min(1.0, ANSWER_SECONDS))
            except KafkaException as problem:
                if time.monotonic() > deadline or (not problem.args[0].retriable() and not _may_pass(problem.args[0])):
                    raise self._refused(problem) from None

    def _raise_what_is_hopeless(self) -> None:
        from confluent_kafka import KafkaError

        for problem in self._problems:
            if problem.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                raise self._refused(problem)

    def _refused(self, problem: Any) -> StreamRefused:
        """In words, with what can be done."""
        from confluent_kafka import KafkaError

        told = [*self._problems, *([problem.args[0]] if getattr(problem, "args", ()) else [])]
        codes = {each.code() for each in told if isinstance(each, KafkaError)}
        said = next((each.str() for each in told if isinstance(each, KafkaError)), str(problem))
        servers = self._settings.servers
        if KafkaError._AUTHENTICATION in codes or KafkaError.SASL_AUTHENTICATION_FAILED in codes:
            return StreamRefused(
                f"The brokers at {servers} do not take this user and password. Correct RETAIL_KAFKA_USER and "
                "RETAIL_KAFKA_PASSWORD, or RETAIL_KAFKA_MECHANISM."
            )
        if KafkaError._SSL in codes or "certificate" in said.lower() or "ssl" in said.lower():
            return StreamRefused(
                f"No encrypted connection with {servers}: {said}. Set RETAIL_KAFKA_CERTIFICATES to the file of the "
                "authority that signed the brokers' certificate, or correct RETAIL_KAFKA_PROTOCOL."
            )
        return StreamRefused(
            f"The brokers at {servers} do not answer ({said}). Check RETAIL_KAFKA_SERVERS and the network; it is safe "
            "to start again."
        )

    def read_from(self, places: Mapping[int, int]) -> None:
        """From now on messages are read of these partitions, from these offsets on."""
        from confluent_kafka import TopicPartition

        self._reads = True
        self._client.assign([TopicPartition(self.name, number, offset) for number, offset in places.items()])

    def messages(self, most: int, seconds: float) -> list[Any]:
        """The next messages, or ends of partitions: as many as come within the time."""
        from confluent_kafka import KafkaError

        found: list[Any] = self._client.consume(most, seconds)
        for message in found:
            problem = message.error()
            if problem is not None and problem.code() != KafkaError._PARTITION_EOF:
                if problem.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                    raise OutOfRange
                raise self._refused(problem)
        self._raise_what_is_hopeless()
        return found

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()


class OutOfRange(Exception):
    """The broker no longer has, or does not have, the messages that come next: a look tells which."""


def _may_pass(problem: Any) -> bool:
    from confluent_kafka import KafkaError

    return problem.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)


class _Silent:
    """What librdkafka logs is told by its errors, once, in our words."""

    def log(self, *_: Any) -> None:
        """Nothing."""

    debug = info = warning = error = critical = log
