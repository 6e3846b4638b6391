"""What is staged: the zip, the libraries and their versions, and the files in DBFS and in a volume."""

import ast
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient

from retail_assets.databricks.rehearsal.environment import ClusterEnvironment
from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets.databricks.staging import (
    LIBRARIES,
    StagingArea,
    StagingError,
    package_zip,
    pinned,
    staging_area,
    step_directory,
)
from retail_assets.settings import project_root

PACKAGE = project_root() / "retail_assets"
LOCK = project_root() / "requirements" / "requirements.lock"
BROUGHT_BY_THE_RUNTIME = {"pyspark", "delta-spark"}


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def write(file: Path, text: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_zip_holds_source_and_package_data_and_nothing_else(tmp_path: Path):
    shop = tmp_path / "a path with spaces" / "shop"
    wanted = ["shop/__init__.py", "shop/log4j2.properties", "shop/tables/__init__.py", "shop/tables/sales.py"]
    unwanted = [
        "shop/.env",
        "shop/.git/config.py",
        "shop/__pycache__/sales.cpython-311.pyc",
        "shop/tables/__pycache__/sales.py",
        "shop/data/drop.csv",
        "shop/key.pem",
        "shop/secrets.json",
        "shop/exploration.ipynb",
        "shop/rehearsal/server.py",
    ]
    for name in [*wanted, *unwanted]:
        write(shop.parent / name, name)

    assert names(package_zip(shop)) == wanted


def test_the_same_source_gives_the_same_bytes_wherever_and_whenever(tmp_path: Path):
    for place in ("here", "over there"):
        for name in ("b.py", "a.py", "c/d.py"):
            write(tmp_path / place / "shop" / name, name)
    os.utime(tmp_path / "here" / "shop" / "a.py", (1, 1))
    (tmp_path / "here" / "shop" / "b.py").chmod(0o600)

    content = package_zip(tmp_path / "here" / "shop")
    assert content == package_zip(tmp_path / "over there" / "shop")
    write(tmp_path / "here" / "shop" / "a.py", "changed")
    assert content != package_zip(tmp_path / "here" / "shop")


def test_everything_of_our_package_that_a_step_may_need_is_in_its_zip():
    tracked = subprocess.run(
        ["git", "ls-files", "retail_assets"], cwd=project_root(), capture_output=True, text=True, check=True
    )
    wanted = [name for name in tracked.stdout.splitlines() if "/rehearsal/" not in name]
    content = package_zip(PACKAGE)

    assert set(wanted) <= set(names(content))
    assert len(content) < 500_000


def test_the_libraries_are_what_the_package_imports_at_the_locked_versions():
    imported = set()
    with zipfile.ZipFile(io.BytesIO(package_zip(PACKAGE))) as archive:
        for name in archive.namelist():
            nodes = ast.walk(ast.parse(archive.read(name))) if name.endswith(".py") else []
            for node in nodes:
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.split(".")[0])
    distributions = packages_distributions()
    # What dagster and databricks-sdk are made of comes with them.
    theirs = {"retail_assets", "dagster_shared", "requests"} | set(sys.stdlib_module_names)
    unnamed = {
        name
        for name in imported - theirs
        if not {re.sub(r"[-_.]+", "-", each).lower() for each in distributions[name]}
        & (set(LIBRARIES) | BROUGHT_BY_THE_RUNTIME)
    }
    assert unnamed == set()
    assert not set(LIBRARIES) & BROUGHT_BY_THE_RUNTIME

    libraries = [library["pypi"]["package"] for library in pinned(LIBRARIES, LOCK)]
    assert libraries == [f"{name}=={version(name)}" for name in LIBRARIES]


def test_a_library_without_a_locked_version_is_named(tmp_path: Path):
    write(tmp_path / "requirements.lock", "dagster==1.13.27 \\\n    --hash=sha256:00\n# numpy==1.0\n")

    assert pinned(["dagster"], tmp_path / "requirements.lock") == [{"pypi": {"package": "dagster==1.13.27"}}]
    with pytest.raises(StagingError, match=r"pins no version of numpy, pandas\."):
        pinned(["dagster", "pandas", "numpy"], tmp_path / "requirements.lock")


def test_the_zip_imports_where_only_the_named_libraries_are(tmp_path: Path):
    environment = ClusterEnvironment(tmp_path / "python")
    environment.install(pinned(LIBRARIES, LOCK))
    with zipfile.ZipFile(io.BytesIO(package_zip(PACKAGE))) as archive:
        archive.extractall(tmp_path / "code")
    modules = [
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for name in names(package_zip(PACKAGE))
        if name.endswith(".py")
    ]
    program = tmp_path / "code" / "program.py"
    program.write_text(f"import importlib\nfor name in {modules}: importlib.import_module(name)\nprint('all')")
    remote = {
        "RETAIL_DEPLOYMENT": "databricks",
        "RETAIL_ON_CLUSTER": "1",
        "RETAIL_LANDING": "/Volumes/retail/landing/drops",
        "RETAIL_CATALOG": "retail",
        "RETAIL_ONLINE_RETAIL_FIRST_DAY": "2011-01-01",
        "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-12-31",
    }
    done = subprocess.run(
        [str(environment.python), str(program)], env=remote, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.endswith("all\n"), done.stderr[-2000:]


@pytest.fixture(params=["dbfs:/staging area", "/Volumes/retail/operations/staging/area"])
def area(request: pytest.FixtureRequest, sparkless: Workspace) -> Iterator[StagingArea]:
    client = WorkspaceClient(host=sparkless.host, token=sparkless.token)
    area = staging_area(client, request.param)
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
    area = staging_area(WorkspaceClient(host=sparkless.host, token=sparkless.token), "dbfs:/blocks")
    sparkless.fail_next("dbfs/add-block", "lose")

    with pytest.raises(StagingError, match="a block was lost or doubled"):
        area.write("step/code.zip", os.urandom(1_000_000))


def test_another_place_is_refused():
    with pytest.raises(StagingError, match="not in 's3://bucket/staging'"):
        staging_area(WorkspaceClient(host="http://127.0.0.1:1", token="t"), "s3://bucket/staging")
