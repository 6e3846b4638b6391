"""The `retail` command: land files, make data, run the main job, open the UI."""

import atexit
import gc
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console

from retail_assets import (
    audience_command,
    calendar_command,
    campaign_command,
    databricks_commands,
    forecast_command,
    forget_command,
    inspection,
    landing_commands,
    recommend_command,
    services,
    shop_commands,
    sql_command,
    status_command,
    table_commands,
)
from retail_assets.landing_commands import GENERATING, interrupted_generation, landed_drops
from retail_assets.project import CARRIED, project_file, project_root
from retail_assets.setting_names import misspelt
from retail_assets.settings import SettingError, Settings
from retail_assets.streaming import stream_command
from retail_assets.table_commands import SOURCE, Refusal, by_name, java_for, one_source, stored

if TYPE_CHECKING:
    from dagster import AssetKey, Definitions
    from dagster._core.definitions.reconstruct import ReconstructableJob

    from retail_assets.landing.drops import Look
    from retail_assets.operations.planning import Request


DAY = click.DateTime(["%Y-%m-%d"])

MADE_SHOP = "online_retail"
"""The source that made data are of: they are written as that shop writes its own."""

OTHERS_NOTHING = 0o007
"""The bits of a file's mode that are everybody's."""

REHEARSAL = ".rehearsal"
"""In the directory of a rehearsal: it may be made anew."""


OBJECTS_BEFORE_COLLECTING = 100_000
"""Definitions and plans are many objects that stay: Python's default of 700 looks through them again and again."""


def program() -> NoReturn:
    """The `retail` command as it is installed. Once it is done it ends at once: taking apart all that it loaded, only
    for the process to end, takes Python more than a second."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTING, 50, 100)
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


class WholeHelp(click.Group):
    """A group that lists its commands with the whole first sentence of each: click's own cuts it off at a line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(limit=1000)) for name, command in commands if command]
            )


