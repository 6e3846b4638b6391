"""What a message says, and its form for each kind of channel. Pure.

A message is a digest: one item per topic (a check of a table, a failed step of a table …) with its partitions, failures
first. Forms that people read show the first SHOWN_ITEMS; the webhook's JSON has up to MOST_ITEMS.
"""

import hashlib
import html
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote

from retail_assets.operations.alerts.problems import Kind, Problem, Problems, Severity, Subject

SHOWN_ITEMS = 10
MOST_ITEMS = 200
SHOWN_PARTITIONS = 4
MOST_PARTITIONS = 1000

# Slack refuses a section above 3,000 characters and a header above 150; Teams a message above 28 KB.
SLACK_HEADER, SLACK_SECTION, TEAMS_CARD_BYTES, LONGEST_LINE = 150, 2900, 24_000, 400


@dataclass(frozen=True)
class GraphAsset:
    """What the graph knows of an asset."""

    group: str
    owners: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
    """All that is made from it, directly or not."""


Graph = Mapping[str, GraphAsset]


@dataclass(frozen=True)
class Links:
    """Where the UI and the runbook are."""

    ui: str
    runbook: str

    def asset(self, asset: str, kind: Kind, name: str) -> str:
        """The page of an asset that shows what is wrong: its checks, its partitions or its overview."""
        path = "/".join(quote(part, safe="") for part in asset.split("/"))
        view = {
            Kind.CHECK: f"checks&checkDetail={quote(name, safe='')}",
            Kind.FRESHNESS: "overview",
        }.get(kind, "partitions&status=FAILED")
        return f"{self.ui}/assets/{path}?view={view}"

    def run(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.ui}/runs/{quote(run_id, safe='')}"

    def entry(self, anchor: str) -> str:
        """An entry of the runbook."""
        return f"{self.runbook}#{anchor}"


FAILED, RECOVERED, PASSED_BY = "failed", "recovered", "failed and recovered"


