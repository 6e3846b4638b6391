"""What a remote step is given and where it lies meanwhile: the code, its libraries, and the staged files.

Nothing here knows Dagster. Code is the package's own source and nothing else; libraries are those the package
imports, at the versions of the lock file; files lie in a directory per step, in DBFS or in a Unity Catalog volume.
"""

import base64
import io
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

LIBRARIES = (
    "altair",
    "click",
    "dagster",
    "dagster-databricks",
    "dagster-mlflow",
    "dagster-pyspark",
    "databricks-sdk",
    "deltalake",
    "mlflow",
    "numpy",
    "pandas",
    "pandera",
    "pyarrow",
    "python-calamine",
    "python-dateutil",
    "rich",
    "scikit-learn",
    "scipy",
    "sqlalchemy",
    "threadpoolctl",
    "universal-pathlib",
    "vl-convert-python",
    "watchdog",
)
"""What the package imports. Not pyspark and delta-spark: the runtime brings its own."""

_STAGED_SUFFIXES = {".py", ".sql", ".properties", ".html", ".css", ".js", ".topojson"}
_NOT_STAGED = {"rehearsal", "__pycache__"}
"""Folders that no cluster needs: the rehearsal workspace stands in for the cluster's own side."""

_DBFS_PUT_AT_MOST = 700_000
"""Bytes; the API takes 1 MB of base64 in one request."""
_DBFS_BLOCK = 1024 * 1024


class StagingError(Exception):
    """Something cannot be staged; the message says what and why."""


def package_zip(package: Path) -> bytes:
    """The package's source as a zip, importable once unpacked. The same source gives the same bytes.

    Only Python files and package data: what else lies in the folder (data, notebooks, keys, caches) stays behind.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for path in sorted(package.rglob("*")):
            inside = path.relative_to(package)
            hidden = any(part.startswith(".") for part in inside.parts)
            if path.suffix not in _STAGED_SUFFIXES or hidden or _NOT_STAGED & set(inside.parts) or not path.is_file():
                continue
            entry = zipfile.ZipInfo((package.name / inside).as_posix())  # dated 1980, as every entry
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # the same on every host
            files.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def pinned(names: Iterable[str], lock: Path) -> list[dict[str, Any]]:
    """The libraries as a run's request names them, at the versions of the lock file.

    Raises StagingError, naming them, for libraries that the lock file does not have.
    """
    versions = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.M))
    missing = sorted(set(names) - set(versions))
    if missing:
        raise StagingError(f"{lock} pins no version of {', '.join(missing)}. Lock them: make lock.")
    return [{"pypi": {"package": f"{name}=={versions[name]}"}} for name in names]


class StagingArea(ABC):
    """A directory in the workspace. Names are relative to it: `<step's directory>/<file>`."""

    def __init__(self, client: "WorkspaceClient", root: str) -> None:
        self.client = client
        self.root = root

    @abstractmethod
    def uri(self, name: str) -> str:
        """As a run's request names the file."""

    @abstractmethod
    def local_path(self, name: str) -> str:
        """Where programs on the cluster find the file."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Writes a file, replacing one that is there."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """What the file holds by now, which may be a part of it; None if there is none."""

    @abstractmethod
    def remove(self, directory: str) -> None:
        """Removes a step's directory and what is in it, if it is there."""

    @abstractmethod
    def directories(self) -> list[str]:
        """The names of the directories in the area; none if the area itself is not there yet."""

    def path(self, name: str) -> str:
        """As the area's own API names the file."""
        return f"{self.root}/{name}"

    def sweep(self, age: timedelta) -> list[str]:
        """Removes what steps older than `age` have left behind, as when their host died; returns what it removed."""
        found = {name: re.match(r"(\d{8}T\d{6}Z)_", name) for name in self.directories()}
        oldest = f"{datetime.now(tz=UTC) - age:{_STARTED}}"
        left = [name for name, started in found.items() if started and started[1] < oldest]
        for name in left:
            self.remove(name)
        return left


_STARTED = "%Y%m%dT%H%M%SZ"


