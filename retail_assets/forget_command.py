"""`retail forget`: takes customers out of everything that is stored."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retail_assets.settings import Settings
from retail_assets.table_commands import SOURCE, Refusal, instance_of_home, local, one_source

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult

    from retail_assets.erasure.requests import ForgetRequest
    from retail_assets.sources.source import Source


@click.command()
@click.argument("customers", nargs=-1)
@click.option("--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Ids, one a line.")
@click.option("--due", is_flag=True, help="All who bought last more than RETAIL_PERSONAL_DATA_MONTHS ago.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@SOURCE
@click.pass_obj
def forget(
    settings: Settings, customers: tuple[str, ...], file: Path | None, due: bool, yes: bool, source: str | None
) -> None:
    """Forget customers: take them out of drops, tables with all versions, pages, models' samples and logs.

    Their invoices stay without them, or go, as [personal] in the shop's description says; what follows from them is
    made anew, older versions go, and in the end every stored byte is searched for their ids. It may be interrupted:
    without any customer it goes on with what was begun.
    """
    from retail_assets.erasure.job import JOB, out_of_reach
    from retail_assets.erasure.requests import keep, pending
    from retail_assets.operations.binding import home_of

    local(settings)
    shop = one_source(settings, source)
    with instance_of_home() as instance:
        home = home_of(instance)
        assert home is not None, "the command's instance is that of a directory"
        wanted = _ids(customers, file, _overdue(settings, shop) if due else [])
        begun = {request.source: request for _, request in pending(home)}
        if wanted:
            request = _request(settings, shop, wanted, begun.get(shop.name))
            _ask(request.ids, shop.name, yes)
            keep(home, request)
        elif not begun:
            click.echo("Nobody is to be forgotten." + (" Nobody's data are older." if due else ""))
            return
        from retail_assets.definitions import defs

        click.echo("Working: drops, tables, old versions, records, then the search …", err=True)
        result = defs.get_job_def(JOB).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        raise Refusal(_why(result))
    click.echo(
        "Forgotten. No id is left in anything that is stored here: retail read erasures says what was touched.\n"
        f"Not reached: {'; '.join(out_of_reach(settings))}."
    )


def _why(result: "ExecuteInProcessResult") -> str:
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return data.user_failure_data.description
        if data.error:
            return f"{data.error.message.strip()} What was begun goes on with: retail forget"
    return "It was stopped. What was begun goes on with: retail forget"


def _ids(customers: tuple[str, ...], file: Path | None, overdue: list[str]) -> set[str]:
    from retail_assets.erasure.drops import as_known

    lines = file.read_text(encoding="utf-8").splitlines() if file else []
    return {as_known(one) for one in (*customers, *lines, *overdue) if one.strip()}


def _request(settings: Settings, shop: "Source", wanted: set[str], earlier: "ForgetRequest | None") -> "ForgetRequest":
    """Of these, and of those that an earlier one, which is not done, is about."""
    from retail_assets.erasure.drops import People
    from retail_assets.erasure.job import REVENUE
    from retail_assets.erasure.requests import ForgetRequest
    from retail_assets.erasure.stored import revenue_of
    from retail_assets.landing.drop_reader import DropRefused
    from retail_assets.landing.drops import LandingZone
    from retail_assets.shops.shop import Shop

    if not isinstance(shop.owner, Shop):
        raise Refusal(f"{shop.name} is no shop: its customers cannot be forgotten by this command.")
    ids = wanted | set(earlier.ids if earlier else ())
    try:
        people = People.of(LandingZone(settings.landing, settings.drop_marker), shop.owner.layout, ids)
    except DropRefused as problem:
        raise Refusal(str(problem)) from None
    named = tuple(sorted(people.named | set(earlier.named if earlier else ())))
    if earlier:
        return replace(earlier, ids=tuple(sorted(ids)), named=named)
    revenue = revenue_of(Path(settings.lakehouse, shop.name, REVENUE[0]), REVENUE[1])
    return ForgetRequest(shop.name, tuple(sorted(ids)), named, datetime.now(UTC).isoformat(), revenue)


def _ask(ids: tuple[str, ...], source: str, yes: bool) -> None:
    click.echo(
        f"{len(ids):,} customers of {source} are forgotten, for good: no version of any table from before stays."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refusal("Nothing was changed: without a terminal, say --yes.")
    click.confirm("Go on?", abort=True)


def _overdue(settings: Settings, shop: "Source") -> list[str]:
    from retail_assets.erasure.retention import overdue

    if settings.personal_data_months is None:
        raise Refusal("RETAIL_PERSONAL_DATA_MONTHS is not set: it says for how long people's data are kept.")
    return overdue(Path(settings.lakehouse, shop.name), settings.personal_data_months, datetime.now(UTC).date())


COMMANDS = [forget]
