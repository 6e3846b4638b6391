"""Unity Catalog's privileges: /api/2.1/unity-catalog/permissions, kept in a file that outlives the workspace."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from databricks.sdk.service.catalog import GrantsAPI

from retail_assets.databricks.rehearsal.rest import ApiError, Request, Route, invalid
from retail_assets.databricks.rehearsal.signatures import check_body, read_query

ON_TABLE = {"SELECT", "MODIFY", "APPLY_TAG", "MANAGE", "ALL_PRIVILEGES"}
ON_VOLUME = {"READ_VOLUME", "WRITE_VOLUME", "APPLY_TAG", "MANAGE", "ALL_PRIVILEGES"}
ON_SCHEMA = ON_TABLE | ON_VOLUME | {"USE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME", "CREATE_FUNCTION", "CREATE_MODEL"}
ON_SCHEMA |= {"EXECUTE", "REFRESH", "CREATE_MATERIALIZED_VIEW", "EXTERNAL_USE_SCHEMA"}
ON_CATALOG = ON_SCHEMA | {"USE_CATALOG", "CREATE_SCHEMA", "BROWSE"}
# Kind of securable -> how many names it has, and what can be granted on it: for itself, or for what it holds.
KINDS = {
    "CATALOG": (1, ON_CATALOG),
    "SCHEMA": (2, ON_SCHEMA),
    "TABLE": (3, ON_TABLE),
    "VOLUME": (3, ON_VOLUME),
}


class Grants:
    """`exists(kind, full name)` says whether there is such a securable; `principals` are those known."""

    def __init__(self, file: Path, exists: Callable[[str, str], bool], principals: set[str]) -> None:
        self._file = file
        self._exists = exists
        self._principals = principals
        self._lock = threading.Lock()
        # kind and full name -> principal -> privileges
        self._granted: dict[str, dict[str, list[str]]] = json.loads(file.read_text()) if file.exists() else {}

    def routes(self) -> list[Route]:
        one = "/api/2.1/unity-catalog/permissions/(?P<kind>[^/]+)/(?P<name>[^/]+)"
        return [Route("GET", one, self._get), Route("PATCH", one, self._update)]

    def _get(self, request: Request, kind: str, name: str) -> dict[str, Any]:
        query = read_query(GrantsAPI.get, {"securable_type": kind, "full_name": name, **request.query})
        granted = self._granted.get(self._key(kind, name), {})
        return _assignments({who: what for who, what in granted.items() if query.get("principal", who) == who})

    def _update(self, request: Request, kind: str, name: str) -> dict[str, Any]:
        body = request.json()
        # Privileges are held against KINDS: the SDK's own list lacks newer ones, which the real server knows.
        without = [{name: given for name, given in change.items() if name == "principal"} for change in body["changes"]]
        check_body(GrantsAPI.update, {"securable_type": kind, "full_name": name, **body, "changes": without})
        key = self._key(kind, name)
        for change in body.get("changes", []):
            self._check(kind, change)
        with self._lock:
            granted = self._granted.setdefault(key, {})
            for change in body.get("changes", []):
                held = set(granted.get(change["principal"], ()))
                granted[change["principal"]] = sorted(held - set(change.get("remove", ())) | set(change.get("add", ())))
            self._granted[key] = {who: what for who, what in granted.items() if what}
            self._file.write_text(json.dumps(self._granted, indent=2, sort_keys=True))
            return _assignments(self._granted[key])

    def _key(self, kind: str, name: str) -> str:
        """Raises ApiError unless there is such a securable."""
        kind = kind.upper()
        if kind not in KINDS:
            raise invalid(f"{kind} is not a kind of securable that the rehearsal has")
        if len(name.split(".")) != KINDS[kind][0]:
            raise invalid(f"{name} is not a full name of a {kind.lower()}")
        if not self._exists(kind, name):
            raise ApiError(404, f"{kind}_DOES_NOT_EXIST", f"{kind.capitalize()} '{name}' does not exist.")
        return f"{kind} {name}"

    def _check(self, kind: str, change: dict[str, Any]) -> None:
        principal = change.get("principal")
        if principal not in self._principals:
            raise ApiError(404, "PRINCIPAL_DOES_NOT_EXIST", f"Could not find principal with name {principal}")
        wrong = {*change.get("add", ()), *change.get("remove", ())} - KINDS[kind.upper()][1]
        if wrong:
            raise invalid(f"Privilege {', '.join(sorted(wrong))} is not applicable to a {kind.lower()}")


def _assignments(granted: dict[str, list[str]]) -> dict[str, Any]:
    return {"privilege_assignments": [{"principal": who, "privileges": what} for who, what in sorted(granted.items())]}
