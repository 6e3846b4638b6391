"""What quality costs: the main job with it, without its tables, and without any check, in one run.

    .venv/bin/python -m benchmarks.quality [--generated] [--repeat 1] [--months newest]

The same history is landed for each variant, in a home of its own, and `retail run` is made in a fresh process, whose
CPU time is measured with all it starts. The share of quality is what the job costs more than without any of it.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import RETAIL, environment, land
from benchmarks.datasets import REAL_ROWS, history
from benchmarks.measure import measured

PROMISE = 0.15
VARIANTS = {
    "everything": "as it is",
    "no quality tables": "without bronze_daily_quality, bronze_silver_comparison, daily_counts and dq_results",
    "no quality": "without any evaluation either: rows are counted, and one check per table passes unseen",
}


def without_quality(evaluations_too: bool) -> None:
    """Takes quality out of the definitions that this process is about to load."""
    from pyspark.sql import DataFrame

    from retail_assets.lakehouse import judging
    from retail_assets.lakehouse import table as machinery
    from retail_assets.lakehouse.checks import TableCheck, Verdict
    from retail_assets.lakehouse.contracts import Contract, partition_column
    from retail_assets.lakehouse.evaluation import PartitionEvaluation
    from retail_assets.sources import tables

    tables.TABLES[:] = [table for table in tables.TABLES if table.layer.name != "quality"]
    machinery._ResultsLog.keep = lambda self, commit: None  # type: ignore[method-assign,assignment]
    if not evaluations_too:
        return

    def counted(frame: DataFrame, contract: type[Contract], *_: object) -> dict[str, PartitionEvaluation]:
        """The rows of each partition, which people are shown with or without quality."""
        by_partition = frame.groupBy(partition_column(contract)).count().collect()
        return {str(day): PartitionEvaluation(rows=rows) for day, rows in by_partition}

    unseen = TableCheck("contract", "Passes unseen", lambda partition: Verdict(True, partition.rows))
    tables.TABLES[:] = [replace(table, checks=[unseen]) for table in tables.TABLES]
    judging.evaluate = counted  # type: ignore[assignment]


def run_job(variant: str, arguments: list[str]) -> None:
    """`retail run` in this process, as the variant has it."""
    if variant != "everything":
        without_quality(evaluations_too=variant == "no quality")
    from retail_assets.cli import main

    sys.argv = ["retail", "run", *arguments]
    main()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generated", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--months", default="all")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    given, arguments = parser.parse_known_args()
    if given.variant:
        run_job(given.variant, ["--months", given.months, *arguments])
        return
    data = history(1, given.generated)
    cpu: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    print(f"{data.description}, {data.rows:,} rows ({REAL_ROWS:,} real)", flush=True)
    for turn in range(given.repeat):
        for variant in list(VARIANTS)[:: -1 if turn % 2 else 1]:
            with tempfile.TemporaryDirectory() as home:
                surroundings = environment(Path(home))
                subprocess.run(land(data.whole), env=surroundings, check=True, stdout=subprocess.DEVNULL)
                command = [sys.executable, "-m", "benchmarks.quality", "--variant", variant, "--months", given.months]
                run = measured(command, surroundings, Path.cwd(), Path(home) / "log", 3600)
                if run.exit_code:
                    sys.exit((Path(home) / "log").read_text()[-3000:])
            cpu[variant].append(run.cpu)
            print(f"{variant:20}{run.wall:8.1f} s{run.cpu:8.1f} CPU-s", flush=True)
    everything, no_tables, nothing = (statistics.median(cpu[variant]) for variant in VARIANTS)
    share = 1 - nothing / everything
    print(f"{RETAIL[0]} run --months {given.months}: medians of {given.repeat}")
    for variant, meaning in VARIANTS.items():
        print(f"  {variant}: {meaning}: {statistics.median(cpu[variant]):.1f} CPU-s")
    print(f"  quality tables and results: {1 - no_tables / everything:.1%} of the job's CPU time")
    print(f"  {'kept' if share <= PROMISE else 'NOT KEPT'}: all of quality {share:.1%} (at most {PROMISE:.0%})")


if __name__ == "__main__":
    main()
