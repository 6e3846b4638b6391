"""The Databricks deployment's settings: which workspace, as whom, on which cluster, staged where.

Read from the environment and checked at start-up, without network and without the Databricks SDK. Credentials come by
environment variable only; neither errors nor `repr` show one. docs/databricks.md lists every variable.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from retail_assets.databricks.access import Access, read_policy
from retail_assets.settings import SettingError, positive, required


@dataclass(frozen=True)
class Runtime:
    """A Databricks Runtime that the project supports, and what it carries."""

    version: str
    spark: str
    python: str


RUNTIMES = (
    Runtime("16.4", spark="3.5.2", python="3.12"),
    Runtime("17.3", spark="4.0.0", python="3.12"),
    Runtime("18", spark="4.1.0", python="3.12"),
)
"""The long-term-support runtimes that new clusters may have, with what they carry."""

PREFIX = "RETAIL_DATABRICKS_"

TOKEN = ("DATABRICKS_TOKEN",)
OAUTH = ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET")
AZURE = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID")

_NEW_CLUSTER = ("SPARK_VERSION", "NODE_TYPE", "WORKERS", "POLICY_ID", "POOL_ID", "SPARK_CONF", "INIT_SCRIPTS", "TAGS")
_RUN_PERMISSIONS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE")
_INIT_SCRIPT_PLACES = {"/Volumes/": "volumes", "/Workspace/": "workspace", "abfss://": "abfss", "gs://": "gcs"}
# What makes a cluster without workers run on its driver.
_SINGLE_NODE_CONF = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
_SINGLE_NODE_TAG = {"ResourceClass": "SingleNode"}


@dataclass(frozen=True)
class Credentials:
    """Exactly one of the three ways to authenticate. Its repr shows no secret."""

    token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    azure_client_id: str | None = None
    azure_client_secret: str | None = field(default=None, repr=False)
    azure_tenant_id: str | None = None

    @property
    def launcher_arguments(self) -> dict[str, Any]:
        """As the step launcher's constructor takes them."""
        if self.token:
            return {"databricks_token": self.token}
        if self.client_id:
            return {"oauth_credentials": {"client_id": self.client_id, "client_secret": self.client_secret}}
        return {
            "azure_credentials": {
                "azure_client_id": self.azure_client_id,
                "azure_client_secret": self.azure_client_secret,
                "azure_tenant_id": self.azure_tenant_id,
            }
        }

    @property
    def client_arguments(self) -> dict[str, Any]:
        """As databricks.sdk.WorkspaceClient takes them; `auth_type` keeps it from looking for others."""
        if self.token:
            return {"auth_type": "pat", "token": self.token}
        if self.client_id:
            return {"auth_type": "oauth-m2m", "client_id": self.client_id, "client_secret": self.client_secret}
        return {"auth_type": "azure-client-secret", **self.launcher_arguments["azure_credentials"]}


@dataclass(frozen=True)
class NewCluster:
    """A cluster that is made for each step and ends with it."""

    spark_version: str
    node_type: str | None
    pool_id: str | None
    workers: int | tuple[int, int]
    """A number (0: the driver alone does the work), or from the first to the second as needed."""
    policy_id: str | None
    spark_conf: Mapping[str, str] = field(repr=False)
    init_scripts: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str]

    @property
    def run_config(self) -> dict[str, Any]:
        """As the step launcher's `run_config` describes a new cluster."""
        conf, tags = dict(self.spark_conf), dict(self.tags)
        if self.workers == 0:
            conf, tags = {**_SINGLE_NODE_CONF, **conf}, {**_SINGLE_NODE_TAG, **tags}
        cluster: dict[str, Any] = {
            "spark_version": self.spark_version,
            "nodes": {"instance_pool_id": self.pool_id}
            if self.pool_id
            else {"node_types": {"node_type_id": self.node_type}},
            "size": {"autoscale": {"min_workers": self.workers[0], "max_workers": self.workers[1]}}
            if isinstance(self.workers, tuple)
            else {"num_workers": self.workers},
            # The launcher's main file needs `sc` and `dbutils`: a classic cluster for one identity.
            "data_security_mode": "SINGLE_USER",
            "custom_tags": tags,
        }
        optional = {"spark_conf": conf, "init_scripts": list(self.init_scripts), "policy_id": self.policy_id}
        return cluster | {name: value for name, value in optional.items() if value}


