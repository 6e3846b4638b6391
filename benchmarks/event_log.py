"""What Dagster's bookkeeping costs per event: the stock SQLite event log against the one kept open.

    .venv/bin/python -m benchmarks.event_log [--days 739] [--checks 0 5]

One asset that does nothing is materialized over a range of days in a single run, with a number of checks
that report per day. Every case runs in a fresh process and a fresh Dagster home; the time is that of the
run alone, without imports and without creating the instance.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

CASES = {
    "stock": "stock",
    "stock, Dagster's batches": "stock batched",
    "kept open": "open",
    "kept open, Dagster's batches": "open batched",
    "kept open, stored together": "open together",
    "kept open, both": "open batched together",
}
DAGSTER_BATCH_SIZE = "1000"


def run_once(case: str, days: int, checks: int) -> dict[str, float]:
    """Materialize the range once in this process: events stored in the run's file, and seconds."""
    import dagster as dg

    from retail_assets.lakehouse.gathered_events import stored_together

    words = case.split()
    if "batched" in words:
        os.environ["DAGSTER_EVENT_BATCH_SIZE"] = DAGSTER_BATCH_SIZE
    first = date(2009, 12, 1)
    daily = dg.DailyPartitionsDefinition(str(first), end_date=str(first + timedelta(days=days)))
    names = [f"check_{number}" for number in range(checks)]

    @dg.asset(
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(name, asset="nothing", partitions_def=daily) for name in names],
    )
    def nothing(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with stored_together(context.instance) if "together" in words else nullcontext():
            yield dg.MaterializeResult()
            for name in names:
                for day in context.partition_keys:
                    yield dg.AssetCheckEvaluation(
                        asset_key=context.asset_key,
                        check_name=name,
                        passed=True,
                        partition=day,
                        metadata={"rows": 1, "failed": 0},
                    )
                yield dg.Output(None, output_name=f"nothing_{name}")  # Dagster wants one per check

    with tempfile.TemporaryDirectory() as home:
        if "open" in words:
            Path(home, "dagster.yaml").write_text(
                "event_log_storage:\n"
                "  module: retail_assets.lakehouse.event_log\n"
                "  class: OpenSqliteEventLogStorage\n"
                "  config: {}\n"
            )
        os.environ["DAGSTER_HOME"] = home
        last = daily.get_last_partition_key()
        tags = {
            "dagster/asset_partition_range_start": str(first),
            "dagster/asset_partition_range_end": str(last),
        }
        with dg.DagsterInstance.get() as instance:
            began, cpu_began = time.perf_counter(), time.process_time()
            job = dg.Definitions(assets=[nothing], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
            result = job.execute_in_process(instance=instance, tags=tags)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
            events = len(instance.all_logs(result.run_id))
    return {"events": events, "seconds": seconds, "cpu": cpu}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--days", type=int, default=739)
    arguments.add_argument("--checks", type=int, nargs="*", default=[0, 5])
    arguments.add_argument("--case", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.case:
        print(json.dumps(run_once(given.case, given.days, given.checks[0])))
        return
    print(f"One asset over {given.days} days in a single run, in a fresh process each")
    print(f"{'event log':32}{'checks':>7}{'events':>8}{'seconds':>9}{'CPU s':>8}{'ms/event':>10}{'ratio':>7}")
    for checks in given.checks:
        stock = 0.0
        for label, case in CASES.items():
            command = [sys.executable, "-m", "benchmarks.event_log", "--case", case]
            command += ["--days", str(given.days), "--checks", str(checks)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(answer.splitlines()[-1])
            seconds, events = found["seconds"], found["events"]
            stock = stock or seconds
            print(
                f"{label:32}{checks:7}{events:8}{seconds:9.2f}{found['cpu']:8.2f}"
                f"{1000 * seconds / events:10.2f}{stock / seconds:6.1f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
