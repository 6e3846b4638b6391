"""`retail calendar`: the days that tables have partitions of, and making them fewer, or more."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retail_assets.settings import SettingError, Settings
from retail_assets.table_commands import SOURCE, Refusal, one_source

if TYPE_CHECKING:
    from retail_assets.sources.source import Source


class _Day(click.ParamType):
    name = "day"

    def __init__(self, or_open: bool) -> None:
        self._or_open = or_open

    def convert(self, value: Any, parameter: Any, context: Any) -> date | str:
        """An ISO date, or `open` where that is allowed."""
        if self._or_open and value == "open":
            return "open"
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date such as 2011-02-28{', nor open' if self._or_open else ''}")


@click.command()
@click.option("--first-day", type=_Day(or_open=False), help="Its first day from now on.")
@click.option("--last-day", type=_Day(or_open=True), help="Its last day from now on; open: it goes on to yesterday.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@SOURCE
@click.pass_obj
def calendar(
    settings: Settings, first_day: date | None, last_day: date | str | None, yes: bool, source: str | None
) -> None:
    """Show the calendar that is kept with the drops, or change it: a landing only ever makes it longer.

    Drops of days that it has no more are taken away and kept (retail landings, retail bring-back), rows of tables go
    in a new version of each, pages of the dashboard are removed. All of it is said before it is asked about.
    """
    from dagster import DagsterInstance

    from retail_assets.landing.calendar_change import calendar_to_be, change_calendar, drops_outside
    from retail_assets.landing.consent import listed
    from retail_assets.landing.drop_reader import DropRefused
    from retail_assets.landing.drops import LandingZone, ZoneRefused
    from retail_assets.operations.binding import NotItsOwn, Places
    from retail_assets.operations.main_job_lock import AlreadyRunning, alone

    shop, zone = one_source(settings, source), LandingZone(settings.landing, settings.drop_marker)
    try:
        if first_day is None and last_day is None:
            click.echo(_told(shop.calendar(settings)))
            return
        wanted = calendar_to_be(settings.landing, shop.name, first_day, last_day)
        going = drops_outside(zone, shop.name, wanted)
        click.echo(f"The calendar becomes: {_told(wanted)}")
        click.echo(f"Drops that go, and are kept: {listed(going) or 'none'}")
        with DagsterInstance.get() as instance, alone(instance, Places.of(settings)):
            tables, pages = (
                {} if settings.catalog else _rows_outside(settings, shop, wanted),
                _pages_outside(settings, shop, wanted),
            )
            told = [f"{rows:,} of {name}" for name, rows in tables.items()]
            click.echo(f"Rows of tables that go: {', '.join(told) or 'none'}")
            click.echo(f"Pages of the dashboard that go: {listed([page.name for page in pages]) or 'none'}")
            if not yes:
                click.confirm("Shall it?", abort=True)
            done = change_calendar(zone, shop.owner.layout, wanted)
            _remove_rows(settings, shop, wanted, tables)
            for page in pages:
                page.unlink(missing_ok=True)
    except (SettingError, DropRefused, ZoneRefused, AlreadyRunning, NotItsOwn) as refusal:
        raise Refusal(str(refusal)) from None
    click.echo(f"Done.{f' Its drops come back by: retail bring-back {done.landing}' if done.taken else ''}")


def _told(calendar: Any) -> str:
    return f"{calendar.first_day} to {calendar.last_day or f'yesterday ({calendar.newest_day}), open'}"


def _outside(table: Any, calendar: Any) -> tuple[str, str, str]:
    """The table's partition column, and the first and last partition that the calendar gives it."""
    from retail_assets.lakehouse.asset_metadata import layout
    from retail_assets.partitions.keys import PARTITION

    keys = table.cadence(calendar).get_partition_keys()
    none_at_all = ("9999-12-31", "0001-01-01")
    return layout(table.contract)[PARTITION], *((keys[0], keys[-1]) if keys else none_at_all)


def _place(settings: Settings, table: Any) -> str:
    return "/".join([settings.lakehouse.rstrip("/"), *table.key.path])


def _rows_outside(settings: Settings, source: "Source", calendar: Any) -> dict[str, int]:
    """Table -> its rows of partitions that the calendar does not have; tables without any are left out."""
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    found = {}
    for table in source.tables:
        if DeltaTable.is_deltatable(_place(settings, table)):
            column, first, last = _outside(table, calendar)
            days = pc.field(column)
            outside = (days < date.fromisoformat(first)) | (days > date.fromisoformat(last))
            rows = DeltaTable(_place(settings, table)).to_pyarrow_dataset().count_rows(filter=outside)
            if rows:
                found[table.key.path[-1]] = rows
    return found


def _remove_rows(settings: Settings, source: "Source", calendar: Any, rows: dict[str, int]) -> None:
    from deltalake import DeltaTable

    for table in source.tables:
        if table.key.path[-1] in rows:
            column, first, last = _outside(table, calendar)
            DeltaTable(_place(settings, table)).delete(f"{column} < '{first}' OR {column} > '{last}'")


def _pages_outside(settings: Settings, source: "Source", calendar: Any) -> list[Path]:
    first, last = f"{calendar.first_day:%Y-%m}", f"{calendar.newest_day:%Y-%m}"
    pages = sorted(Path(settings.dashboards).glob(f"{source.name}-[0-9][0-9][0-9][0-9]-[0-9][0-9].html"))
    return [page for page in pages if not first <= page.stem[-7:] <= last]


COMMANDS = [calendar]
