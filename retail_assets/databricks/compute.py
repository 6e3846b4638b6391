"""What a step runs on: an existing cluster, or a new one for each step; from the environment."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retail_assets.databricks.setting_values import PREFIX, json_value, texts
from retail_assets.settings import SettingError, required


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

_NEW_CLUSTER = ("SPARK_VERSION", "NODE_TYPE", "WORKERS", "POLICY_ID", "POOL_ID", "SPARK_CONF", "INIT_SCRIPTS", "TAGS")
_INIT_SCRIPT_PLACES = {"/Volumes/": "volumes", "/Workspace/": "workspace", "abfss://": "abfss", "gs://": "gcs"}
# What makes a cluster without workers run on its driver.
_SINGLE_NODE_CONF = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
_SINGLE_NODE_TAG = {"ResourceClass": "SingleNode"}


class Compute(ABC):
    """What a step runs on, as the request of its run says it; a new dictionary each time."""

    @abstractmethod
    def task_fields(self, libraries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the task says: the compute, and the libraries in the form that `as_libraries` gives them."""


@dataclass(frozen=True)
class ExistingCluster(Compute):
    """A cluster that is there, and keeps its libraries."""

    cluster_id: str

    def task_fields(self, libraries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See Compute."""
        return {"existing_cluster_id": self.cluster_id, "libraries": list(libraries)}


@dataclass(frozen=True)
class NewCluster(Compute):
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

    def task_fields(self, libraries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See Compute."""
        return {"new_cluster": self.specification, "libraries": list(libraries)}

    @property
    def specification(self) -> dict[str, Any]:
        """As a run's request describes a new cluster."""
        conf, tags = dict(self.spark_conf), dict(self.tags)
        if self.workers == 0:
            conf, tags = {**_SINGLE_NODE_CONF, **conf}, {**_SINGLE_NODE_TAG, **tags}
        size: dict[str, Any] = {"num_workers": self.workers}
        if isinstance(self.workers, tuple):
            size = {"autoscale": {"min_workers": self.workers[0], "max_workers": self.workers[1]}}
        optional = {
            "node_type_id": self.node_type,
            "instance_pool_id": self.pool_id,
            "spark_conf": conf,
            "init_scripts": list(self.init_scripts),
            "policy_id": self.policy_id,
            # Else of a policy only what it fixes would hold, and not what it proposes.
            "apply_policy_default_values": bool(self.policy_id),
        }
        return {
            "spark_version": self.spark_version,
            **size,
            # The step's session is the cluster's own, for one identity: a classic cluster.
            "data_security_mode": "SINGLE_USER",
            "custom_tags": tags,
            **{name: value for name, value in optional.items() if value},
        }


def read_compute(given: Mapping[str, str]) -> Compute:
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
        spark_conf=texts(given, PREFIX + "SPARK_CONF", '{"spark.sql.shuffle.partitions": "8"}'),
        init_scripts=_init_scripts(given),
        tags=texts(given, PREFIX + "TAGS", '{"team": "retail"}'),
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