def step_directory(run_id: str, step_key: str, attempt: int) -> str:
    """A step's own directory. It begins with the time, so that a sweep can tell leftovers on every kind of storage."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", step_key)
    return f"{datetime.now(tz=UTC):{_STARTED}}_{run_id}_{safe}_{attempt}"


def staging_area(client: "WorkspaceClient", location: str) -> StagingArea:
    """The area at `/Volumes/<catalog>/<schema>/<volume>/…` or `dbfs:/…`."""
    if location.startswith("/Volumes/"):
        return VolumeArea(client, location.rstrip("/"))
    if location.startswith("dbfs:/"):
        return DbfsArea(client, location.removeprefix("dbfs:").rstrip("/"))
    raise StagingError(f"Files can be staged in /Volumes/… or dbfs:/…, not in {location!r}.")


class DbfsArea(StagingArea):
    """A directory in DBFS, through the DBFS API."""

    def uri(self, name: str) -> str:
        return f"dbfs:{self.path(name)}"

    def local_path(self, name: str) -> str:
        return f"/dbfs{self.path(name)}"

    def write(self, name: str, content: bytes) -> None:
        path = self.path(name)
        # A single request can be repeated when a connection drops; a stream's blocks would then be there twice.
        if len(content) <= _DBFS_PUT_AT_MOST:
            self.client.dbfs.put(path, contents=base64.b64encode(content).decode(), overwrite=True)
            return
        handle = self.client.dbfs.create(path, overwrite=True).handle
        assert handle is not None
        for start in range(0, len(content), _DBFS_PUT_AT_MOST):
            block = base64.b64encode(content[start : start + _DBFS_PUT_AT_MOST]).decode()
            self.client.dbfs.add_block(handle, block)
        self.client.dbfs.close(handle)
        size = self.client.dbfs.get_status(path).file_size
        if size != len(content):
            raise StagingError(f"dbfs:{path} has {size} bytes instead of {len(content)}; a block was lost or doubled.")

    def read(self, name: str) -> bytes | None:
        from databricks.sdk.errors import NotFound

        content = b""
        try:
            while True:
                block = self.client.dbfs.read(self.path(name), offset=len(content), length=_DBFS_BLOCK)
                data = base64.b64decode(block.data or "")
                content += data
                if len(data) < _DBFS_BLOCK:
                    return content
        except NotFound:
            return None

    def remove(self, directory: str) -> None:
        from databricks.sdk.errors import NotFound

        try:
            self.client.dbfs.delete(self.path(directory), recursive=True)
        except NotFound:
            return

    def directories(self) -> list[str]:
        from databricks.sdk.errors import NotFound
        from databricks.sdk.service.files import DbfsAPI

        try:
            # Not client.dbfs.list, which leaves directories out.
            entries = list(DbfsAPI(self.client.api_client).list(self.root))
        except NotFound:
            return []
        return [PurePosixPath(str(entry.path)).name for entry in entries if entry.is_dir]


class VolumeArea(StagingArea):
    """A directory in a Unity Catalog volume, through the Files API; for workspaces without a DBFS root."""

    def __init__(self, client: "WorkspaceClient", root: str) -> None:
        super().__init__(client, root)
        self._made: set[PurePosixPath] = set()

    def uri(self, name: str) -> str:
        return self.path(name)

    def local_path(self, name: str) -> str:
        return self.path(name)

    def write(self, name: str, content: bytes) -> None:
        directory = PurePosixPath(self.path(name)).parent
        if directory not in self._made:
            self.client.files.create_directory(str(directory))
            self._made.add(directory)
        self.client.files.upload(self.path(name), io.BytesIO(content), overwrite=True)

    def read(self, name: str) -> bytes | None:
        from databricks.sdk.errors import NotFound

        try:
            stream = self.client.files.download(self.path(name)).contents
        except NotFound:
            return None
        assert stream is not None
        with stream:
            return stream.read()

    def remove(self, directory: str) -> None:
        from databricks.sdk.errors import NotFound

        try:
            for entry in self.client.files.list_directory_contents(self.path(directory)):
                assert entry.path is not None
                if entry.is_directory:
                    self.remove(f"{directory}/{entry.name}")
                else:
                    self.client.files.delete(entry.path)
            self._made.discard(PurePosixPath(self.path(directory)))
            self.client.files.delete_directory(self.path(directory))
        except NotFound:
            return

    def directories(self) -> list[str]:
        from databricks.sdk.errors import NotFound

        try:
            return [
                str(entry.name) for entry in self.client.files.list_directory_contents(self.root) if entry.is_directory
            ]
        except NotFound:
            return []
