"""What the step launcher costs per step: the same steps run here, and through it in a rehearsal workspace.

    .venv/bin/python -m benchmarks.launcher [--lines 20000] [--days 250] [--polls 0.5,5] [--repeat 3]

Generated data, one warm cluster with one Spark session, and beside it a local run with a warm session. Every step is a
run of its own, in a fresh Dagster home per case; the first round warms everything up and is not counted. The launcher
itself keeps the figures, as metadata of an event of each step, which are read back from the event log.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.contestants import PROJECT, RETAIL, environment
from benchmarks.report import machine

LAST_DAY = "2011-12-09"
RESULTS = Path(__file__).with_name("launcher.md")
LOCAL = "local"

READ_BY_THEM = ("raw_invoices", "quarantined_invoices")
"""Made once, all days of them, before the steps."""

# In an order in which each finds what it reads.
STEPS = {
    "`clean_transactions`, all days": ("clean_transactions", True),
    "`clean_transactions`, one day": ("clean_transactions", False),
    "`customer_month_activity`, one month": ("customer_month_activity", False),
}

HEADINGS = {
    "poll": "poll, s",
    "staged_bytes": "staged, KB",
    "staging_seconds": "staging, s",
    "submit_seconds": "submit, s",
    "remote_setup_seconds": "set-up, s",
    "remote_execution_seconds": "process, s",
    "step": "of it the step, s",
    "noticed_after_seconds": "noticed after, s",
    "host": "host, s",
    "wall": "run, s",
    "local_step": "local step, s",
    "local_wall": "local run, s",
    "overhead": "more, s",
}

HOW_TO_READ = """\
- `staging`, `submit`: writing the step's files (the size is `staged`) to a volume, and `runs/submit`.
- `set-up`, `process`: of the remote run, as `runs/get` says: what the cluster does before the task, then the task's
  Python process. `of it the step` is Dagster's own time of the step in that process; what is left of `process` is
  Python's start, the imports and loading the definitions. As each step has a fresh process, what it imports or opens
  on first use it does every time.
- `noticed after`: from the end of the remote run to the poll that saw it. This is the poll interval's share: half the
  interval on average for steps of any length, the whole of it and the poll's own time at worst. Once a step's last
  event has come back polls come every second at most, so it is shorter where that was seen before the run's end.
  Reading and storing the events that the last poll brought is in it: a range of days has thousands.
- `host`: the rest of the run: the multiprocess executor's own process for the step, which imports Dagster and loads the
  definitions, the workspace's first answers, storing the events, removing the staged files.
- `run` and `local run`: wall time of the whole Dagster run of one step. `more` is their difference, the launcher's
  overhead. The local run is in a process that has everything loaded and a warm session, as the main job has it.
