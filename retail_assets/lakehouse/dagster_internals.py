"""What is done of Dagster's inner work in its place, because a range of partitions does it ten thousand times.

Dagster makes, logs, and serializes every event by itself. Here events of one kind share what is the same in all of
them. What is stored and what is shown is what Dagster would store and show; the tests hold each part against Dagster's
own, so that an upgrade that changes it is noticed. No other module takes the place of anything inside Dagster, but for
the event logs, which are its storages' children.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from enum import Enum
from functools import wraps
from json.encoder import encode_basestring_ascii
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    DagsterEvent,
    MetadataValue,
    TimeWindowPartitionsDefinition,
)
from dagster._core.definitions.dependency import NodeHandle
from dagster._core.definitions.metadata import MetadataFieldSerializer
from dagster._core.definitions.partitions.mapping import time_window
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator
from dagster._core.execution.plan.handle import StepHandle
from dagster._core.instance.types import _EventListenerLogHandler
from dagster._core.log_manager import DagsterLogManager
from dagster._serdes import serialize_value
from dagster_shared.serdes.serdes import _WHITELIST_MAP, NamedTupleSerializer

# Serialization ----------------------------------------------------------------------------------------------


class EventTexts:
    """Events as `serialize_value` writes them, byte by byte, in a fraction of its time.

    What events share, such as their asset, step, and metadata, is written once: one object is for the events of one
    batch. What is not known here is left to `serialize_value`.
    """

    def __init__(self) -> None:
        self._shared: dict[int, tuple[Any, str]] = {}  # with the object, as its id may be given to another after it

    def of(self, value: Any) -> str:
        """`serialize_value(value)`."""
        kind = type(value)
        if kind is str:
            return encode_basestring_ascii(value)
        if value is None:
            return "null"
        if kind is int:
            return int.__repr__(value)
        if kind is float and value - value == 0:  # finite
            return float.__repr__(value)
        if kind is bool:
            return "true" if value else "false"
        if kind is dict:
            return self._mapping(value)
        if kind is list:
            return f"[{', '.join(map(self.of, value))}]"
        layout = _LAYOUTS.get(kind, _UNSEEN)
        if layout is _UNSEEN:
            layout = _LAYOUTS[kind] = _layout(kind)
        if layout is None:
            return self._once(value, _as_dagster_does) if issubclass(kind, Enum) else serialize_value(value)
        return self._once(value, layout.write) if layout.shared else layout.write(self, value)

    def _once(self, value: Any, write: "Write") -> str:
        known = self._shared.get(id(value))
        if known is None:
            known = self._shared[id(value)] = (value, write(self, value))
        return known[1]

    def _mapping(self, value: dict[Any, Any]) -> str:
        if not all(type(key) is str for key in value):
            return serialize_value(value)
        return f"{{{', '.join([f'{encode_basestring_ascii(key)}: {self.of(value[key])}' for key in sorted(value)])}}}"

    def _tags(self, value: Any) -> str:
        return self._once(value, EventTexts.of)

    def _metadata_entries(self, metadata: Any) -> str:
        entries = [_ENTRY % (self.of(value), encode_basestring_ascii(label)) for label, value in metadata.items()]
        return f"[{', '.join(entries)}]"


_ENTRY = '{"__class__": "EventMetadataEntry", "description": null, "entry_data": %s, "label": %s}'
_UNSEEN: Any = object()
_SHARED = (MetadataValue, AssetKey, StepHandle, NodeHandle)

Write = Callable[[EventTexts, Any], str]


@dataclass(frozen=True)
class _Layout:
    """How objects of a class are written, and whether events share them."""

    shared: bool
    template: str
    """With a place for each field, in the order of their names."""
    fields: Sequence[tuple[int, Write]]

    def write(self, texts: EventTexts, value: Any) -> str:
        values = tuple(tuple.__iter__(value))
        return self.template % tuple([write(texts, values[index]) for index, write in self.fields])


def _as_dagster_does(_: EventTexts, value: Any) -> str:
    return serialize_value(value)


_LAYOUTS: dict[type, _Layout | None] = {}


def _layout(kind: Any) -> _Layout | None:
    """As Dagster's own serializer writes the class; None if it does so in a way of its own."""
    serializer = _WHITELIST_MAP.object_serializers.get(kind.__name__) if issubclass(kind, tuple) else None
    if not isinstance(serializer, NamedTupleSerializer) or serializer.klass is not kind:
        return None
    steps = ("pack_items", "before_pack", "object_as_mapping")
    if any(getattr(type(serializer), step) is not getattr(NamedTupleSerializer, step) for step in steps):
        return None
    if serializer.skip_when_empty_fields or serializer.skip_when_none_fields:
        return None
    renamed = getattr(kind, "__field_remap__", {})  # of a @record
    parts = {name: serialize_value(value).replace("%", "%%") for name, value in serializer.old_fields.items()}
    parts["__class__"] = serialize_value(serializer.get_storage_name())
    fields: dict[str, tuple[int, Write]] = {}
    for index, field in enumerate([renamed.get(field, field) for field in kind._fields]):
        custom = serializer.field_serializers.get(field)
        write: Write = EventTexts.of
        if isinstance(custom, MetadataFieldSerializer):
            write = EventTexts._metadata_entries
        elif custom is not None:
            return None
        elif kind is DagsterEvent and field == "logging_tags":
            write = EventTexts._tags
        name = serializer.storage_field_names.get(field, field)
        parts[name], fields[name] = "%s", (index, write)
    template = ", ".join(f"{serialize_value(name)}: {parts[name]}" for name in sorted(parts))
    return _Layout(issubclass(kind, _SHARED), f"{{{template}}}", [fields[name] for name in sorted(fields)])


