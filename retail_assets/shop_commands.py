"""`retail shop`: describes a shop in one file, from what its exports show."""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table as RichTable

from retail_assets.settings import Settings
from retail_assets.table_commands import Refusal

if TYPE_CHECKING:
    from retail_assets.shops.judgement import Line
    from retail_assets.shops.proposal import Proposal
    from retail_assets.shops.shop import Shop

SHOWN_ROWS = 10


@click.group()
def shop() -> None:
    """Shops that are described in a file of their own."""


@shop.command()
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--title", help="What the shop is called where people read it.")
@click.option("--currency", help="Its currency, as ISO 4217 has it, such as EUR.")
@click.option("--time-zone", help="Where its clocks are, such as Europe/Berlin.")
@click.option("--dates", type=click.Choice(["day first", "month first"]), help="The order of day and month.")
@click.option("--replace", is_flag=True, help="Replace a description that is there already.")
@click.pass_obj
def new(
    settings: Settings,
    name: str,
    files: tuple[Path, ...],
    title: str | None,
    currency: str | None,
    time_zone: str | None,
    dates: str | None,
    replace: bool,
) -> None:
    """Look at FILES, and write the description of the shop that they are of: NAME.toml, in RETAIL_SHOPS."""
    from retail_assets.landing.drop_reader import DropRefused
    from retail_assets.shops.description import NAME, described_by
    from retail_assets.shops.keys import DescriptionError
    from retail_assets.shops.looking import look
    from retail_assets.shops.proposal import NothingToPropose, propose
    from retail_assets.shops.writing import toml

    path = Path(settings.shops) / f"{name}.toml"
    if not NAME.fullmatch(name):
        raise Refusal(f"{name!r} cannot name a shop: small letters, digits and underscores, a letter first.")
    if path.exists() and not replace:
        raise Refusal(f"{path} is there already. Change it by hand, or propose it anew with --replace.")
    answers = {"currency": currency, "time_zone": time_zone, "dates": dates}
    given = {key: value for key, value in answers.items() if value}
    try:
        looks = [look(file) for file in files]
        proposal = propose(looks, title or name, given)
        if is_terminal() and (asked := _asked(proposal)):
            proposal = propose(looks, title or name, given | asked)
        text = toml(proposal)
        with Console(stderr=True).status("Reading …"):
            lines = _understood(files, described_by(text, path))
    except (DropRefused, DescriptionError, NothingToPropose) as refusal:
        raise Refusal(str(refusal)) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    _show(lines, proposal)
    click.echo(f"Written: {path}. Look it through, then: retail land --source {name} FILE…")


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _asked(proposal: "Proposal") -> dict[str, str]:
    """Answers to what no file says, asked at the terminal."""
    answers = {}
    top = proposal.sections[""]
    if ("", "currency") in proposal.unsure:
        answers["currency"] = click.prompt("The shop's currency (ISO 4217)", default=top["currency"])
    if ("", "time_zone") in proposal.unsure:
        answers["time_zone"] = click.prompt("The shop's time zone", default=top["time_zone"])
    if ("dates", "day_first") in proposal.unsure:
        orders = click.Choice(["day first", "month first"])
        default = "day first" if proposal.sections["dates"]["day_first"] else "month first"
        answers["dates"] = click.prompt("Dates such as 1/2/2011 have the", type=orders, default=default)
    return answers


def _understood(files: Sequence[Path], shop: "Shop") -> "list[Line]":
    """Rows of the files as the description has them."""
    from upath import UPath

    from retail_assets.landing.history_files import history_files, tables
    from retail_assets.partitions.calendar import current_day
    from retail_assets.shops.judgement import judged, sample

    lines: list[Line] = []
    with TemporaryDirectory() as scratch:
        found = tables(history_files(files, UPath(scratch) / "landing"), shop.layout, Path(scratch))
        for table in found.tables:
            rows, days = sample(table, shop, current_day(), None)
            lines += judged(rows, days, shop.rules)
    return lines


def _show(lines: "Sequence[Line]", proposal: "Proposal") -> None:
    from retail_assets.shops.reasons import REASONS

    console = Console(width=max(Console().width, 120))
    rows = RichTable("invoice", "code", "description", "quantity", "price", "day", "customer", "country", "is")
    for line in lines[:SHOWN_ROWS]:
        texts = (line.invoice_no, line.stock_code, line.description, line.quantity, line.unit_price, line.day)
        shown = ["" if text is None else str(text) for text in (*texts, line.customer_id, line.country)]
        rows.add_row(*shown, ", ".join(line.reasons) or line.line_type)
    console.print(rows)
    clean = sum(not line.reasons for line in lines)
    console.print(f"{clean:,} of {len(lines):,} rows would be clean.")
    for reason, meaning in REASONS.items():
        if count := sum(reason in line.reasons for line in lines):
            console.print(f"  {count:,} in quarantine as {reason}: {meaning}")
    for (section, key), why in proposal.unsure.items():
        console.print(f"Guessed: {f'[{section}] ' if section else ''}{key}: {why}.", markup=False)
    for note in proposal.notes:
        console.print(note, markup=False)


COMMANDS = [shop]
