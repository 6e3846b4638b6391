"""What a person sees of the main job: a line as each table is done, and a summary at the end."""

from collections.abc import Mapping
from typing import Any

from dagster import AssetKey
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from retail_assets.operations.main_job import Observer, Summary, TableSummary
from retail_assets.operations.planned_runs import PlannedRun
from retail_assets.settings import Settings

DASHBOARD = "dashboard"
"""The table of pages."""


class Progress(Observer):
    """Prints a line as each table is done, and what is being made meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Any = None

    def noticed(self, notice: str) -> None:
        self._console.print(notice, style="yellow", markup=False)  # paths may hold brackets

    def planned(self, due: Mapping[AssetKey, list[str]]) -> None:
        if not due:
            self._console.print("Nothing to do: everything that has landed is up to date.")
            return
        partitions = sum(len(keys) for keys in due.values())
        self._console.print(f"{len(due)} tables are due, {partitions:,} partitions in all. Starting Spark …")

    def started(self, key: AssetKey, run: PlannedRun) -> None:
        self._status = self._console.status(f"{key.path[-1]}  {run}")
        self._status.start()

    def finished(self, key: AssetKey, run: PlannedRun, table: TableSummary, succeeded: bool, seconds: float) -> None:
        if self._status:
            self._status.stop()
        mark = "[green]✓[/]" if succeeded else "[red]✗[/]"
        took = f"{seconds:6.1f} s" if succeeded else "  failed"
        self._console.print(f"{mark} {key.path[-1]:<25} {took}   {run}")


def report(console: Console, summary: Summary, settings: Settings) -> None:
    """Prints the summary: per table what was made, what failed and why, where the lakehouse is, what to open next."""
    if summary.tables:
        grid = Grid(box=None, pad_edge=False, header_style="bold")
        grid.add_column("table", no_wrap=True)
        for heading in ("rows", "parts", "passed", "warned", "failed", "seconds"):
            grid.add_column(heading, justify="right")
        for key, table in summary.tables.items():
            grid.add_row(
                ".".join(key.path),
                f"{table.rows:,}",
                f"{len(table.partitions):,}",
                f"{table.passed:,}",
                f"[yellow]{table.warned:,}[/]" if table.warned else "0",
                f"[red]{table.failed:,}[/]" if table.failed else "0",
                f"{table.seconds:.1f}",
            )
        console.print()
        # In a narrow terminal, or a file, figures would be cut short: better that lines wrap.
        console.width = max(console.width, 120)
        console.print(grid)
        console.print(f"\n{summary.seconds:.1f} s in all. Passed, warned and failed count checks, one per partition.")
    _tell_warnings(console, summary)
    for failure in summary.failures:
        console.print(f"\n[red]{escape(failure)}[/]")
    if summary.waiting:
        waiting = sorted({".".join(key.path) for key, _ in summary.waiting})
        console.print(
            f"\nNot made, as they read what failed: {len(summary.waiting)} partitions of {', '.join(waiting)}."
        )
    console.print(f"\nThe lakehouse: {settings.catalog or settings.lakehouse}")
    console.print("Next: retail ui (in a checkout: make ui), then open http://localhost:3000")
    if any(key.path[-1] == DASHBOARD and table.partitions for key, table in summary.tables.items()):
        console.print("The page of the newest month: retail dashboard")


def _tell_warnings(console: Console, summary: Summary) -> None:
    """Which checks warned, and of which partitions; in the order of the tables."""
    warnings = [(key, check, of) for key, table in summary.tables.items() for check, of in table.warnings.items()]
    if not warnings:
        return
    console.print("\n[yellow]Warned[/], which keeps nothing back; retail status says what was found:")
    for key, check, partitions in warnings:
        first, last = min(partitions), max(partitions)
        span = first if first == last else f"{first} … {last} ({len(partitions):,})"
        console.print(f"  {'.'.join(key.path)}, {check}: {span}", markup=False)
