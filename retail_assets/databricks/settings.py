"""The Databricks deployment's settings: which workspace, as whom, on which cluster, staged where.

Read from the environment and checked at start-up, without network and without the Databricks SDK. Credentials come by
environment variable only; neither errors nor `repr` show one. docs/databricks.md lists every variable.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retail_assets.databricks.access import Access, read_policy
from retail_assets.databricks.compute import Compute
from retail_assets.databricks.compute_settings import read_compute, read_kind, refuse_what_does_not_work
from retail_assets.databricks.credentials import Credentials, read_credentials, read_host
from retail_assets.databricks.setting_values import PREFIX, json_value, seconds
from retail_assets.settings import SettingError, positive, required

_RUN_PERMISSIONS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE")


@dataclass(frozen=True)
class DatabricksSettings:
    """Everything the host needs to know of a workspace. On the cluster there are none."""

    host: str
    credentials: Credentials
    compute: Compute
    catalog: str
    staging: str
    """`dbfs:/…` or `/Volumes/<catalog>/<schema>/<volume>/…`, without a slash at the end."""
    secrets: Sequence[Mapping[str, str]]
    """Environment variables that the cluster takes from a secret scope: `name`, `key` and `scope` each."""
    run_fields: Mapping[str, Any]
    """What every run's request says beside its task: who may see it, as whom it runs, whether it queues, who pays."""
    access_policy: Sequence[Access]
    poll_seconds: float
    timeout_seconds: int

    @staticmethod
    def read(environment: Mapping[str, str]) -> "DatabricksSettings":
        """Raises SettingError, naming the variable, for what is missing or cannot be used."""
        # An empty variable is what a shell script leaves where it has nothing to say.
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        catalog, kind = read_catalog(given), read_kind(given)
        staging = _staging(given, catalog)
        refuse_what_does_not_work(
            kind,
            {
                "RETAIL_CATALOG before Unity Catalog": not is_unity_catalog(catalog) and not is_rehearsal(given),
                "RETAIL_DATABRICKS_STAGING in dbfs:/": staging.startswith("dbfs:"),
                "RETAIL_SEGMENT_ENGINE=mllib": given.get("RETAIL_SEGMENT_ENGINE") == "mllib",
            },
        )
        return DatabricksSettings(
            host=read_host(given),
            credentials=read_credentials(given),
            compute=read_compute(given),
            catalog=catalog,
            staging=staging,
            secrets=_secrets(given),
            run_fields=_run_fields(given),
            access_policy=read_policy(given.get("RETAIL_ACCESS_POLICY")),
            poll_seconds=seconds(given, PREFIX + "POLL_SECONDS", 5),
            timeout_seconds=positive(given, PREFIX + "TIMEOUT_SECONDS", 4 * 60 * 60),
        )


def read_catalog(given: Mapping[str, str]) -> str:
    """The catalog that holds the tables: RETAIL_CATALOG."""
    value = required(given, "RETAIL_CATALOG", "the Unity Catalog catalog that holds the tables, such as retail")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise SettingError(f"RETAIL_CATALOG={value!r} is no catalog's name: letters, digits, _ and - only.")
    return value


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


def is_rehearsal(given: Mapping[str, str]) -> bool:
    """Whether the workspace is on this machine: no Databricks is, and a rehearsal has no Unity Catalog."""
    return given.get("DATABRICKS_HOST", "").startswith("http://127.0.0.1:")


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


def _run_fields(given: Mapping[str, str]) -> dict[str, Any]:
    variable = PREFIX + "QUEUE"
    queue = given.get(variable, "on")
    if queue not in ("on", "off"):
        raise SettingError(f"{variable}={queue!r} is neither on nor off. Unset it for on.")
    optional = {
        "access_control_list": _access_control_list(given),
        "run_as": _run_as(given),
        "budget_policy_id": given.get(PREFIX + "BUDGET_POLICY_ID"),
    }
    return {"queue": {"enabled": queue == "on"}} | {name: value for name, value in optional.items() if value}


def _run_as(given: Mapping[str, str]) -> dict[str, str] | None:
    variable = PREFIX + "RUN_AS"
    value = given.get(variable)
    if value is None:
        return None
    who = _principal(value)
    if "group_name" in who:
        raise SettingError(
            f"{variable}={value!r} is neither a service principal's application id, such as "
            "6f2c1c3e-0f6b-4b1e-9c55-0a4d4ad0a6f1, nor a user's e-mail address."
        )
    return who


def _access_control_list(given: Mapping[str, str]) -> list[dict[str, str]]:
    variable = PREFIX + "PERMISSIONS"
    example = '{"CAN_VIEW": ["analysts"], "CAN_MANAGE_RUN": ["engineers", "ada@example.com"]}'
    value = given.get(variable, "{}")
    wanted = json_value(value, variable, dict, example)
    for level, names in wanted.items():
        if level not in _RUN_PERMISSIONS:
            raise SettingError(
                f"{variable}: {level!r} is not one of {', '.join(_RUN_PERMISSIONS)}. Example: {example}."
            )
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise SettingError(
                f"{variable}: {level} must be a list of users, groups and service principals. Example: {example}."
            )
    return [{**_principal(name), "permission_level": level} for level, names in wanted.items() for name in names]


def _principal(name: str) -> dict[str, str]:
    """Users are named by their e-mail address, service principals by their application id; all else is a group."""
    if "@" in name:
        return {"user_name": name}
    application = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name, re.IGNORECASE)
    return {"service_principal_name" if application else "group_name": name}
