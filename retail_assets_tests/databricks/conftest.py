"""A workspace for all tests of the launcher, and a shop of its own for each; and the judge of every request."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets_tests.databricks.judge import DIRECTORY, LOGINS, judged
from retail_assets_tests.databricks.shop import Shop, open_instance

MISSING = f"{DIRECTORY} is missing, and with it the judge of requests: run make setup"


@pytest.fixture(scope="session")
def judge() -> None:
    """Whoever asks for it needs the judge, which `make setup` installs."""
    if not DIRECTORY.exists():
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)


@pytest.fixture(scope="session")
def sparkless() -> Iterator[Workspace]:
    """A workspace without Spark; its warm cluster has its libraries after the first step. All requests that were made
    of it are held against the newest SDK and the schema of bundles in the end."""
    with tempfile.TemporaryDirectory() as directory, Workspace(Path(directory), spark=False) as workspace:
        (workspace.volumes / "retail" / "operations" / "staging").mkdir(parents=True)
        yield workspace
        received = [
            {"method": call.method, "path": call.path, "query": dict(call.query), "body": as_json(call.body)}
            for call in workspace.requests
            if not call.path.startswith(LOGINS)
        ]
    if DIRECTORY.exists():
        assert judged(received) == []
    elif os.environ.get("CI"):
        pytest.fail(MISSING)
    else:
        warnings.warn(f"{MISSING}. {len(received)} requests were judged by nobody.", stacklevel=1)


def as_json(body: object) -> object:
    """Files are not judged."""
    return None if isinstance(body, bytes) else body


@pytest.fixture
def shop(tmp_path: Path, sparkless: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop's package and a Dagster instance, with the token that holds now."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance(tmp_path / "home") as instance:
        yield Shop(tmp_path, sparkless, instance)
