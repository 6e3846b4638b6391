"""`retail history`, `retail read`, `retail restore`, `retail maintain`: what one does with tables that are there."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retail_assets.people_csv import write_rows
from retail_assets.settings import Settings

if TYPE_CHECKING:
    from retail_assets.lakehouse.contracts import Contract
    from retail_assets.sources.source import Source

_Known = TypeVar("_Known")


class Refusal(click.ClickException):
    """An error that the user can mend; shown without a traceback."""

    exit_code = 2


def by_name(table: str, known: Mapping[tuple[str, str], _Known]) -> _Known:
    """What is known under a table's name, which may be given with its source. Refuses a name that is none, or that
    tables of several sources have."""
    name, source = table.replace("/", ".").split(".")[-1], table.replace("/", ".").rpartition(".")[0]
    found = {key: value for key, value in known.items() if key[1] == name and source in ("", key[0])}
    if not found:
        near = get_close_matches(name, {key[1] for key in known}, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise Refusal(f"No table is called {table}.{meant} There are: {', '.join(sorted({key[1] for key in known}))}.")
    if len(found) > 1:
        raise Refusal(f"Several sources have a table {name}: say which, {' or '.join('.'.join(key) for key in found)}.")
    return next(iter(found.values()))


RAW = click.option("--raw", is_flag=True, help="CSV as it is: texts that a spreadsheet would run are not escaped.")
"""For a command that writes CSV for people."""

SOURCE = click.option("--source", "source", help="Of this source; needed where several have landed.")
"""For a command that is about one source."""


def one_source(settings: Settings, name: str | None) -> "Source":
    """The source of that name; without one, the only one that has landed, or the first where none has. Refuses a name
    that is none, and where it is not clear which is meant."""
    from retail_assets.landing.drops import ZoneRefused
    from retail_assets.sources.known import known_sources

    known = known_sources(settings)
    if name is not None:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise Refusal(f"No source is called {name}.{meant} There are: {', '.join(known)}.")
        return known[name]
    try:
        landed = [source for source in known.values() if source.has_landed(settings)]
    except ZoneRefused as refusal:
        raise Refusal(str(refusal)) from None
    if len(landed) > 1:
        raise Refusal(f"{', '.join(source.name for source in landed)} have landed: say which is meant, --source NAME.")
    return landed[0] if landed else next(iter(known.values()))


def stored(settings: Settings, table: str) -> "tuple[type[Contract], str]":
    """The contract of a table, by its name, and where it lies. Refuses one not made yet, or in a catalog."""
    from deltalake import DeltaTable

    from retail_assets.lakehouse.contracts import table_name
    from retail_assets.operations.erasures import Erasures
    from retail_assets.operations.pipeline_metrics import PipelineMetrics
    from retail_assets.sources.known import known_sources

    local(settings)
    sources = known_sources(settings).values()
    known: list[type[Contract]] = [
        *(found.contract for source in sources for found in source.stored),
        PipelineMetrics,
        Erasures,
    ]
    places = {table_name(found): "/".join([settings.lakehouse.rstrip("/"), *table_name(found)]) for found in known}
    made = {name: place for name, place in places.items() if DeltaTable.is_deltatable(place)}
    contracts = {table_name(found): found for found in known}
    # A name alone is that of the one table that is there.
    there = {name: contract for name, contract in contracts.items() if name in made}
    contract = by_name(table, there if any(name[1] == table for name in there) else contracts)
    if table_name(contract) not in made:
        raise Refusal(f"There is no table at {places[table_name(contract)]} yet. Make it first: retail run.")
    return contract, made[table_name(contract)]


def java_for(settings: Settings) -> None:
    """Refuses where tables are made by Spark on this machine, and there is no Java for it."""
    from retail_assets.lakehouse.engines.java import JavaMissing, require_java

    if settings.deployment == "local" and settings.engine == "spark":
        try:
            require_java()
        except JavaMissing as missing:
            raise Refusal(str(missing)) from None


def local(settings: Settings) -> None:
    """Refuses where the tables are in a catalog."""
    if settings.catalog:
        raise Refusal(
            f"The tables are in the catalog {settings.catalog}, out of reach from here: use its SELECT, DESCRIBE "
            "HISTORY (userMetadata says what was ingested), VERSION AS OF, RESTORE. The job maintenance in the UI does "
            "their upkeep."
        )


MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])
_AS_OF = click.option("--as-of", "moment", type=MOMENT, help="As it was at this time (UTC), e.g. 2026-11-20T18:00:00.")
_TABLE = click.argument("table")


@click.command()
@_TABLE
@click.option("--limit", default=20, type=click.IntRange(1), show_default=True, help="So many of the newest versions.")
@click.pass_obj
def history(settings: Settings, table: str, limit: int) -> None:
    """The versions of TABLE: when, by what operation, which partitions, how many rows, in which run."""
    from rich.console import Console
    from rich.table import Table as Grid

    from retail_assets.lakehouse.asset_metadata import asset_key
    from retail_assets.operations import time_travel

    contract, place = stored(settings, table)
    grid = Grid("version", "when (UTC)", "operation", "partitions", "rows", "run", box=None, header_style="bold")
    with instance_of_home() as instance, _refusals():
        for version in time_travel.history(instance, place, asset_key(contract), limit):
            back = "" if version.restored_from is None else f" (back to {version.restored_from})"
            grid.add_row(
                str(version.version),
                f"{version.at:%Y-%m-%d %H:%M:%S}",
                version.operation + back,
                _span(version.partitions),
                "" if version.rows is None else f"{version.rows:,}",
                version.run_id or "",
            )
    Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 200).print(grid)


def _span(partitions: list[str]) -> str:
    if len(partitions) < 3:
        return ", ".join(partitions)
    return f"{partitions[0]} … {partitions[-1]} ({len(partitions)})"


@click.command()
@_TABLE
@click.option("--version", type=click.IntRange(0), help="As it was at this version.")
@_AS_OF
@click.option("--where", help="Only rows that meet this SQL condition, e.g. \"country = 'EIRE'\".")
@click.option(
    "--limit", default=100, type=click.IntRange(0), show_default=True, help="At most so many rows; 0 for all."
)
@RAW
@click.pass_obj
def read(
    settings: Settings,
    table: str,
    version: int | None,
    moment: datetime | None,
    where: str | None,
    limit: int,
    raw: bool,
) -> None:
    """Print rows of TABLE as CSV, as they are or as they were."""
    from retail_assets.operations import time_travel

    _, place = stored(settings, table)
    with _refusals():
        rows = time_travel.read_rows(place, _version(place, version, moment), where, limit or None)
    every = (row.values() for batch in rows.to_batches(1000) for row in batch.to_pylist())
    write_rows(sys.stdout, rows.column_names, map(tuple, every), raw)


@click.command()
@_TABLE
@click.option("--version", type=click.IntRange(0), help="The version to put it back to.")
@_AS_OF
@click.option("--partition", "partitions", multiple=True, help="Only this partition, e.g. 2026-11-01; may be repeated.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def restore(
    settings: Settings,
    table: str,
    version: int | None,
    moment: datetime | None,
    partitions: tuple[str, ...],
    yes: bool,
) -> None:
    """Put the partitions of TABLE that differ back to an older version, and say what is due then.

    It is a new version, with what it replaces still in the history. What reads the table is due afterwards; partitions
    that the version did not have stay as they are.
    """
    from retail_assets.lakehouse.asset_metadata import layout
    from retail_assets.lakehouse.engines.choice import start
    from retail_assets.lakehouse.path_tables import PathTables
    from retail_assets.operations import time_travel
    from retail_assets.operations.binding import Places
    from retail_assets.operations.main_job import clear_dead_runs
    from retail_assets.operations.main_job_lock import alone
    from retail_assets.sources.known import known_sources

    java_for(settings)
    contract, place = stored(settings, table)
    own = (known for source in known_sources(settings).values() for known in source.tables)
    found = next((known for known in own if known.contract is contract), None)
    if found is None:
        raise Refusal(f"{table} is a log of what happened: it is not put back.")
    with _refusals():
        wanted = _version(place, version, moment)
        if wanted is None:
            raise click.UsageError("Say what to go back to: --version or --as-of (retail history shows the versions).")
        time_travel.must_be_there(place, wanted)
    laid_out = layout(contract)
    with instance_of_home() as instance, _refusals(), alone(instance, Places.of(settings)):
        clear_dead_runs(instance)  # or a main job that was killed would count as one in progress
        tables = PathTables(start(settings, short=True), settings.lakehouse)
        restoration = time_travel.plan_restoration(tables, found.key.path, laid_out, wanted, partitions)
        name = ".".join(found.key.path)
        if restoration.not_in_version:
            click.echo(f"Version {wanted} has nothing of {_span(restoration.not_in_version)}: left as it is.")
        if not restoration.changed:
            click.echo(f"{name} has the same rows as in version {wanted}: nothing was changed.")
            return
        click.echo(f"{name} goes back to version {wanted} in {_span(restoration.changed)}.")
        if not yes:
            click.confirm("Shall it?", abort=True)
        commit = time_travel.restore(tables, instance, restoration, laid_out)
        assert commit is not None
        click.echo(f"Done: version {commit.version}, {commit.rows:,} rows put back in {commit.seconds:.1f} s.")
        due = _due(settings, instance)
    if not due:
        click.echo("Nothing reads what was changed: nothing is due.")
        return
    click.echo("Due now, and made by the next retail run:")
    for due_key, keys in due.items():
        click.echo(f"  {'.'.join(due_key.path)}: {_span(keys)}")


def _due(settings: Settings, instance: Any) -> dict[Any, list[str]]:
    from retail_assets.definitions import defs
    from retail_assets.operations.planning import Graph, Request, due_partitions
    from retail_assets.operations.stored import Stored
    from retail_assets.sources.arrivals import arrivals
    from retail_assets.sources.known import sources_at_work

    graph = Graph(list(defs.resolve_asset_graph().assets_defs))
    landed = arrivals(settings, instance, sources_at_work(settings)).landed
    return due_partitions(graph, instance, Request(), landed, Stored(settings.lakehouse))


@click.command()
@click.pass_obj
def maintain(settings: Settings) -> None:
    """Compact and vacuum every table and clean its log now, as the maintenance job does every week."""
    from retail_assets.definitions import defs
    from retail_assets.operations.binding import Places
    from retail_assets.operations.main_job import clear_dead_runs
    from retail_assets.operations.main_job_lock import alone
    from retail_assets.operations.maintenance import done_by

    local(settings)
    with instance_of_home() as instance, _refusals(), alone(instance, Places.of(settings)):
        clear_dead_runs(instance)  # or their places in the pools would be waited for
        result = defs.get_job_def("maintenance").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    done = done_by(result)
    if not done and result.success:
        click.echo("No table has been made yet: there is nothing to maintain.")
    for key, upkeep in done.items():
        click.echo(
            f"{'.'.join(key.path)}: {upkeep['files_before']} files became {upkeep['files_after']}, "
            f"{upkeep['bytes_before']:,} bytes {upkeep['bytes_after']:,}; {upkeep['files_vacuumed']} old files and "
            f"{upkeep['log_entries_removed']} log entries removed; {upkeep['seconds']} s"
        )
    for step in result.get_failed_step_keys():
        click.echo(f"{step} failed; the run {result.run_id} in the UI says why", err=True)
    sys.exit(0 if result.success else 1)


def _version(place: str, version: int | None, moment: datetime | None) -> int | None:
    from retail_assets.operations import time_travel

    if version is not None and moment is not None:
        raise click.UsageError("--version and --as-of exclude each other.")
    return version if moment is None else time_travel.version_at(place, moment.replace(tzinfo=UTC))


@contextmanager
def instance_of_home() -> Iterator[Any]:
    """Dagster's instance of DAGSTER_HOME."""
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        yield instance


@contextmanager
def _refusals() -> Iterator[None]:
    from retail_assets.lakehouse.delta_tables import WriteRefused
    from retail_assets.operations.binding import NotItsOwn
    from retail_assets.operations.main_job_lock import AlreadyRunning
    from retail_assets.operations.time_travel import TravelRefused

    try:
        yield
    except (TravelRefused, WriteRefused, AlreadyRunning, NotItsOwn) as error:
        raise Refusal(str(error)) from None


COMMANDS = [history, read, restore, maintain]
