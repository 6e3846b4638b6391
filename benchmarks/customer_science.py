"""What training, search and scoring cost: of one month, and of every month in one backfill.

    .venv/bin/python -m benchmarks.customer_science [--generated]

One month: the newest, in a main job that first makes the tables that customer science reads, as it does for a shop.
Every month: one backfill in a process of its own. Seconds are those of `pipeline_metrics`: how long the steps took, as
Dagster counted them; what the whole commands took is told beside.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.contestants import PROJECT, RETAIL, environment, land
from benchmarks.datasets import history
from benchmarks.measure import measured

READ = [
    "raw_invoices", "quarantined_invoices", "clean_transactions", "daily_metrics", "customer_month_activity",
    "customer_rfm",
]  # fmt: skip
PARTS = {
    "training, search and scoring": [
        "segment_model", "segment_champion", "customer_segments", "churn_evaluation", "churn_scores", "customer_clv",
    ],
    "what judges and sums up": ["segment_drift", "segment_summary", "clv_holdout"],
}  # fmt: skip
MADE = [table for tables in PARTS.values() for table in tables]
PROMISES = {"one month": 20.0, "every month": 240.0}


def selected(tables: list[str]) -> list[str]:
    """The options that choose these tables."""
    return [option for table in tables for option in ("--select", table)]


def seconds_by_table(lakehouse: Path) -> dict[str, float]:
    """Table -> seconds of its steps so far."""
    rows = DeltaTable(str(lakehouse / "operations" / "pipeline_metrics")).to_pandas()
    return {str(name).rpartition(".")[2]: float(part["seconds"].sum()) for name, part in rows.groupby("table_name")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generated", action="store_true")
    data = history(1, parser.parse_args().generated)
    print(f"{data.description}, {data.rows:,} rows", flush=True)
    the_other_months_read = [*RETAIL, "run", *selected(READ)]
    # What goes before each, unmeasured, and what is measured.
    runs = {
        "one month": (land(data.whole), [*RETAIL, "run", "--months", "newest", *selected(READ + MADE)]),
        "every month": (the_other_months_read, [*RETAIL, "run", "--all", *selected(MADE)]),
    }
    with tempfile.TemporaryDirectory(prefix="retail-benchmark-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        surroundings, log = environment(home), home / "log"
        before: dict[str, float] = {}
        for name, (preparation, command) in runs.items():
            subprocess.run(preparation, env=surroundings, check=True, stdout=subprocess.DEVNULL)
            run = measured(command, surroundings, PROJECT, log, 3600)
            if run.exit_code:
                sys.exit(log.read_text()[-3000:])
            after = seconds_by_table(home / "lakehouse")
            took = {table: after[table] - before.get(table, 0.0) for table in MADE}
            before = after
            promised = sum(took[table] for table in PARTS["training, search and scoring"])
            verdict = "kept" if promised <= PROMISES[name] else "NOT KEPT"
            print(f"{name}: {promised:.1f} s, {verdict} (at most {PROMISES[name]:.0f} s)")
            print(
                f"  the whole command {run.wall:.1f} s, {run.cpu:.1f} CPU-s; others used {run.cpu_of_others:.1f} CPU-s"
            )
            for part, tables in PARTS.items():
                each = ", ".join(f"{table} {took[table]:.1f}" for table in tables)
                print(f"  {part}: {sum(took[table] for table in tables):.1f} s ({each})", flush=True)


if __name__ == "__main__":
    main()
