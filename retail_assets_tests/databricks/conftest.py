"""A workspace for all tests of the launcher, and a shop of its own for each."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets_tests.databricks.shop import Shop, open_instance


@pytest.fixture(scope="session")
def sparkless() -> Iterator[Workspace]:
    """A workspace without Spark; its warm cluster has its libraries after the first step."""
    with tempfile.TemporaryDirectory() as directory, Workspace(Path(directory), spark=False) as workspace:
        (workspace.volumes / "retail" / "operations" / "staging").mkdir(parents=True)
        yield workspace


@pytest.fixture
def shop(tmp_path: Path, sparkless: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop's package and a Dagster instance, with the token that holds now."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance(tmp_path / "home") as instance:
        yield Shop(tmp_path, sparkless, instance)
