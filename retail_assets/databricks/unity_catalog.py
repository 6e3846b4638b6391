"""Governance: what Unity Catalog says of the tables, and who may use them, brought in line with contracts and policy.

The job `unity_catalog_governance` has two steps. The first runs on the cluster and sets comments, tags and properties
by SQL; the second runs on the host and grants by the REST API, for which the cluster has no credentials. Each compares
first, changes only what differs, and shows the statements it came to; done twice, the second time finds nothing to do.
Tables that do not exist yet are named and left for the next run.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster import Failure, In, JobDefinition, MetadataValue, Nothing, OpExecutionContext, Out, job, op
from pyspark.sql import SparkSession

from retail_assets.databricks.access import Securable, grant_changes, wanted_grants
from retail_assets.databricks.metric_views import make_metric_views, views_of
from retail_assets.databricks.settings import DatabricksSettings, is_unity_catalog
from retail_assets.lakehouse.catalog_tables import CatalogTables
from retail_assets.lakehouse.contracts import Contract, spark_schema, table_name
from retail_assets.lakehouse.delta_tables import literal, quoted
from retail_assets.lakehouse.layers import GOLD, Layer
from retail_assets.lakehouse.maintenance import retention
from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table
from retail_assets.settings import RETENTION_DAYS, Settings

if TYPE_CHECKING:
    from retail_assets.databricks.workspace_api import WorkspaceApi

PROPERTIES = {
    # A partition's rows come from several tasks and would make as many small files.
    "delta.autoOptimize.optimizeWrite": "true",
}
LAYER, PERSONAL = "layer", "personal_data"


@dataclass(frozen=True)
class Described:
    """What the catalog says of a table. `columns`: name -> comment; `column_tags`: name -> its tags."""

    comment: str
    columns: Mapping[str, str]
    properties: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    column_tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def wanted_description(
    contract: type[Contract], layer: Layer, id_columns: Collection[str], pseudonyms: bool, kept: Mapping[str, str]
) -> Described:
    """What a contract has the catalog say. `pseudonyms`: whether there are such in place of ids. `kept`: the properties
    by which the table keeps its files and its log."""
    kind = "pseudonym" if pseudonyms and layer.pseudonymous else "identifier"
    schema = spark_schema(contract)
    return Described(
        comment=" ".join((contract.__doc__ or "").split()),
        columns={item.name: item.metadata["comment"] for item in schema},
        properties={**kept, **PROPERTIES},
        tags={LAYER: layer.name},
        column_tags={name: {PERSONAL: kind} for name in schema.fieldNames() if name in id_columns},
    )


def statements(table: str, wanted: Described, current: Described, tagged: bool = True) -> list[str]:
    """The SQL that makes `current` into `wanted`. `table` is quoted; without `tagged` the catalog has no tags.

    Properties and tags that are not wanted are left alone: others may have set them.
    """
    found = []
    if current.comment != wanted.comment:
        found.append(f"COMMENT ON TABLE {table} IS {literal(wanted.comment)}")
    found += [
        f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} COMMENT {literal(comment)}"
        for name, comment in wanted.columns.items()
        if name in current.columns and current.columns[name] != comment
    ]
    properties = _missing(wanted.properties, current.properties)
    if properties:
        found.append(f"ALTER TABLE {table} SET TBLPROPERTIES ({_pairs(properties)})")
    if tagged:
        tags = _missing(wanted.tags, current.tags)
        if tags:
            found.append(f"ALTER TABLE {table} SET TAGS ({_pairs(tags)})")
        for name, own in wanted.column_tags.items():
            column_tags = _missing(own, current.column_tags.get(name, {}))
            if column_tags and name in current.columns:
                found.append(f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} SET TAGS ({_pairs(column_tags)})")
    return found


def _missing(wanted: Mapping[str, str], current: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if current.get(name) != value}


def _pairs(texts: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(name)} = {literal(value)}" for name, value in texts.items())


def current_description(spark: SparkSession, catalog: str, name: Sequence[str]) -> Described:
    """What the catalog says of a table that exists; tags only where the catalog has them."""
    table = CatalogTables(spark, catalog).identifier(name)
    (detail,) = spark.sql(f"DESCRIBE DETAIL {table}").select("description", "properties").collect()
    tags: dict[str, str] = {}
    column_tags: dict[str, dict[str, str]] = {}
    if is_unity_catalog(catalog):
        information = f"{quoted(catalog)}.information_schema"
        its = f"WHERE schema_name = {literal(name[0])} AND table_name = {literal(name[1])}"
        for row in spark.sql(f"SELECT tag_name, tag_value FROM {information}.table_tags {its}").collect():
            tags[row.tag_name] = row.tag_value
        of_columns = f"SELECT column_name, tag_name, tag_value FROM {information}.column_tags {its}"
        for row in spark.sql(of_columns).collect():
            column_tags.setdefault(row.column_name, {})[row.tag_name] = row.tag_value
    return Described(
        comment=detail.description or "",
        columns={item.name: item.metadata.get("comment", "") for item in spark.read.table(table).schema},
        properties=detail.properties,
        tags=tags,
        column_tags=column_tags,
    )


def describe_tables(
    spark: SparkSession,
    catalog: str,
    tables: Collection[Table | ResultsTable],
    id_columns: Collection[str],
    pseudonyms: bool,
    retention_days: int = RETENTION_DAYS,
) -> dict[str, Any]:
    """Brings every table that exists in line with its contract, and the views of its metrics with their definitions;
    what was done, as metadata."""
    done: list[str] = []
    absent: list[str] = []
    stored = CatalogTables(spark, catalog)
    for table in tables:
        name = table_name(table.contract)
        if not stored.exists(name):
            absent.append(stored.place(name))
            continue
        current = current_description(spark, catalog, name)
        kept = retention(retention_days, current.properties)
        wanted = wanted_description(table.contract, table.layer, id_columns, pseudonyms, kept)
        for statement in statements(stored.identifier(name), wanted, current, tagged=is_unity_catalog(catalog)):
            spark.sql(statement)
            done.append(statement)
    if is_unity_catalog(catalog):
        done += make_metric_views(spark, catalog, [table_name(table.contract) for table in tables])
    return _shown(done, absent)


def grant_access(
    api: "WorkspaceApi", databricks: DatabricksSettings, tables: Iterable[Table | ResultsTable]
) -> dict[str, Any]:
    """Brings the grants in line with the policy; what was done, as metadata.

    Privileges are read as the workspace words them: one that this project has never heard of is taken away like others.
    Raises Failure, after everything else is done, where Databricks refuses a grant: of a principal it does not know.
    """
    from databricks.sdk.service.catalog import Privilege

    from retail_assets.databricks.workspace_api import Refused

    groups = {table_name(table.contract): table.layer.name for table in tables}
    if is_unity_catalog(databricks.catalog):  # who reads gold reads the figures, whatever they are summed of
        groups |= dict.fromkeys(views_of(groups), GOLD.name)
    wanted = wanted_grants(databricks.access_policy, databricks.catalog, groups)
    found = {securable: granted(api, securable) for securable in wanted}
    current = {securable: held for securable, held in found.items() if held is not None}
    done: list[str] = []
    refused: dict[str, str] = {}  # the error -> the first principal that met it
    for change in grant_changes({securable: wanted[securable] for securable in current}, current):
        one = {"principal": change.principal, "add": sorted(change.add), "remove": sorted(change.remove)}
        try:  # one at a time: what is refused keeps nobody else from what is theirs
            api.call("PATCH", _permissions(change.securable), {"changes": [one]})
        except Refused as error:
            refused.setdefault(str(error), f"{change.principal} on {change.securable.name}")
        else:
            done += change.statements
    absent = [securable.name for securable in wanted if securable not in current]
    known = {privilege.value for privilege in Privilege}
    unknown = {name for principals in current.values() for names in principals.values() for name in names} - known
    shown = _shown(done, absent) | {"unknown_privileges": MetadataValue.text(", ".join(sorted(unknown)) or "none")}
    if refused:
        raise Failure(
            "Some grants were refused; the others were made. Correct RETAIL_ACCESS_POLICY, or make the group.\n"
            + "\n".join(f"{which}: {error}" for error, which in refused.items()),
            metadata=shown,
            allow_retries=False,
        )
    return shown


def granted(api: "WorkspaceApi", securable: Securable) -> dict[str, frozenset[str]] | None:
    """Principal -> its own privileges on a securable; None if there is no such securable."""
    from retail_assets.databricks.workspace_api import Refused

    held: dict[str, frozenset[str]] = {}
    page: dict[str, str] = {}
    while True:
        try:
            answer = api.call("GET", _permissions(securable), query=page)
        except Refused as error:
            if error.missing:
                return None
            raise
        for assignment in answer.get("privilege_assignments") or []:
            privileges = frozenset(assignment.get("privileges") or [])
            held[assignment["principal"]] = held.get(assignment["principal"], frozenset()) | privileges
        if not answer.get("next_page_token"):
            return held
        page = {"page_token": answer["next_page_token"]}


def _permissions(securable: Securable) -> str:
    return f"/api/2.1/unity-catalog/permissions/{securable.kind.lower()}/{securable.name}"


def _shown(done: Sequence[str], absent: Sequence[str]) -> dict[str, Any]:
    return {
        "changes": MetadataValue.int(len(done)),
        "statements": MetadataValue.md("```sql\n" + "".join(f"{line};\n" for line in done) + "```" if done else "none"),
        "not_there_yet": MetadataValue.text(", ".join(absent) or "none"),
    }


def governance_job(
    settings: Settings, tables: Sequence[Table | ResultsTable], id_columns: Collection[str]
) -> JobDefinition:
    """The job of the databricks deployment. Loading it needs neither network nor the SDK."""

    @op(
        name="describe_tables",
        description="Comments, tags and properties of the tables, by their contracts.",
        required_resource_keys={"step_launcher", "pyspark"},
        out=Out(Nothing),
    )
    def describe(context: OpExecutionContext) -> None:
        spark = context.resources.pyspark.spark_session
        shown = describe_tables(
            spark, str(settings.catalog), tables, id_columns, bool(settings.pseudonym_key), settings.retention_days
        )
        context.add_output_metadata(shown)

    @op(
        name="grant_access",
        description="Grants by the access policy.",
        ins={"described": In(Nothing)},
        out=Out(Nothing),
    )
    def grant(context: OpExecutionContext) -> None:
        from retail_assets.databricks.workspace_api import Login, WorkspaceApi

        databricks = settings.databricks
        if databricks is None:
            raise RuntimeError("grant_access runs on the host; on the cluster there are no credentials for it.")
        login = Login(databricks.host, databricks.credentials.client_arguments)
        api = WorkspaceApi(login, say=context.log.warning)
        context.add_output_metadata(grant_access(api, databricks, tables))

    @job(name="unity_catalog_governance", description=__doc__)
    def unity_catalog_governance() -> None:
        grant(described=describe())

    return unity_catalog_governance
