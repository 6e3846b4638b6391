"""The wheel: what it holds, and that an installed `retail` works in an empty directory, which is its project then."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from retail_assets.cli import prepare_dagster_home
from retail_assets.project import project_file, project_root
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.live import Live

LIBRARIES = sysconfig.get_path("purelib")
CARRIED = "retail_assets/project_files"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, as `make wheel` builds it."""
    built = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)]
    subprocess.run(command, cwd=project_root(), check=True, capture_output=True, timeout=120)
    (path,) = built.glob("*.whl")
    return path


def of_nobody(directory: Path, **variables: str) -> dict[str, str]:
    """An environment that knows of no settings, and of no project's directory."""
    ours = ("RETAIL_", "DAGSTER_", "MLFLOW_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "HOME": str(directory), **variables}


def test_the_wheel_holds_every_file_of_the_package_and_the_projects_own(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        configuration = yaml.safe_load(archive.read(f"{CARRIED}/dagster.yaml"))
    package = project_root() / "retail_assets"
    ours = {
        path.relative_to(project_root()).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    carried = {f"{CARRIED}/{name}" for name in ("dagster.yaml", "workspace.yaml", "requirements/requirements.lock")}
    carried |= {f"{CARRIED}/{path.relative_to(project_root())}" for path in (project_root() / "deploy").rglob("*.*")}
    assert held - {f"{CARRIED}/deploy/Procfile"} == ours | carried
    assert configuration == yaml.safe_load(project_file("dagster.yaml").read_text())


def test_an_installed_package_works_in_the_directory_it_is_used_in(wheel, tmp_path):
    installed, work = tmp_path / "site-packages", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    environment = of_nobody(tmp_path, PYTHONPATH=f"{installed}{os.pathsep}{LIBRARIES}")
    # -S: an editable installation of the checkout is not to be seen.
    command = [sys.executable, "-S", "-m", "retail_assets.cli", "dashboard", "--no-open"]
    told = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120)
    assert f"There is no page in {work}/data/dashboards yet" in told.stderr
    home = work / ".dagster_home"
    assert (home / "dagster.yaml").resolve() == (installed / CARRIED / "dagster.yaml").resolve()
    assert not (installed / "data").exists()
    assert not (installed / ".dagster_home").exists()


def _another_checkout(directory: Path) -> Path:
    (directory / "retail_assets").mkdir(parents=True)
    (directory / "retail_assets" / "cli.py").touch()
    return directory / "dagster.yaml"


def _another_installation(directory: Path) -> Path:
    (directory / CARRIED).mkdir(parents=True)
    return directory / CARRIED / "dagster.yaml"


def _somebodys_own(directory: Path) -> Path:
    directory.mkdir()
    return directory / "dagster.yaml"


@pytest.mark.parametrize(
    ("where", "taken"),
    [(_another_checkout, True), (_another_installation, True), (_somebodys_own, False)],
    ids=["a copied checkout", "an older installation", "somebody's own"],
)
def test_a_home_reads_the_settings_of_its_own_project_unless_somebody_chose_others(tmp_path, monkeypatch, where, taken):
    other = where(tmp_path / "other")
    other.write_text("telemetry:\n  enabled: true\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(other)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    prepare_dagster_home()
    assert (home / "dagster.yaml").resolve() == (project_file("dagster.yaml") if taken else other)


class Installed(RetailCommand):
    """The `retail` of a virtual environment, in an empty directory, without any setting."""

    def __init__(self, directory: Path, program: Path) -> None:
        self.directory, self.program, self.home = directory, program, directory / ".dagster_home"
        self.environment = of_nobody(directory, PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    def command(self, arguments: tuple[str, ...]) -> list[str]:
        return [str(self.program), *arguments]


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Installed:
    """The wheel in a virtual environment of its own, which shares the libraries of this one."""
    directory = tmp_path / "environment"
    venv.create(directory, with_pip=False, symlinks=True)
    program = directory / "bin" / "python"
    # Not by site's own way: the libraries' directory names the checkout, too, where that is installed to be edited.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(directory), "platbase": str(directory)}))
    (site / "libraries.pth").write_text(f"{LIBRARIES}\n")
    command = [shutil.which("uv") or Path(sys.executable).parent / "uv", "pip", "install", "--offline", "--no-deps"]
    subprocess.run([*command, "--python", program, wheel], check=True, capture_output=True, timeout=120)
    work = tmp_path / "work"
    work.mkdir()
    return Installed(work, directory / "bin" / "retail")


def _loaded(answer: Mapping[str, object]) -> list[str]:
    repositories = answer["repositoriesOrError"]
    return [node["name"] for node in repositories["nodes"]] if "nodes" in repositories else []  # type: ignore


@pytest.mark.long
def test_an_installed_wheel_makes_tables_and_shows_them(installed):
    made = installed("generate", "--lines", "3000", "--days", "70")
    assert made.returncode == 0, made.stderr
    ran = installed("run", "--months", "newest")
    assert ran.returncode == 0, ran.stderr
    assert f"The lakehouse: {installed.directory}/data/lakehouse" in ran.stderr
    assert (installed.directory / "data" / "dashboards" / "index.html").exists()
    asked = installed("sql", "SELECT sum(revenue) > 0 AS sold FROM online_retail_metrics.by_day", "--format", "csv")
    assert asked.stdout.split() == ["sold", "true"]
    live = Live(installed)
    live.start()
    try:
        query = (
            "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } }"
            " assetOrError(assetKey: {path: [\"online_retail\", \"customer_rfm\"]}) { ... on Asset"
            " { assetMaterializations(limit: 1) { partition } } } }"
        )  # fmt: skip
        answer = live.ask(query)
        live.wait_until("the code location", lambda: bool(_loaded(live.ask(query))))
        assert answer["assetOrError"]["assetMaterializations"][0]["partition"]
    finally:
        live.kill()
    assert not list(installed.program.parents[1].rglob("lakehouse/online_retail"))
