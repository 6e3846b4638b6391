"""One real broker for all tests of events; without Java they are skipped, visibly."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from retail_assets.lakehouse.engines.java import JavaMissing, require_java
from retail_assets.streaming.broker import Broker, free_port
from retail_assets_tests.streaming.events import encoded
from retail_assets_tests.streaming.secured import USERS, certificate, listeners


class SecuredBroker(Broker):
    """A broker that also listens where a password is wanted, over TLS."""

    authority: Path

    def __init__(self, directory: Path, users: Sequence[str]) -> None:
        super().__init__(directory, users=users)
        self.secured_port = free_port()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """Apache Kafka, up for the whole run."""
    try:
        require_java()
    except JavaMissing:
        pytest.skip("no Java on this machine: a real broker of Kafka needs it")
    directory = tmp_path_factory.mktemp("kafka")
    started = SecuredBroker(directory / "broker", users=USERS)
    started.authority, keystore = certificate(directory)
    started.settings |= listeners(started.port, started.controller_port, started.secured_port, keystore)
    try:
        started.start()
        yield started
    finally:
        started.stop()


_NUMBERS = count()


@pytest.fixture
def topic(broker: SecuredBroker) -> "MadeTopic":
    """A new topic of two partitions, for one test."""
    return MadeTopic(broker, f"orders-{next(_NUMBERS)}")


class MadeTopic:
    """A topic, and how messages get into it."""

    def __init__(self, broker: SecuredBroker, name: str, partitions: int = 2) -> None:
        from confluent_kafka.admin import AdminClient

        self.broker, self.name, self.partitions = broker, name, partitions
        self.client: dict[str, Any] = {"bootstrap.servers": broker.servers, "log_level": 0}
        self.admin = AdminClient(self.client)
        self.make()

    def make(self, **settings: str) -> None:
        """Makes it; old messages stay."""
        from confluent_kafka.cimpl import NewTopic  # as its stubs say

        asked = NewTopic(self.name, self.partitions, 1, config={"retention.ms": "-1", **settings})
        self.admin.create_topics([asked])[self.name].result()

    def remove(self) -> None:
        """Takes it away, and waits until it is gone."""
        self.admin.delete_topics([self.name])[self.name].result()
        _until(lambda: self.name not in self.admin.list_topics(timeout=5).topics)

    def remove_before(self, partition: int, offset: int) -> None:
        """As retention does."""
        from confluent_kafka import TopicPartition

        asked = TopicPartition(self.name, partition, offset)
        next(iter(self.admin.delete_records([asked]).values())).result()

    def send(self, values: Sequence[Any], partition: int = 0) -> None:
        """Sends messages: bytes as they are, None as a tombstone, all else as JSON."""
        from confluent_kafka import Producer

        producer = Producer({**self.client, "linger.ms": 5})
        for value in values:
            producer.produce(self.name, encoded(value), key="a key", partition=partition)
        assert producer.flush(30) == 0

    def transaction(self, values: Sequence[Any], commit: bool, partition: int = 0) -> None:
        """Sends messages in a transaction."""
        from confluent_kafka import Producer

        producer = Producer({**self.client, "transactional.id": f"{self.name}-producer"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.name, json.dumps(value).encode(), partition=partition)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)


def _until(holds: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def lakehouse(tmp_path: Path) -> Path:
    """A lakehouse of its own."""
    return tmp_path / "lakehouse"