- The workspace is on the same machine and competes for its cores: `process` and `host` are nearly all CPU time here.
  What a real workspace adds is not in here: the network's round trips, the start of a new cluster (minutes), the
  installation of libraries for the first step on a warm one."""


@dataclass(frozen=True)
class Measured:
    """One run of one step: its wall time, Dagster's own time of the step, and the launcher's account if it had one."""

    label: str
    wall: float
    step: float
    account: dict[str, float]


def measured(rounds: int) -> list[Measured]:
    """Makes every step `rounds` times in the deployment of this process; the first time is not counted."""
    from dagster import DagsterEventType, DagsterInstance
    from dagster._core.execution.api import execute_run
    from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

    from retail_assets.cli import _whole_job, prepare_dagster_home
    from retail_assets.definitions import defs

    prepare_dagster_home()
    graph, job = defs.resolve_asset_graph(), _whole_job()
    assets = {key.path[-1]: key for key in graph.get_all_asset_keys()}
    with DagsterInstance.get() as instance:

        def once(label: str, table: str, everything: bool) -> Measured:
            partitions = graph.get(assets[table]).partitions_def
            assert partitions is not None
            keys, selection = partitions.get_partition_keys(), frozenset({assets[table]})
            first = keys[0] if everything else keys[-1]
            subset = job.get_subset(asset_selection=selection)
            run = instance.create_run_for_job(
                subset.get_definition(),
                asset_selection=selection,
                tags={ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: keys[-1]},
            )
            began = time.perf_counter()
            execute_run(subset, run, instance, raise_on_error=True)
            wall = time.perf_counter() - began
            kinds = {DagsterEventType.STEP_SUCCESS, DagsterEventType.ENGINE_EVENT}
            events = [entry.get_dagster_event() for entry in instance.all_logs(run.run_id, of_type=kinds)]
            [success] = [event for event in events if event.event_type == DagsterEventType.STEP_SUCCESS]
            account = next((found for found in map(_account, events) if found), {})
            print(f"{label}: {wall:.1f} s {account}", flush=True)
            return Measured(label, wall, success.step_success_data.duration_ms / 1000, account)

        for table in READ_BY_THEM:
            once(table, table, True)
        turns = [[once(label, *step) for label, step in STEPS.items()] for _ in range(rounds)]
    return [one for turn in turns[1:] for one in turn]


def _account(event: Any) -> dict[str, float]:
    """What the launcher says that a step cost, if this is the event that says so."""
    metadata = event.engine_event_data.metadata if event.is_engine_event else {}
    return {name: value.value for name, value in metadata.items()} if "staged_bytes" in metadata else {}


def in_a_process(case: str, rounds: int, surroundings: Mapping[str, str], directory: Path) -> list[Measured]:
    """`measured` in a process of its own with this environment; what it and Spark print goes to a log.

    Raises RuntimeError with the log's end.
    """
    answer, log = directory / f"{case}.json", directory / f"{case}.log"
    command = [sys.executable, "-m", "benchmarks.launcher", "--measure", str(answer), "--repeat", str(rounds - 1)]
    with log.open("wb") as stream:
        ended = subprocess.run(command, env=dict(surroundings), cwd=PROJECT, stdout=stream, stderr=stream, check=False)
    if ended.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise RuntimeError(f"{case}: exit {ended.returncode}\n{end}")
    return [Measured(**one) for one in json.loads(answer.read_text())]


def all_cases(
    lines: int, days: int, polls: list[str], repeat: int
) -> tuple[dict[str, list[Measured]], dict[str, float]]:
    """Case (`local` or a poll interval) -> what was measured; poll interval -> REST calls per step."""
    from retail_assets.databricks.rehearsal.deployment import deployment_environment, landing_directory
    from retail_assets.databricks.rehearsal.workspace import Workspace

    cases: dict[str, list[Measured]] = {}
    calls: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="retail-benchmark-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with Workspace(directory / "workspace") as workspace:
            local = environment(directory) | {"RETAIL_LANDING": str(landing_directory(workspace))}
            generate = [*RETAIL, "generate", "--lines", str(lines), "--days", str(days), "--until", LAST_DAY]
            subprocess.run(generate, env=local, check=True, stdout=sys.stderr)
            calendar = json.loads((landing_directory(workspace) / "online_retail" / "_calendar.json").read_text())
            local |= {
                "RETAIL_ONLINE_RETAIL_FIRST_DAY": calendar["first_day"],
                "RETAIL_ONLINE_RETAIL_LAST_DAY": LAST_DAY,
            }
            print("local …", file=sys.stderr, flush=True)
            cases[LOCAL] = in_a_process(LOCAL, repeat + 1, local, directory)
            for poll in polls:
                print(f"through the launcher, polls every {poll} s …", file=sys.stderr, flush=True)
                own = {
                    "RETAIL_DATABRICKS_POLL_SECONDS": poll,
                    "DAGSTER_HOME": str(directory / f"dagster_home_{poll}"),
                }
                remote = local | deployment_environment(workspace) | own
                before = len(workspace.requests)
                cases[poll] = in_a_process(f"poll_{poll}", repeat + 1, remote, directory)
                steps = len(READ_BY_THEM) + len(STEPS) * (repeat + 1)
                calls[poll] = (len(workspace.requests) - before) / steps
    return cases, calls


def rows(cases: Mapping[str, list[Measured]]) -> list[dict[str, Any]]:
    """Per step and poll interval the medians, by the names of HEADINGS, and the step's label."""
    found = []
    for label in STEPS:
        here = [one for one in cases[LOCAL] if one.label == label]
        for poll, measurements in cases.items():
            if poll == LOCAL:
                continue
            there = [one for one in measurements if one.label == label]
            accounts = [one.account for one in there]
            row: dict[str, Any] = {name: median(account[name] for account in accounts) for name in accounts[0]}
            own = ("staging_seconds", "submit_seconds", "wait_seconds")
            row |= {
                "label": label,
                "poll": poll,
                "staged_bytes": row["staged_bytes"] / 1000,
                "step": median(one.step for one in there),
                "host": median(one.wall - sum(one.account[name] for name in own) for one in there),
                "wall": median(one.wall for one in there),
                "local_step": median(one.step for one in here),
                "local_wall": median(one.wall for one in here),
            }
            found.append(row | {"overhead": row["wall"] - row["local_wall"]})
    return found