@dataclass(frozen=True)
class Item:
    """What is said of one topic."""

    status: str
    kind: Kind
    severity: Severity
    assets: tuple[str, ...]
    name: str
    partitions: tuple[str, ...]
    partition_count: int
    since: float
    until: float | None
    facts: Mapping[str, str]
    blocks: tuple[str, ...]
    asset_url: str
    run_url: str
    runbook: str
    groups: tuple[str, ...]
    owners: tuple[str, ...]

    @property
    def what(self) -> str:
        """The topic in a few words."""
        where = ", ".join(self.assets[:3]) + (f" and {len(self.assets) - 3} more" if len(self.assets) > 3 else "")
        return {
            Kind.CHECK: f"{where}: check {self.name}",
            Kind.RUN: f"{where}: run" if where else f"job {self.name}: run",
            Kind.FRESHNESS: f"{where}: freshness",
            Kind.STILL_FAILED: f"{where}: partitions that stayed failed",
        }[self.kind]

    @property
    def verdict(self) -> str:
        """What became of it."""
        if self.status != FAILED:
            return self.status
        return {
            Kind.CHECK: "failed" if self.severity is Severity.ERROR else "warned",
            Kind.RUN: "failed",
            Kind.FRESHNESS: "missed" if self.severity is Severity.ERROR else "close to being missed",
            Kind.STILL_FAILED: "still failed",
        }[self.kind]

    @property
    def partitions_text(self) -> str:
        """The partitions, or the first, the last and how many."""
        if self.partition_count <= SHOWN_PARTITIONS:
            return ", ".join(self.partitions)
        return f"{self.partition_count:,} partitions, {self.partitions[0]} to {self.partitions[-1]}"

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Label and text of all there is to say beside the headline."""
        said = []
        if self.partitions:
            said.append(("Partition" if self.partition_count == 1 else "Partitions", self.partitions_text))
        if self.status == FAILED:
            said += _how_bad(self.facts)
        said.append(("Since", _moment(self.since)))
        if self.until is not None:
            said.append(("Until", _moment(self.until)))
        if self.status == FAILED:
            said.append(("Blocks", ", ".join(self.blocks) or "nothing"))
        return [(label, _cut(text, LONGEST_LINE)) for label, text in said]

    @property
    def links(self) -> list[tuple[str, str]]:
        """Label and address of all there is to open."""
        found = [("Asset", self.asset_url), ("Run", self.run_url), ("Runbook", self.runbook)]
        return [(label, address) for label, address in found if address]


def _how_bad(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    said = []
    if "observed" in facts:
        bounds = " to ".join(facts.get(bound) or "…" for bound in ("lower", "upper"))
        said.append(("Observed", facts["observed"] + (f", allowed {bounds}" if bounds != "… to …" else "")))
    said += [(label, facts[key]) for key, label in (("explanation", "Why"), ("details", "Details")) if facts.get(key)]
    return said


@dataclass(frozen=True)
class Message:
    """A digest. Its id is the same when the same is said again, so that a repeat can be known as one."""

    id: str
    title: str
    items: tuple[Item, ...]
    omitted: int = field(default=0)

    @property
    def severity(self) -> Severity | None:
        """The worst failure in it; None if it only tells of recoveries."""
        return max((item.severity for item in self.items if item.status == FAILED), default=None)


def compose(due: Problems, graph: Graph, links: Links) -> Message:
    """The message that tells of these problems."""
    topics: dict[tuple[Any, ...], list[tuple[Subject, Problem]]] = {}
    for subject, problem in due.items():
        topics.setdefault((_status(problem), problem.severity, subject.topic), []).append((subject, problem))
    order = [FAILED, PASSED_BY, RECOVERED]
    ranked = sorted(topics.items(), key=lambda topic: (order.index(topic[0][0]), -topic[0][1], topic[0][2]))
    items = [_item(status, members, graph, links) for (status, _, _), members in ranked]
    said = sorted(
        [*_key(subject), _status(problem), problem.severity.value, problem.since, problem.recovered]
        for subject, problem in due.items()
    )
    return Message(
        hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32],
        _title(items),
        tuple(items[:MOST_ITEMS]),
        max(0, len(items) - MOST_ITEMS),
    )


def _key(subject: Subject) -> list[str]:
    return [subject.kind.value, ",".join(subject.assets), subject.name, subject.partition or ""]


def _status(problem: Problem) -> str:
    if problem.recovered is None:
        return FAILED
    return RECOVERED if problem.told is not None else PASSED_BY


def _item(status: str, members: list[tuple[Subject, Problem]], graph: Graph, links: Links) -> Item:
    subject, newest = max(members, key=lambda member: member[1].since)
    known = [graph[asset] for asset in subject.assets if asset in graph]
    partitions = sorted({each.partition for each, _ in members if each.partition is not None})
    shown = partitions if len(partitions) <= MOST_PARTITIONS else [*partitions[: MOST_PARTITIONS - 1], partitions[-1]]
    stops = subject.kind is not Kind.CHECK or newest.facts.get("blocking") == "yes"
    blocked = {name for asset in known for name in asset.downstream} - set(subject.assets) if stops else set()
    return Item(
        status=status,
        kind=subject.kind,
        severity=newest.severity,
        assets=subject.assets,
        name=subject.name,
        partitions=tuple(shown),
        partition_count=len(partitions),
        since=min(problem.since for _, problem in members),
        until=None if status == FAILED else max(problem.recovered or 0 for _, problem in members),
        facts=newest.facts,
        blocks=tuple(sorted(blocked)),
        asset_url=links.asset(subject.assets[0], subject.kind, subject.name) if subject.assets else "",
        run_url=links.run(newest.run_id) if newest.run_id else "",
        runbook=links.entry(runbook_anchor(subject.kind, newest.severity, newest.facts.get("family"))),
        groups=tuple(sorted({asset.group for asset in known})),
        owners=tuple(sorted({owner for asset in known for owner in asset.owners})),
    )


def runbook_anchor(kind: Kind, severity: Severity, family: str | None) -> str:
    """The entry of docs/runbook.md for an alert: the family's for a check that names one, else the kind's."""
    if kind is Kind.CHECK and family:
        return f"check-family-{'-'.join(family.lower().replace('_', ' ').split())}"
    return {
        Kind.CHECK: "check-failed" if severity is Severity.ERROR else "check-warned",
        Kind.RUN: "run-failed",
        Kind.FRESHNESS: "freshness-missed",
        Kind.STILL_FAILED: "partitions-still-failed",
    }[kind]


def _title(items: list[Item]) -> str:
    failures = [item for item in items if item.status == FAILED]
    others = items[len(failures) :]
    worst = max((item.severity for item in failures), default=None)
    label = f"{worst.name}: " if worst else ""
    if len(items) == 1:
        (item,) = items
        partitions = f" for {item.partitions_text}" if item.partitions else ""
        label = label or f"{'RECOVERED' if item.status == RECOVERED else 'PASSED BY'}: "
        return _cut(f"{label}{item.what} {item.verdict}{partitions}", LONGEST_LINE)
    counts = []
    if failures:
        counts.append(f"{len(failures)} problem{'s' if len(failures) > 1 else ''}")
    for status, word in ((RECOVERED, "recovered"), (PASSED_BY, "failed and recovered meanwhile")):
        if number := sum(item.status == status for item in others):
            counts.append(f"{number} {word}")
    tables = list(dict.fromkeys(asset for item in items for asset in item.assets))
    where = ", ".join(tables[:3]) + (f" and {len(tables) - 3} more" if len(tables) > 3 else "")
    return _cut(f"{label or 'RECOVERED: '}{', '.join(counts)}{f' in {where}' if where else ''}", LONGEST_LINE)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cut(text: str, longest: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= longest else f"{one_line[: longest - 1]}…"


def _left_out(message: Message, shown: int = SHOWN_ITEMS) -> str:
    number = len(message.items) - shown + message.omitted
    return f"… and {number:,} more; the Dagster UI shows them all." if number > 0 else ""


# Forms ---------------------------------------------------------------------------------------------------------------


def as_text(message: Message) -> str:
    """Plain text."""
    blocks = []
    for item in message.items[:SHOWN_ITEMS]:
        lines = [f"{_heading(item)}"]
        lines += [f"  {label}: {text}" for label, text in item.lines]
        lines += [f"  {label}: {address}" for label, address in item.links]
        blocks.append("\n".join(lines))
    return "\n\n".join([message.title, *blocks, *filter(None, [_left_out(message)])]) + "\n"


def _heading(item: Item) -> str:
    label = item.severity.name if item.status == FAILED else item.status.upper()
    return f"{label} {item.what}" + (f" {item.verdict}" if item.status == FAILED else "")


def as_email(message: Message, sender: str, recipients: Collection[str], now: float) -> EmailMessage:
    """A mail in plain text and HTML; a repeat has the same Message-ID."""
    mail = EmailMessage()
    mail["Subject"] = _cut(message.title, 200)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = datetime.fromtimestamp(now, tz=UTC)
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(as_text(message))
    mail.add_alternative(_as_html(message), subtype="html")
    return mail


def _as_html(message: Message) -> str:
    parts = [f"<p><strong>{html.escape(message.title)}</strong></p>"]
    for item in message.items[:SHOWN_ITEMS]:
        rows = "".join(
            f"<tr><th align='left' valign='top'>{html.escape(label)}</th><td>{html.escape(text)}</td></tr>"
            for label, text in item.lines
        )
        links = " · ".join(
            f"<a href='{html.escape(address)}'>{label}</a>"
            if address.startswith("http")
            else html.escape(f"{label}: {address}")
            for label, address in item.links
        )
        parts.append(f"<h3>{html.escape(_heading(item))}</h3><table>{rows}</table><p>{links}</p>")
    parts += [f"<p>{text}</p>" for text in [_left_out(message)] if text]
    return f"<!doctype html><html><body style='font-family: sans-serif'>{''.join(parts)}</body></html>"


def as_slack(message: Message) -> dict[str, Any]:
    """For a Slack incoming webhook: blocks, and a text for notifications."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(message.title, SLACK_HEADER)}}
    ]
    for item in message.items[:SHOWN_ITEMS]:
        lines = [f"*{_slack_escaped(_heading(item))}*"]
        lines += [f"*{label}:* {_slack_escaped(text)}" for label, text in item.lines]
        links = " · ".join(
            f"<{address}|{label}>" if address.startswith("http") else _slack_escaped(f"{label}: {address}")
            for label, address in item.links
        )
        text = "\n".join(lines)
        room = SLACK_SECTION - len(links)
        blocks.append(
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": f"{text if len(text) <= room else text[:room] + '…'}\n{links}"},
            }
        )
    if left_out := _left_out(message):
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": left_out}]})
    return {"text": _slack_escaped(message.title), "blocks": blocks}