@dataclass(frozen=True)
class DatabricksSettings:
    """Everything the host needs to know of a workspace. On the cluster there are none."""

    host: str
    credentials: Credentials
    cluster: str | NewCluster
    """The id of an existing cluster, or what a new one is like."""
    catalog: str
    staging: str
    """`dbfs:/…` or `/Volumes/<catalog>/<schema>/<volume>/…`, without a slash at the end."""
    secrets: Sequence[Mapping[str, str]]
    """Environment variables that the cluster takes from a secret scope: `name`, `key` and `scope` each."""
    permissions: Mapping[str, Any]
    """As the step launcher takes them: `job_permissions`, level -> users and groups."""
    access_policy: Sequence[Access]
    poll_seconds: float
    timeout_seconds: int

    @property
    def run_config(self) -> dict[str, Any]:
        """The cluster part of the step launcher's `run_config`; a new dictionary each time."""
        if isinstance(self.cluster, str):
            return {"cluster": {"existing": self.cluster}}
        return {"cluster": {"new": self.cluster.run_config}}

    @staticmethod
    def read(environment: Mapping[str, str]) -> "DatabricksSettings":
        """Raises SettingError, naming the variable, for what is missing or cannot be used."""
        # An empty variable is what a shell script leaves where it has nothing to say.
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        catalog = read_catalog(given)
        return DatabricksSettings(
            host=_host(given),
            credentials=_credentials(given),
            cluster=_cluster(given),
            catalog=catalog,
            staging=_staging(given, catalog),
            secrets=_secrets(given),
            permissions=_permissions(given),
            access_policy=read_policy(given.get("RETAIL_ACCESS_POLICY")),
            poll_seconds=_seconds(given, PREFIX + "POLL_SECONDS", 5),
            timeout_seconds=positive(given, PREFIX + "TIMEOUT_SECONDS", 4 * 60 * 60),
        )


def read_catalog(given: Mapping[str, str]) -> str:
    """The catalog that holds the tables: RETAIL_CATALOG."""
    value = required(given, "RETAIL_CATALOG", "the Unity Catalog catalog that holds the tables, such as retail")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise SettingError(f"RETAIL_CATALOG={value!r} is no catalog's name: letters, digits, _ and - only.")
    return value


def _host(given: Mapping[str, str]) -> str:
    variable = "DATABRICKS_HOST"
    example = "https://adb-1234567890123456.7.azuredatabricks.net"
    value = required(given, variable, f"the workspace's address, such as {example}")
    address = urlsplit(value if "://" in value else f"https://{value}")
    if address.scheme not in ("http", "https") or not address.hostname or address.path.strip("/") or address.query:
        raise SettingError(f"{variable}={value!r} is not a workspace's address alone, such as {example}.")
    return f"{address.scheme}://{address.netloc}"


def _credentials(given: Mapping[str, str]) -> Credentials:
    ways = [TOKEN, OAUTH, AZURE]
    begun = [way for way in ways if any(name in given for name in way)]
    choices = "; or ".join(" and ".join(way) for way in ways)
    if not begun:
        raise SettingError(f"Nothing says how to authenticate with Databricks. Set {choices}.")
    if len(begun) > 1:
        present = ", ".join(name for way in begun for name in way if name in given)
        raise SettingError(f"{present} are set together, which leaves open whom to be. Set only {choices}.")
    missing = [name for name in begun[0] if name not in given]
    if missing:
        present = " and ".join(name for name in begun[0] if name in given)
        raise SettingError(f"{' and '.join(missing)} must be set as well, beside {present}. Set {choices}.")
    return Credentials(
        token=given.get("DATABRICKS_TOKEN"),
        client_id=given.get("DATABRICKS_CLIENT_ID"),
        client_secret=given.get("DATABRICKS_CLIENT_SECRET"),
        azure_client_id=given.get("ARM_CLIENT_ID"),
        azure_client_secret=given.get("ARM_CLIENT_SECRET"),
        azure_tenant_id=given.get("ARM_TENANT_ID"),
    )


