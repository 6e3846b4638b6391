"""`retail audience`: a list of the table `actions` as CSV, for whoever writes to the customers in it."""

import hmac
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retail_assets.people_csv import write_rows
from retail_assets.settings import Settings
from retail_assets.table_commands import RAW, SOURCE, Refusal, local, one_source

if TYPE_CHECKING:
    from retail_assets.sql.door import Door

CONTACTED, CONTROL = "contacted", "control"


def held_out(customers: Sequence[str], share: float, seed: str) -> set[str]:
    """A random control group: so many of the customers, always the same for the same seed, whatever their order."""
    drawn = sorted(customers, key=lambda customer: sha256(f"{seed}\n{customer}".encode()).digest())
    return set(drawn[: round(share * len(customers))])


def own_ids(key: str, customers: Iterable[str]) -> Mapping[str, str]:
    """Pseudonym -> the shop's own customer: `key` is the source's; the same HMAC-SHA256 that pseudonyms are made by."""
    return {hmac.new(key.encode(), each.encode(), sha256).hexdigest(): each for each in customers}


def _month(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return f"{datetime.strptime(value, '%Y-%m'):%Y-%m-01}"
    except ValueError:
        raise click.BadParameter(f"{value!r} is no month such as 2026-11.") from None


@click.command()
@click.argument("name", required=False)
@SOURCE
@click.option(
    "--month", callback=_month, help="As of this month's end, such as 2026-11; the newest, unless it is said."
)
@click.option("--limit", type=click.IntRange(1), help="Only so many, the most valuable first.")
@click.option(
    "--hold-out", "share", type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="This share, such as 0.2, is drawn as control group, who are not to be written to.",
)  # fmt: skip
@click.option("--campaign", help="What the campaign is called: fills the columns that retail campaign wants.")
@click.option("--contacted", type=click.DateTime(["%Y-%m-%d"]), help="When they are written to; with --campaign.")
@click.option("--own-ids", is_flag=True, help="Where customers have pseudonyms: the shop's own ids, by the secret key.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@RAW
@click.pass_obj
def audience(
    settings: Settings,
    name: str | None,
    source: str | None,
    month: str | None,
    limit: int | None,
    share: float | None,
    campaign: str | None,
    contacted: datetime | None,
    own_ids: bool,
    output: Path | None,
    raw: bool,
) -> None:
    """Print the list NAME of the table actions as CSV, with the reason of each; without a name, which lists there are.

    \b
    retail audience win_back --limit 500 --output win-back.csv
    retail audience win_back --hold-out 0.2 --campaign spring --contacted 2026-12-01 -o spring.csv
    """
    if (campaign is None) != (contacted is None):
        raise click.UsageError("--campaign and --contacted go together: which campaign, and when.")
    if output and not output.parent.is_dir():
        raise Refusal(f"There is no directory {output.parent} to write {output.name} to.")
    local(settings)
    from retail_assets.sql.door import Door, NotAnswered

    of, door = one_source(settings, source).name, None
    try:
        door = Door(settings.lakehouse)
        rows = _listed(door, of, name, month)
    except NotAnswered as problem:
        raise Refusal(str(problem)) from None
    if rows is None:
        return
    rows = rows[:limit] if limit else rows
    if own_ids:
        rows = _by_own_ids(settings, door, of, rows)
    elif settings.pseudonym_key and any(row["customer_id"] for row in rows):
        click.echo("Customers are named by their pseudonyms; --own-ids gives the shop's own.", err=True)
    _write(_grouped(rows, share, campaign, contacted, f"{of} {name} {campaign or ''}"), output, raw)


def _listed(door: "Door", source: str, name: str | None, month: str | None) -> list[dict[str, Any]] | None:
    """The rows of a list; None where no name was given: then it is told which lists there are."""
    table = f'"{source}".actions_current' if month is None else f'"{source}".actions'
    of_month = "" if month is None else f" WHERE snapshot_month = DATE '{month}'"
    counts = f"SELECT action, count(*), sum(worth) FROM {table}{of_month} GROUP BY 1 ORDER BY 3 DESC NULLS LAST, 1"
    known = _fetched(door, counts)
    if name is None:
        for action, named, worth in known:
            click.echo(f"{action:<16} {named:>6,} named, worth {'unknown' if worth is None else f'{worth:,.0f}'}")
        return None
    action = name.replace("-", "_").lower()
    names = [row[0] for row in known]
    if action not in names:
        near = get_close_matches(action, names, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise Refusal(f"{source} has no list {name}{' of that month' if month else ''}.{meant} There are: "
                      f"{', '.join(names) or 'none yet'}.")  # fmt: skip
    columns = ("rank", "customer_id", "product", "country", "worth", "reason", "as_of_date")
    where = f"{of_month} {'AND' if of_month else 'WHERE'} action = '{action}'"
    found = _fetched(door, f"SELECT {', '.join(columns)} FROM {table}{where} ORDER BY rank")
    return [dict(zip(columns, row, strict=True)) for row in found]


def _fetched(door: "Door", query: str) -> list[tuple[Any, ...]]:
    answer = door.answer(query)
    return answer.fetchall() if answer is not None else []


def _by_own_ids(settings: Settings, door: "Door", source: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the shop's own ids; who is no longer in silver is left out, and told."""
    if not settings.pseudonym_key:
        raise Refusal("--own-ids needs RETAIL_PSEUDONYM_KEY, by which pseudonyms are made; without it ids are the own.")
    from retail_assets.lakehouse.pseudonyms import key_of

    silver = _fetched(door, f'SELECT DISTINCT customer_id FROM "{source}".customer_month_activity')
    known = own_ids(key_of(settings.pseudonym_key, source), (row[0] for row in silver))
    if unknown := [row for row in rows if row["customer_id"] and row["customer_id"] not in known]:
        told = "their pseudonyms were made by another key. Make gold again: retail run --all."
        click.echo(f"{len(unknown)} of {len(rows)} customers are nobody's of customer_month_activity: {told}", err=True)
    return [row | {"customer_id": known.get(row["customer_id"])} for row in rows if row not in unknown]


def _grouped(
    rows: list[dict[str, Any]], share: float | None, campaign: str | None, contacted: datetime | None, seed: str
) -> list[dict[str, Any]]:
    """The rows without columns that are empty in all of them, and with those of the campaign that were asked for."""
    if share and not any(row["customer_id"] for row in rows):
        raise Refusal("--hold-out draws customers: this list is about products or countries.")
    control = held_out([row["customer_id"] for row in rows], share, seed) if share else set()
    used = {name for row in rows for name, value in row.items() if value is not None}
    told: dict[str, Any] = {"campaign": campaign, "contacted_on": contacted.date()} if campaign and contacted else {}
    return [
        {name: value for name, value in row.items() if name in used}
        | ({"group": CONTROL if row["customer_id"] in control else CONTACTED} if share or campaign else {})
        | told
        for row in rows
    ]


def _write(rows: list[dict[str, Any]], output: Path | None, raw: bool) -> None:
    names, values = list(rows[0]) if rows else [], (list(row.values()) for row in rows)
    if output is None:
        write_rows(sys.stdout, names, values, raw)
        return
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8-sig", newline="") as file:
            write_rows(file, names, values, raw)
        unfinished.replace(output)
    except OSError as problem:
        raise Refusal(f"{output} cannot be written ({problem.strerror}).") from None
    finally:
        unfinished.unlink(missing_ok=True)
    click.echo(f"{output}: {len(rows):,} rows.")


COMMANDS = [audience]
