"""The code of a remote step: the package's own source and nothing else, with the few libraries that travel with it."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

_STAGED_SUFFIXES = {".py", ".sql", ".properties", ".html", ".css", ".js", ".topojson", ".toml"}
_COMMANDS = {"cli.py", "inspection.py", "services.py"}
_OF_COMMANDS = ("_command.py", "_commands.py")
_STREAM = {"broker.py", "consumer.py", "kafka.lock", "topic.py"}
_OF_THE_HOST = {"sail.py", "run_libraries.py", "postgres_event_log.py", "status.py", "sql", "generator", *_STREAM}
_NOT_STAGED = {"rehearsal", "__pycache__", *_OF_THE_HOST, *_COMMANDS}


def stays_behind(inside: Path) -> bool:
    """Whether no cluster needs this file of the package: the rehearsal workspace, which stands in for the cluster's own
    side; the embedded engine; what only the host's runs, storage and streams are made of; the `retail` command, with
    SQL and the made shop."""
    return bool(_NOT_STAGED & set(inside.parts)) or inside.name.endswith(_OF_COMMANDS)


def package_zip(package: Path, carried: Iterable[str] = (), besides: Mapping[str, Path] | None = None) -> bytes:
    """The package's source as a zip, importable once unpacked, and that of the distributions in `carried`, installed
    here; and files `besides`, by their path within the package. The same source gives the same bytes.

    Only Python files and package data: what else lies in the folder (data, notebooks, keys, caches) stays behind.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        added = {f"{package.name}/{name}": path for name, path in (besides or {}).items()}
        for name, path in sorted({**dict(_own(package)), **dict(_carried(carried)), **added}.items()):
            entry = zipfile.ZipInfo(name)  # dated 1980, as every entry
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # the same on every host
            files.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _own(package: Path) -> Iterator[tuple[str, Path]]:
    for path in package.rglob("*"):
        inside = path.relative_to(package)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix in _STAGED_SUFFIXES and not hidden and not stays_behind(inside) and path.is_file():
            yield (package.name / inside).as_posix(), path


def _carried(distributions: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for name in distributions:
        for file in distribution(name).files or ():
            if file.suffix == ".py" and ".." not in file.parts:
                yield file.as_posix(), Path(str(file.locate()))