@click.group(cls=WholeHelp, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retail-assets", prog_name="retail")
def main() -> None:
    """A retail analytics lakehouse: daily invoice files in, tables that people use out."""
    # What is written holds customers' data: it is nobody else's to read, whatever the shell would have.
    os.umask(os.umask(OTHERS_NOTHING) | OTHERS_NOTHING)
    for name, meant in misspelt(os.environ).items():
        raise Refusal(f"There is no setting {name}. Did you mean {meant}? Correct or unset it.")
    try:
        settings = Settings.read()
    except SettingError as error:
        raise Refusal(str(error)) from None
    click.get_current_context().obj = settings
    prepare_dagster_home()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a script starts its background jobs. Dagster does on SIGTERM what it does on SIGINT: nothing, it would be.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def prepare_dagster_home() -> Path:
    """Dagster's home, with the project's dagster.yaml in it; DAGSTER_HOME if set, else .dagster_home."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(project_root() / ".dagster_home")))
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Refusal(
            f"DAGSTER_HOME={str(home)!r} cannot be made ({problem.strerror}). Set it to a directory that can."
        ) from None
    # Planned events and materializations are written in batches; our event log makes each batch one transaction.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    config, ours = home / "dagster.yaml", project_file("dagster.yaml")
    if not config.exists() or _of_another_project(config, ours):
        config.unlink(missing_ok=True)
        config.symlink_to(ours)
    return home


def _of_another_project(config: Path, ours: Path) -> bool:
    """Whether the link is one that was made here for another checkout, or another installation: this home was copied
    from there, or the package was installed anew. A file, or a link to any other, is somebody's own."""
    linked = config.resolve()
    of_a_checkout = linked.name == ours.name and (linked.parent / "retail_assets" / Path(__file__).name).exists()
    made_here = of_a_checkout or linked.parts[-3:] == (*CARRIED.parts[-2:], ours.name)
    return config.is_symlink() and made_here and linked != ours.resolve()


@main.command()
@click.option("--lines", default=120_000, type=click.IntRange(1), show_default=True, help="Lines to make.")
@click.option(
    "--days", default=500, type=click.IntRange(1), show_default=True, help="Calendar days; the last is yesterday."
)
@click.option(
    "--seed", default=42, type=click.IntRange(0), show_default=True, help="The same seed makes the same data."
)
@click.option("--until", type=DAY, help="Last day, instead of yesterday.")
@click.pass_obj
def generate(settings: Settings, lines: int, days: int, seed: int, until: datetime | None) -> None:
    """Make data like a real shop's, as daily drops that end yesterday."""
    from retail_assets.partitions.calendar import yesterday

    made = generate_drops(settings, lines, days, seed, until.date() if until else yesterday())
    click.echo(made)


def generate_drops(settings: Settings, lines: int, days: int, seed: int, last_day: date) -> str:
    """Makes drops and keeps their calendar, open at the end; returns what to tell the user.

    A call that was interrupted is repeated by the same call. Raises Refusal where other drops lie already, and for a
    landing zone that is no directory of this machine.
    """
    from retail_assets.generator.generate import generate
    from retail_assets.landing.calendar import keep_calendar
    from retail_assets.landing.drops import MANIFEST

    if "://" in settings.landing or settings.only_cluster_sees_landing:
        raise Refusal(
            f"The landing zone {settings.landing} is no directory of this machine, and data is only made in one. Set "
            "RETAIL_LANDING to a directory, or bring files of your own."
        )
    directory = Path(settings.landing) / MADE_SHOP
    drops, marker = landed_drops(settings, [MADE_SHOP]), directory / GENERATING
    if drops and not (directory / MANIFEST).exists() and not marker.exists():
        raise Refusal(
            f"{directory} holds drops that were landed. Generated data would mix with them: make clean first."
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Refusal(
            f"{directory} cannot be made ({problem.strerror}). Set RETAIL_LANDING to a directory that can."
        ) from None
    left = marker.read_text() if marker.exists() else None
    marker.write_text(json.dumps({"lines": lines, "days": days, "seed": seed, "last_day": str(last_day)}) + "\n")
    try:
        manifest = generate(directory, lines=lines, days=days, last_day=last_day, seed=seed)
    except ValueError as error:
        # Nothing was written: what lay there is as complete as before.
        marker.write_text(left) if left else marker.unlink()
        remedy = " To make other data instead of what lies there, run make clean first." if drops else ""
        raise Refusal(f"{error}{remedy}") from None
    keep_calendar(settings.landing, MADE_SHOP, last_day - timedelta(days=days - 1), None)
    marker.unlink()
    return f"Made {lines:,} invoice lines over {days} days up to {manifest['last_drop']} in {directory}"


@main.command()
@click.option("--from", "first_day", type=DAY, help="Only partitions from this day (or its month) on.")
@click.option("--to", "last_day", type=DAY, help="Only partitions up to this day.")
@click.option("--select", "tables", multiple=True, help="Only this table, for example customer_rfm; may be repeated.")
@click.option(
    "--all", "everything", is_flag=True, help="Make everything anew, not only what is missing or out of date."
)
@click.option(
    "--months", type=click.Choice(["all", "newest"]), default="all", help="All monthly snapshots, or the newest."
)
@click.option("--generate-if-empty", is_flag=True, help="Make data first if nothing has landed.")
@click.option("--source", "sources", multiple=True, help="Only this source's tables; may be repeated.")
@click.option("--dry-run", "only_told", is_flag=True, help="Make nothing: say what would be made, and why.")
@click.pass_obj
def run(
    settings: Settings,
    first_day: datetime | None,
    last_day: datetime | None,
    tables: tuple[str, ...],
    everything: bool,
    months: str,
    generate_if_empty: bool,
    sources: tuple[str, ...],
    only_told: bool,
) -> None:
    """The main job: make what is landed and missing or out of date, then say what was done."""
    if settings.only_cluster_sees_landing:
        raise Refusal(
            f"The landing zone {settings.landing} cannot be listed from here, so what is due is not known. Start a "
            "backfill in the UI (retail ui), or run this where the landing zone is an object store's URI."
        )

    def request(keys: "frozenset[AssetKey] | None") -> "Request":
        from retail_assets.operations.planning import Request

        return Request(_day(first_day), _day(last_day), keys, everything, months == "newest")

    if only_told:
        _tell_what_is_due(settings, request, Selection(tables, sources))
        return
    java_for(settings)
    with _output() as console:
        look = _landed(settings, console, generate_if_empty, sources)
        ok = _make_what_is_due(settings, settings, console, request, Selection(tables, sources), look)
    sys.exit(0 if ok else 1)


def _landed(settings: Settings, console: Console, generate_if_empty: bool, sources: Sequence[str]) -> "Look":
    """A look at all that has landed, which was made first if that was asked for. Refuses where there is nothing."""
    from retail_assets.landing.drops import LandingZone, Look, ZoneRefused
    from retail_assets.partitions.calendar import yesterday

    # First of all: whether drops still change is seen while the rest is loaded.
    try:
        directories = [name for name in LandingZone(settings.landing).directories() if _of(sources, name.split("/")[0])]
    except ZoneRefused as refusal:
        raise Refusal(str(refusal)) from None
    look = Look(landed_drops(settings, directories or [MADE_SHOP]), time.monotonic())
    if not look.drops:
        if not generate_if_empty or not _of(sources, MADE_SHOP):
            raise Refusal(
                f"Nothing has landed in {settings.landing}/{sources[0] if sources else MADE_SHOP}. Land your files "
                "(retail land FILE…), put daily drops there (…YYYY-MM-DD….csv), or make data (retail generate)."
            )
        console.print(generate_drops(settings, 120_000, 500, 42, yesterday()), markup=False)
    elif (asked := interrupted_generation(settings, MADE_SHOP)) is not None:
        if not generate_if_empty or not asked:
            raise Refusal(
                f"{settings.landing}/{MADE_SHOP} holds only a part of the generated data: retail generate was "
                f"interrupted. Run it again, or run make clean to start anew. It was asked for: {asked or 'unknown'}."
            )
        console.print(
            generate_drops(settings, **{**asked, "last_day": date.fromisoformat(asked["last_day"])}), markup=False
        )
    return look


def _of(sources: Sequence[str], name: str) -> bool:
    """Whether a source is among those asked for: all, where none is named."""
    return not sources or name in sources


@dataclass(frozen=True)
class Selection:
    """Which tables a run is about: those named, of the sources named; all where none is."""

    tables: Sequence[str] = ()
    sources: Sequence[str] = ()

    def keys(self, definitions: "Definitions") -> "frozenset[AssetKey] | None":
        """Their keys; None for all. Refuses a name that is none."""
        if not self.tables and not self.sources:
            return None
        every = definitions.resolve_asset_graph().get_all_asset_keys()
        known = {(key.path[0], key.path[-1]): key for key in every if _of(self.sources, key.path[0])}
        return frozenset(by_name(table, known) for table in self.tables) if self.tables else frozenset(known.values())


def _tell_what_is_due(
    settings: Settings, request: "Callable[[frozenset[AssetKey] | None], Request]", selection: Selection
) -> None:
    from retail_assets.landing.drops import ZoneRefused
    from retail_assets.operations.stored import TableUnreadable
    from retail_assets.sources.known import sources_at_work

    try:
        from retail_assets.definitions import defs

        wanted = [source for source in sources_at_work(settings) if _of(selection.sources, source.name)]
        status_command.dry_run(settings, request(selection.keys(defs)), wanted)
    except (TableUnreadable, SettingError, ZoneRefused) as error:
        raise Refusal(str(error)) from None


def _make_what_is_due(
    settings: Settings,
    landed_at: Settings,
    console: Console,
    request: "Callable[[frozenset[AssetKey] | None], Request]",
    selection: "Selection | None" = None,
    look: "Look | None" = None,
) -> bool:
    """Makes it and reports; whether all of it was made. `landed_at` are the settings by which drops can be listed."""
    from dagster import DagsterInstance

    from retail_assets.erasure.returned import brought_by_a_run
    from retail_assets.landing.drops import ZoneRefused
    from retail_assets.operations.binding import NotItsOwn
    from retail_assets.operations.main_job import run_main_job
    from retail_assets.operations.main_job_lock import AlreadyRunning
    from retail_assets.operations.pipeline_metrics import keep_pipeline_metrics
    from retail_assets.operations.progress import Progress, report
    from retail_assets.operations.stored import TableUnreadable
    from retail_assets.operations.warm_up import warm_up
    from retail_assets.reports.lineage import keep_lineage_page
    from retail_assets.reports.page import PageRefused
    from retail_assets.sources.arrivals import arrivals
    from retail_assets.sources.known import contracts_of, sources_at_work

    sources = selection.sources if selection else ()
    try:
        from retail_assets.definitions import defs  # read when it is imported: the calendar may be wrong

        with DagsterInstance.from_ref(_quiet_instance()) as instance:
            keys = (selection or Selection()).keys(defs)
            wanted = [source for source in sources_at_work(landed_at) if _of(sources, source.name)]
            arrived = arrivals(landed_at, instance, wanted, look)
            for notice in arrived.notices:
                console.print(notice, style="yellow", markup=False)  # file names may hold brackets
            summary = run_main_job(
                defs,
                instance,
                arrived.landed,
                request(keys),
                Progress(console),
                warm_up=lambda partitions: warm_up(settings, partitions),
                whole=_whole_job() if settings.databricks else None,
                places=arrived.places,
            )
            if summary.tables:
                keep_pipeline_metrics(instance, settings.lakehouse)
                if not settings.catalog:
                    keep_lineage_page(settings.dashboards, contracts_of(sources_at_work(settings)))
            for notice in brought_by_a_run(settings, summary.tables):
                console.print(notice, style="yellow", markup=False)
    except (AlreadyRunning, NotItsOwn, TableUnreadable, SettingError, ZoneRefused, PageRefused) as error:
        raise Refusal(str(error)) from None
    report(console, summary, settings)
    return summary.succeeded


def _whole_job() -> "ReconstructableJob":
    """The job of all assets by the name of its module, as a cluster can build it anew."""
    from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository

    return ReconstructableJob(ReconstructableRepository.for_module("retail_assets.definitions", "defs"), "__ASSET_JOB")


@main.command()
@click.option("--lines", default=20_000, type=click.IntRange(1), show_default=True, help="Invoice lines to make.")
@click.option(
    "--days", default=250, type=click.IntRange(1), show_default=True, help="Calendar days; the last is yesterday."
)
@click.option(
    "--directory",
    default="data/rehearsal",
    type=click.Path(path_type=Path, file_okay=False),
    show_default=True,
    help="Where the workspace keeps its files, tables and runs; made anew.",
)
@click.option(
    "--compute",
    default="dedicated",
    type=click.Choice(["dedicated", "standard", "serverless"]),
    show_default=True,
    help="The kind of compute that steps run on.",
)
@click.pass_obj
def rehearse(settings: Settings, lines: int, days: int, directory: Path, compute: str) -> None:
    """The whole graph on a rehearsal of Databricks on this machine: what ran where, and what it cost.

    Of a shop that is made up for it, and of a part of what other sources have landed here; where nothing of Olist or
    of the World Development Indicators has, of a little that is made like them.
    """
    java_for(replace(settings, deployment="local", engine="spark"))
    with _output() as console:
        ok = _rehearse(settings, console, lines, days, project_root() / directory, compute)
    sys.exit(0 if ok else 1)


def _rehearse(settings: Settings, console: Console, lines: int, days: int, directory: Path, compute: str) -> bool:
    from retail_assets.databricks.rehearsal.deployment import deployment_environment, landing_directory
    from retail_assets.databricks.rehearsal.report import what_ran_where
    from retail_assets.databricks.rehearsal.workspace import Workspace
    from retail_assets.landing.calendar import read_calendar
    from retail_assets.landing.drops import LandingZone
    from retail_assets.operations.planning import Request
    from retail_assets.partitions.calendar import yesterday
    from retail_assets.sources.known import known_sources
    from retail_assets.sources.sample import copy_part, make_part

    if directory.exists():
        if not (directory / REHEARSAL).exists():
            raise Refusal(f"{directory} is there and is no rehearsal's: name another --directory.")
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / REHEARSAL).touch()
    with Workspace(directory, standard=compute == "standard") as workspace:
        landed_at = replace(settings, landing=str(landing_directory(workspace)), calendars={})
        console.print(generate_drops(landed_at, lines, days, 42, yesterday()), markup=False)
        zone, into = LandingZone(settings.landing, settings.drop_marker), LandingZone(landed_at.landing)
        others = [source for source in known_sources(settings).values() if source.name != MADE_SHOP]
        others = [source for source in others if source.has_landed(settings) or source.makes]
        for source in others:
            part = copy_part(source, zone, into) if source.has_landed(settings) else make_part(source, into)
            console.print(part, markup=False)
        os.environ |= deployment_environment(workspace, compute)
        for name in (MADE_SHOP, *(source.name for source in others)):
            calendar = read_calendar(landed_at.landing, name, {})
            os.environ[f"RETAIL_{name.upper()}_FIRST_DAY"] = str(calendar.first_day)
            os.environ[f"RETAIL_{name.upper()}_LAST_DAY"] = str(calendar.last_day or "open")
        prepare_dagster_home()
        ok = _make_what_is_due(Settings.read(), landed_at, console, lambda keys: Request(tables=keys))
        what_ran_where(console, workspace)
    return ok


def _quiet_instance() -> Any:
    """The instance of DAGSTER_HOME; the steps' output is not captured into files, it would hide the progress."""
    from dagster._core.instance.ref import InstanceRef

    no_capture = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    return InstanceRef.from_dir(os.environ["DAGSTER_HOME"], overrides={"compute_logs": no_capture})


@contextmanager
def _output() -> Iterator[Console]:
    """A console for people; what the JVM and libraries write to stderr meanwhile goes to a log file."""
    log = Path(os.environ["DAGSTER_HOME"]) / "retail-run.log"
    terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)
    kept = os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield Console(file=terminal, highlight=False, soft_wrap=True)
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            terminal.write("Stopped. What was made is there; the same command makes the rest.\n")
            raise SystemExit(128 + signal.SIGINT) from None
        except Exception:
            terminal.write(f"The main job stopped with an unforeseen error; what Spark said is in {log}\n")
            raise
        finally:
            os.dup2(kept, 2)
            terminal.flush()


