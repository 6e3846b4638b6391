"""A Dagster home for one test, with the product's own event log."""

from pathlib import Path

from dagster import DagsterInstance

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
