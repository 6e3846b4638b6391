"""What the environment of the databricks deployment is for a rehearsal workspace."""

from pathlib import Path

from retail_assets.databricks.compute import DEDICATED, SERVERLESS
from retail_assets.databricks.rehearsal.workspace import Workspace

LANDING = "/Volumes/spark_catalog/rehearsal/landing"


def landing_directory(workspace: Workspace) -> Path:
    """Where the rehearsal's landing zone lies on this machine."""
    return workspace.volumes / LANDING.removeprefix("/Volumes/")


def deployment_environment(workspace: Workspace, kind: str = DEDICATED) -> dict[str, str]:
    """The variables that make the host use the workspace and its compute of this kind, calendars left out."""
    cluster = {} if kind == SERVERLESS else {"RETAIL_DATABRICKS_CLUSTER_ID": workspace.cluster_id}
    return {
        **cluster,
        "RETAIL_DATABRICKS_COMPUTE": kind,
        "RETAIL_DEPLOYMENT": "databricks",
        "RETAIL_CATALOG": "spark_catalog",
        "RETAIL_LANDING": LANDING,
        "RETAIL_DATABRICKS_STAGING": workspace.volume,
        "RETAIL_DATABRICKS_POLL_SECONDS": "0.5",
        "DATABRICKS_HOST": workspace.host,
        "DATABRICKS_TOKEN": workspace.token,
        "MLFLOW_TRACKING_URI": f"sqlite:///{workspace.directory}/mlflow.db",
        "DAGSTER_HOME": f"{workspace.directory}/dagster_home",
    }
