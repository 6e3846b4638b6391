"""The one table of results: for the terminal, for Markdown, and the machine it was measured on."""

import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TypedDict

import psutil
from rich.table import Table

from benchmarks.contestants import CONTESTANTS, NOTEBOOK

HEADINGS = [
    "rows",
    "contestant",
    "wall, s",
    "CPU, s",
    "peak, GB",
    "others' CPU, s",
    "wall ÷ notebook",
    "CPU ÷ notebook",
    "wall ÷ own at 1×",
    "landing, s",
    "figures",
]
NONE = "–"

PROMISED = (("sail", 0.35, 0.8, 10), ("spark", 1.0, 1.8, 40))
"""Engine; the newest snapshot and all of them ÷ the notebook-style script; seconds of one new day: each at most."""


class Outcome(TypedDict):
    """One contestant, once. Seconds and bytes are those of the step `run`; `beside` is the wall time of the others."""

    scale: int
    contestant: str
    wall: float
    cpu: float
    peak_memory: int
    cpu_of_others: float
    beside: dict[str, float]
    figures: dict[str, object]
    failure: str


def rows_of_table(outcomes: list[Outcome], rows: dict[int, int]) -> list[list[str]]:
    """One row for each scale and contestant, medians over repetitions, in the order of HEADINGS."""
    return [
        _row(outcomes, scale, name, count)
        for scale, count in rows.items()
        for name in CONTESTANTS
        if _of(outcomes, scale, name)
    ]


def _of(outcomes: list[Outcome], scale: int, name: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if (outcome["scale"], outcome["contestant"]) == (scale, name)]


def _median(outcomes: list[Outcome], scale: int, name: str, measure: str) -> float | None:
    values = [o[measure] for o in _of(outcomes, scale, name) if not o["failure"]]  # type: ignore[literal-required]
    return median(values) if values else None


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _row(outcomes: list[Outcome], scale: int, name: str, rows: int) -> list[str]:
    mine = _of(outcomes, scale, name)
    done = [outcome for outcome in mine if not outcome["failure"]]
    wall, cpu = _median(outcomes, scale, name, "wall"), _median(outcomes, scale, name, "cpu")
    failures = [outcome["failure"] for outcome in mine if outcome["failure"]]
    spread = f" ({min(o['wall'] for o in done):.1f}–{max(o['wall'] for o in done):.1f})" if len(done) > 1 else ""
    return [
        f"{rows:,} ({scale}×)",
        name,
        _shown(wall) + spread,
        _shown(cpu),
        f"{max(outcome['peak_memory'] for outcome in done) / 1e9:.2f}" if done else NONE,
        _shown(_median(outcomes, scale, name, "cpu_of_others")),
        _shown(ratio(wall, _median(outcomes, scale, NOTEBOOK, "wall")), 2),
        _shown(ratio(cpu, _median(outcomes, scale, NOTEBOOK, "cpu")), 2),
        _shown(ratio(wall, _median(outcomes, 1, name, "wall")), 2) if scale > 1 else NONE,
        _shown(median(o["beside"]["land"] for o in done) if done and "land" in done[0]["beside"] else None),
        f"FAILED {len(failures)} of {len(mine)}" if failures else "right" if _known(done) else "not known beforehand",
    ]


def _known(done: list[Outcome]) -> bool:
    return all(outcome["figures"].get("checked") for outcome in done)


def _shown(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def promises(outcomes: list[Outcome]) -> list[str]:
    """What the project promises of its main job, and whether it was kept in this run; only what was measured."""
    found: list[tuple[str, float | None, float]] = []
    for scale in sorted({outcome["scale"] for outcome in outcomes}):
        notebook = _median(outcomes, scale, NOTEBOOK, "wall")
        if scale == 1:
            for engine, newest, everything, new_day in PROMISED:
                of_newest, of_all = (
                    ratio(_median(outcomes, 1, f"{name}-{engine}", "wall"), notebook) for name in ("newest", "all")
                )
                seconds = _median(outcomes, 1, f"new-day-{engine}", "wall")
                found += [
                    (
                        f"{engine}: every day and the newest snapshot, wall time ÷ notebook-style script",
                        of_newest,
                        newest,
                    ),
                    (f"{engine}: every day and all snapshots, wall time ÷ notebook-style script", of_all, everything),
                    (f"{engine}: one new day, seconds from the prompt to the summary", seconds, new_day),
                ]
        else:
            found += [
                (
                    f"`{name}`: wall time at {scale}× the rows ÷ at 1×",
                    ratio(_median(outcomes, scale, name, "wall"), _median(outcomes, 1, name, "wall")),
                    scale,
                )
                for name, contestant in CONTESTANTS.items()
                if contestant.is_product
            ]
    return [
        f"- {'kept' if value <= limit else 'NOT KEPT'}: {promise}: {value:.2f} (at most {limit:g})"
        for promise, value, limit in found
        if value is not None
    ]


def terminal_table(outcomes: list[Outcome], rows: dict[int, int]) -> Table:
    table = Table(*HEADINGS, title="The main job and its baselines")
    for row in rows_of_table(outcomes, rows):
        table.add_row(*row)
    return table


def markdown(
    outcomes: list[Outcome], rows: dict[int, int], data: str, command: str, surroundings: dict[str, str]
) -> str:
    """The whole of results.md."""
    lines = ["# The main job and its baselines", "", f"`{command}`. How to read it: [README.md](README.md).", ""]
    lines += [f"| {' | '.join(HEADINGS)} |", f"| --- | --- |{' ---: |' * (len(HEADINGS) - 3)} --- |"]
    lines += [f"| {' | '.join(row)} |" for row in rows_of_table(outcomes, rows)]
    lines += ["", *(f"- `{c.name}`: {c.description}" for c in CONTESTANTS.values())]
    if kept := promises(outcomes):
        lines += ["", "## Promises", "", *kept]
    if failed := [outcome for outcome in outcomes if outcome["failure"]]:
        lines += ["", "## Failures"]
        for outcome in failed:
            lines += [
                "",
                f"`{outcome['contestant']}` at {outcome['scale']}×:",
                "",
                "```text",
                outcome["failure"],
                "```",
            ]
    lines += ["", "## Machine and data", "", f"- data: {data}", *(f"- {n}: {v}" for n, v in surroundings.items()), ""]
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    packages = (
        "pyspark",
        "pysail",
        "delta-spark",
        "deltalake",
        "dagster",
        "duckdb",
        "scikit-learn",
        "mlflow",
        "pandera",
    )
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.splitlines()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} logical cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "operating system": _operating_system(),
        "Java": java[1] if len(java) > 1 else "none",
        "Python": sys.version.split()[0],
        "versions": ", ".join(f"{package} {version(package)}" for package in packages),
        "commit": _commit(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _operating_system() -> str:
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, kernel {platform.release()}"
    except OSError:
        return platform.platform()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    directory = Path(__file__).parent
    return (
        subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory).stdout.strip() or "unknown"
    )