@main.command()
@click.option("--day", type=DAY, help="Only drops of this day.")
@SOURCE
@click.pass_obj
def drops(settings: Settings, day: datetime | None, source: str | None) -> None:
    """What was ingested, newest first: every drop, as the commit that wrote its rows says."""
    from retail_assets.lakehouse.provenance import origins

    _, place = stored(settings, f"{one_source(settings, source).name}.raw_invoices")
    ingested = sorted(origins(place), key=lambda origin: (origin.version, origin.partition), reverse=True)
    found = [origin for origin in ingested if not day or origin.partition == str(day.date())]
    if day and not found:
        days = [origin.partition for origin in ingested]
        raise Refusal(f"No drop of {day.date()} was ingested. There are drops of {min(days)} to {max(days)}.")
    click.echo("day         version  ingested at (UTC)       rows       bytes  content       drop")
    for origin in found:
        for drop in origin.says:
            click.echo(
                f"{origin.partition}  {origin.version:>7}  {origin.written_at:%Y-%m-%d %H:%M:%S}  {drop['rows']:>9,}  "
                f"{drop['size']:>10,}  {drop['content_hash'][:12]}  {drop['path']}"
            )


@main.command()
@click.option("--no-open", is_flag=True, help="Only print where it is.")
@SOURCE
@click.pass_obj
def dashboard(settings: Settings, no_open: bool, source: str | None) -> None:
    """Open the newest page of the dashboard in the browser, and print its path; of several sources, their index."""
    from retail_assets.reports.page import Pages

    page = Pages(directory=settings.dashboards).to_open(source)
    if page is None:
        raise Refusal(
            f"There is no page in {settings.dashboards} yet. Make one: retail run --select dashboard (or retail run). "
            "Pages that a cluster wrote to a volume are downloaded from there."
        )
    click.echo(page)
    if not no_open:
        click.launch(page.as_uri())


