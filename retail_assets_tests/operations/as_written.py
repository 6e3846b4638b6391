"""Tables as they were written, read with deltalake, which shares no code with Spark."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from retail_assets.lakehouse.contracts import partition_column
from retail_assets_tests.made_shop import TABLES

OF_THE_WRITING = {"ingested_at", "quarantined_at", "bytes", "sha256"}
"""Moments of writing, and what hangs on them: a dashboard's page tells when the tables it shows were written."""

PARTITION_COLUMN = {table.key.path[-1]: partition_column(table.contract) for table in TABLES}
OF_A_YOUNG_HISTORY = [
    table for table in PARTITION_COLUMN if not table.startswith(("churn_", "customer_clv", "clv_holdout"))
]
"""Two months are too few for the others to have a partition."""

Rows = dict[str, list[str]]
"""Partition -> its rows as text, in an order of their own."""


def rows(path: Path, table: str, version: int | None = None, times: bool = False) -> Rows:
    """The rows of a table by partition; with `times` also the moments at which they were written."""
    found: Rows = {}
    for row in DeltaTable(str(path / "online_retail" / table), version=version).to_pyarrow_table().to_pylist():
        kept: dict[str, Any] = {name: value for name, value in row.items() if times or name not in OF_THE_WRITING}
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
