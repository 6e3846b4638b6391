"""How things stand: what has landed, what is due and why, which checks failed or warned, how fresh each table is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterInstance, Definitions

from retail_assets.lakehouse.snapshots import Snapshot
from retail_assets.landing.drops import Drop
from retail_assets.operations.binding import Places, unattended
from retail_assets.operations.due_reasons import Due, Why
from retail_assets.operations.planning import Graph, Request, arrivals_since, looked_back, what_is_due
from retail_assets.operations.stored import Stored
from retail_assets.settings import Settings
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.source import Source
from retail_assets.sql.door import Door, NotAnswered
from retail_assets.sql.tables import quoted
from retail_assets.streaming.standing import StreamStanding, standing_of

_NOT_PASSED = """
SELECT severity, table_name, check_name, rule, not published, list(partition_key ORDER BY partition_key),
       max_by(explanation, partition_key)
FROM (FROM {results} QUALIFY evaluated_at = max(evaluated_at) OVER (PARTITION BY table_name, partition_key))
WHERE status = 'failed' GROUP BY ALL ORDER BY ALL
"""
"""Of every partition the newest verdicts."""


@dataclass(frozen=True)
class Landed:
    """What lies in a directory of the landing zone."""

    directory: str
    drops: int
    first_day: str | None
    last_day: str | None
    newest_arrival: str | None


@dataclass(frozen=True)
class NotPassed:
    """A rule that partitions of a table do not keep, by their newest verdicts, and what was found in the last of them.
    `kept_back`: they are not published as they were judged."""

    severity: str
    table: str
    check: str
    rule: str
    kept_back: bool
    partitions: Sequence[str]
    explanation: str


@dataclass(frozen=True)
class Standing:
    """A table: what it is, and how fresh."""

    table: str
    layer: str
    rows: int | None
    newest_partition: str | None
    version: int | None
    written: str | None
    description: str


@dataclass(frozen=True)
class SourceStatus:
    """How one source stands."""

    name: str
    landed: Sequence[Landed]
    due: Sequence[Due]
    not_passed: Sequence[NotPassed]
    tables: Sequence[Standing]
    stream: StreamStanding | None = None


@dataclass(frozen=True)
class Status:
    """How everything stands. `problem`: why the tables are not those that this Dagster home made; nothing is said to be
    due then, as all would be."""

    lakehouse: str
    dagster_home: str
    problem: str | None
    notices: Sequence[str]
    sources: Sequence[SourceStatus] = field(default_factory=list)


def status(
    settings: Settings, instance: DagsterInstance, definitions: Definitions, sources: Sequence[Source]
) -> Status:
    """Looks at the landing zone, the event log and the tables' own logs; changes nothing."""
    problem = unattended(instance, Places.of(settings))
    due, notices = ([], []) if problem else due_and_why(settings, instance, definitions, Request(), sources)
    return Status(
        settings.catalog or settings.lakehouse,
        instance.root_directory if instance.is_persistent else "",
        problem,
        notices,
        [
            SourceStatus(
                source.name,
                landed(settings, source),
                [each for each in due if each.table.startswith(f"{source.name}.")],
                not_passed(settings, source.name, None if problem else due),
                standings(settings, source),
                standing_of(settings.lakehouse, source.name) if source.events else None,
            )
            for source in sources
        ],
    )


def due_and_why(
    settings: Settings, instance: DagsterInstance, definitions: Definitions, request: Request, sources: Sequence[Source]
) -> tuple[list[Due], list[str]]:
    """What a run by this request would make, and why; and what people should know of what lies in the landing zone."""
    graph = Graph(list(definitions.resolve_asset_graph().assets_defs))
    arrived = arrivals(settings, instance, sources)
    past = looked_back(graph, instance, Stored(None if settings.catalog else settings.lakehouse))
    due = what_is_due(graph, past, arrivals_since(past, arrived.landed), request)
    dropped = {
        inbox.table: inbox.by_day(inbox.zone.drops(inbox.source)).keys()
        for source in sources
        for inbox in source.inboxes(settings)
    }
    return Why(graph, instance, past, due, dropped).reasons(), arrived.notices


def landed(settings: Settings, source: Source) -> list[Landed]:
    """What lies in its directories, drops outside the calendar included."""
    return [_landed(inbox.source, inbox.zone.listed(inbox.source)[0]) for inbox in source.inboxes(settings)]


def _landed(directory: str, drops: Sequence[Drop]) -> Landed:
    if not drops:
        return Landed(directory, 0, None, None, None)
    newest = max(drop.modified_ns for drop in drops) / 1e9
    return Landed(directory, len(drops), str(drops[0].day), str(drops[-1].day), _moment(newest))


def not_passed(settings: Settings, source: str, due: Sequence[Due] | None) -> list[NotPassed]:
    """Rules that are broken by the newest verdict of a partition. What was kept back and is not `due`, where that is
    known, came to nothing: its drop was put back as it was."""
    if settings.catalog:
        return []
    try:
        answer = Door(settings.lakehouse).answer(_NOT_PASSED.format(results=f"{quoted(source)}.dq_results"))
    except NotAnswered:  # nothing was judged yet
        return []
    rows: list[Any] = answer.fetchall() if answer else []
    still = None if due is None else {(each.table, partition) for each in due for partition in each.partitions}
    found = []
    for severity, table, check, rule, kept_back, partitions, explanation in rows:
        left = [each for each in partitions if not kept_back or still is None or (table, each) in still]
        if left:
            found.append(NotPassed(severity, table, check, rule, kept_back, left, explanation))
    return found


def standings(settings: Settings, source: Source) -> list[Standing]:
    """Every table of the source, in the order of the data."""
    return [_standing(settings, table) for table in source.stored]


def _standing(settings: Settings, table: Any) -> Standing:
    from deltalake.exceptions import TableNotFoundError

    from retail_assets.lakehouse.contracts import partition_column, table_name

    name = table_name(table.contract)
    layer = table.layer.name
    about = " ".join((table.contract.__doc__ or "").strip().split("\n\n")[0].split())
    try:
        if settings.catalog:
            raise TableNotFoundError
        snapshot = Snapshot("/".join([settings.lakehouse.rstrip("/"), *name]))
    except TableNotFoundError:
        return Standing(".".join(name), layer, None, None, None, None, about)
    files = snapshot.files(partition_column(table.contract))
    newest = max((file.last for file in files if file.last), default=None)
    written = snapshot.table.history(1)[0]["timestamp"] / 1000
    rows = sum(file.rows for file in files)
    return Standing(
        ".".join(name), layer, rows, str(newest) if newest else None, snapshot.version, _moment(written), about
    )


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
