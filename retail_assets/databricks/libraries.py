"""The libraries of a remote step: all that the package needs, at the versions of the lock, and no Spark.

Named alone, a library would bring the newest of whatever it requires, and two clusters would differ. And pip must never
be told of Spark: it would put its own over the runtime's, which on serverless compute ends the run.
"""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LIBRARIES = (
    "altair",
    "click",
    "cloudpickle",
    "dagster",
    "dagster-mlflow",
    "databricks-sdk",
    "deltalake",
    "mlflow",
    "numpy",
    "packaging",
    "pandas",
    "pandera",
    "pyarrow",
    "python-calamine",
    "python-dateutil",
    "pyyaml",
    "requests",
    "rich",
    "scikit-learn",
    "scipy",
    "sqlalchemy",
    "threadpoolctl",
    "universal-pathlib",
    "vl-convert-python",
    "watchdog",
)
"""What the package imports, beside CARRIED and what the runtime brings."""

SPARK = frozenset(
    {"pyspark", "pyspark-client", "pyspark-connect", "delta-spark", "databricks-connect", "py4j", "pysail"}
)
"""What the runtime brings itself, or stands for, and no library may bring."""

CARRIED = ("dagster-pyspark", "dagster-spark")
"""Small packages of plain Python that require Spark: they travel in the zip of the code, past pip."""

_PYTHONS = ("3.11", "3.12")
"""Of the host and of the runtimes: what a library requires may hang on it."""


class LibrariesError(Exception):
    """Libraries that cannot be named to a cluster; the message says which and what to do."""


def pins(names: Iterable[str], lock: Path) -> list[str]:
    """`name==version` of these libraries and of all that they require, sorted, at the versions of the lock file.

    Raises LibrariesError for what the lock does not have, what is installed here in another version, and Spark.
    """
    versions = locked(lock)
    needed = closure(names)
    spark = {name: needed[name] for name in sorted(SPARK & set(needed))}
    if spark:
        by = ", ".join(f"{name} (by {parent})" for name, parent in spark.items())
        raise LibrariesError(f"The libraries for the cluster would bring a Spark of their own: {by}. Leave them out.")
    missing = sorted(set(needed) - set(versions))
    if missing:
        raise LibrariesError(f"{lock} pins no version of {', '.join(missing)}. Lock them: make lock.")
    other = [name for name in sorted(needed) if distribution(name).version != versions[name]]
    if other:
        raise LibrariesError(f"{', '.join(other)}: installed here in another version than {lock} has. Run make setup.")
    return [f"{name}=={versions[name]}" for name in sorted(needed)]


def locked(lock: Path) -> dict[str, str]:
    """The versions of a lock file, by name."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.M))


def closure(names: Iterable[str]) -> dict[str, str]:
    """These libraries and all that they require, each with what first required it, as installed here.

    Raises LibrariesError for one that is not installed.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(Requirement(name), "") for name in names]
    while left:
        wanted, parent = left.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.setdefault(name, parent)
        try:
            requires = distribution(name).requires or ()
        except PackageNotFoundError:
            raise LibrariesError(f"{name} is not installed here. Run make setup.") from None
        left += [(inner, name) for inner in map(Requirement, requires) if _holds(inner, extras)]
    return found


def _holds(wanted: Requirement, extras: frozenset[str]) -> bool:
    """Whether it is required, with these extras, by one of the Pythons, on Linux."""
    marker = wanted.marker
    if marker is None:
        return True
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    return any(
        marker.evaluate({**linux, "python_version": version, "python_full_version": f"{version}.0", "extra": extra})
        for version in _PYTHONS
        for extra in extras or {""}
    )


def as_libraries(pinned: Sequence[str], requirements: str | None) -> list[dict[str, Any]]:
    """As a task's request names them: the file in a volume that lists them, or one by one."""
    if requirements:
        return [{"requirements": requirements}]
    return [{"pypi": {"package": pin}} for pin in pinned]
