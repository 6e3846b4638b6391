"""What the tests share: one Spark session for the whole run, and where the real data lies."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from retail_assets.lakehouse.session import spark_config
from retail_assets.settings import Settings
from retail_assets_tests.workbench import Workbench

TESTS = Path(__file__).resolve().parent
REAL_DATA = TESTS.parents[1] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist's `--dist loadgroup`: all tests of the one Spark session run in one process, the others beside
    them, those of a file together (of the launcher's, all: they share a workspace)."""
    for item in items:
        path = item.path.relative_to(TESTS)
        apart = "databricks" if path.parts[0] == "databricks" else str(path)
        item.add_marker(pytest.mark.xdist_group("spark" if "spark" in item.fixturenames else apart))  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one session of the run, configured as the product's own."""
    builder = SparkSession.builder
    for name, value in spark_config(
        Settings.read({**os.environ, "RETAIL_SPARK_DRIVER_MEMORY": "3g"}), short=True
    ).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
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
