"""Who may do what with runs and clusters: /api/2.0/permissions; and who calls: scim/v2/Me."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from databricks.sdk.service.iam import PermissionsAPI

from retail_assets.databricks.rehearsal.rest import Request, Route, does_not_exist, invalid
from retail_assets.databricks.rehearsal.signatures import check_body

CALLER = "rehearsal@example.com"
NAMES = ("user_name", "group_name", "service_principal_name")
LEVELS = {
    "jobs": {"CAN_VIEW", "CAN_MANAGE_RUN", "IS_OWNER", "CAN_MANAGE"},
    "clusters": {"CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"},
}


class Access:
    """`known`: for `jobs` and `clusters`, whether there is one of this id."""

    def __init__(self, known: Mapping[str, Callable[[str], bool]]) -> None:
        self._known = known
        self._lists: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        one = "/api/2.0/permissions/(?P<kind>[^/]+)/(?P<identifier>[^/]+)"
        return [
            Route("PATCH", one, self._update),
            Route("GET", one, self._get),
            Route("GET", "/api/2.0/preview/scim/v2/Me", self._me),
        ]

    def _update(self, request: Request, kind: str, identifier: str) -> dict[str, Any]:
        body = request.json()
        check_body(PermissionsAPI.update, {"request_object_type": kind, "request_object_id": identifier, **body})
        entries = self._entries(kind, identifier)
        for item in body.get("access_control_list", []):
            names = [name for name in NAMES if name in item]
            if len(names) != 1 or item.get("permission_level") not in LEVELS[kind]:
                raise invalid(f"Expected one of {', '.join(NAMES)} and a permission level of {kind}: {item}")
            with self._lock:
                entries[(names[0], item[names[0]])] = item["permission_level"]
        return self._get(request, kind, identifier)

    def _get(self, request: Request, kind: str, identifier: str) -> dict[str, Any]:
        levels = self._entries(kind, identifier)
        listed = [
            {name: who, "all_permissions": [{"permission_level": level, "inherited": False}]}
            for (name, who), level in levels.items()
        ]
        return {"object_id": f"/{kind}/{identifier}", "object_type": kind[:-1], "access_control_list": listed}

    def _entries(self, kind: str, identifier: str) -> dict[tuple[str, str], str]:
        if kind not in self._known:
            raise invalid(f"{kind!r} is not a kind of object that the rehearsal has permissions for")
        if not self._known[kind](identifier):
            raise does_not_exist(f"{kind} {identifier} does not exist.")
        owner = {("user_name", CALLER): "IS_OWNER" if kind == "jobs" else "CAN_MANAGE"}
        return self._lists.setdefault((kind, identifier), owner)

    def _me(self, request: Request) -> dict[str, Any]:
        return {"id": "1", "userName": CALLER, "displayName": "Rehearsal", "active": True}
