"""From a message to an event, and from an event to rows as those of a drop. Runs on the driver and in workers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, cast

import pyarrow as pa

from retail_assets.landing.dates import Dates
from retail_assets.landing.drop_reader import raw_schema
from retail_assets.landing.layout import SourceLayout
from retail_assets.streaming.event_form import ORDER, EventForm

PROBLEM = "problem"
"""Under this name `extra_columns` of a malformed row says why it is none."""

TOMBSTONE, NO_TEXT, NO_JSON = "a tombstone: no value", "no text in UTF-8", "no JSON"
NO_OBJECT, NO_DATE, NO_ITEMS = "JSON, but no object", "no date that can be read", "an order without items"

_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ROWS_AT_ONCE = 20_000


class NotAnEvent(ValueError):
    """Why a message is none."""


def _constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_constant)
"""Numbers stay as they are written: 2.50 is not 2.5."""

_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode


def event_of(value: bytes | str | None) -> dict[str, Any]:
    """The object that a message holds, numbers as texts. Raises NotAnEvent."""
    if not value:
        raise NotAnEvent(TOMBSTONE)
    try:
        text = value if isinstance(value, str) else value.decode()
        found = _DECODER.decode(text)
        if _LONE_SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeError:
        raise NotAnEvent(NO_TEXT) from None
    except (ValueError, RecursionError):
        raise NotAnEvent(NO_JSON) from None
    if not isinstance(found, dict):
        raise NotAnEvent(NO_OBJECT)
    return found


def as_text(value: bytes | None) -> str | None:
    """Bytes as a person can read them, and as they can be told from each other."""
    return None if value is None else value.decode("utf-8", "backslashreplace")


def flat(fields: Mapping[str, Any], left_out: str = "") -> dict[str, str | None]:
    """The fields by name, those of objects within as `outer.inner`; nothing and "" are None, as an empty field of a
    file is; lists stay JSON."""
    if all(value.__class__ is str for value in fields.values()) and "" not in fields.values():
        return cast("dict[str, str | None]", fields)
    found: dict[str, str | None] = {}
    for name, value in fields.items():
        if isinstance(value, str):
            found[name] = value or None
        elif isinstance(value, dict):
            found |= {f"{name}.{inner}": text for inner, text in flat(value).items()}
        elif name != left_out:
            found[name] = None if value is None else json.dumps(value, ensure_ascii=False)
    return found


class Told(NamedTuple):
    """What says the day of an event, what it is about, the source's version of it, and fields that nobody knows."""

    date: str | None
    key: str | None
    version: int | None
    unknown: str | None


