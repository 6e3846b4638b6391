"""A cluster's own Python: what its runtime brings and what its tasks asked for, and nothing else of what is installed.

It is a virtual environment made of links into this one, distribution by distribution. A package that a task imports and
nobody declared is missing there, as it would be on Databricks; and so is this repository, whose editable installation
is not linked.
"""

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# What a Databricks runtime has before any library is installed, as far as Spark itself needs it.
RUNTIME = ("pyspark[connect]", "delta-spark", "pandas", "pyarrow", "numpy", "setuptools", "pip")
# What pip would put over the runtime's own, if a library required it.
SPARK = {"pyspark", "delta-spark"}


class LibraryError(Exception):
    """A library that cannot be installed on a cluster."""


class ClusterEnvironment:
    """`python` is its interpreter. Grows with what tasks ask for, and never shrinks, like a cluster's libraries."""

    def __init__(self, directory: Path) -> None:
        self.python = directory / "bin" / "python"
        self._site = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        self.installed: dict[str, str] = {}
        """What libraries brought, beside what the runtime has; each with what required it first."""
        self._linked: set[tuple[str, frozenset[str]]] = set()
        self._site.mkdir(parents=True)
        self.python.parent.mkdir()
        base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
        self.python.symlink_to(base)
        self.python.with_name("python3").symlink_to("python")
        (directory / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
        for name in RUNTIME:
            self._link(Requirement(name))
        self._linked.clear()
        self.installed.clear()

    def install(self, libraries: Iterable[Mapping[str, object]]) -> None:
        """Makes these libraries (`{"pypi": {"package": "pandas==2.3.3"}}`) importable, with all that they require.

        Raises LibraryError for a kind other than pypi, for a package or version that is not the one installed here, and
        for one that would bring a Spark of its own.
        """
        for library in libraries:
            pypi = library.get("pypi")
            if not isinstance(pypi, Mapping):
                raise LibraryError(f"{sorted(library)}: the rehearsal installs libraries of the kind pypi alone")
            try:
                requirement = Requirement(str(pypi.get("package")))
            except InvalidRequirement as error:
                raise LibraryError(f"ERROR: Invalid requirement: {pypi.get('package')!r}: {error}") from None
            try:
                found = distribution(requirement.name).version
            except PackageNotFoundError:
                raise LibraryError(f"ERROR: No matching distribution found for {requirement}") from None
            if not requirement.specifier.contains(found, prereleases=True):
                raise LibraryError(
                    f"ERROR: Could not find a version that satisfies the requirement {requirement} (from versions: "
                    f"{found})\nERROR: No matching distribution found for {requirement}"
                )
            self._link(requirement)
            for name in SPARK & set(self.installed):
                by = self.installed.pop(name)
                raise LibraryError(f"ERROR: {name}, required by {by}, would replace the runtime's own")

    def _link(self, requirement: Requirement, by: str = "the task") -> None:
        name = canonicalize_name(requirement.name)
        if name == "retail-assets" or (name, frozenset(requirement.extras)) in self._linked:
            return
        self._linked.add((name, frozenset(requirement.extras)))
        self.installed.setdefault(name, by)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            return  # an optional requirement that is not installed here either
        for link in _importable(found):
            target = self._site / link
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(found.locate_file(link))).resolve())
        for text in found.requires or ():
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                self._link(needed, name)


def _importable(found: Distribution) -> set[Path]:
    """The distribution's files, each standing for the highest directory above it that no other distribution shares."""
    links: set[Path] = set()
    for file in found.files or ():
        if file.parts[0] == ".." or file.is_absolute() or file.suffix == ".pth" or "__pycache__" in file.parts:
            continue
        depth = next(
            (
                depth
                for depth in range(1, len(file.parts))
                if file.parts[depth - 1].endswith(".dist-info")
                or Path(str(found.locate_file(Path(*file.parts[:depth], "__init__.py")))).exists()
            ),
            len(file.parts),
        )
        links.add(Path(*file.parts[:depth]))
    return links
