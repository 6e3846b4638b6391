"""`retail land`, and what one does about landings."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from retail_assets.settings import SettingError, Settings
from retail_assets.table_commands import SOURCE, Refusal, one_source

if TYPE_CHECKING:
    from rich.status import Status

    from retail_assets.landing.consent import Question
    from retail_assets.landing.drops import Drop
    from retail_assets.landing.exchange import Exchange

DAY = click.DateTime(["%Y-%m-%d"])

ASK = "ask"
"""Asked at a terminal; refused, with the option that would do, where nobody can be asked."""

GENERATING = "_generating.json"
"""Beside the drops while they are being made: what was asked for. What is left of it tells of an interruption."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--anyway", is_flag=True, help="Land files of which almost nothing can be used, too.")
@click.option(
    "--other-drops",
    type=click.Choice([ASK, "replace", "keep"]),
    show_default=True,
    default=ASK,
    help="Drops of the landed days that landing did not make: replace them, or keep them beside the new ones.",
)
@click.option(
    "--fewer-rows",
    type=click.Choice([ASK, "replace"]),
    show_default=True,
    default=ASK,
    help="Days that would lose more than a fifth of their rows: replace them nevertheless.",
)
@click.option(
    "--far-dates",
    type=click.Choice([ASK, "keep", "set-aside"]),
    default=ASK,
    show_default=True,
    help="Dates far from all others: keep them as days of their own, or set their rows aside. A few are set aside.",
)
@SOURCE
@click.pass_obj
def land(
    settings: Settings,
    files: tuple[Path, ...],
    anyway: bool,
    other_drops: str,
    fewer_rows: str,
    far_dates: str,
    source: str | None,
) -> None:
    """Split history files (CSV, TSV, gzipped or zipped, workbooks, Parquet) into daily drops in the landing zone."""
    from retail_assets.erasure.returned import brought_by_drops
    from retail_assets.landing.consent import Consent
    from retail_assets.landing.drops import LandingZone
    from retail_assets.shops.shop import Shop
    from retail_assets.sources.landings import How

    shop = one_source(settings, source)
    if interrupted_generation(settings, shop.name):
        raise Refusal(
            f"{settings.landing}/{shop.name} holds generated data, not all of it: retail generate was interrupted "
            "there. Run make clean first, or set RETAIL_LANDING to another place."
        )
    with _refusals(), Console(stderr=True).status("Reading …") as status:
        how = How(
            progress=lambda file, rows: status.update(f"Reading {file} … {rows:,} rows"),
            consent=Consent(other_drops, fewer_rows, far_dates, ask=_asking(status) if sys.stdin.isatty() else None),
            keep_days=settings.retention_days,
            anyway=anyway,
            descriptions=Path(settings.shops),
        )
        zone, began = LandingZone(settings.landing, settings.drop_marker), time.time_ns()
        told = shop.lands(files, zone, how)
        if isinstance(shop.owner, Shop):
            new = [drop.path for drop in zone.drops(shop.name) if drop.modified_ns >= began]
            told += brought_by_drops(settings, shop.owner.layout, new)
    for sentence in told:
        click.echo(sentence)
    if shop.terms:
        click.echo(f"Terms: {shop.terms}.")


@click.command()
@click.option("--day", type=DAY, help="Only landings that replaced drops of this day.")
@SOURCE
@click.pass_obj
def landings(settings: Settings, day: datetime | None, source: str | None) -> None:
    """The landings whose replaced drops are kept, newest first: what each replaced, to be brought back by number."""
    from retail_assets.landing.bring_back import landings as kept_landings
    from retail_assets.landing.drops import LandingZone

    with _refusals():
        zone, directories = LandingZone(settings.landing), one_source(settings, source).arrives.values()
        found = sorted((one for each in directories for one in kept_landings(zone, each)), key=_number, reverse=True)
    days = {content.day for landing in found for content in landing.taken.values()}
    if day and str(day.date()) not in days:
        replaced = f" They replaced drops of {min(days)} to {max(days)}." if days else ""
        raise Refusal(f"No landing that is kept replaced a drop of {day.date()}.{replaced}")
    click.echo("landing          begun                    day              rows  replaced drop")
    for landing in found:
        for name, content in sorted(landing.taken.items(), key=lambda item: (item[1].day, item[0])):
            if day is None or content.day == str(day.date()):
                rows = "unknown" if content.rows is None else f"{content.rows:,}"
                click.echo(f"{landing.landing:<15}  {landing.begun}  {content.day}  {rows:>9}  {name}")