@main.command()
@click.option("--no-open", is_flag=True, help="Only print where it is.")
@click.pass_obj
def lineage(settings: Settings, no_open: bool) -> None:
    """Open the page of all tables and what their columns are made from, and print its path."""
    from retail_assets.reports.lineage import keep_lineage_page
    from retail_assets.reports.page import PageRefused
    from retail_assets.sources.known import contracts_of, sources_at_work

    try:
        page = keep_lineage_page(settings.dashboards, contracts_of(sources_at_work(settings)))
    except (SettingError, PageRefused) as problem:
        raise Refusal(str(problem)) from None
    click.echo(page)
    if not no_open:
        click.launch(page.as_uri())


@main.command()
@SOURCE
@click.pass_obj
def dictionary(settings: Settings, source: str | None) -> None:
    """Print the data dictionary (docs/tables.md) from the contracts."""
    from retail_assets.lakehouse.dictionary import data_dictionary

    click.echo(data_dictionary(one_source(settings, source).stored), nl=False)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


for command in (
    *landing_commands.COMMANDS,
    *shop_commands.COMMANDS,
    *calendar_command.COMMANDS,
    *table_commands.COMMANDS,
    *forget_command.COMMANDS,
    *inspection.COMMANDS,
    *sql_command.COMMANDS,
    *status_command.COMMANDS,
    *audience_command.COMMANDS,
    *recommend_command.COMMANDS,
    *databricks_commands.COMMANDS,
    *campaign_command.COMMANDS,
    forecast_command.forecast,
    *services.COMMANDS,
    *stream_command.COMMANDS,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
