"""What a step runs on, in the words of a run's request: an existing cluster, a new one for each step, or serverless.

Clusters are in dedicated or in standard access mode. Which setting works with which of the three is said once, in
WORKS_WITH: the reader refuses by it, and the table in docs/databricks.md is made of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEDICATED, STANDARD, SERVERLESS = "dedicated", "standard", "serverless"
KINDS = (DEDICATED, STANDARD, SERVERLESS)
ON_CLUSTERS = frozenset({DEDICATED, STANDARD})

_SECURITY_MODES = {DEDICATED: "SINGLE_USER", STANDARD: "USER_ISOLATION"}

# What makes a cluster without workers run on its driver.
_SINGLE_NODE_CONF = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
_SINGLE_NODE_TAG = {"ResourceClass": "SingleNode"}


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

ENVIRONMENTS = ("3", "4", "5")
"""Versions of serverless compute's environment with a Python that the project runs on (3.12)."""


@dataclass(frozen=True)
class Rule:
    """With which kinds of compute a setting, or a value of one, works; `why` not with the others."""

    setting: str
    kinds: frozenset[str]
    why: str


WORKS_WITH = (
    Rule("RETAIL_DATABRICKS_CLUSTER_ID", ON_CLUSTERS, "serverless compute has no cluster"),
    Rule("RETAIL_DATABRICKS_SPARK_VERSION", ON_CLUSTERS, "serverless compute has environment versions instead"),
    Rule("RETAIL_DATABRICKS_NODE_TYPE", ON_CLUSTERS, "serverless compute chooses its machines"),
    Rule("RETAIL_DATABRICKS_POOL_ID", ON_CLUSTERS, "serverless compute chooses its machines"),
    Rule("RETAIL_DATABRICKS_WORKERS", ON_CLUSTERS, "serverless compute scales by itself"),
    Rule("RETAIL_DATABRICKS_POLICY_ID", ON_CLUSTERS, "policies are for clusters"),
    Rule("RETAIL_DATABRICKS_SPARK_CONF", ON_CLUSTERS, "serverless compute takes no Spark properties from a run"),
    Rule("RETAIL_DATABRICKS_INIT_SCRIPTS", ON_CLUSTERS, "serverless compute runs no init scripts"),
    Rule("RETAIL_DATABRICKS_TAGS", ON_CLUSTERS, "serverless compute is tagged by its budget policy"),
    Rule("RETAIL_DATABRICKS_ENVIRONMENT_VERSION", frozenset({SERVERLESS}), "clusters have runtimes instead"),
    Rule("RETAIL_DATABRICKS_PERFORMANCE_TARGET", frozenset({SERVERLESS}), "clusters are as fast as they are"),
    Rule("RETAIL_DATABRICKS_STAGING in dbfs:/", frozenset({DEDICATED}), "its files are not to be seen there"),
    Rule("RETAIL_CATALOG before Unity Catalog", frozenset({DEDICATED}), "only Unity Catalog is to be had there"),
    Rule("an ML runtime", frozenset({DEDICATED}), "Databricks has it for dedicated clusters alone"),
    Rule("RETAIL_SEGMENT_ENGINE=mllib", ON_CLUSTERS, "serverless compute has no MLlib"),
)


def rule(setting: str) -> Rule | None:
    """The rule of a setting, or of a value of one; None for what works everywhere."""
    return next((rule for rule in WORKS_WITH if rule.setting == setting), None)


def what_works_where() -> list[str]:
    """WORKS_WITH as the lines of a table in Markdown."""
    head = ["| setting | dedicated | standard | serverless | otherwise |", "| --- | --- | --- | --- | --- |"]
    return head + [
        f"| {_code(one.setting)} | {' | '.join('yes' if kind in one.kinds else 'no' for kind in KINDS)} | {one.why} |"
        for one in WORKS_WITH
    ]


def _code(setting: str) -> str:
    name, _, rest = setting.partition(" ")
    return " ".join(filter(None, (f"`{name}`", rest))) if name.startswith("RETAIL_") else setting


class Compute(ABC):
    """What a step runs on, as the request of its run says it; new dictionaries each time."""

    installs_files = True
    """Whether it takes its libraries from a file of requirements."""

    falls_back: Mapping[str, str] = {}
    """What the environment of a step says instead of what cannot be had there."""

    @abstractmethod
    def task_fields(self, libraries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the task says: the compute, with its libraries in the form that `as_libraries` gives them."""

    def run_fields(self, pins: Sequence[str]) -> dict[str, Any]:
        """What the run says beside its task. `pins`: the libraries, as pip takes them."""
        return {}


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
    kind: str = DEDICATED

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
            "data_security_mode": _SECURITY_MODES[self.kind],
            "custom_tags": tags,
            **{name: value for name, value in optional.items() if value},
        }


@dataclass(frozen=True)
class Serverless(Compute):
    """Serverless jobs compute: an environment with the libraries, instead of a cluster."""

    environment_version: str
    performance_target: str | None = None
    """None leaves it to the workspace; only newer versions of the API know it."""

    installs_files = False
    falls_back = {"RETAIL_SEGMENT_ENGINE": "scikit-learn"}

    def task_fields(self, libraries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See Compute. The libraries are the environment's."""
        return {"environment_key": "step"}

    def run_fields(self, pins: Sequence[str]) -> dict[str, Any]:
        """See Compute."""
        specification = {"environment_version": self.environment_version, "dependencies": list(pins)}
        environments = [{"environment_key": "step", "spec": specification}]
        target = {"performance_target": self.performance_target} if self.performance_target else {}
        return {"environments": environments, **target}