def shares(found: list[dict[str, Any]], calls: Mapping[str, float]) -> list[str]:
    """A sentence per poll interval: what the launcher costs over all steps, and how much of it is the interval's."""
    sentences = []
    for poll in dict.fromkeys(row["poll"] for row in found):
        mine = [row for row in found if row["poll"] == poll]
        noticed, overhead = (sum(row[name] for row in mine) for name in ("noticed_after_seconds", "overhead"))
        sentences.append(
            f"- Polls every {poll} s: {overhead / len(mine):.1f} s more per step than locally, of which "
            f"{noticed / len(mine):.1f} s ({noticed / overhead:.0%}) the poll interval's share; "
            f"{calls[poll]:.0f} REST calls per step."
        )
    return sentences


def document(found: list[dict[str, Any]], calls: Mapping[str, float], data: str, command: str, before: str) -> str:
    """The whole of launcher.md."""
    lines = ["# A step through the launcher and the same step here", "", f"`{command}`", ""]
    lines += [f"| step | {' | '.join(HEADINGS.values())} |", f"| --- |{' ---: |' * len(HEADINGS)}"]
    for row in found:
        figures = [row[n] if n == "poll" else f"{row[n]:.{0 if n == 'staged_bytes' else 2}f}" for n in HEADINGS]
        lines.append(f"| {row['label']} | {' | '.join(figures)} |")
    lines += ["", *shares(found, calls), "", "## How to read it", "", HOW_TO_READ]
    lines += ["", "## Machine and data", "", f"- data: {data}", *(f"- {n}: {v}" for n, v in machine().items())]
    return "\n".join([*lines, f"- load average (1, 5, 15 minutes) before: {before}; at the end: {load_average()}", ""])


def load_average() -> str:
    """How busy the machine is: above its number of cores, all figures are longer than they need be."""
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


@click.command()
@click.option("--lines", default=20_000, show_default=True, help="Invoice lines to make.")
@click.option("--days", default=250, show_default=True, help=f"Calendar days; the last is {LAST_DAY}.")
@click.option("--polls", default="0.5,5", show_default=True, help="Poll intervals in seconds.")
@click.option("--repeat", default=3, show_default=True, help="How often each step is measured; medians are shown.")
@click.option("--results", default=RESULTS, type=click.Path(path_type=Path), help="The Markdown file to write.")
@click.option("--measure", type=click.Path(path_type=Path), hidden=True)
def main(lines: int, days: int, polls: str, repeat: int, results: Path, measure: Path | None) -> None:
    """Measures what the step launcher costs per step, and writes it as Markdown."""
    if measure:
        measure.write_text(json.dumps([asdict(one) for one in measured(repeat + 1)]))
        return
    command = " ".join(["python", "-m", "benchmarks.launcher", *sys.argv[1:]])
    before = load_average()
    cases, calls = all_cases(lines, days, polls.split(","), repeat)
    data = (
        f"`retail generate --lines {lines} --days {days} --until {LAST_DAY}`: {lines:,} invoice lines; "
        f"medians of {repeat} after one round to warm up"
    )
    text = document(rows(cases), calls, data, command, before)
    results.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
