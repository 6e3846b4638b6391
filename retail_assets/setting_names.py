"""The names of all settings, so that one that is none is told instead of being ignored."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

DATABRICKS = (
    "BUDGET_POLICY_ID", "CLUSTER_ID", "COMPUTE", "ENVIRONMENT_VERSION", "INIT_SCRIPTS", "NODE_TYPE",
    "PERFORMANCE_TARGET", "PERMISSIONS", "POLICY_ID", "POLL_SECONDS", "POOL_ID", "QUEUE", "RUN_AS", "SECRETS",
    "SECRET_SCOPE", "SPARK_CONF", "SPARK_VERSION", "STAGING", "TAGS", "TIMEOUT_SECONDS", "WORKERS",
)  # fmt: skip
KAFKA = ("CERTIFICATES", "MECHANISM", "PASSWORD", "PROTOCOL", "SERVERS", "USER")
POSTGRES = ("DATABASE", "HOST", "PASSWORD", "PORT", "USER")
SETTINGS = (
    "RETAIL_ACCESS_POLICY", "RETAIL_ALERTS", "RETAIL_CATALOG", "RETAIL_CODE_SERVER_PORT", "RETAIL_DASHBOARDS",
    "RETAIL_DASHBOARDS_URL",
    "RETAIL_DAYS_PER_RUN", "RETAIL_DEPLOYMENT", "RETAIL_DISCOUNT_RATE", "RETAIL_DROP_MARKER", "RETAIL_ENGINE",
    "RETAIL_LAKEHOUSE", "RETAIL_LANDING", "RETAIL_LAYOUT", "RETAIL_LOG_FORMAT", "RETAIL_MLFLOW_SECONDS",
    "RETAIL_MONTHS_PER_RUN",
    "RETAIL_ON_CLUSTER", "RETAIL_PERSONAL_DATA_MONTHS",
    "RETAIL_PSEUDONYM_KEY", "RETAIL_RETENTION_DAYS", "RETAIL_SEGMENT_DRIVER_CUSTOMERS",
    "RETAIL_SEGMENT_ENGINE", "RETAIL_SEGMENT_TRANSFORM", "RETAIL_SHOPS", "RETAIL_SNAPSHOTS_CRON",
    "RETAIL_SPARK_DRIVER_MEMORY", "RETAIL_SPARK_EXECUTOR_MEMORY", "RETAIL_SPARK_MASTER",
    "RETAIL_SPARK_SHUFFLE_PARTITIONS", "RETAIL_TICK_SECONDS", "RETAIL_UI_URL", "RETAIL_WIN_BACK_CHANCE",
    *(f"RETAIL_KAFKA_{name}" for name in KAFKA),
    *(f"RETAIL_DATABRICKS_{name}" for name in DATABRICKS),
    *(f"RETAIL_POSTGRES_{name}" for name in POSTGRES),
)  # fmt: skip

_OF_A_SOURCE = re.compile(r"RETAIL_[A-Z0-9_]+_(FIRST|LAST)_DAY")

_ALIKE = 0.85
"""From here on a name is meant to be another's; what is less alike may be somebody's own variable."""


def misspelt(environment: Iterable[str]) -> dict[str, str]:
    """Variables that look like a setting and are none -> the setting that is meant."""
    unknown = [
        name
        for name in environment
        if name.startswith("RETAIL_") and name not in SETTINGS and not _OF_A_SOURCE.fullmatch(name)
    ]
    near = {name: get_close_matches(name, SETTINGS, 1, _ALIKE) for name in unknown}
    return {name: meant[0] for name, meant in near.items() if meant}
