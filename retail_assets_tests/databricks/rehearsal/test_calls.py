"""Tokens, ordered faults, and what is refused before anything is done."""

import time
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    Unauthenticated,
)
from databricks.sdk.service.compute import AutoScale, ClusterSpec
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.jobs import SparkPythonTask, SubmitTask

from retail_assets_tests.databricks.rehearsal.client import User

SUBMIT = "/api/2.2/jobs/runs/submit"


def test_a_token_that_is_wrong_expired_or_missing_is_refused(user: User) -> None:
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        WorkspaceClient(host=user.workspace.host, token="dapi0").dbfs.get_status("/")
    user.workspace.expire_token()
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        user.client.dbfs.get_status("/")
    assert User(user.workspace).client.dbfs.get_status("/").is_dir
    assert requests.get(f"{user.workspace.host}/api/2.0/dbfs/list?path=/", timeout=5).status_code == 401


def test_a_service_principal_gets_a_token_for_its_secret(user: User) -> None:
    workspace = user.workspace
    credentials: dict[str, Any] = {"host": workspace.host, "client_id": workspace.client_id, "auth_type": "oauth-m2m"}
    client = WorkspaceClient(client_secret=workspace.client_secret, **credentials)
    assert client.current_user.me().user_name == "rehearsal@example.com"
    workspace.expire_token()
    with pytest.raises(Unauthenticated, match="expired"):
        client.dbfs.get_status("/")
    assert WorkspaceClient(client_secret=workspace.client_secret, **credentials).dbfs.get_status("/").is_dir
    with pytest.raises(ValueError, match="invalid_client"):
        WorkspaceClient(client_secret="wrong", **credentials).dbfs.get_status("/")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_answer_says_when_to_come_back(user: User, status: int) -> None:
    user.workspace.fail_next("/dbfs/get-status", status, times=2, retry_after=1)
    address = f"{user.workspace.host}/api/2.0/dbfs/get-status?path=/"
    answer = requests.get(address, headers={"Authorization": f"Bearer {user.workspace.token}"}, timeout=5)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "1")
    assert set(answer.json()) == {"error_code", "message"}
    before = time.monotonic()
    assert user.client.dbfs.get_status("/").is_dir  # the SDK waits and comes back by itself
    assert time.monotonic() - before >= 1
    assert [received.status for received in user.workspace.requests[-3:]] == [status, status, 200]


def test_a_dropped_connection_does_nothing_and_a_lost_answer_did_it(user: User) -> None:
    user.workspace.fail_next("/dbfs/mkdirs", "drop")
    user.client.dbfs.mkdirs("/dropped")  # the SDK comes back
    user.workspace.fail_next("/dbfs/put", "lose")
    with pytest.raises(ResourceAlreadyExists):  # the retry meets what the lost call made
        user.client.dbfs.put("/lost", contents="")
    statuses = [(received.path.rpartition("/")[2], received.status) for received in user.workspace.requests[-4:]]
    assert statuses == [("mkdirs", "drop"), ("mkdirs", 200), ("put", "lose"), ("put", 400)]


def test_a_read_in_the_middle_of_a_write_is_late_and_torn(user: User) -> None:
    user.client.dbfs.put("/events.pkl", contents="MDEyMzQ1Njc4OQ==", overwrite=True)
    user.workspace.slow_reads("events", seconds=0.3, torn=0.5)
    before = time.monotonic()
    assert user.client.dbfs.read("/events.pkl", length=100).bytes_read == 5
    assert time.monotonic() - before >= 0.3
    assert user.client.dbfs.read("/events.pkl", length=100).bytes_read == 10


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tasks": [], "surprise": 1}, "unknown field 'surprise'"),
        ({"tasks": [{"task_key": "t", "spark_python_task": {"python_file": "dbfs:/x", "args": []}}]}, "task.args'"),
        ({"tasks": [{"task_key": "t", "spark_python_task": {}}]}, "Missing required field: .*python_file"),
        ({"tasks": [{"task_key": "t", "libraries": [{"pip": {"package": "a"}}]}]}, "unknown field .*pip"),
        ({"tasks": [{"task_key": "t", "new_cluster": {"num_workers": "2"}}]}, "num_workers' expects a number"),
        ({"tasks": [{"task_key": "t", "run_if": "MAYBE"}]}, "run_if' expects one of"),
        ({"tasks": [], "timeout_seconds": "1"}, "timeout_seconds' expects a number"),
        ({"tasks": []}, "one task per run"),
        ({"tasks": [{"task_key": "t"}]}, "spark_python_task"),
    ],
)
def test_a_request_that_the_sdk_could_not_have_made_is_refused_by_the_field_s_name(
    user: User, body: dict[str, object], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        user.post(SUBMIT, body)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"existing_cluster_id": "0101-000000-none"}, "Cluster 0101-000000-none does not exist"),
        ({}, "one of existing_cluster_id, new_cluster and environment_key"),
        ({"new_cluster": ClusterSpec(spark_version="17.3.x-scala2.13", num_workers=1)}, "node_type_id"),
        ({"new_cluster": ClusterSpec(node_type_id="i3.xlarge", num_workers=1)}, "spark_version"),
        (
            {"new_cluster": ClusterSpec(node_type_id="i3.xlarge", spark_version="17.3.x-scala2.13")},
            "num_workers or autoscale",
        ),
        ({"new_cluster": ClusterSpec(autoscale=AutoScale(1, 2)), "existing_cluster_id": "x"}, "one of existing"),
    ],
)
def test_a_run_needs_one_cluster_that_can_be(user: User, task: dict[str, object], message: str) -> None:
    program = SparkPythonTask(python_file="dbfs:/main.py")
    with pytest.raises(InvalidParameterValue, match=message):
        user.client.jobs.submit(tasks=[SubmitTask(task_key="t", spark_python_task=program, **task)])  # type: ignore[arg-type]


def test_unknown_calls_runs_and_clusters_are_not_found(user: User) -> None:
    with pytest.raises(NotFound, match="No API found"):
        user.post("/api/2.0/no/such/call", {})
    with pytest.raises(NotFound, match="Run 5 does not exist"):
        user.client.jobs.get_run(5)
    with pytest.raises(NotFound, match="does not exist"):  # as the SDK reads the code 400 that Databricks answers
        user.client.clusters.get("0101-000000-none")
    cluster = user.client.clusters.get(user.workspace.cluster_id)
    assert (cluster.cluster_id, cluster.cluster_name) == (user.workspace.cluster_id, "warm")


def test_permissions_of_a_run_are_kept(user: User) -> None:
    run = user.client.jobs.get_run(user.submit(user.write("/quick.py", "")))
    entry = AccessControlRequest(group_name="engineers", permission_level=PermissionLevel.CAN_VIEW)
    user.client.permissions.update("jobs", str(run.job_id), access_control_list=[entry])
    listed = user.client.permissions.get("jobs", str(run.job_id)).access_control_list or []
    levels = {item.group_name or item.user_name: (item.all_permissions or [])[0].permission_level for item in listed}
    assert levels == {"rehearsal@example.com": PermissionLevel.IS_OWNER, "engineers": PermissionLevel.CAN_VIEW}
    wrong = AccessControlRequest(group_name="engineers", permission_level=PermissionLevel.CAN_RESTART)
    with pytest.raises(InvalidParameterValue):
        user.client.permissions.update("jobs", str(run.job_id), access_control_list=[wrong])
    with pytest.raises(NotFound):
        user.client.permissions.get("jobs", "1")
