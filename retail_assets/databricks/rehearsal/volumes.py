"""Unity Catalog volumes: files by the calls of /api/2.0/fs. A volume is a directory `<catalog>/<schema>/<volume>`."""

import re
from email.utils import formatdate
from pathlib import Path
from typing import Any

from databricks.sdk.service.files import FilesAPI

from retail_assets.databricks.rehearsal.faults import Faults
from retail_assets.databricks.rehearsal.rest import Answer, ApiError, Request, Route, invalid
from retail_assets.databricks.rehearsal.signatures import read_query

FILES, DIRECTORIES = "/api/2.0/fs/files(?P<path>/.*)", "/api/2.0/fs/directories(?P<path>/.*)"
NOTHING = Answer(status=204)


def not_found(message: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", message)


class Volumes:
    def __init__(self, root: Path, faults: Faults) -> None:
        self._root = root
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            Route("PUT", FILES, self._upload),
            Route("GET", FILES, self._download),
            Route("HEAD", FILES, self._download),
            Route("DELETE", FILES, self._delete),
            Route("PUT", DIRECTORIES, self._make_directory),
            Route("GET", DIRECTORIES, self._list),
            Route("HEAD", DIRECTORIES, self._see_directory),
            Route("DELETE", DIRECTORIES, self._delete_directory),
        ]

    def local(self, path: str) -> Path:
        """The place here of a path in a volume that there is. Raises ApiError for any other path."""
        parts = path.rstrip("/").split("/")[1:]
        if len(parts) < 4 or parts[0] != "Volumes" or ".." in parts or "" in parts:
            raise invalid(f"The path must be /Volumes/<catalog>/<schema>/<volume>/…: {path}")
        if not self._root.joinpath(*parts[1:4]).is_dir():
            raise not_found(f"Volume '{'.'.join(parts[1:4])}' does not exist.")
        return self._root.joinpath(*parts[1:])

    def _upload(self, request: Request, path: str) -> Answer:
        query = read_query(FilesAPI.upload, {"file_path": path, "contents": "", **request.query})
        file = self.local(path)
        if not file.parent.is_dir():
            raise not_found(f"The directory of {path} is not found.")
        if file.is_dir():
            raise ApiError(409, "ALREADY_EXISTS", f"There is a directory at {path}.")
        if file.exists() and not query.get("overwrite", False):
            raise ApiError(409, "ALREADY_EXISTS", "The file being created already exists.")
        file.write_bytes(request.content)
        return NOTHING

    def _file(self, path: str) -> Path:
        file = self.local(path)
        if not file.is_file():
            raise not_found("The file being accessed is not found.")
        return file

    def _download(self, request: Request, path: str) -> Answer:
        read_query(FilesAPI.download, {"file_path": path, **request.query})
        file = self._file(path)
        content = file.read_bytes() if request.method == "HEAD" else self._faults.read(path, file.read_bytes())
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        content = content[int(start[1]) :] if start else content
        headers = {"Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)}
        return Answer(content, 206 if start else 200, headers)

    def _delete(self, request: Request, path: str) -> Answer:
        self._file(path).unlink()
        return NOTHING

    def _make_directory(self, request: Request, path: str) -> Answer:
        try:
            self.local(path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ApiError(409, "ALREADY_EXISTS", f"There is a file at {path} or above it.") from None
        return NOTHING

    def _directory(self, path: str) -> Path:
        directory = self.local(path)
        if not directory.is_dir():
            raise not_found("The directory being accessed is not found.")
        return directory

    def _see_directory(self, request: Request, path: str) -> Answer:
        self._directory(path)
        return Answer()

    def _list(self, request: Request, path: str) -> dict[str, Any]:
        read_query(FilesAPI.list_directory_contents, {"directory_path": path, **request.query})
        entries = sorted(self._directory(path).iterdir())
        return {"contents": [_described(entry, f"{path.rstrip('/')}/{entry.name}") for entry in entries]}

    def _delete_directory(self, request: Request, path: str) -> Answer:
        directory = self._directory(path)
        if any(directory.iterdir()):
            raise ApiError(400, "FILES_API_DIRECTORY_IS_NOT_EMPTY", f"The directory {path} is not empty.")
        directory.rmdir()
        return NOTHING


def _described(entry: Path, path: str) -> dict[str, Any]:
    status, directory = entry.stat(), entry.is_dir()
    size = {} if directory else {"file_size": status.st_size}
    modified = int(status.st_mtime * 1000)
    return {"path": path, "name": entry.name, "is_directory": directory, "last_modified": modified, **size}
