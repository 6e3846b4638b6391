"""What the tests share: one session for the whole run, and where the real data lies."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pyspark.sql import SparkSession

from retail_assets.lakehouse.engines.choice import start
from retail_assets.settings import Settings
from retail_assets_tests.workbench import Workbench

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# A deadline for an example is a measure of the machine it runs on.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

ENGINE = os.environ.setdefault("RETAIL_ENGINE", "sail")
"""The engine that this run of the tests is on; `make test` makes a run for each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that share the engine's one session: `make test` runs them in one process, and the others beside
    them. Skips what only Spark on a JVM can do where the run is on another engine.

    Before `-m` is looked at: pytest's own hook for that is called after those of conftest files.
    """
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
        if item.get_closest_marker("jvm") and ENGINE != "spark":
            item.add_marker(pytest.mark.skip(reason="needs Spark on a JVM: RETAIL_ENGINE=spark"))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one session of the run, configured as the product's own."""
    session = start(Settings.read({**os.environ, "RETAIL_SPARK_DRIVER_MEMORY": "3g"}), short=True)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The published data sets beside the project; what needs them is skipped, visibly, where they are absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real data is not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture
def workbench(tmp_path: Path, spark: SparkSession) -> Workbench:
    """A lakehouse of its own for one test."""
    return Workbench(tmp_path, spark)


@pytest.fixture
def mlflows_own_environment() -> Iterator[None]:
    """MLflow's client leaves in the environment which store it used last, for whatever process is started next."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    yield
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(before)
