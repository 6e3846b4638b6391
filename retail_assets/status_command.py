"""`retail status` and `retail tables`: how things stand, for people and for machines; and what a run would make."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table as Grid

from retail_assets.settings import SettingError, Settings
from retail_assets.table_commands import Refusal, instance_of_home

if TYPE_CHECKING:
    from retail_assets.operations.due_reasons import Due
    from retail_assets.operations.planning import Request
    from retail_assets.operations.status import Landed, NotPassed, SourceStatus
    from retail_assets.sources.source import Source

SOURCES = click.option("--source", "names", multiple=True, help="Only this source; may be repeated.")
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for a machine.")


@click.command()
@SOURCES
@JSON
@click.pass_obj
def status(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:
    """What has landed, what is due and why, what failed or warned and where, and how fresh the tables are."""
    from retail_assets.landing.drops import ZoneRefused
    from retail_assets.operations.stored import TableUnreadable

    try:
        from retail_assets.definitions import defs
        from retail_assets.operations import status as state

        with instance_of_home() as instance:
            found = state.status(settings, instance, defs, _wanted(settings, names))
    except (SettingError, ZoneRefused, TableUnreadable) as error:
        raise Refusal(str(error)) from None
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    if found.problem:
        click.secho(found.problem, fg="yellow")
    for notice in found.notices:
        click.secho(notice, fg="yellow")
    for source in found.sources:
        _show(source, known=not found.problem)
    click.echo(f"The lakehouse: {found.lakehouse}")


@click.command()
@SOURCES
@JSON
@click.pass_obj
def tables(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:
    """Every table: its layer, rows, newest partition, version, and what it is."""
    from retail_assets.operations.status import standings

    found = [standing for source in _with_tables(settings, names) for standing in standings(settings, source)]
    if as_json:
        click.echo(json.dumps([asdict(standing) for standing in found], indent=2))
        return
    grid = _grid("table", "layer", "rows>", "newest", "version>", "what it is")
    for each in found:
        rows = "not made yet" if each.rows is None else f"{each.rows:,}"
        version = "" if each.version is None else str(each.version)
        grid.add_row(each.table, each.layer, rows, each.newest_partition or "", version, each.description)
    _console().print(grid)


def dry_run(settings: Settings, request: "Request", sources: "Sequence[Source]") -> None:
    """Says what a run would make, and why; makes nothing. Raises what looking may raise."""
    from retail_assets.definitions import defs
    from retail_assets.operations.status import due_and_why

    with instance_of_home() as instance:
        due, notices = due_and_why(settings, instance, defs, request, sources)
    for notice in notices:
        click.secho(notice, fg="yellow")
    _show_due(due)


def _wanted(settings: Settings, names: Sequence[str]) -> "list[Source]":
    """The sources of these names, or those that have landed. Refuses a name that is none."""
    from retail_assets.sources.known import sources_at_work
    from retail_assets.table_commands import one_source

    return [one_source(settings, name) for name in names] or sources_at_work(settings)


def _with_tables(settings: Settings, names: Sequence[str]) -> "list[Source]":
    """The sources of these names; or those of which a table lies in the lakehouse, and where none does, those that have
    landed."""
    from retail_assets.sources.known import known_sources

    there = [source for name, source in known_sources(settings).items() if Path(settings.lakehouse, name).is_dir()]
    return _wanted(settings, names) if names or not there else there


def _show(source: "SourceStatus", known: bool) -> None:
    click.secho(source.name, bold=True)
    for each in source.landed:
        click.echo(f"  landed: {_told_landed(each)}")
    if source.stream:
        click.echo(f"  events: {source.stream.told()}")
    if known and any(each.drops for each in source.landed):
        _show_due(source.due, "  ")
    for broken in source.not_passed:
        click.echo(f"  {_told_broken(broken)}")
    made = [table for table in source.tables if table.rows is not None]
    if not made:
        click.echo("  no table was made yet: retail run\n")
        return
    grid = _grid("table", "layer", "newest", "written (UTC)", "version>", "rows>")
    for of in made:
        grid.add_row(of.table, of.layer, of.newest_partition or "", of.written or "", str(of.version), f"{of.rows:,}")
    _console().print(grid)
    click.echo()


def _show_due(due: "Sequence[Due]", indent: str = "") -> None:
    if not due:
        click.echo(f"{indent}nothing is due: everything that has landed is up to date")
        return
    partitions = sum(len(each.partitions) for each in due)
    click.echo(f"{indent}due: {partitions:,} partitions of {len({each.table for each in due})} tables (retail run)")
    for each in due:
        click.echo(f"{indent}  {each.table}  {_span(each.partitions)}: {each.why}")


def _told_landed(found: "Landed") -> str:
    if not found.drops:
        return f"nothing in {found.directory}"
    return (
        f"{found.drops:,} drops in {found.directory}, {found.first_day} to {found.last_day}, the newest arrived "
        f"{found.newest_arrival} (UTC)"
    )


def _told_broken(broken: "NotPassed") -> str:
    kind = "failed" if broken.severity == "ERROR" else "warned"
    rule = broken.check if broken.rule == broken.check else f"{broken.check} ({broken.rule})"
    kept = ", not published" if broken.kept_back else ""
    return f"{kind}: {broken.table}  {_span(broken.partitions)}  {rule}{kept}: {broken.explanation}"


def _span(partitions: Sequence[str]) -> str:
    if len(partitions) < 3:
        return ", ".join(partitions)
    return f"{partitions[0]} … {partitions[-1]} ({len(partitions):,})"


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        right = heading.endswith(">")
        grid.add_column(heading.rstrip(">"), justify="right" if right else "left", no_wrap=heading != "what it is")
    return grid


def _console() -> Console:
    """In a file, lines are as long as they need be."""
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 200)


COMMANDS: list[Any] = [status, tables]
