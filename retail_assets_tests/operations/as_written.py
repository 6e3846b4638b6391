"""Tables as they were written, read with deltalake, which shares no code with Spark."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

TIMES_OF_WRITING = {"ingested_at", "quarantined_at"}

PARTITION_COLUMN = {
    "raw_invoices": "invoice_date",
    "quarantined_invoices": "invoice_date",
    "clean_transactions": "invoice_date",
    "daily_metrics": "invoice_date",
    "bronze_daily_quality": "invoice_date",
    "bronze_silver_comparison": "invoice_date",
    "daily_counts": "invoice_date",
    "customer_month_activity": "activity_month",
    "customer_rfm": "snapshot_month",
    "segment_model": "snapshot_month",
    "segment_champion": "snapshot_month",
    "customer_segments": "snapshot_month",
    "churn_evaluation": "snapshot_month",
    "segment_drift": "snapshot_month",
    "segment_summary": "snapshot_month",
    "churn_scores": "snapshot_month",
    "geo_metrics": "snapshot_month",
    "monthly_activity": "snapshot_month",
}

Rows = dict[str, list[str]]
"""Partition -> its rows as text, in an order of their own."""


def rows(path: Path, table: str, version: int | None = None, times: bool = False) -> Rows:
    """The rows of a table by partition; with `times` also the moments at which they were written."""
    found: Rows = {}
    for row in DeltaTable(str(path / "online_retail" / table), version=version).to_pyarrow_table().to_pylist():
        kept: dict[str, Any] = {name: value for name, value in row.items() if times or name not in TIMES_OF_WRITING}
        found.setdefault(str(row[PARTITION_COLUMN[table]]), []).append(repr(sorted(kept.items())))
    return {partition: sorted(lines) for partition, lines in found.items()}


def all_rows(lakehouse: Path, tables: Iterable[str] = PARTITION_COLUMN) -> dict[str, Rows]:
    """Table -> its rows."""
    return {table: rows(lakehouse, table) for table in tables}


def version(lakehouse: Path, table: str) -> int:
    """The newest version of a table."""
    return int(DeltaTable(str(lakehouse / "online_retail" / table)).version())


def directories_touched(lakehouse: Path, table: str, after_version: int) -> set[str]:
    """The directories in which the log adds or removes files after a version."""
    touched = set()
    for entry in sorted((lakehouse / "online_retail" / table / "_delta_log").glob("*.json")):
        if int(entry.stem) > after_version:
            for line in entry.read_text().splitlines():
                action = json.loads(line)
                changed = action.get("add") or action.get("remove")
                if changed:
                    touched |= set(changed["partitionValues"].values())
    return touched
