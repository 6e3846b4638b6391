"""`retail campaign`: lands the list of whom a campaign contacted and whom it held out."""

from datetime import datetime
from pathlib import Path

import click

from retail_assets.settings import Settings
from retail_assets.table_commands import SOURCE, Refusal, local, one_source


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@SOURCE
@click.option("--campaign", help="What the campaign is called, where the file does not say.")
@click.option("--contacted", type=click.DateTime(["%Y-%m-%d"]), help="When, where the file does not say.")
@click.pass_obj
def campaign(
    settings: Settings, files: tuple[Path, ...], source: str | None, campaign: str | None, contacted: datetime | None
) -> None:
    """Land FILES, lists of whom a campaign contacted: CSV with customer_id, campaign, contacted_on and group.

    The group is contacted, or control for who was held out, as `retail audience --hold-out` draws them. What the
    campaign brought is then in the table campaign_results and on the dashboard.
    """
    local(settings)
    from retail_assets.landing.campaign_lists import CONTROL, ListRefused, land_list, read_list
    from retail_assets.landing.drops import LandingZone
    from retail_assets.partitions.calendar import current_day

    of = one_source(settings, source)
    if not any(table.key.path[-1] == "campaigns" for table in of.tables):
        raise Refusal(f"{of.name} has no table of campaigns: shops have.")
    day = contacted.date() if contacted else None
    try:
        lists = [read_list(file, current_day(), campaign, day) for file in files]
        for file, contacts in zip(files, lists, strict=True):
            land_list(contacts, LandingZone(settings.landing), of.name)
            control = sum(contact.group == CONTROL for contact in contacts)
            click.echo(f"Landed {file}: {len(contacts) - control:,} contacted, {control:,} held out.")
    except ListRefused as refusal:
        raise Refusal(str(refusal)) from None
    except OSError as problem:
        raise Refusal(f"{settings.landing} cannot be written to ({problem.strerror}).") from None
    if not any(contact.group == CONTROL for contacts in lists for contact in contacts):
        click.echo("Nobody was held out: what the campaign brought cannot be told.", err=True)
    first = min(contact.contacted_on for contacts in lists for contact in contacts)
    last = max(contact.contacted_on for contacts in lists for contact in contacts)
    click.echo(f"Next: retail run --select campaigns --from {first:%Y-%m-01} --to {last} --all, and then retail run")


COMMANDS = [campaign]