def _cluster(given: Mapping[str, str]) -> str | NewCluster:
    existing_variable = PREFIX + "CLUSTER_ID"
    existing = given.get(existing_variable)
    new = [PREFIX + name for name in _NEW_CLUSTER if PREFIX + name in given]
    if existing and new:
        raise SettingError(
            f"{existing_variable}={existing!r} names an existing cluster, but {', '.join(new)} describe a new one. "
            f"Unset {existing_variable} for a new cluster, or the others for the existing one."
        )
    if existing:
        return existing
    if not new:
        raise SettingError(
            f"No cluster is set. Set {existing_variable} for an existing one, or {PREFIX}SPARK_VERSION with "
            f"{PREFIX}NODE_TYPE or {PREFIX}POOL_ID for a new one for each step."
        )
    node_type, pool_id = given.get(PREFIX + "NODE_TYPE"), given.get(PREFIX + "POOL_ID")
    if bool(node_type) == bool(pool_id):
        both = f"{PREFIX}NODE_TYPE and {PREFIX}POOL_ID"
        raise SettingError(
            f"{both} are both set; a pool has its own node type. Unset one of them."
            if node_type
            else f"A new cluster needs one of {both}: its nodes' type, such as i3.xlarge or Standard_DS3_v2, or a pool."
        )
    return NewCluster(
        spark_version=_spark_version(given),
        node_type=node_type,
        pool_id=pool_id,
        workers=_workers(given),
        policy_id=given.get(PREFIX + "POLICY_ID"),
        spark_conf=_texts(given, PREFIX + "SPARK_CONF", '{"spark.sql.shuffle.partitions": "8"}'),
        init_scripts=_init_scripts(given),
        tags=_texts(given, PREFIX + "TAGS", '{"team": "retail"}'),
    )


def _spark_version(given: Mapping[str, str]) -> str:
    variable = PREFIX + "SPARK_VERSION"
    supported = "; ".join(f"{r.version} LTS (Spark {r.spark}, Python {r.python})" for r in RUNTIMES)
    value = required(given, variable, f"a runtime such as 17.3.x-scala2.13. Supported are {supported}")
    form = re.fullmatch(r"(?P<version>\d+(?:\.\d+)?)\.x-(?:[a-z0-9]+-)*scala2\.1[23]", value)
    # From 18 on a runtime's releases share one name and differ after the point.
    named = {form["version"], form["version"].partition(".")[0]} if form else set()
    if not named & {runtime.version for runtime in RUNTIMES}:
        raise SettingError(
            f"{variable}={value!r} is not a supported Databricks Runtime. Supported are {supported}; "
            "they are written like 17.3.x-scala2.13."
        )
    return value


def _workers(given: Mapping[str, str]) -> int | tuple[int, int]:
    variable = PREFIX + "WORKERS"
    value = given.get(variable, "0")
    if re.fullmatch(r"[0-9]+", value):
        return int(value)
    bounds = re.fullmatch(r"([0-9]+) ?- ?([0-9]+)", value)
    if not bounds or not 0 < int(bounds[1]) < int(bounds[2]):
        raise SettingError(
            f"{variable}={value!r} is neither a number of workers nor a range such as 2-8. "
            "Unset it for 0: the driver alone."
        )
    return int(bounds[1]), int(bounds[2])


def _init_scripts(given: Mapping[str, str]) -> list[dict[str, Any]]:
    variable = PREFIX + "INIT_SCRIPTS"
    value = given.get(variable, "")
    example = '/Volumes/retail/operations/scripts/init.sh or [{"s3": {"destination": "s3://…", "region": "eu-west-1"}}]'
    scripts = (
        _json(value, variable, list, example) if value.startswith("[") else [p.strip() for p in value.split(",") if p]
    )
    found: list[dict[str, Any]] = []
    for script in scripts:
        if isinstance(script, dict) and len(script) == 1 and set(script) <= {"s3", *_INIT_SCRIPT_PLACES.values()}:
            found.append(script)
            continue
        places = [place for start, place in _INIT_SCRIPT_PLACES.items() if str(script).startswith(start)]
        if not isinstance(script, str) or not places:
            raise SettingError(
                f"{variable}={value!r}: {script!r} is not an init script in a volume, the workspace or an object "
                f"store. Set it to paths, separated by commas, or a JSON list: {example}."
            )
        found.append({places[0]: {"destination": script}})
    return found