class EventReader:
    """Reads one shop's events. Remembers which fields it has seen, as most messages have the same."""

    def __init__(self, layout: SourceLayout, form: EventForm) -> None:
        self._layout, self._form = layout, form
        self._columns: dict[tuple[str, ...], tuple[str | None, ...]] = {}
        self._items: dict[str, str] = {}
        self._named = {*form.key, form.version}
        self._plans: dict[tuple[str, ...], tuple[str | None, list[str]]] = {}
        self._dates = _EventDates(layout)

    def lines(self, event: Mapping[str, Any]) -> list[dict[str, str | None]]:
        """The fields of each invoice line of an event. Raises NotAnEvent for an order without any."""
        if self._form.form != ORDER:
            return [flat(event)]
        items = event.get(self._form.items)
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise NotAnEvent(NO_ITEMS)
        order = flat(event, self._form.items)
        return [order | {self._of_item(name): text for name, text in flat(item).items()} for item in items]

    def _of_item(self, name: str) -> str:
        """What a field of an item goes by: `items.price` where that, or nothing, is known."""
        if name not in self._items:
            whole = f"{self._form.items}.{name}"
            bare = not self._layout.recognised(whole) and self._layout.recognised(name)
            self._items[name] = name if bare else whole
        return self._items[name]

    def columns(self, names: tuple[str, ...]) -> tuple[str | None, ...]:
        """Our name of each field; None for those that the layout does not know."""
        if names not in self._columns:
            self._columns[names] = self._layout.columns_of(names)
        return self._columns[names]

    def known(self, fields: Mapping[str, str | None]) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """The values of our columns, and those of fields that neither the layout nor key and version name."""
        names = self.columns(tuple(fields))
        pairs = list(zip(names, fields.items(), strict=True))
        ours = {column: text for column, (_, text) in pairs if column}
        return ours, {name: text for column, (name, text) in pairs if not column and name not in self._named}

    def landing(self, event: Mapping[str, Any]) -> "Told":
        """What is to be known of an event without reading it again. Raises NotAnEvent."""
        lines = self.lines(event)
        names = [tuple(fields) for fields in lines]
        for each in names:
            if each not in self._plans:
                columns = self.columns(each)
                date = columns.index(self._layout.date_column) if self._layout.date_column in columns else None
                unknown = [n for column, n in zip(columns, each, strict=True) if not column and n not in self._named]
                self._plans[each] = (None if date is None else each[date], unknown)
        date_field = self._plans[names[0]][0]
        unknown = self._plans[names[0]][1]
        if len(lines) > 1:
            unknown = list(dict.fromkeys(name for each in names for name in self._plans[each][1]))
        whole = lines[0] if self._form.form != ORDER else flat(event, self._form.items)
        key = _AS_JSON([whole.get(name) for name in self._form.key]) if self._form.key else None
        version = _version(whole.get(self._form.version)) if self._form.version else None
        return Told(lines[0][date_field] if date_field else None, key, version, ", ".join(unknown) or None)

    def days(self, texts: Sequence[str | None]) -> list[date | None]:
        """The day of each text in the shop's time zone; None for what cannot be read."""
        return self._dates.of(texts)


def _version(text: str | None) -> int | None:
    """A number, or a moment in microseconds, for comparing."""
    if text is None:
        return None
    return int(text) if re.fullmatch("-?[0-9]{1,18}", text) else _microseconds(text)


def _microseconds(moment: str) -> int | None:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1_000_000)


class _EventDates(Dates):
    """Dates of events: there is no file that would tell 1/2 from 2/1, so that has to be declared."""

    def __init__(self, layout: SourceLayout) -> None:
        from retail_assets.partitions.calendar import current_day

        super().__init__(None, layout, current_day())  # type: ignore[arg-type]  # it is asked for its file's dates only

    def of(self, texts: Sequence[str | None]) -> list[date | None]:
        """The day of each text."""
        return [date.fromordinal(day) if day else None for day in self.days(pa.array(texts, pa.string())).tolist()]

    def _written(self, text: str) -> int:
        return super()._written(text) if self._layout.dialect.day_first is not None else 0


def rows_of(messages: Iterable[Mapping[str, Any]], layout: SourceLayout, form: EventForm) -> Iterator[pa.RecordBatch]:
    """The rows of landed messages, as `raw_schema`: `source_file` names topic and partition, `line_number` the offset.

    A message that is no event is a malformed row, its reason in `extra_columns`.
    """
    reader, schema = EventReader(layout, form), raw_schema(layout)
    rows: list[dict[str, Any]] = []
    for message in messages:
        rows += _rows(reader, message)
        if len(rows) >= _ROWS_AT_ONCE:
            yield pa.RecordBatch.from_pylist(rows, schema)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema)


def _rows(reader: EventReader, message: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = {"line_number": message["offset"], "source_file": file_of(message["topic"], message["partition"])}
    problem = message["problem"]
    if problem is None:
        try:
            found = [reader.known(fields) for fields in reader.lines(event_of(message["value"]))]
        except NotAnEvent as reason:
            problem = str(reason)
        else:
            return [{**ours, "extra_columns": list(extra.items()) or None, **told} for ours, extra in found]
    text = message["value"]
    return [{"malformed_line": "" if text is None else text, "extra_columns": [(PROBLEM, problem)], **told}]


def file_of(topic: str, partition: int) -> str:
    """What rows of a partition name as their file."""
    return f"kafka:{topic}/{partition}"
