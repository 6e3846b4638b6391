"""A Databricks asset bundle (`databricks.yml`) of what has to be there before the first run: schemas, volumes, a warm
cluster, and who may do what with them. Made of the settings, so that the two cannot drift apart.

Tables are no part of it: their own writes make them, and the governance job grants on them. Nor is serverless compute's
environment, which goes along with each run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from retail_assets.databricks.compute import NewCluster
from retail_assets.databricks.settings import DatabricksSettings, is_unity_catalog
from retail_assets.settings import SettingError

WARM_MINUTES = 60
"""How long the warm cluster stays up without work: longer than the pauses of a daily run."""

_OF_CLUSTERS = {"CAN_VIEW": "CAN_ATTACH_TO", "CAN_MANAGE_RUN": "CAN_RESTART", "CAN_MANAGE": "CAN_MANAGE"}
"""What a permission on runs comes to on the cluster that they run on."""


def bundle(databricks: DatabricksSettings, sources: Sequence[str], places: Mapping[str, str]) -> dict[str, Any]:
    """The bundle. `places`: what a volume is for -> its path (`/Volumes/…`), or somewhere else, which is left out.

    Raises SettingError for a catalog that bundles cannot describe.
    """
    if not is_unity_catalog(databricks.catalog):
        raise SettingError(
            f"RETAIL_CATALOG={databricks.catalog!r} is no catalog of Unity Catalog, and bundles know no other schemas."
        )
    volumes = {name: path.split("/")[2:5] for name, path in places.items() if path.startswith("/Volumes/")}
    schemas = {(databricks.catalog, source): f"Tables of {source}" for source in sources}
    schemas |= {(catalog, schema): "Volumes of the retail lakehouse" for catalog, schema, _ in volumes.values()}
    resources: dict[str, Any] = {
        "schemas": {
            schema: {"catalog_name": catalog, "name": schema, "comment": comment, "grants": _grants(databricks)}
            for (catalog, schema), comment in schemas.items()
        },
        "volumes": {
            name: {
                "catalog_name": catalog,
                # By reference, so that the schema is there first.
                "schema_name": f"${{resources.schemas.{schema}.name}}",
                "name": volume,
                "volume_type": "MANAGED",
                "comment": f"The retail lakehouse's {name}",
            }
            for name, (catalog, schema, volume) in volumes.items()
        },
    }
    if isinstance(databricks.compute, NewCluster):
        resources["clusters"] = {"warm": _warm(databricks, databricks.compute)}
    return {
        "bundle": {"name": "retail_assets"},
        "targets": {"production": {"mode": "production", "workspace": {"host": databricks.host}}},
        "resources": resources,
    }


def _grants(databricks: DatabricksSettings) -> list[dict[str, Any]]:
    """On a schema: who may do everything there. Who may read some tables is granted on these."""
    everything = [access.principal for access in databricks.access_policy if access.everything]
    return [{"principal": principal, "privileges": ["ALL_PRIVILEGES"]} for principal in everything]


def _warm(databricks: DatabricksSettings, compute: NewCluster) -> dict[str, Any]:
    """A cluster like those that are made for a step, that stays. RETAIL_DATABRICKS_CLUSTER_ID takes its id."""
    permissions = [
        {**entry, "level": _OF_CLUSTERS[level]}
        for entry in (dict(one) for one in databricks.run_fields.get("access_control_list", []))
        for level in [entry.pop("permission_level")]
    ]
    return {
        "cluster_name": "retail_assets",
        "autotermination_minutes": WARM_MINUTES,
        **compute.specification,
        **({"permissions": permissions} if permissions else {}),
    }
