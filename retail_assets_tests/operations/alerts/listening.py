"""A channel that listens: an alerter on an instance that tells a real server, and whose clock the test moves."""

import time
from typing import Any
from uuid import uuid4

from dagster import DagsterInstance

from retail_assets.operations.alerts.delivery import deliver
from retail_assets.operations.alerts.events import AssetGraph
from retail_assets.operations.alerts.messages import Links
from retail_assets.operations.alerts.problems import Timing
from retail_assets.operations.alerts.sensor import Alerter
from retail_assets.operations.alerts.settings import AlertSettings, Channel, Http, Route
from retail_assets_tests.operations.alerts.servers import Endpoint

EVERYTHING = Route(("hook", "office"), frozenset(), frozenset(), frozenset(), frozenset())
AT_ONCE = Timing(gather_seconds=0, further_seconds=0)


def settings(
    channels: list[Channel], routes: tuple[Route, ...] = (EVERYTHING,), timing: Timing = AT_ONCE, **changed: Any
):
    return AlertSettings(tuple(channels), routes, timing, 30, changed.get("still_failed_hours", 24), "docs/runbook.md")


def webhook(url: str) -> Channel:
    return Channel("hook", "webhook", Http(url))


class Listening:
    """A channel's alerter on an instance, whose clock the test moves."""

    def __init__(
        self, instance: DagsterInstance, endpoint: Endpoint, graph: AssetGraph, name: str = "", **options: Any
    ) -> None:
        self.instance, self.endpoint = instance, endpoint
        channel = webhook(endpoint.url)
        self.alerter = Alerter(
            channel, settings([channel], **options), Links("http://ui", "docs/runbook.md"), graph, quickly
        )
        self.alerter.storage_key = name or f"retail_alerts/{uuid4()}"
        self.ahead = 0.0
        self.tick()

    def tick(self, later: float = 0) -> list[tuple[str, str, str, list[str]]]:
        """Status, kind, what and partitions of all that this tick told."""
        self.ahead += later
        before = len(self.endpoint.requests)
        self.alerter.tick(self.instance, time.time() + self.ahead)
        return [
            (item["status"], item["kind"], "+".join(item["assets"]) or item["name"], item["partitions"])
            for message in self.endpoint.messages[before:]
            for item in message["items"]
        ]


def quickly(channel: Channel, message: Any, now: float) -> str | None:
    return deliver(channel, message, now, answer_seconds=0.5, delivery_seconds=2)
