"""Where the project is: a checkout, or the directory in which an installed `retail` is used."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

CARRIED = PACKAGE / "project_files"
"""In an installed package: the project's own files, which a checkout has beside the package (hatch_build.py)."""


def project_root() -> Path:
    """The directory of the project, which relative paths in settings are relative to: the checkout's; of an installed
    package the one that is worked in. Nothing is ever kept beside installed packages."""
    return Path.cwd() if CARRIED.is_dir() else PACKAGE.parent


def project_file(name: str) -> Path:
    """A file that belongs to the project, such as dagster.yaml."""
    return (CARRIED if CARRIED.is_dir() else PACKAGE.parent) / name
