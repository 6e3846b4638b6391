"""Who hears of what, when and how: the TOML file that RETAIL_ALERTS names, read and checked at start-up.

The file holds no secret: URLs, passwords and keys are in environment variables that it names. docs/alerts.md shows
every key. Whatever cannot be used raises SettingError, which names the file and the key and shows no secret.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from retail_assets.operations.alerts.problems import Kind, Severity, Timing
from retail_assets.settings import SettingError, located

VARIABLE = "RETAIL_ALERTS"

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True)
class Http:
    """Where messages are posted. The URL is a secret: whoever knows it can post."""

    url: str = field(repr=False)
    signing_key: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown to anyone."""
        parts = urlsplit(self.url)
        inner = [f"{parts.path}?{parts.query}", parts.path, parts.query, parts.password or ""]
        inner += [part for part in parts.path.split("/") if len(part) >= 16]
        return (self.url, *[part for part in inner if len(part) > 1], *filter(None, [self.signing_key]))


@dataclass(frozen=True)
class Mail:
    """By which server, from whom, to whom."""

    host: str
    port: int
    security: str
    sender: str
    recipients: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown to anyone."""
        return (self.password,) if self.password else ()


@dataclass(frozen=True)
class Channel:
    """One place that messages go to."""

    name: str
    kind: str
    target: Http | Mail


@dataclass(frozen=True)
class Route:
    """Which problems go to which channels. A selection that is empty lets everything through."""

    channels: tuple[str, ...]
    severities: frozenset[Severity]
    kinds: frozenset[Kind]
    groups: frozenset[str]
    owners: frozenset[str]

    def takes(self, kind: Kind, severity: Severity, groups: Collection[str], owners: Collection[str]) -> bool:
        """Whether a problem of assets in these groups, with these owners, goes this way."""
        return (
            (not self.severities or severity in self.severities)
            and (not self.kinds or kind in self.kinds)
            and (not self.groups or not self.groups.isdisjoint(groups))
            and (not self.owners or not self.owners.isdisjoint(owners))
        )


@dataclass(frozen=True)
class QuietHours:
    """When warnings wait: from start to end, over midnight if the end is earlier, and on whole days of the week."""

    start: time
    end: time
    zone: ZoneInfo
    whole_days: frozenset[int]

    def __call__(self, now: float) -> bool:
        """Whether this moment (seconds since 1970) is quiet."""
        local = datetime.fromtimestamp(now, tz=UTC).astimezone(self.zone)
        if local.weekday() in self.whole_days:
            return True
        clock = local.time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


@dataclass(frozen=True)
class AlertSettings:
    """The file, checked."""

    channels: tuple[Channel, ...]
    routes: tuple[Route, ...]
    timing: Timing
    check_every_seconds: int
    still_failed_hours: float
    runbook: str

    def routes_of(self, channel: str) -> list[Route]:
        """The ways that lead to a channel."""
        return [route for route in self.routes if channel in route.channels]

    def check_names(self, groups: Collection[str], owners: Collection[str]) -> None:
        """Raises SettingError for a route of a group or an owner that no table has."""
        for number, route in enumerate(self.routes, 1):
            for key, named, known in (("groups", route.groups, groups), ("owners", route.owners, owners)):
                if unknown := sorted(named - set(known)):
                    raise SettingError(
                        f"{VARIABLE}: routes, number {number}: {key}: no table has {', '.join(unknown)}. "
                        f"There are: {', '.join(sorted(known))}."
                    )


def read_alerts(environment: Mapping[str, str]) -> AlertSettings | None:
    """The settings of alerts; None where RETAIL_ALERTS is not set. Raises SettingError."""
    named = environment.get(VARIABLE, "").strip()
    if not named:
        return None
    path = Path(located(named))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{VARIABLE}={named!r} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{VARIABLE}={named!r} is not TOML: {error}.") from None
    top = _Section(f"{VARIABLE}={named!r}", content, environment)
    tables = top.sections("channels")
    if not tables:
        raise top.wrong("channels", "there is none: add a table such as [channels.office]")
    channels = tuple(_channel(name, section) for name, section in tables.items())
    routes = tuple(_route(section, [channel.name for channel in channels]) for section in top.list_of("routes"))
    for channel in channels:
        if routes and not any(channel.name in route.channels for route in routes):
            raise top.wrong(f"channels.{channel.name}", "no route leads to it: name it in a [[routes]], or take it out")
    settings = AlertSettings(
        channels=channels,
        routes=routes or (Route(tuple(tables), frozenset(), frozenset(), frozenset(), frozenset()),),
        timing=Timing(
            gather_seconds=top.number("gather_seconds", 20, least=0),
            further_seconds=60 * top.number("further_minutes", 15, least=0),
            is_quiet=_quiet_hours(top.section("quiet_hours")) if "quiet_hours" in content else Timing.is_quiet,
        ),
        check_every_seconds=int(top.number("check_every_seconds", 30, least=1)),
        still_failed_hours=top.number("still_failed_hours", 24, least=0),
        runbook=top.text("runbook", "docs/runbook.md"),
    )
    top.nothing_else()
    return settings


class _Section:
    """A table of the file; every value is asked for by key, and what was not asked for is refused in the end."""

    def __init__(self, place: str, content: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.place, self.content, self.environment = place, content, environment
        self.asked: set[str] = set()
        self.inner: list[_Section] = []

    def wrong(self, key: str, what: str) -> SettingError:
        return SettingError(f"{self.place}: {key}: {what}.")

    def _value(self, key: str, default: Any, kinds: tuple[type, ...], wanted: str) -> Any:
        self.asked.add(key)
        value = self.content.get(key, default)
        if value is None:
            raise self.wrong(key, f"is missing: {wanted}")
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.wrong(key, f"{value!r} is not {wanted}")
        return value

    def text(self, key: str, default: str | None = None, wanted: str = "a text") -> str:
        value = str(self._value(key, default, (str,), wanted)).strip()
        if not value:
            raise self.wrong(key, f"is empty: {wanted}")
        return value

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        wanted = f"one of {', '.join(choices)}"
        value = self.text(key, default, wanted)
        if value not in choices:
            raise self.wrong(key, f"{value!r} is not {wanted}")
        return value

    def number(self, key: str, default: float, least: float) -> float:
        value = self._value(key, default, (int, float), "a number")
        if not least <= value < float("inf"):
            raise self.wrong(key, f"{value!r} is not a number from {least} on")
        return value

    def texts(self, key: str, default: list[str] | None = None, choices: Collection[str] = ()) -> list[str]:
        values = self._value(key, default, (list,), "a list of texts")
        for value in values:
            if not isinstance(value, str) or not value.strip():
                raise self.wrong(key, f"{value!r} is not a text")
            if choices and value not in choices:
                raise self.wrong(key, f"{value!r} is not one of {', '.join(choices)}")
        return values

    def secret(self, key: str, default: str | None = None) -> str:
        """The value of the environment variable that the key names."""
        variable = self.text(key, default, "the name of an environment variable")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            # The value is not shown: someone may have written the secret itself.
            raise self.wrong(key, "is not the name of an environment variable; secrets do not belong into this file")
        value = self.environment.get(variable, "").strip()
        if not value:
            raise self.wrong(key, f"the environment variable {variable} is not set")
        return value

    def section(self, key: str) -> "_Section":
        content = self._value(key, {}, (dict,), "a table")
        inner = _Section(f"{self.place}: {key}", content, self.environment)
        self.inner.append(inner)
        return inner

    def sections(self, key: str) -> dict[str, "_Section"]:
        tables = self._value(key, {}, (dict,), "tables")
        found = {}
        for name, content in tables.items():
            if not isinstance(content, dict):
                raise self.wrong(f"{key}.{name}", "is not a table")
            found[name] = _Section(f"{self.place}: {key}.{name}", content, self.environment)
        self.inner.extend(found.values())
        return found

    def list_of(self, key: str) -> list["_Section"]:
        tables = self._value(key, [], (list,), "a list of tables")
        found = []
        for number, content in enumerate(tables, 1):
            if not isinstance(content, dict):
                raise self.wrong(key, "is not a list of tables: write [[routes]]")
            found.append(_Section(f"{self.place}: {key}, number {number}", content, self.environment))
        self.inner.extend(found)
        return found

    def nothing_else(self) -> None:
        """Raises SettingError for a key that nothing asked for."""
        for key in self.content:
            if key not in self.asked:
                raise self.wrong(key, f"is not known here. There are: {', '.join(sorted(self.asked))}")
        for inner in self.inner:
            inner.nothing_else()


def _channel(name: str, section: _Section) -> Channel:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SettingError(f"{section.place}: a channel's name is lower-case letters, digits and underscores.")
    kind = section.choice("kind", tuple(_TARGETS))
    return Channel(name, kind, _TARGETS[kind](section))


def _chat(section: _Section) -> Http:
    return Http(_url(section, ("https",)), ca_file=_ca_file(section))


def _webhook(section: _Section) -> Http:
    key = section.secret("signing_key_from") if "signing_key_from" in section.content else None
    section.asked.add("signing_key_from")
    if key is not None and len(key) < 16:
        raise section.wrong("signing_key_from", "the key is shorter than 16 characters, too short to sign with")
    return Http(_url(section, ("https", "http")), key, _ca_file(section))


def _url(section: _Section, schemes: tuple[str, ...]) -> str:
    url = section.secret("url_from")
    try:
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        usable = bool(parts.hostname) and (parts.scheme in schemes or (local and parts.scheme == "http"))
        _ = parts.port
    except ValueError:
        usable = False
    if not usable or not url.isascii() or re.search(r"\s", url):
        raise section.wrong("url_from", f"the variable it names holds no {' or '.join(schemes)} URL")
    return url


def _ca_file(section: _Section) -> str | None:
    section.asked.add("ca_file")
    if "ca_file" not in section.content:
        return None
    path = located(section.text("ca_file", wanted="a path"))
    if not Path(path).is_file():
        raise section.wrong("ca_file", f"{path} is not there")
    return path


def _mail(section: _Section) -> Mail:
    security = section.choice("security", tuple(DEFAULT_PORTS), "starttls")
    port = section.number("port", DEFAULT_PORTS[security], least=1)
    if port != int(port) or port > 65535:
        raise section.wrong("port", f"{port!r} is no port")
    logs_in = "user" in section.content or "password_from" in section.content
    section.asked |= {"user", "password_from"}
    if logs_in and security == "none":
        raise section.wrong("security", "'none' would send the password in the clear: use starttls or tls")
    return Mail(
        host=section.text("host", wanted="the name of a mail server"),
        port=int(port),
        security=security,
        sender=_address(section, "from", section.text("from", wanted="a mail address")),
        recipients=_addresses(section, "to"),
        user=section.text("user", wanted="who logs in, as there is a password") if logs_in else None,
        password=section.secret("password_from") if logs_in else None,
        ca_file=_ca_file(section),
    )


def _addresses(section: _Section, key: str) -> tuple[str, ...]:
    addresses = section.texts(key)
    if not addresses:
        raise section.wrong(key, "is empty: a list of mail addresses")
    return tuple(_address(section, key, address) for address in addresses)


def _address(section: _Section, key: str, value: str) -> str:
    if not re.fullmatch(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+", value):
        raise section.wrong(key, f"{value!r} is no mail address")
    return value


_TARGETS: Mapping[str, Callable[[_Section], Http | Mail]] = {
    "slack": _chat,
    "teams": _chat,
    "email": _mail,
    "webhook": _webhook,
}


def _route(section: _Section, channels: list[str]) -> Route:
    severities = {severity.name.lower(): severity for severity in Severity}
    kinds = {kind.value: kind for kind in Kind}
    named = section.texts("channels", choices=channels)
    if not named:
        raise section.wrong("channels", "is empty: name at least one")
    return Route(
        channels=tuple(named),
        severities=frozenset(severities[name] for name in section.texts("severities", [], tuple(severities))),
        kinds=frozenset(kinds[name] for name in section.texts("kinds", [], tuple(kinds))),
        groups=frozenset(section.texts("groups", [])),
        owners=frozenset(section.texts("owners", [])),
    )


def _quiet_hours(section: _Section) -> QuietHours:
    zone = section.text("timezone", "UTC")
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise section.wrong("timezone", f"{zone!r} is no time zone such as Europe/London") from None
    return QuietHours(
        _clock(section, "from"),
        _clock(section, "to"),
        found,
        frozenset(WEEKDAYS.index(day) for day in section.texts("whole_days", [], WEEKDAYS)),
    )


def _clock(section: _Section, key: str) -> time:
    value = section.text(key, "00:00")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise section.wrong(key, f"{value!r} is no time of day such as '22:00'")
    return time.fromisoformat(value)
