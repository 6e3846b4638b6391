"""Where a step's files lie while it is made remotely: a directory per step, in DBFS or in a Unity Catalog volume.

Nothing here knows Dagster.
"""

import base64
import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from retail_assets.databricks.workspace_api import Refused, WorkspaceApi

_DBFS_PUT_AT_MOST = 700_000
"""Bytes; the API takes 1 MB of base64 in one request."""
_DBFS_BLOCK = 1024 * 1024

_DBFS = "/api/2.0/dbfs"
_FILES, _DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"


class StagingError(Exception):
    """Something cannot be staged; the message says what and why."""


class StagingArea(ABC):
    """A directory in the workspace. Names are relative to it: `<step's directory>/<file>`."""

    holds_requirements = False
    """Whether a cluster installs what a file of requirements here lists."""

    def __init__(self, api: WorkspaceApi, root: str) -> None:
        self.api = api
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
    def read(self, name: str, patience: float | None = None) -> bytes | None:
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


def staging_area(api: WorkspaceApi, location: str) -> StagingArea:
    """The area at `/Volumes/<catalog>/<schema>/<volume>/…` or `dbfs:/…`."""
    if location.startswith("/Volumes/"):
        return VolumeArea(api, location.rstrip("/"))
    if location.startswith("dbfs:/"):
        return DbfsArea(api, location.removeprefix("dbfs:").rstrip("/"))
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
            self._post("put", path=path, contents=_text(content), overwrite=True)
            return
        handle = self._post("create", path=path, overwrite=True)["handle"]
        for start in range(0, len(content), _DBFS_PUT_AT_MOST):
            self._post("add-block", handle=handle, data=_text(content[start : start + _DBFS_PUT_AT_MOST]))
        self._post("close", handle=handle)
        size = self._get("get-status", path=path).get("file_size", 0)
        if size != len(content):
            raise StagingError(f"dbfs:{path} has {size} bytes instead of {len(content)}; a block was lost or doubled.")

    def read(self, name: str, patience: float | None = None) -> bytes | None:
        content = b""
        try:
            while True:
                asked = {"path": self.path(name), "offset": len(content), "length": _DBFS_BLOCK}
                block = self.api.call("GET", f"{_DBFS}/read", query=asked, patience=patience)
                data = base64.b64decode(block.get("data", ""))
                content += data
                if len(data) < _DBFS_BLOCK:
                    return content
        except Refused as error:
            _raise_unless_missing(error)
            return None

    def remove(self, directory: str) -> None:
        try:
            self._post("delete", path=self.path(directory), recursive=True)
        except Refused as error:
            _raise_unless_missing(error)

    def directories(self) -> list[str]:
        try:
            entries = self._get("list", path=self.root).get("files", [])
        except Refused as error:
            _raise_unless_missing(error)
            return []
        return [PurePosixPath(entry["path"]).name for entry in entries if entry.get("is_dir")]

    def _post(self, what: str, **body: Any) -> dict[str, Any]:
        return self.api.call("POST", f"{_DBFS}/{what}", body)

    def _get(self, what: str, **query: Any) -> dict[str, Any]:
        return self.api.call("GET", f"{_DBFS}/{what}", query=query)


class VolumeArea(StagingArea):
    """A directory in a Unity Catalog volume, through the Files API; for workspaces without a DBFS root."""

    holds_requirements = True

    def __init__(self, api: WorkspaceApi, root: str) -> None:
        super().__init__(api, root)
        self._made: set[PurePosixPath] = set()

    def uri(self, name: str) -> str:
        return self.path(name)

    def local_path(self, name: str) -> str:
        return self.path(name)

    def write(self, name: str, content: bytes) -> None:
        directory = PurePosixPath(self.path(name)).parent
        if directory not in self._made:
            self.api.call("PUT", f"{_DIRECTORIES}{directory}")
            self._made.add(directory)
        self.api.upload(f"{_FILES}{self.path(name)}", content)

    def read(self, name: str, patience: float | None = None) -> bytes | None:
        try:
            return self.api.download(f"{_FILES}{self.path(name)}", patience)
        except Refused as error:
            _raise_unless_missing(error)
            return None

    def remove(self, directory: str) -> None:
        try:
            for entry in self._entries(self.path(directory)):
                if entry.get("is_directory"):
                    self.remove(f"{directory}/{entry['name']}")
                else:
                    self.api.call("DELETE", f"{_FILES}{entry['path']}")
            self._made.discard(PurePosixPath(self.path(directory)))
            self.api.call("DELETE", f"{_DIRECTORIES}{self.path(directory)}")
        except Refused as error:
            _raise_unless_missing(error)

    def directories(self) -> list[str]:
        try:
            return [entry["name"] for entry in self._entries(self.root) if entry.get("is_directory")]
        except Refused as error:
            _raise_unless_missing(error)
            return []

    def _entries(self, directory: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = self.api.call("GET", f"{_DIRECTORIES}{directory}", query=page)
            entries += answer.get("contents", [])
            if not answer.get("next_page_token"):
                return entries
            page = {"page_token": answer["next_page_token"]}


def _raise_unless_missing(error: Refused) -> None:
    if not error.missing:
        raise error


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
