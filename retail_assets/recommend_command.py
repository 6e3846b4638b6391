"""`retail recommend`: what one customer takes next, or whoever comes for the first time."""

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table as RichTable

from retail_assets.settings import Settings
from retail_assets.table_commands import SOURCE, Refusal, local, one_source

if TYPE_CHECKING:
    from retail_assets.sql.door import Door

_HEADINGS = {"again": "To take again", "new": "To take for the first time", "first": "For a first order"}


@click.command()
@click.argument("customer", required=False)
@click.option("--country", help="For whoever comes for the first time, from this country.")
@SOURCE
@click.pass_obj
def recommend(settings: Settings, customer: str | None, country: str | None, source: str | None) -> None:
    """Show what CUSTOMER is most likely to take next, again and for the first time, and why.

    \b
    retail recommend 12347
    retail recommend --country Germany
    """
    if (customer is None) == (country is None):
        raise click.UsageError("Name a customer, or a --country for whoever comes for the first time.")
    local(settings)
    from retail_assets.sql.door import Door, NotAnswered

    of = one_source(settings, source).name
    try:
        door = Door(settings.lakehouse)
        rows = _listed(door, of, pseudonym(settings, of, customer) if customer else None, country)
    except NotAnswered as problem:
        raise Refusal(f"{problem} Make it: retail run --select customer_recommendations") from None
    if not rows:
        raise Refusal(_nobody(door, of, customer, country))
    _show(rows)


def pseudonym(settings: Settings, source: str, customer: str) -> str:
    """By what the customer is called in the table: where there is a key, an id's pseudonym, or the pseudonym itself."""
    if not settings.pseudonym_key or len(customer) == 64:
        return customer
    from retail_assets.audience_command import own_ids
    from retail_assets.lakehouse.pseudonyms import key_of

    (found,) = own_ids(key_of(settings.pseudonym_key, source), [customer])
    return found


_COLUMNS = ("list", "rank", "stock_code", "description", "probability", "reason", "as_of_date")


def _asked(door: "Door", source: str, columns: str, where: str) -> list[tuple[Any, ...]]:
    table = f'"{source}".customer_recommendations'
    answer = door.answer(f"SELECT {columns} FROM {table} WHERE week = (SELECT max(week) FROM {table}) AND {where}")
    return answer.fetchall() if answer is not None else []


def _listed(door: "Door", source: str, customer: str | None, country: str | None) -> list[dict[str, Any]]:
    value = (customer if customer is not None else country or "").replace("'", "''")
    where = f"customer_id = '{value}'" if customer is not None else f"list = 'first' AND country ILIKE '{value}'"
    rows = _asked(door, source, ", ".join(_COLUMNS), f"{where} ORDER BY list, rank")
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def _nobody(door: "Door", source: str, customer: str | None, country: str | None) -> str:
    if customer is not None:
        return (
            f"{source} knows no order of {customer} by the newest week that is over. Whoever comes for the first time: "
            "retail recommend --country COUNTRY."
        )
    known = ", ".join(row[0] for row in _asked(door, source, "DISTINCT country", "list = 'first' ORDER BY 1"))
    return f"Nothing was sold to {country} in the four weeks before. There are: {known or 'none'}."


def _show(rows: list[dict[str, Any]]) -> None:
    console = Console()
    told = "probabilities are those of the next order, should there be one within 90 days"
    console.print(f"As of {rows[0]['as_of_date']}; {told}.")
    for which in dict.fromkeys(row["list"] for row in rows):
        shown = RichTable("", "product", "", "probability", "why", title=_HEADINGS[which], title_justify="left")
        for row in rows:
            if row["list"] == which:
                probability = f"{row['probability']:.0%}"
                shown.add_row(str(row["rank"]), row["stock_code"], row["description"], probability, row["reason"])
        console.print(shown)


COMMANDS = (recommend,)
