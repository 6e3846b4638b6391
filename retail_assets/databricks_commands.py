"""`retail bundle` and `retail access`: what a Databricks workspace is to have, and who can read what in it."""

import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table as Grid

from retail_assets.settings import SettingError, Settings
from retail_assets.table_commands import Refusal

if TYPE_CHECKING:
    from retail_assets.databricks.settings import DatabricksSettings


@click.command()
@click.pass_obj
def bundle(settings: Settings) -> None:
    """Print a Databricks asset bundle of the schemas, volumes and cluster that the settings name.

    retail bundle > databricks.yml; databricks bundle deploy
    """
    import yaml

    from retail_assets.databricks.bundle import bundle as made
    from retail_assets.sources.known import sources_at_work

    databricks = _databricks(settings)
    places = {"staging": databricks.staging, "landing": settings.landing, "dashboards": settings.dashboards}
    try:
        described = made(databricks, [source.name for source in sources_at_work(settings)], places)
    except SettingError as error:
        raise Refusal(str(error)) from None
    click.echo(yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120), nl=False)


@click.group()
def access() -> None:
    """Who can read which table."""


@access.command()
@click.pass_obj
def audit(settings: Settings) -> None:
    """Who can read each table by the access policy, and who can in the catalog; exits with 1 where they differ."""
    from retail_assets.databricks.access_audit import audit as audited
    from retail_assets.databricks.workspace_api import Login, Refused, WorkspaceApi
    from retail_assets.lakehouse.contracts import table_name
    from retail_assets.sources.known import sources_at_work

    databricks = _databricks(settings)
    stored = [table for source in sources_at_work(settings) for table in source.stored]
    console = Console(highlight=False, soft_wrap=True)
    try:
        api = WorkspaceApi(Login(databricks.host, databricks.credentials.client_arguments), say=click.echo)
        found = audited(api, databricks, [(table_name(table.contract), table.layer.name) for table in stored])
    except Refused as error:
        raise Refusal(str(error)) from None
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("table", "layer", "reads by the policy", "reads in the catalog", ""):
        grid.add_column(heading)
    for row in found:
        told = [f"should not: {', '.join(sorted(row.unasked))}"] if row.unasked else []
        told += [f"cannot yet: {', '.join(sorted(row.missing))}"] if row.missing else []
        there = "not made yet" if row.in_catalog is None else _names(row.in_catalog)
        grid.add_row(row.table, row.layer, _names(row.by_policy), there, "; ".join(told))
    console.print(grid)
    if any(row.unasked or row.missing for row in found):
        console.print(
            "They differ. The job unity_catalog_governance grants what is missing, and takes away what principals of "
            "the policy have beyond it; whom the policy does not name, it leaves alone: name them with [] to end that."
        )
        sys.exit(1)


def _names(principals: frozenset[str]) -> str:
    return ", ".join(sorted(principals)) or "nobody"


def _databricks(settings: Settings) -> "DatabricksSettings":
    if settings.databricks is None:
        raise Refusal("This is about a workspace: set RETAIL_DEPLOYMENT=databricks and what docs/databricks.md lists.")
    return settings.databricks


COMMANDS = [bundle, access]