# Making events ----------------------------------------------------------------------------------------------


def recorded(context: AssetExecutionContext, evaluations: Iterable[AssetCheckEvaluation]) -> Iterator[DagsterEvent]:
    """Records the evaluations as if the step yielded each of them; it yields what comes from here instead.

    A blocking check that fails does not end the step by itself: whoever calls this says so by a Failure.
    """
    # Yielded one by one, each would pass a dozen generators and set the handlers of signals four times. What
    # `context.log_event` records, Dagster takes along with whatever the step yields next.
    events: list[DagsterEvent] = context.op_execution_context._events
    log, first = context.get_step_execution_context().log, {}
    heard = _heard_elsewhere(log, logging.DEBUG)
    for evaluation in evaluations:
        kind = (evaluation.asset_key, evaluation.check_name, evaluation.passed, evaluation.description)
        if heard or kind not in first:
            context.log_event(evaluation)  # Dagster's documentation does not say so, but it takes evaluations
            first[kind] = events[-1]
        else:
            event = first[kind]._replace(event_specific_data=evaluation)
            events.append(event)
            context.instance.handle_new_event(_entry(log, event))
    if events:
        yield events.pop()


def _entry(log: DagsterLogManager, event: DagsterEvent) -> EventLogEntry:
    """What the log manager makes of a step's event."""
    known = log.metadata
    return EventLogEntry(
        error_info=None,
        level=logging.DEBUG,
        user_message=event.message,
        run_id=known["run_id"],
        timestamp=time.time(),
        step_key=known["step_key"],
        job_name=known["job_name"],
        dagster_event=event,
    )


def _heard_elsewhere(log: DagsterLogManager, level: int) -> bool:
    """Whether anything but the event log takes what is logged at this level."""
    handler = log._dagster_handler
    handlers = [each for each in handler._handlers if not isinstance(each, _EventListenerLogHandler)]
    return (
        log.handlers != [handler]
        or any(each.level <= level for each in handlers)
        or any(logger.isEnabledFor(level) for logger in handler._loggers)
    )


def add_metadata_of_partitions(context: AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """`context.add_asset_metadata` for each partition key; each call of that copies all that was added before."""
    strangers = metadata.keys() - set(context.partition_keys)
    if strangers:
        raise ValueError(f"metadata is given for partitions that this run does not make: {sorted(strangers)}")
    step = context.get_step_execution_context()
    known = dict(step._metadata_accumulator.per_output_metadata)
    for partition, added in metadata.items():
        handle = AssetMetadataHandle(asset_key=context.asset_key, partition_key=partition)
        known[handle] = {**known.get(handle, {}), **added}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)


class SharedMetadata:
    """Metadata as Dagster's events hold it, in which equal texts and numbers are one object: made and written once."""

    def __init__(self) -> None:
        self._values: dict[tuple[type, Any], MetadataValue[Any]] = {}

    def of(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What can be given to an event in place of the metadata."""
        return {name: self._value(value) if type(value) in (str, int) else value for name, value in metadata.items()}

    def _value(self, value: Any) -> MetadataValue[Any]:
        kind = (type(value), value)
        if kind not in self._values:
            self._values[kind] = MetadataValue.text(value) if type(value) is str else MetadataValue.int(value)
        return self._values[kind]


# Partitions -------------------------------------------------------------------------------------------------


def count_months() -> None:
    """From now on Dagster counts months, and weeks, back and forth where it would walk through them one by one.

    A table that reads every month so far reaches back past any calendar: 600 months, which Dagster walks for each table
    that is read, each time it is asked; of all that it does for a monthly table this would be three quarters.
    """
    walk = time_window._offsetted_datetime
    if hasattr(walk, "__wrapped__"):  # the definitions are loaded once more
        return

    @wraps(walk)
    def count(partitions_def: TimeWindowPartitionsDefinition, dt: datetime, offset: int) -> datetime:
        times = (dt.weekday(), dt.hour, dt.minute, dt.second, dt.microsecond)
        of_weeks = partitions_def.cron_schedule == "0 0 * * 1" and partitions_def.timezone == "UTC"
        if of_weeks and times == (0, 0, 0, 0, 0) and partitions_def.exclusions is None:
            return dt + timedelta(weeks=offset)
        months = dt.year * 12 + dt.month - 1 + offset
        plain = partitions_def.cron_schedule == "0 0 1 * *" and partitions_def.timezone == "UTC"
        begins = (dt.day, dt.hour, dt.minute, dt.second, dt.microsecond) == (1, 0, 0, 0, 0)
        if not (plain and begins and partitions_def.exclusions is None and MINYEAR * 12 <= months <= MAXYEAR * 12):
            return walk(partitions_def, dt, offset)
        return dt.replace(year=months // 12, month=months % 12 + 1)

    time_window._offsetted_datetime = count
