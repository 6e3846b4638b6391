"""The files of steps in DBFS and in a volume: written, read, removed, and swept."""

import os
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets.databricks.staging import StagingArea, StagingError, staging_area, step_directory
from retail_assets.databricks.workspace_api import Login, WorkspaceApi


def api_of(workspace: Workspace) -> WorkspaceApi:
    return WorkspaceApi(Login(workspace.host, {"auth_type": "pat", "token": workspace.token}))


@pytest.fixture(params=["dbfs:/staging area", "/Volumes/retail/operations/staging/area"])
def area(request: pytest.FixtureRequest, sparkless: Workspace) -> Iterator[StagingArea]:
    area = staging_area(api_of(sparkless), request.param)
    yield area
    for directory in area.directories():
        area.remove(directory)


def test_files_are_written_replaced_read_and_removed(area: StagingArea):
    large = os.urandom(1_700_000)
    area.write("step/code.zip", b"first")
    area.write("step/code.zip", large)
    area.write("step/inner/empty", b"")

    assert area.read("step/code.zip") == large
    assert area.read("step/inner/empty") == b""
    assert area.read("step/events.gz") is None
    assert area.directories() == ["step"]
    area.remove("step")
    assert area.directories() == []
    area.remove("step")


def test_paths_are_those_of_the_request_and_of_the_cluster(area: StagingArea):
    if area.root.startswith("/Volumes/"):
        assert area.uri("step/main.py") == "/Volumes/retail/operations/staging/area/step/main.py"
        assert area.local_path("step/main.py") == "/Volumes/retail/operations/staging/area/step/main.py"
    else:
        assert area.uri("step/main.py") == "dbfs:/staging area/step/main.py"
        assert area.local_path("step/main.py") == "/dbfs/staging area/step/main.py"


def test_a_sweep_removes_what_is_old_and_ours(area: StagingArea):
    today = step_directory("c0ffee", "online_retail__raw_invoices[2011]", 1)
    assert re.fullmatch(r"\d{8}T\d{6}Z_c0ffee_online_retail__raw_invoices_2011__1", today)
    for directory in (today, "20200101T000000Z_c0ffee_old_0", "20200101_of somebody else"):
        area.write(f"{directory}/code.zip", b"x")

    assert area.sweep(timedelta(days=1)) == ["20200101T000000Z_c0ffee_old_0"]
    assert sorted(area.directories()) == ["20200101_of somebody else", today]


def test_a_doubled_block_is_noticed(sparkless: Workspace):
    area = staging_area(api_of(sparkless), "dbfs:/blocks")
    sparkless.fail_next("dbfs/add-block", "lose")

    with pytest.raises(StagingError, match="a block was lost or doubled"):
        area.write("step/code.zip", os.urandom(1_000_000))


def test_another_place_is_refused():
    with pytest.raises(StagingError, match="not in 's3://bucket/staging'"):
        staging_area(WorkspaceApi(Login("http://127.0.0.1:1", {})), "s3://bucket/staging")
