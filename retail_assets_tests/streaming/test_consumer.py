"""What the consumer promises, on a real broker: each message once, nothing left out unsaid."""

import json
import time
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable

from retail_assets.streaming.consumer import Allowed
from retail_assets.streaming.event_log import EventLog, Fenced, StreamRefused
from retail_assets.streaming.event_rows import NO_DATE, NO_JSON, NO_OBJECT, NO_TEXT, TOMBSTONE
from retail_assets.streaming.kafka_settings import KafkaSettings
from retail_assets.streaming.topic import Topic
from retail_assets_tests.streaming.conftest import MadeTopic
from retail_assets_tests.streaming.events import SHOP, consumer, form, land, landed, line
from retail_assets_tests.streaming.secured import PASSWORD, USER

POISON = {b"\xff\xfe": NO_TEXT, b"{": NO_JSON, b"[1]": NO_OBJECT, None: TOMBSTONE, b'{"a": NaN}': NO_JSON}


def test_messages_land_once_with_day_key_and_what_nobody_knows(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    topic.send([line(0), line(1, "2011-02-05 09:00:00", Colour="red")])
    topic.send([line(2)], partition=1)
    land(topic.broker.servers, lakehouse, of)
    topic.send([line(3)])
    assert land(topic.broker.servers, lakehouse, of).progress.messages == 1
    rows = landed(lakehouse)
    assert [(row["partition"], row["offset"]) for row in rows] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert [row["event_day"] for row in rows][:2] == [date(2011, 1, 4), date(2011, 2, 5)]
    assert rows[1]["unknown_fields"] == "Colour"
    assert rows[1]["event_key"] == '["500000", "1"]'
    assert json.loads(rows[3]["value"]) == line(2)
    assert rows[0]["message_key"] == "a key"


def test_what_is_no_event_keeps_its_bytes_offset_and_reason(topic: MadeTopic, lakehouse: Path):
    topic.send([*POISON, {"Invoice": "no date"}, line(0)])
    made, told = consumer(topic.broker.servers, lakehouse, form(topic.name)), set[date]()
    made.landed = lambda _, days: told.update(days)
    made.start()
    made.run(until_end=True)
    assert made.progress.problems == len(POISON) + 1
    assert told == {date(2011, 1, 4)}  # a shop's calendar does not follow what is no event
    rows = landed(lakehouse)
    assert [row["problem"] for row in rows] == [*POISON.values(), NO_DATE, None]
    assert rows[0]["value_bytes"] == b"\xff\xfe"
    assert rows[0]["value"] == "\\xff\\xfe"
    assert rows[0]["event_day"] == rows[0]["kafka_time"].date()


def test_aborted_messages_do_not_land_and_their_offsets_are_passed(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    topic.transaction([line(0), line(1)], commit=False)
    topic.transaction([line(2)], commit=True)
    topic.transaction([line(3)], commit=False)
    land(topic.broker.servers, lakehouse, of)
    (row,) = landed(lakehouse)
    log = EventLog(str(lakehouse), SHOP)
    place = log.position(topic.name, str(log.topic_id(topic.name)), 0)
    assert (row["offset"], place) == (3, 7)  # 2 aborted, their mark, one, its mark, one aborted, its mark


def test_of_two_consumers_one_is_fenced_and_nothing_lands_twice(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    topic.send([line(number) for number in range(10)])
    first, second = (consumer(topic.broker.servers, lakehouse, of) for _ in range(2))
    first.start()
    second.start()
    first.run(until_end=True)
    with pytest.raises(Fenced, match="another consumer has landed messages up to offset 10"):
        second.run(until_end=True)
    assert [row["offset"] for row in landed(lakehouse)] == list(range(10))


def test_compaction_between_commits_does_no_harm(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    running = consumer(topic.broker.servers, lakehouse, of)
    running.start()
    for number in range(4):
        topic.send([line(number)])
        land_now = running._topic.look()[1]
        running.progress.ends = {partition: span.end for partition, span in land_now.items()}
        running.run(until_end=True)
        if number == 2:
            DeltaTable(EventLog(str(lakehouse), SHOP).place).optimize.compact()
        running._topic.read_from(running.progress.places)
    assert [row["offset"] for row in landed(lakehouse)] == [0, 1, 2, 3]


def test_what_was_removed_before_it_was_read_is_refused_and_once_accepted_said(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    topic.send([line(0)])
    land(topic.broker.servers, lakehouse, of)
    topic.send([line(number) for number in range(1, 6)])
    topic.remove_before(0, 4)
    with pytest.raises(StreamRefused, match=f"{topic.name}/0: offsets 1 to 3 were removed .* --accept-loss"):
        land(topic.broker.servers, lakehouse, of)
    assert len(landed(lakehouse)) == 1
    land(topic.broker.servers, lakehouse, of, Allowed(loss=True))
    rows = landed(lakehouse)
    assert [row["offset"] for row in rows] == [0, 1, 4, 5]
    assert "offsets 1 to 3 were removed" in rows[1]["problem"]


def test_what_is_removed_while_it_waits_to_be_read_is_refused(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    running = consumer(topic.broker.servers, lakehouse, of)
    running.start()
    topic.send([line(number) for number in range(5)])
    topic.remove_before(0, 3)
    running._topic.read_from({0: 0, 1: 0})
    running.progress.ends = {0: 5}
    with pytest.raises(StreamRefused, match="offsets 0 to 2 were removed"):
        running.run(until_end=True)


def test_a_topic_made_anew_is_refused_until_it_is_taken(topic: MadeTopic, lakehouse: Path):
    of = form(topic.name)
    topic.send([line(0), line(1)])
    land(topic.broker.servers, lakehouse, of)
    topic.remove()
    topic.make()
    topic.send([line(7), line(8), line(9)])
    with pytest.raises(StreamRefused, match=r"was made anew since it was last read: its id was .* --new-topic"):
        land(topic.broker.servers, lakehouse, of)
    land(topic.broker.servers, lakehouse, of, Allowed(new_topic=True))
    assert sorted(json.loads(row["value"])["line"] for row in landed(lakehouse)) == [0, 1, 7, 8, 9]


def test_a_topic_that_is_not_there_and_a_broker_that_is_not_are_told_of(topic: MadeTopic):
    with pytest.raises(StreamRefused, match="have no topic 'nowhere'"):
        Topic(KafkaSettings(topic.broker.servers), "nowhere").look()
    with pytest.raises(StreamRefused, match=r"do not answer .* RETAIL_KAFKA_SERVERS"):
        Topic(KafkaSettings("127.0.0.1:1"), "orders").look()


def secured(topic: MadeTopic, **says: str) -> KafkaSettings:
    """The listener that wants a password, over TLS."""
    told = {"SERVERS": f"127.0.0.1:{topic.broker.secured_port}", "USER": USER, "PASSWORD": PASSWORD}
    told["CERTIFICATES"] = str(topic.broker.authority)
    return KafkaSettings.read({f"RETAIL_KAFKA_{name}": value for name, value in (told | says).items()})


def test_a_broker_with_password_and_certificate_is_spoken_to_and_wrong_ones_are_told_of(topic: MadeTopic):
    assert len(Topic(secured(topic), topic.name).look()[1]) == 2
    began = time.monotonic()
    with pytest.raises(StreamRefused, match="do not take this user and password") as refusal:
        Topic(secured(topic, PASSWORD="wrong"), topic.name).look()
    assert time.monotonic() - began < 10
    assert "wrong" not in str(refusal.value)
    with pytest.raises(StreamRefused, match="RETAIL_KAFKA_CERTIFICATES"):
        Topic(secured(topic, CERTIFICATES="/etc/ssl/certs/ca-certificates.crt"), topic.name).look()


def test_poison_of_one_in_a_hundred_and_of_all_lands_beside_the_rest(topic: MadeTopic, lakehouse: Path):
    topic.send([b"{" if number % 100 == 0 else line(number) for number in range(1000)])
    topic.send([b"\xff"] * 500, partition=1)
    progress = land(topic.broker.servers, lakehouse, form(topic.name)).progress
    assert (progress.messages, progress.problems) == (1500, 510)
    assert [row["offset"] for row in landed(lakehouse)] == [*range(1000), *range(500)]
