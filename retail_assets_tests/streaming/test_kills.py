"""Consumer, compaction and broker killed at any moment: nothing is lost, nothing doubled."""

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest

from retail_assets_tests.streaming.conftest import MadeTopic
from retail_assets_tests.streaming.events import SHOP, consumer, form, land, landed, line

KILLS = 100
MESSAGES = 400
"""Sent before each kill."""

PRELOADED = ["retail_assets_tests.streaming.test_kills", "deltalake"]


def consume(servers: str, lakehouse: Path, topic: str, seconds_a_commit: float, begun: Any) -> None:
    """Lands until it is killed, in small commits. `begun` is set once it has found its place."""
    from retail_assets.streaming import consumer as module

    module.SECONDS_A_COMMIT, module.MESSAGES_AT_ONCE = seconds_a_commit, 50
    running = consumer(servers, lakehouse, form(topic))
    running.start()
    begun.set()
    running.run()


def compact(lakehouse: Path) -> None:
    """Compacts until it is killed."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    from retail_assets.streaming.event_log import EventLog

    while True:
        try:
            DeltaTable(EventLog(str(lakehouse), SHOP).place).optimize.compact()
        except CommitFailedError:
            continue


@pytest.mark.long
def test_whatever_is_killed_every_message_has_landed_once(topic: MadeTopic, lakehouse: Path):
    context, chance = multiprocessing.get_context("forkserver"), random.Random(4)
    context.set_forkserver_preload(PRELOADED)
    of, servers = form(topic.name), topic.broker.servers
    land(servers, lakehouse, of)
    sent, commits = [0, 0], set()
    for kill in range(KILLS):
        for partition in (0, 1):
            begin = sent[partition]
            topic.send([line(number) for number in range(begin, begin + MESSAGES)], partition)
            sent[partition] += MESSAGES
        begun = context.Event()
        working = [context.Process(target=consume, args=(servers, lakehouse, topic.name, 0.02, begun))]
        if kill % 3 == 0:
            working.append(context.Process(target=compact, args=(lakehouse,)))
        if kill % 5 == 0:  # two consumers at once
            beside = (servers, lakehouse, topic.name, 0.05, context.Event())
            working.append(context.Process(target=consume, args=beside))
        for process in working:
            process.start()
        begun.wait(chance.choice((0.5, 30, 30, 30)))  # some are killed before
        time.sleep(chance.uniform(0.0, 0.6))
        if kill % 25 == 24:
            topic.broker.kill()
            topic.broker.start()
        chance.shuffle(working)
        for process in working:
            process.kill()
            process.join()
        commits.add(len(landed(lakehouse)))
    land(servers, lakehouse, of)
    found = [(row["partition"], row["offset"]) for row in landed(lakehouse)]
    assert found == [(partition, offset) for partition in (0, 1) for offset in range(sent[partition])]
    assert len(commits) > KILLS // 5  # the kills came while it was at work
