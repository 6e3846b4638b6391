"""One sensor per channel: a tick reads what happened, and tells what is due.

What was read goes into the channel's ledger, which is kept in Dagster's own storage before anything is sent; what was
told is marked there once the other side has taken it. A process that is killed in between sends the same once more.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from retail_assets.operations.alerts.delivery import deliver
from retail_assets.operations.alerts.events import AssetGraph, Events
from retail_assets.operations.alerts.messages import Links, Message, compose
from retail_assets.operations.alerts.problems import Ledger, Severity, Subject
from retail_assets.operations.alerts.settings import AlertSettings, Channel

STANDING_SECONDS = 600
"""So often partitions that stayed failed are looked for."""

Deliver = Callable[[Channel, Message, float], str | None]


class AlertNotDelivered(Exception):
    """A channel did not take its message; it is kept, and sent again later."""


def alert_sensors(settings: AlertSettings | None, ui_url: str, definitions: Sequence[Any]) -> list[SensorDefinition]:
    """The sensors of the channels that are set up, over the graph of these definitions. Raises SettingError."""
    if settings is None:
        return []
    graph = AssetGraph.of(definitions)
    settings.check_names(
        {asset.group for asset in graph.assets.values()},
        {owner for asset in graph.assets.values() for owner in asset.owners},
    )
    return [_alert_sensor(channel, settings, ui_url, graph) for channel in settings.channels]


def _alert_sensor(channel: Channel, settings: AlertSettings, ui_url: str, graph: AssetGraph) -> SensorDefinition:
    alerter = Alerter(channel, settings, Links(ui_url, settings.runbook), graph)

    @sensor(
        name=f"alerts_{channel.name}",
        description=f"Tells what fails and what recovers by {channel.kind}: docs/alerts.md.",
        minimum_interval_seconds=settings.check_every_seconds,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def alerts(context: SensorEvaluationContext) -> SkipReason:
        return SkipReason(alerter.tick(context.instance, time.time()))

    return alerts


class Alerter:
    """What one channel's sensor does at every tick."""

    def __init__(
        self, channel: Channel, settings: AlertSettings, links: Links, graph: AssetGraph, send: Deliver = deliver
    ) -> None:
        self.channel, self.settings, self.links, self.graph, self.send = channel, settings, links, graph, send
        self.routes = settings.routes_of(channel.name)
        self.storage_key = f"retail_alerts/{channel.name}"

    def tick(self, instance: DagsterInstance, now: float) -> str:
        """Reads and, if something is due, tells; returns what was done. Raises AlertNotDelivered."""
        ledger = self._read(instance, now)
        if now < ledger.next_try:
            return (
                f"The channel did not answer {ledger.failures} times; the next attempt is at {_clock(ledger.next_try)}."
            )
        due = ledger.due(now, self.settings.timing)
        if not due:
            waiting = sum(problem.to_tell for problem in ledger.problems.values())
            standing = len(ledger.problems) - waiting
            return f"Nothing is due: {waiting} wait to be told, {standing} are open and were told."
        message = compose(due, self.graph.assets, self.links)
        refusal = self.send(self.channel, message, now)
        if refusal is not None:
            later = ledger.not_delivered(now)
            self._keep(instance, later)
            raise AlertNotDelivered(
                f"The alert channel {self.channel.name!r} did not take the message ({refusal}). It is kept; the next "
                f"attempt is at {_clock(later.next_try)}."
            )
        self._keep(instance, ledger.told(due, now))
        return f"Told {len(due)} in one message: {message.title}"

    def _read(self, instance: DagsterInstance, now: float) -> Ledger:
        """The ledger with all that happened up to now, kept."""
        events = Events(instance, self.graph)
        kept = instance.daemon_cursor_storage.get_cursor_values({self.storage_key}).get(self.storage_key)
        before = Ledger.from_json(kept) if kept else Ledger(positions=events.newest())
        observations, positions = events.read(before, now)
        after = replace(before, positions=positions).observing(observations, self._wanted, now)
        after = after.observing(events.recoveries(after, now), self._wanted, now)
        if now - before.standing_at >= STANDING_SECONDS:
            standing = events.still_failed(after, now, 3600 * self.settings.still_failed_hours)
            after = replace(after.observing(standing, self._wanted, now), standing_at=now)
            after = after.without(lambda subject: not self.graph.knows(subject))
        if after != before or not kept:
            self._keep(instance, after)
        return after

    def _keep(self, instance: DagsterInstance, ledger: Ledger) -> None:
        instance.daemon_cursor_storage.set_cursor_values({self.storage_key: ledger.to_json()})

    def _wanted(self, subject: Subject, severity: Severity) -> bool:
        known = [self.graph.assets[asset] for asset in subject.assets if asset in self.graph.assets]
        groups = {asset.group for asset in known}
        owners = {owner for asset in known for owner in asset.owners}
        return any(route.takes(subject.kind, severity, groups, owners) for route in self.routes)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%H:%M:%S UTC")
