"""Who is measured, and every command line that is run for it. What a command is called is written here only."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.datasets import History

PROJECT = Path(__file__).resolve().parents[1]
RETAIL = [str(Path(sys.executable).with_name("retail"))]


@dataclass(frozen=True)
class Step:
    """One command. Exactly one step of a contestant is the `run` that is compared; the others are told beside it."""

    name: str
    command: list[str]


@dataclass(frozen=True)
class Contestant:
    """`steps` gives the commands for a history and a fresh home directory; the product leaves its tables there."""

    name: str
    description: str
    steps: Callable[["History", Path], list[Step]]
    is_product: bool = field(default=True)
    engine: str = ""
    """The engine that the product is told to use; none for the others."""


def script(name: str) -> Callable[["History", Path], list[Step]]:
    """A baseline: one script that reads the history as a file and writes its tables."""

    def steps(history: "History", home: Path) -> list[Step]:
        path = PROJECT / "benchmarks" / f"{name}.py"
        arguments = [str(history.whole), str(home / "tables"), "--as-of", history.as_of.isoformat()]
        return [Step("run", [sys.executable, str(path), *arguments])]

    return steps


def land(path: Path) -> list[str]:
    return [*RETAIL, "land", str(path)]


def generate(lines: int) -> list[str]:
    """Over the same days as Online Retail II, so that the same partitions are made."""
    return [*RETAIL, "generate", "--lines", str(lines), "--days", "739", "--until", "2011-12-09"]


def newest_snapshot(history: "History", home: Path) -> list[Step]:
    return [Step("land", land(history.whole)), Step("run", [*RETAIL, "run", "--months", "newest"])]


def all_snapshots(history: "History", home: Path) -> list[Step]:
    return [Step("land", land(history.whole)), Step("run", [*RETAIL, "run"])]


def one_new_day(history: "History", home: Path) -> list[Step]:
    return [
        Step("land history", land(history.without_last_day)),
        Step("run history", [*RETAIL, "run"]),
        Step("land", land(history.last_day)),
        Step("run", [*RETAIL, "run"]),
    ]


NOTEBOOK = "notebook-style"
CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(NOTEBOOK, "the usual PySpark script, defaults", script("notebook_style"), is_product=False),
        Contestant("duckdb", "DuckDB and scikit-learn", script("duckdb_sklearn"), is_product=False),
        *(
            Contestant(f"{name}-{engine}", f"retail run, {engine}: {what}", steps, engine=engine)
            for engine in ("sail", "spark")
            for name, what, steps in (
                ("newest", "every day, newest monthly snapshot", newest_snapshot),
                ("all", "every day, all monthly snapshots", all_snapshots),
                ("new-day", "one new day on top of the rest", one_new_day),
            )
        ),
    )
}


def environment(home: Path, engine: str = "") -> dict[str, str]:
    """The caller's environment with everything the product keeps inside `home`, a fresh directory."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RETAIL_", "DAGSTER_")) and name != "MLFLOW_TRACKING_URI"
    }
    return {
        **inherited,
        "RETAIL_LANDING": str(home / "landing"),
        "RETAIL_LAKEHOUSE": str(home / "lakehouse"),
        "DAGSTER_HOME": str(home / "dagster_home"),
        **({"RETAIL_ENGINE": engine} if engine else {}),
    }