def _slack_escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_teams(message: Message) -> dict[str, Any]:
    """For a Teams workflow ("When a Teams webhook request is received"): one Adaptive Card, short enough for Teams."""
    for shown in range(SHOWN_ITEMS, 0, -1):
        card = _teams_card(message, shown)
        if len(json.dumps(card)) <= TEAMS_CARD_BYTES:
            break
    return card


def _teams_card(message: Message, shown: int) -> dict[str, Any]:
    colour = {Severity.ERROR: "attention", Severity.WARN: "warning", None: "good"}[message.severity]
    body: list[dict[str, Any]] = [
        {"type": "TextBlock", "size": "large", "weight": "bolder", "wrap": True, "color": colour}
        | {"text": _teams_escaped(message.title)}
    ]
    for item in message.items[:shown]:
        links = " · ".join(
            f"[{label}]({address})" if address.startswith("http") else _teams_escaped(f"{label}: {address}")
            for label, address in item.links
        )
        body += [
            {"type": "TextBlock", "weight": "bolder", "wrap": True, "separator": True}
            | {"text": _teams_escaped(_heading(item))},
            {"type": "FactSet", "facts": [{"title": label, "value": _teams_escaped(t)} for label, t in item.lines]},
            {"type": "TextBlock", "wrap": True, "text": links},
        ]
    if left_out := _left_out(message, shown):
        body.append({"type": "TextBlock", "wrap": True, "isSubtle": True, "text": left_out})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": {"width": "Full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _teams_escaped(text: str) -> str:
    """Adaptive Cards read a subset of Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]#" else letter for letter in text)


def as_json(message: Message, channel: str) -> dict[str, Any]:
    """For a plain webhook."""
    return {
        "id": message.id,
        "channel": channel,
        "title": message.title,
        "severity": message.severity.name if message.severity else None,
        "items": [
            {
                "status": item.status,
                "kind": item.kind.value,
                "severity": item.severity.name,
                "assets": list(item.assets),
                "name": item.name,
                "partitions": list(item.partitions),
                "partition_count": item.partition_count,
                "since": _iso(item.since),
                "until": _iso(item.until),
                "facts": {key: value for key, value in item.facts.items() if key != "blocking"},
                "blocks": list(item.blocks),
                "groups": list(item.groups),
                "owners": list(item.owners),
                "links": {label.lower(): address for label, address in item.links},
            }
            for item in message.items
        ],
        "omitted": message.omitted,
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds")
