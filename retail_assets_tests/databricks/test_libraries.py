"""What a remote step is given: the code and nothing else, and its libraries, at the versions of the lock."""

import ast
import io
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from retail_assets.databricks.code_zip import package_zip, stays_behind
from retail_assets.databricks.libraries import (
    CARRIED,
    LIBRARIES,
    SPARK,
    LibrariesError,
    as_libraries,
    locked,
    pins,
)
from retail_assets.databricks.rehearsal.environment import ClusterEnvironment, LibraryError
from retail_assets.project import project_root
from retail_assets.shops.description import BUILT_IN, to_carry

PACKAGE = project_root() / "retail_assets"
LOCK = project_root() / "requirements" / "requirements.lock"
NOT_BY_PIP = SPARK | set(CARRIED)


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
    wanted = [
        name for name in tracked.stdout.splitlines() if not stays_behind(Path(name)) and not name.endswith("/jars.lock")
    ]
    content = package_zip(PACKAGE)

    assert set(wanted) <= set(names(content))
    assert len(content) < 900_000


def test_the_libraries_are_what_the_package_imports():
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
    theirs = {"retail_assets", "dagster_shared"} | set(sys.stdlib_module_names)  # what dagster is made of comes with it
    unnamed = {
        name
        for name in imported - theirs
        if not {re.sub(r"[-_.]+", "-", each).lower() for each in distributions[name]} & (set(LIBRARIES) | NOT_BY_PIP)
    }
    assert unnamed == set()


def test_what_is_installed_remotely_is_the_lock_s_closure_name_by_name_without_spark(tmp_path: Path):
    named = pins(LIBRARIES, LOCK)
    environment = ClusterEnvironment(tmp_path / "python")
    environment.install(as_libraries(named, None))

    versions = locked(LOCK)
    assert {f"{name}=={versions[name]}" for name in environment.installed} == set(named)
    assert len(named) > 100
    assert not {pin.partition("==")[0] for pin in named} & (SPARK | set(CARRIED))


@pytest.mark.parametrize("name", ["dagster-pyspark", "dagster-databricks", "delta-spark", "pyspark"])
def test_what_would_bring_a_spark_of_its_own_is_refused(tmp_path: Path, name: str):
    with pytest.raises(LibrariesError, match=r"a Spark of their own: .*pyspark \(by"):
        pins(["dagster", name], LOCK)
    with pytest.raises(LibraryError, match="would replace the runtime's own"):
        ClusterEnvironment(tmp_path / "python").install([{"pypi": {"package": name}}])


def test_a_library_without_a_locked_version_is_named(tmp_path: Path):
    write(tmp_path / "requirements.lock", "dagster==1.13.27 \\\n    --hash=sha256:00\n# click==1.0\n")
    with pytest.raises(LibrariesError, match=r"pins no version of click, pillow\."):
        pins(["click", "pillow"], tmp_path / "requirements.lock")


def test_a_library_that_is_installed_here_in_another_version_is_named(tmp_path: Path):
    write(tmp_path / "requirements.lock", "threadpoolctl==0.0.1\n")
    with pytest.raises(LibrariesError, match=r"threadpoolctl: installed here in another version than .*make setup"):
        pins(["threadpoolctl"], tmp_path / "requirements.lock")


def test_the_zip_imports_where_only_the_named_libraries_are(tmp_path: Path):
    environment = ClusterEnvironment(tmp_path / "python")
    environment.install(as_libraries(pins(LIBRARIES, LOCK), None))
    with zipfile.ZipFile(io.BytesIO(package_zip(PACKAGE, CARRIED))) as archive:
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


SHOPS_FROM_A_ZIP = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from retail_assets.settings import Settings
from retail_assets.sources.known import known_sources
import retail_assets
assert sys.argv[1] in retail_assets.__file__
known = known_sources(Settings.read({"RETAIL_SHOPS": "/nowhere"}))
print(",".join(known), known["boxes"].owner.currency)
"""


def test_the_shops_that_a_user_described_travel_with_the_code_and_are_read_from_its_zip(tmp_path: Path):
    (tmp_path / "shops").mkdir()
    described = (BUILT_IN / "online_retail.toml").read_text().replace("GBP", "EUR")
    (tmp_path / "shops" / "boxes.toml").write_text(described)
    code = tmp_path / "code.zip"
    code.write_bytes(package_zip(PACKAGE, besides=to_carry(tmp_path / "shops")))
    command = [sys.executable, "-c", SHOPS_FROM_A_ZIP, str(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["online_retail,boxes,olist,wdi", "EUR"]
