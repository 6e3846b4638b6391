"""A Dagster home for one test, with the product's own event log; and those that the product made."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

CONFIGURATION = """
event_log_storage:
  module: retail_assets.lakehouse.event_log
  class: OpenSqliteEventLogStorage
  config:
    base_dir: {directory}
telemetry:
  enabled: false
"""


def home_of(directory: Path) -> DagsterInstance:
    """The instance of a home that is made for it, or is there already."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "dagster.yaml").write_text(CONFIGURATION.format(directory=directory / "history"))
    return DagsterInstance.from_config(str(directory))


@contextmanager
def opened(home: Path) -> Iterator[DagsterInstance]:
    """The instance of a home that a command of its own uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))  # the event log takes its place from there
        instance = DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))
    with instance:
        yield instance
