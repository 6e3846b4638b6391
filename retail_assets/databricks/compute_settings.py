"""What a step runs on, from the environment; what does not go together is refused by name."""

import re
from collections.abc import Mapping
from typing import Any

from retail_assets.databricks.compute import (
    DEDICATED,
    ENVIRONMENTS,
    KINDS,
    RUNTIMES,
    SERVERLESS,
    WORKS_WITH,
    Compute,
    ExistingCluster,
    NewCluster,
    Serverless,
    rule,
)
from retail_assets.databricks.setting_values import PREFIX, json_value, texts
from retail_assets.settings import SettingError, required

COMPUTE = PREFIX + "COMPUTE"

_NEW_CLUSTER = ("SPARK_VERSION", "NODE_TYPE", "WORKERS", "POLICY_ID", "POOL_ID", "SPARK_CONF", "INIT_SCRIPTS", "TAGS")
_INIT_SCRIPT_PLACES = {"/Volumes/": "volumes", "/Workspace/": "workspace", "abfss://": "abfss", "gs://": "gcs"}
_TARGETS = ("STANDARD", "PERFORMANCE_OPTIMIZED")


def read_kind(given: Mapping[str, str]) -> str:
    """The kind of compute: RETAIL_DATABRICKS_COMPUTE."""
    kind = given.get(COMPUTE, DEDICATED)
    if kind not in KINDS:
        raise SettingError(f"{COMPUTE}={kind!r} is not one of {', '.join(KINDS)}. Unset it for {DEDICATED}.")
    return kind


def read_compute(given: Mapping[str, str]) -> Compute:
    """Raises SettingError, naming the variable, for what is missing or cannot be used."""
    kind = read_kind(given)
    refuse_what_does_not_work(kind, {rule.setting: rule.setting in given for rule in WORKS_WITH})
    if kind == SERVERLESS:
        return _serverless(given)
    existing_variable = PREFIX + "CLUSTER_ID"
    existing = given.get(existing_variable)
    new = [PREFIX + name for name in _NEW_CLUSTER if PREFIX + name in given]
    if existing and new:
        raise SettingError(
            f"{existing_variable}={existing!r} names an existing cluster, but {', '.join(new)} describe a new one. "
            f"Unset {existing_variable} for a new cluster, or the others for the existing one."
        )
    if existing:
        return ExistingCluster(existing)
    if not new:
        raise SettingError(
            f"No cluster is set. Set {existing_variable} for an existing one, or {PREFIX}SPARK_VERSION with "
            f"{PREFIX}NODE_TYPE or {PREFIX}POOL_ID for a new one for each step, or {COMPUTE}={SERVERLESS} for none."
        )
    node_type, pool_id = given.get(PREFIX + "NODE_TYPE"), given.get(PREFIX + "POOL_ID")
    if bool(node_type) == bool(pool_id):
        both = f"{PREFIX}NODE_TYPE and {PREFIX}POOL_ID"
        raise SettingError(
            f"{both} are both set; a pool has its own node type. Unset one of them."
            if node_type
            else f"A new cluster needs one of {both}: its nodes' type, such as i3.xlarge or Standard_DS3_v2, or a pool."
        )
    version = _spark_version(given)
    refuse_what_does_not_work(kind, {"an ML runtime": "-ml-" in version})
    return NewCluster(
        spark_version=version,
        node_type=node_type,
        pool_id=pool_id,
        workers=_workers(given),
        policy_id=given.get(PREFIX + "POLICY_ID"),
        spark_conf=texts(given, PREFIX + "SPARK_CONF", '{"spark.sql.shuffle.partitions": "8"}'),
        init_scripts=_init_scripts(given),
        tags=texts(given, PREFIX + "TAGS", '{"team": "retail"}'),
        kind=kind,
    )


def _serverless(given: Mapping[str, str]) -> Serverless:
    variable = PREFIX + "ENVIRONMENT_VERSION"
    version = given.get(variable, "4")
    if version not in ENVIRONMENTS:
        raise SettingError(
            f"{variable}={version!r} is not one of {', '.join(ENVIRONMENTS)}, the versions of serverless compute's "
            "environment whose Python will do. Unset it for 4."
        )
    variable = PREFIX + "PERFORMANCE_TARGET"
    target = given.get(variable)
    if target not in (None, *_TARGETS):
        raise SettingError(f"{variable}={target!r} is neither {' nor '.join(_TARGETS)}. Unset it for the workspace's.")
    return Serverless(version, target)


def refuse_what_does_not_work(kind: str, settings: Mapping[str, object]) -> None:
    """Raises SettingError for the first of these settings (or values of one) that this kind of compute cannot take.

    `settings`: what WORKS_WITH names -> whether it is set.
    """
    for name, is_set in settings.items():
        found = rule(name)
        if is_set and found and kind not in found.kinds:
            raise SettingError(
                f"{COMPUTE}={kind} and {name} do not go together: {found.why}. It works with {COMPUTE}="
                f"{' or '.join(one for one in KINDS if one in found.kinds)}."
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
        json_value(value, variable, list, example)
        if value.startswith("[")
        else [p.strip() for p in value.split(",") if p]
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
