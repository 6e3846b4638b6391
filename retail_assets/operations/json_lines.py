"""What runs log, as one JSON object a line on standard error, for machines.

A logging handler; deploy/dagster.yaml names it under `python_logs`. Dagster's coloured lines for people stay beside it:
a run that names no logger always gets that one.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from dagster._core.log_manager import LOG_RECORD_METADATA_ATTR

PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


class JsonLines(logging.StreamHandler[Any]):
    """Keys: timestamp, level, message; of a run's line also run_id, job, step, event, asset, partition and error."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        known: dict[str, Any] = getattr(record, LOG_RECORD_METADATA_ATTR, {})
        event, tags = known.get("dagster_event"), known.get("job_tags") or {}
        said = {
            "timestamp": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": known.get("orig_message") or record.getMessage(),
            "run_id": known.get("run_id"),
            "job": known.get("job_name"),
            "step": known.get("step_key"),
            "event": event.event_type.name if event else None,
            "asset": "/".join(event.asset_key.path) if event and event.asset_key else None,
            # A range of one partition is that partition, whichever way it was asked for.
            "partition": (event and event.partition)
            or "...".join(dict.fromkeys(tags[tag] for tag in PARTITION_TAGS if tag in tags)),
            "error": _error(event, record),
        }
        return json.dumps({key: value for key, value in said.items() if value})


def _error(event: Any, record: logging.LogRecord) -> str | None:
    if event is not None and event.is_step_failure and event.step_failure_data.error:
        return str(event.step_failure_data.error.to_string())
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else None
