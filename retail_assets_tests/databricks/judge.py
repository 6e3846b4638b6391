"""An independent judge of requests: the newest Databricks SDK and the schema of asset bundles, neither of which the
launcher uses. Both are generated from the published API, by version.

Run as a program, in a process whose path has these two before the pinned SDK: reads requests, a line of JSON each, and
prints what is wrong with them.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

DIRECTORY = Path(os.environ.get("RETAIL_DATABRICKS_JUDGE") or Path(sys.prefix) / "databricks-judge")
"""Where `make setup` installs them."""

PROJECT = Path(__file__).resolve().parents[2]

ROUTES = [
    ("POST", "/api/2.2/jobs/runs/submit", "jobs.JobsAPI.submit"),
    ("GET", "/api/2.2/jobs/runs/get", "jobs.JobsAPI.get_run"),
    ("GET", "/api/2.2/jobs/runs/get-output", "jobs.JobsAPI.get_run_output"),
    ("POST", "/api/2.2/jobs/runs/cancel", "jobs.JobsAPI.cancel_run"),
    ("POST", "/api/2.0/dbfs/put", "files.DbfsAPI.put"),
    ("POST", "/api/2.0/dbfs/create", "files.DbfsAPI.create"),
    ("POST", "/api/2.0/dbfs/add-block", "files.DbfsAPI.add_block"),
    ("POST", "/api/2.0/dbfs/close", "files.DbfsAPI.close"),
    ("POST", "/api/2.0/dbfs/delete", "files.DbfsAPI.delete"),
    ("GET", "/api/2.0/dbfs/read", "files.DbfsAPI.read"),
    ("GET", "/api/2.0/dbfs/list", "files.DbfsAPI.list"),
    ("GET", "/api/2.0/dbfs/get-status", "files.DbfsAPI.get_status"),
    ("PUT", "/api/2.0/fs/files{file_path}", "files.FilesAPI.upload"),
    ("GET", "/api/2.0/fs/files{file_path}", "files.FilesAPI.download"),
    ("DELETE", "/api/2.0/fs/files{file_path}", "files.FilesAPI.delete"),
    ("PUT", "/api/2.0/fs/directories{directory_path}", "files.FilesAPI.create_directory"),
    ("GET", "/api/2.0/fs/directories{directory_path}", "files.FilesAPI.list_directory_contents"),
    ("DELETE", "/api/2.0/fs/directories{directory_path}", "files.FilesAPI.delete_directory"),
    ("GET", "/api/2.1/unity-catalog/permissions/{securable_type}/{full_name}", "catalog.GrantsAPI.get"),
    ("PATCH", "/api/2.1/unity-catalog/permissions/{securable_type}/{full_name}", "catalog.GrantsAPI.update"),
]
"""Method and address of a call, and the method of the SDK that makes it."""

LOGINS = "/oidc/"


def judged(requests: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the requests (method, path, query, body), in the words of whoever found it."""
    lines = {json.dumps(dict(request), sort_keys=True) for request in requests}
    ended = subprocess.run(
        [sys.executable, "-m", "retail_assets_tests.databricks.judge"],
        input="\n".join(sorted(lines)),
        env={**os.environ, "PYTHONPATH": f"{DIRECTORY}{os.pathsep}{PROJECT}"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        return [ended.stderr]
    return ended.stdout.splitlines()


def main() -> None:
    from databricks.bundles import version as schema
    from databricks.sdk import version as sdk

    assert str(DIRECTORY) in str(sdk.__file__), f"{sdk.__file__} is not the newest SDK of {DIRECTORY}"
    assert str(DIRECTORY) in str(schema.__file__), f"{schema.__file__} is not the schema of {DIRECTORY}"
    for line in sys.stdin:
        request = json.loads(line)
        for problem in problems(request):
            sys.stdout.write(f"{request['method']} {request['path']}: {problem}\n")


def problems(request: Mapping[str, Any]) -> list[str]:
    """Of one request."""
    from retail_assets.databricks.rehearsal.rest import ApiError
    from retail_assets.databricks.rehearsal.signatures import check_body, read_query

    method, given = _method(request)
    if method is None:
        return ["no call of the newest SDK goes there"]
    body = request["body"] if isinstance(request["body"], dict) else {}
    found = []
    try:
        if method.__name__ == "upload":
            found += [] if request["query"] == {"overwrite": "true"} else [f"query {request['query']}"]
        elif request["method"] == "GET":
            read_query(method, {**given, **request["query"]})
        else:
            check_body(method, {**given, **body})
    except ApiError as error:
        found.append(f"the SDK: {error.message}")
    return found + (bundle_problems(body) if method.__name__ == "submit" else [])


def _method(request: Mapping[str, Any]) -> tuple[Callable[..., Any] | None, dict[str, str]]:
    """The SDK's method for a request, and what the path says; its own source must name the same address."""
    from databricks.sdk.service import catalog, files, jobs

    for verb, pattern, name in ROUTES:
        expression = re.sub(r"\{(\w+)\}$", r"(?P<\1>.+)", pattern)
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", expression)
        match = re.fullmatch(expression, unquote(request["path"]))
        if verb != request["method"] or not match:
            continue
        service, interface, method = name.split(".")
        found = getattr(getattr({"jobs": jobs, "files": files, "catalog": catalog}[service], interface), method)
        fixed = pattern.split("{")[0]
        assert fixed in inspect.getsource(found), f"{name} of the newest SDK does not call {fixed}"
        return found, match.groupdict()
    return None, {}


def bundle_problems(body: Mapping[str, Any]) -> list[str]:
    """What asset bundles would say of a run's tasks and surroundings; what a bundle words otherwise is left out."""
    from databricks.bundles.jobs import Job

    not_of_a_job = {"run_name", "idempotency_token", "access_control_list", "tasks"}
    job = {name: value for name, value in body.items() if name not in not_of_a_job}
    try:
        Job.from_dict({**job, "name": body["run_name"], "tasks": body["tasks"]})
    except (ValueError, TypeError, KeyError) as error:
        return [f"the schema of bundles: {error}"]
    return []


if __name__ == "__main__":
    main()
