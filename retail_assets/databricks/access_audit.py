"""Who can read which table: as the access policy says, and as the catalog does, side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_assets.databricks.access import Grants, Securable, wanted_grants
from retail_assets.databricks.settings import DatabricksSettings
from retail_assets.databricks.unity_catalog import granted

if TYPE_CHECKING:
    from retail_assets.databricks.workspace_api import WorkspaceApi

_EVERYTHING = "ALL_PRIVILEGES"


@dataclass(frozen=True)
class Readers:
    """Who can read one table, which is of a layer; `in_catalog` is None for a table that is not there yet."""

    table: str
    layer: str
    by_policy: frozenset[str]
    in_catalog: frozenset[str] | None

    @property
    def unasked(self) -> frozenset[str]:
        """Who can, and should not: nobody whom the policy does not name is ever taken away by governance."""
        return (self.in_catalog or frozenset()) - self.by_policy

    @property
    def missing(self) -> frozenset[str]:
        """Who should, and cannot: the governance job was not run since."""
        return frozenset() if self.in_catalog is None else self.by_policy - self.in_catalog


def readers(grants: Grants, table: str) -> frozenset[str]:
    """Who can read `catalog.schema.table`: SELECT on it or on what it is in, and the use of its schema and catalog."""
    catalog, schema, _ = table.split(".")
    own, above, top = (
        grants.get(securable, {})
        for securable in (
            Securable("TABLE", table),
            Securable("SCHEMA", f"{catalog}.{schema}"),
            Securable("CATALOG", catalog),
        )
    )

    def may(principal: str, privilege: str, *levels: Mapping[str, frozenset[str]]) -> bool:
        return any(level.get(principal, frozenset()) & {privilege, _EVERYTHING} for level in levels)

    return frozenset(
        principal
        for principal in {*own, *above, *top}
        if may(principal, "SELECT", own, above, top)
        and may(principal, "USE_SCHEMA", above, top)
        and may(principal, "USE_CATALOG", top)
    )


def audit(
    api: "WorkspaceApi", databricks: DatabricksSettings, tables: Iterable[tuple[tuple[str, str], str]]
) -> list[Readers]:
    """Of each table ((source, table), layer), in their order. Reads permissions, and changes none."""
    layers = dict(tables)
    wanted = wanted_grants(databricks.access_policy, databricks.catalog, layers)
    found = {securable: granted(api, securable) for securable in wanted}
    held = {securable: principals for securable, principals in found.items() if principals is not None}
    rows = []
    for (source, name), layer in layers.items():
        table = f"{databricks.catalog}.{source}.{name}"
        there = Securable("TABLE", table) in held
        rows.append(Readers(table, layer, readers(wanted, table), readers(held, table) if there else None))
    return rows