def _staging(given: Mapping[str, str], catalog: str) -> str:
    variable = PREFIX + "STAGING"
    default = (
        f"/Volumes/{catalog}/retail_assets/staging" if is_unity_catalog(catalog) else "dbfs:/retail_assets/staging"
    )
    value = given.get(variable, default).rstrip("/")
    in_volume = re.fullmatch(r"/Volumes(/[^/]+){3,}", value)
    in_dbfs = re.fullmatch(r"dbfs:(/[^/]+)+", value) and not value.startswith("dbfs:/Volumes/")
    if not (in_volume or in_dbfs) or ".." in value.split("/"):
        raise SettingError(
            f"{variable}={value!r} is neither a directory of a volume such as /Volumes/retail/retail_assets/staging "
            f"nor one of DBFS such as dbfs:/retail_assets/staging. Unset it for {default}."
        )
    return value


def is_unity_catalog(catalog: str) -> bool:
    """Whether the catalog is Unity Catalog's, or else Spark's own session catalog or a workspace's old metastore."""
    return catalog.lower() not in ("spark_catalog", "hive_metastore")


def _secrets(given: Mapping[str, str]) -> list[dict[str, str]]:
    scope_variable, secrets_variable = PREFIX + "SECRET_SCOPE", PREFIX + "SECRETS"
    scope, value = given.get(scope_variable), given.get(secrets_variable)
    if not scope and not value:
        return []
    example = "RETAIL_PSEUDONYM_KEY=pseudonym-key"
    if not value:
        raise SettingError(f"{scope_variable}={scope!r} needs {secrets_variable} as well, such as {example}.")
    if not scope:
        raise SettingError(
            f"{secrets_variable}={value!r} needs {scope_variable} as well: the scope that holds the keys."
        )
    found = []
    for pair in value.split(","):
        name, _, key = (part.strip() for part in pair.partition("="))
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not re.fullmatch(r"[A-Za-z0-9_.-]+", key):
            raise SettingError(
                f"{secrets_variable}={value!r}: {pair.strip()!r} is not a variable and the key of its secret, "
                f"such as {example}; several are separated by commas."
            )
        found.append({"name": name, "key": key, "scope": scope})
    return found


def _permissions(given: Mapping[str, str]) -> dict[str, Any]:
    variable = PREFIX + "PERMISSIONS"
    example = '{"CAN_VIEW": ["analysts"], "CAN_MANAGE_RUN": ["engineers", "ada@example.com"]}'
    value = given.get(variable, "{}")
    wanted = _json(value, variable, dict, example)
    for level, names in wanted.items():
        if level not in _RUN_PERMISSIONS:
            raise SettingError(
                f"{variable}: {level!r} is not one of {', '.join(_RUN_PERMISSIONS)}. Example: {example}."
            )
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise SettingError(f"{variable}: {level} must be a list of users and groups. Example: {example}.")
    if not wanted:
        return {}
    return {"job_permissions": {level: [_accessor(name) for name in names] for level, names in wanted.items()}}


def _accessor(name: str) -> dict[str, str]:
    """Users are named by their e-mail address; what has none is a group."""
    return {"user_name" if "@" in name else "group_name": name}


def _texts(given: Mapping[str, str], variable: str, example: str) -> dict[str, str]:
    """A JSON object as texts, with true and false as Spark and the clouds write them."""
    values = _json(given.get(variable, "{}"), variable, dict, example)
    nested = [name for name, value in values.items() if isinstance(value, dict | list) or value is None]
    if nested:
        raise SettingError(f"{variable}: {nested[0]!r} must be a text or a number. Example: {example}.")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _json(value: str, variable: str, kind: type, example: str) -> Any:
    try:
        parsed = json.loads(value)
    except ValueError as problem:
        # The value itself is not shown: Spark's configuration is where people put keys.
        raise SettingError(f"{variable} is not JSON ({problem}). Example: {example}.") from None
    if not isinstance(parsed, kind):
        raise SettingError(f"{variable} is not a JSON {'object' if kind is dict else 'list'}. Example: {example}.")
    return parsed


def _seconds(given: Mapping[str, str], variable: str, default: float) -> float:
    value = given.get(variable, str(default))
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) or float(value) == 0:
        raise SettingError(f"{variable}={value!r} is not a number of seconds above 0. Unset it for {default}.")
    return float(value)