@click.command("bring-back")
@click.argument("landing")
@click.option("--day", "days", type=DAY, multiple=True, help="Only this day; may be repeated.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@SOURCE
@click.pass_obj
def bring_back(settings: Settings, landing: str, days: tuple[datetime, ...], yes: bool, source: str | None) -> None:
    """Put back the drops that LANDING replaced, or undo a landing that was interrupted (retail landings lists them)."""
    from retail_assets.landing.bring_back import bring_back as bring_back_drops
    from retail_assets.landing.bring_back import landings as kept_landings
    from retail_assets.landing.consent import listed
    from retail_assets.landing.drops import LandingZone
    from retail_assets.landing.layout import SourceLayout

    shop = one_source(settings, source)
    if not yes:
        click.confirm(f"Put back what landing {landing} replaced?", abort=True)
    with _refusals():
        zone = LandingZone(settings.landing, settings.drop_marker)
        # Of a source of several tables, each has its landings: those that it has by this number.
        directories = [
            each for each in shop.arrives.values() if landing in map(_number, kept_landings(zone, each))
        ] or list(shop.arrives.values())[:1]
        # A shop's says how its files are written; to count the rows of others no column need be known.
        layout = getattr(shop.owner, "layout", None)
        layouts = [layout or SourceLayout(each, {}, "") for each in directories]
        done = [bring_back_drops(zone, layout, landing, [day.date() for day in days]) for layout in layouts]
    put, taken = sorted(name for one in done for name in one.put), sorted(name for one in done for name in one.taken)
    if not put and not taken:
        click.echo("The same rows lie there already: nothing was changed.")
        return
    click.echo(f"Put back: {listed(put) or 'nothing'}. Taken away: {listed(taken) or 'nothing'}.")
    click.echo("Next: make run (or: retail run)")


def _number(landing: "Exchange") -> str:
    return landing.landing


def _asking(status: "Status") -> "Callable[[Question], str | None]":
    """Asks at the terminal, where a spinner turns meanwhile."""

    def ask(question: "Question") -> str | None:
        status.stop()
        nothing = "nothing"
        choice = click.Choice([*question.answers, nothing])
        answer = click.prompt(f"{question.about}: {question.problem}. What shall be done", type=choice, default=nothing)
        status.start()
        return None if answer == nothing else str(answer)

    return ask


@contextmanager
def _refusals() -> Iterator[None]:
    from retail_assets.landing.drop_reader import DropRefused
    from retail_assets.shops.keys import DescriptionError

    try:
        yield
    except (DropRefused, SettingError, DescriptionError) as refusal:
        raise Refusal(str(refusal)) from None


def landed_drops(settings: Settings, directories: Iterable[str]) -> "list[Drop]":
    """The drops that lie there, but where a landing is under way. Refuses a zone that cannot be listed, or in which
    nothing else has landed."""
    from retail_assets.landing.drops import LandingUnderWay, LandingZone, ZoneRefused

    zone, found, under_way = LandingZone(settings.landing), [], None
    try:
        for directory in directories:
            try:
                found += zone.drops(directory)
            except LandingUnderWay as refusal:
                under_way = refusal
    except ZoneRefused as refusal:
        raise Refusal(str(refusal)) from None
    if under_way and not found:
        raise Refusal(str(under_way))
    return found


def interrupted_generation(settings: Settings, source: str) -> dict[str, Any] | None:
    """What `retail generate` was asked for when it was interrupted; None if it was not."""
    marker = Path(settings.landing) / source / GENERATING
    try:
        return dict(json.loads(marker.read_text()))
    except OSError:  # what is wrong with the place is said by what is to read or to write there
        return None
    except ValueError:  # interrupted before the marker itself was written, and so before anything else
        return {}


COMMANDS = [land, landings, bring_back]
