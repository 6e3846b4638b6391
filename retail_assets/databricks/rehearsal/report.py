"""What a person sees at the end of a rehearsal."""

from rich.console import Console
from rich.table import Table as Grid

from retail_assets.databricks.rehearsal.workspace import Workspace


def what_ran_where(console: Console, workspace: Workspace) -> None:
    """Prints a line per run: its cluster, how it ended, how long the cluster's set-up and its process took."""
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "cluster", "ended"):
        grid.add_column(heading, no_wrap=True)
    for heading in ("set-up, s", "process, s"):
        grid.add_column(heading, justify="right")
    for ran in workspace.runs:
        grid.add_row(ran.run_name, ran.cluster_id, ran.result_state, f"{ran.setup_seconds:.1f}", f"{ran.seconds:.1f}")
    console.print(f"\nWhat ran where, in the rehearsal workspace {workspace.directory}:")
    console.print(grid)
    console.print(f"{len(workspace.requests):,} REST calls were answered.")
