"""`retail sql` and `retail export`: questions to the tables in SQL, and the tables for tools that ask themselves."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from retail_assets.settings import Settings
from retail_assets.table_commands import MOMENT, RAW, Refusal, local

FORMATS = ("table", "csv", "json", "parquet")


@click.command()
@click.argument("query", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Of the answer.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write the answer to this file, all rows."
)
@click.option("--as-of", "moment", type=MOMENT, help="All tables as they were at this time (UTC).")
@click.option(
    "--version", "versions", multiple=True, metavar="TABLE=N", help="A table as it was at a version; may be repeated."
)
@click.option("--source", help="Whose tables need no source before their names.")
@RAW
@click.pass_obj
def sql(
    settings: Settings,
    query: str | None,
    form: str,
    output: Path | None,
    moment: datetime | None,
    versions: tuple[str, ...],
    source: str | None,
    raw: bool,
) -> None:
    """Answer QUERY from the tables, in DuckDB's SQL; without one, ask at a prompt.

    Every table is SOURCE.TABLE; the newest month of a table of snapshots is SOURCE.TABLE_current; a table as it was is
    SOURCE."TABLE@VERSION"; figures of the trade are in SOURCE_metrics. Nothing is written.

    \b
    retail sql "SELECT rfm_segment, count(*) FROM online_retail.customer_rfm_current GROUP BY ALL"
    retail sql "FROM online_retail_metrics.by_month" --format csv --output months.csv
    """
    local(settings)
    form = _format(form, output)
    from retail_assets.sql import answers, shell
    from retail_assets.sql.door import Door, When

    if output and not output.parent.is_dir():
        raise Refusal(f"There is no directory {output.parent} to write {output.name} to.")
    with _refusals():
        at = moment.replace(tzinfo=UTC) if moment else None
        door = Door(settings.lakehouse, When(at, dict(map(_numbered, versions))), source)
        if query is None and sys.stdin.isatty():
            shell.with_history(Path(os.environ["DAGSTER_HOME"]) / "sql-history")
            click.echo(f"{len(door.tables)} tables of {', '.join(door.sources)}. .help says more.")
            shell.converse(door)
            return
        answer = door.answer(sys.stdin.read() if query is None else query)
        if answer is None:
            return
        if form == "table":
            answers.show(answer)
        else:
            answers.write(answer, form, output, raw)


def _format(form: str, output: Path | None) -> str:
    """The format, which the name of the file may say."""
    said = output.suffix.removeprefix(".").lower() if output else ""
    if form == "table" and output:
        if said not in FORMATS[1:]:
            raise click.UsageError(f"Say in what format {output} is to be: --format {', '.join(FORMATS[1:])}.")
        return said
    if form == "parquet" and not output:
        raise click.UsageError("Parquet goes to a file: --output FILE.")
    return form


def _numbered(text: str) -> tuple[str, int]:
    table, _, number = text.rpartition("=")
    if not table or not number.isdecimal():
        raise click.UsageError(f"--version {text}: say it as TABLE=N, such as online_retail.customer_rfm=3.")
    return table, int(number)


@click.group()
def export() -> None:
    """Give the tables to tools that read no lakehouse."""


@export.command("duckdb")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--data", is_flag=True, help="With the data in it, to be taken elsewhere, not only views over the files.")
@click.option("--replace", is_flag=True, help="Make FILE anew if it is there.")
@click.pass_obj
def export_duckdb(settings: Settings, file: Path, data: bool, replace: bool) -> None:
    """Make FILE, a database of DuckDB with a schema per source: for Power BI, Tableau, Superset, Metabase, Evidence."""
    local(settings)
    if not file.parent.is_dir():
        raise Refusal(f"There is no directory {file.parent} to make {file.name} in.")
    if file.exists() and not replace:
        raise Refusal(f"{file} is there: name another file, or make it anew with --replace.")
    from retail_assets.sql.door import Door
    from retail_assets.sql.export import export as export_tables

    with _refusals():
        count = export_tables(Door(settings.lakehouse).tables, file, data)
    holds = "with their data" if data else f"as views over {settings.lakehouse}; make it again after a run"
    click.echo(f"{file}: {count} tables, {holds}.")


@export.command("metric-views")
@click.option("--catalog", help="The catalog in which the tables are, where it is not the session's own.")
@click.pass_obj
def export_metric_views(settings: Settings, catalog: str | None) -> None:
    """Print the statements that make the metrics metric views where the tables are in a catalog: of Spark from 4.2 on,
    and of Databricks. Views of the same name must be dropped first."""
    from retail_assets import metrics
    from retail_assets.sources.known import sources_at_work

    named = catalog or settings.catalog
    for source in sources_at_work(settings):
        tables = {table.key.path[-1] for table in source.tables}
        place = f"{named}.{source.name}" if named else source.name
        for sheet in (sheet for sheet in metrics.SHEETS if sheet.table in tables):
            click.echo(f"{metrics.metric_view(sheet, sheet.view(place), f'{place}.{sheet.table}')};\n")


@contextmanager
def _refusals() -> Iterator[None]:
    from retail_assets.sql.door import NotAnswered
    from retail_assets.sql.tables import NotReadable

    try:
        yield
    except (NotAnswered, NotReadable, OSError) as problem:
        raise Refusal(str(problem)) from None


COMMANDS = [sql, export]
