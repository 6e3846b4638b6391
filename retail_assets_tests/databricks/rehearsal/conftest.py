"""One workspace without Spark for the tests that need none, one with Spark for the others."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets_tests.databricks.rehearsal.client import User


@pytest.fixture(scope="package")
def plain() -> Iterator[Workspace]:
    with (
        tempfile.TemporaryDirectory() as directory,
        Workspace(Path(directory, "a plain one"), spark=False) as workspace,
    ):
        yield workspace


@pytest.fixture
def user(plain: Workspace) -> User:
    return User(plain)
