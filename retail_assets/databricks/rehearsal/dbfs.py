"""DBFS: files in a directory, by the calls of /api/2.0/dbfs."""

import base64
import binascii
import itertools
import shutil
import threading
from pathlib import Path
from typing import Any

from databricks.sdk.service.files import DbfsAPI

from retail_assets.databricks.rehearsal.faults import Faults
from retail_assets.databricks.rehearsal.rest import ApiError, Request, Route, does_not_exist, invalid
from retail_assets.databricks.rehearsal.signatures import check_body, read_query

BLOCK = 1024**2


def absolute(path: str) -> str:
    """The path below the root, without `dbfs:`. Raises ApiError for one that is relative or climbs out."""
    path = path.removeprefix("dbfs://" if path.startswith("dbfs:///") else "dbfs:")
    if not path.startswith("/") or path.startswith("//") or ".." in path.split("/"):
        raise invalid(f"Path must be absolute: {path}")
    return path


class Dbfs:
    def __init__(self, root: Path, faults: Faults) -> None:
        self.root = root
        self._faults = faults
        self._handles: dict[int, Path] = {}
        self._numbers = itertools.count(1001)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        calls = {"create": self._create, "add-block": self._add_block, "close": self._close, "put": self._put}
        calls |= {"delete": self._delete, "mkdirs": self._make_directories, "move": self._move}
        reads = {"read": self._read, "get-status": self._status, "list": self._list}
        return [
            *(Route("POST", f"/api/2.0/dbfs/{name}", handler) for name, handler in calls.items()),
            *(Route("GET", f"/api/2.0/dbfs/{name}", handler) for name, handler in reads.items()),
        ]

    def local(self, path: str) -> Path:
        return self.root / absolute(path).lstrip("/")

    def _existing(self, path: str) -> Path:
        local = self.local(path)
        if not local.exists():
            raise does_not_exist(f"No file or directory exists on path {absolute(path)}.")
        return local

    def _create(self, request: Request) -> dict[str, Any]:
        body = _body(DbfsAPI.create, request)
        file = self._new(body["path"], body.get("overwrite", False))
        file.write_bytes(b"")
        with self._lock:
            handle = next(self._numbers)
            self._handles[handle] = file
        return {"handle": handle}

    def _new(self, path: str, overwrite: bool) -> Path:
        file = self.local(path)
        if file.is_dir() or (file.exists() and not overwrite):
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"A file or directory already exists at the path {path}.")
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _add_block(self, request: Request) -> dict[str, Any]:
        body = _body(DbfsAPI.add_block, request)
        block = _decoded(body["data"])
        with self._open(body["handle"]).open("ab") as file:
            file.write(block)
        return {}

    def _close(self, request: Request) -> dict[str, Any]:
        handle = _body(DbfsAPI.close, request)["handle"]
        self._open(handle)
        with self._lock:
            self._handles.pop(handle, None)
        return {}

    def _open(self, handle: int) -> Path:
        if handle not in self._handles:
            raise does_not_exist(f"No open handle with id {handle}")
        return self._handles[handle]

    def _put(self, request: Request) -> dict[str, Any]:
        body = _body(DbfsAPI.put, request)
        content = _decoded(body.get("contents", ""))
        if len(body.get("contents", "")) > BLOCK:
            raise ApiError(400, "MAX_BLOCK_SIZE_EXCEEDED", f"contents exceeds the limit of {BLOCK} bytes")
        self._new(body["path"], body.get("overwrite", False)).write_bytes(content)
        return {}

    def _read(self, request: Request) -> dict[str, Any]:
        query = read_query(DbfsAPI.read, request.query)
        offset, length = query.get("offset", 0), query.get("length", BLOCK // 2)
        if offset < 0 or length < 0:
            raise invalid("offset and length must not be negative")
        if length > BLOCK:
            raise ApiError(400, "MAX_READ_SIZE_EXCEEDED", f"Read length {length} exceeds the limit of {BLOCK} bytes")
        file = self._existing(query["path"])
        if file.is_dir():
            raise invalid(f"Cannot read {query['path']}: it is a directory")
        content = self._faults.read(query["path"], file.read_bytes())[offset : offset + length]
        return {"bytes_read": len(content), "data": base64.b64encode(content).decode()}

    def _status(self, request: Request) -> dict[str, Any]:
        return self._described(self._existing(read_query(DbfsAPI.get_status, request.query)["path"]))

    def _list(self, request: Request) -> dict[str, Any]:
        local = self._existing(read_query(DbfsAPI.list, request.query)["path"])
        files = sorted(local.iterdir()) if local.is_dir() else [local]
        return {"files": [self._described(file) for file in files]} if files else {}

    def _described(self, local: Path) -> dict[str, Any]:
        status, directory = local.stat(), local.is_dir()
        return {
            "path": "/" + str(local.relative_to(self.root)).removeprefix("."),
            "is_dir": directory,
            "file_size": 0 if directory else status.st_size,
            "modification_time": int(status.st_mtime * 1000),
        }

    def _delete(self, request: Request) -> dict[str, Any]:
        body = _body(DbfsAPI.delete, request)
        local = self.local(body["path"])
        if local.is_dir():
            if any(local.iterdir()) and not body.get("recursive", False):
                raise ApiError(400, "IO_ERROR", f"{body['path']} is a non-empty directory: recursive must be true")
            shutil.rmtree(local)
        else:
            local.unlink(missing_ok=True)
        return {}

    def _make_directories(self, request: Request) -> dict[str, Any]:
        path = _body(DbfsAPI.mkdirs, request)["path"]
        try:
            self.local(path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"A file exists at {path} or above it") from None
        return {}

    def _move(self, request: Request) -> dict[str, Any]:
        body = _body(DbfsAPI.move, request)
        source, target = self._existing(body["source_path"]), self.local(body["destination_path"])
        if target.exists():
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"{body['destination_path']} exists already")
        source.rename(target)
        return {}


def _body(method: Any, request: Request) -> dict[str, Any]:
    body = request.json()
    check_body(method, body)
    return body


def _decoded(data: str) -> bytes:
    try:
        block = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise invalid("The block's data is not base64") from None
    if len(block) > BLOCK:
        raise ApiError(400, "MAX_BLOCK_SIZE_EXCEEDED", f"A block of {len(block)} bytes exceeds the limit of {BLOCK}")
    return block
