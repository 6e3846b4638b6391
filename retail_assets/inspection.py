"""The commands of `retail` that look at the quality of tables: `profile` and `quarantine`."""

from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table as RichTable

from retail_assets.settings import Settings
from retail_assets.table_commands import SOURCE, Refusal, one_source, stored

SHOWN_ROWS = 50


@click.command()
@click.argument("table")
@click.pass_obj
def profile(settings: Settings, table: str) -> None:
    """Show what the columns of TABLE hold, and rules that it keeps but its contract does not ask for."""
    from retail_assets.lakehouse.contracts import table_name
    from retail_assets.lakehouse.profile import profile as profile_of
    from retail_assets.lakehouse.profile import suggestions

    contract, place = stored(settings, table)
    columns = profile_of(place)
    console = _console()
    shown = RichTable("column", "type", "nulls", "distinct", "least", "most", "5 % / median / 95 %", "most frequent")
    for column in columns:
        shown.add_row(
            column.name,
            column.kind,
            f"{column.nulls / column.rows:.1%}" if column.rows else "",
            "" if column.distinct is None else f"{column.distinct:,}",
            _short(column.least),
            _short(column.most),
            " / ".join(f"{level:g}" for level in column.quantiles),
            ", ".join(f"{_short(value)} ({count:,})" for value, count in column.common),
        )
    console.print(f"{table_name(contract)[-1]}: {columns[0].rows if columns else 0:,} rows")
    console.print(shown)
    suggested = suggestions(columns, contract)
    if suggested:
        console.print("All rows keep these rules, which the contract does not ask for:")
        for column_name, texts in suggested.items():
            console.print(f"  {column_name}: {', '.join(texts)}")


@click.command()
@click.option("--reason", help="Only rows with this reason.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only rows of this day's drops.")
@SOURCE
@click.pass_obj
def quarantine(settings: Settings, reason: str | None, day: datetime | None, source: str | None) -> None:
    """Show the rows in quarantine: how many for each reason; with --reason or --day, the rows themselves."""
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    from retail_assets.shops.reasons import REASONS

    if reason is not None and reason not in REASONS:
        raise Refusal(f"{reason!r} is no reason. There are: {', '.join(REASONS)}.")
    condition = pc.scalar(True) if day is None else pc.field("invoice_date") == pc.scalar(day.date())
    dataset = DeltaTable(
        stored(settings, f"{one_source(settings, source).name}.quarantined_invoices")[1]
    ).to_pyarrow_dataset()
    rows = dataset.to_table(filter=condition).sort_by([("invoice_date", "ascending")]).to_pylist()
    rows = [row for row in rows if reason is None or reason in row["reasons"]]
    console = _console()
    counted = RichTable("reason", "rows", "days", "meaning")
    for name, meaning in REASONS.items():
        own = [row for row in rows if name in row["reasons"]]
        if own:
            counted.add_row(name, f"{len(own):,}", f"{len({row['invoice_date'] for row in own}):,}", meaning)
    console.print(f"{len(rows):,} rows are in quarantine")
    console.print(counted)
    if reason is not None or day is not None:
        listed = RichTable("file", "line", "reasons", "row as landed")
        for row in rows[:SHOWN_ROWS]:
            listed.add_row(row["source_file"], str(row["line_number"]), ", ".join(row["reasons"]), _as_landed(row))
        console.print(listed)
        if len(rows) > SHOWN_ROWS:
            console.print(f"… and {len(rows) - SHOWN_ROWS:,} more; name a reason and a day to see fewer")
    if rows:
        console.print("To mend: correct the lines in the drop, in its place; its day is due again (retail run).")


def _as_landed(row: dict[str, Any]) -> str:
    from retail_assets.shops.shop import INVOICE_COLUMNS

    if row["malformed_line"] is not None:
        return str(row["malformed_line"])
    return ",".join("" if row[name] is None else str(row[name]) for name in INVOICE_COLUMNS)


def _console() -> Console:
    """For what rows hold: brackets and colons in it stand for themselves."""
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


COMMANDS = [profile, quarantine]
