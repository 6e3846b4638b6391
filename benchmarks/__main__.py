"""`python -m benchmarks`: the main job against its baselines, in one run, one table."""

import datetime
import json
import shlex
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from benchmarks.contestants import CONTESTANTS, PROJECT, Contestant, environment
from benchmarks.datasets import MOST_COPIES, History, history
from benchmarks.figures import differences, figures_of_tables, printed_figures
from benchmarks.measure import measured
from benchmarks.report import Outcome, machine, markdown, promises, terminal_table

HERE = Path(__file__).parent
console = Console(width=None if sys.stdout.isatty() else 160)


def _scales(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    scales = [int(scale) if scale.isdigit() else 0 for scale in value.split(",")]
    if not all(1 <= scale <= MOST_COPIES for scale in scales):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers from 1 to {MOST_COPIES}, such as 1,3,10")
    return scales


def _contestants(context: click.Context, parameter: click.Parameter, value: str) -> list[Contestant]:
    names = value.split(",") if value else list(CONTESTANTS)
    if unknown := set(names) - set(CONTESTANTS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))} is not among {', '.join(CONTESTANTS)}")
    return [contestant for name, contestant in CONTESTANTS.items() if name in names]


def attempt(
    contestant: Contestant, scale: int, data: History, logs: Path, timeout: float
) -> tuple[Outcome, list[dict[str, Any]]]:
    """Runs one contestant in a fresh home and checks what it arrived at. Its failure is an outcome, not an end.

    `logs` is where each step's output goes: its name is the beginning of theirs.
    """
    outcome = Outcome(
        scale=scale,
        contestant=contestant.name,
        wall=0,
        cpu=0,
        peak_memory=0,
        cpu_of_others=0,
        beside={},
        figures={},
        failure="",
    )
    steps: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="retail-benchmark-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        try:
            surroundings = environment(home, contestant.engine)
            for step in contestant.steps(data, home):
                log = logs.with_name(f"{logs.name}-{step.name.replace(' ', '-')}.log")
                where = PROJECT if contestant.is_product else home
                measurement = measured(step.command, surroundings, where, log, timeout)
                steps.append({"step": step.name, **asdict(measurement)})
                if measurement.exit_code != 0:
                    end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                    outcome["failure"] = f"{shlex.join(step.command)}: exit {measurement.exit_code}\n{end}"
                    return outcome, steps
                if step.name == "run":
                    outcome["wall"], outcome["cpu"] = measurement.wall, measurement.cpu
                    outcome["peak_memory"] = measurement.peak_memory
                    outcome["cpu_of_others"] = measurement.cpu_of_others
                    result = figures_of_tables(home / "lakehouse") if contestant.is_product else printed_figures(log)
                else:
                    outcome["beside"][step.name] = measurement.wall
            outcome["figures"] = {**result, "checked": bool(data.figures)}
            outcome["failure"] = "; ".join(differences(result, data))
        except Exception as error:  # a missing program, tables that are not there: reported, and on to the next
            outcome["failure"] = f"{type(error).__name__}: {error}"
    return outcome, steps


@click.command()
@click.option("--rows", "scales", default="1", callback=_scales, help="How many times the rows, such as 1,3,10.")
@click.option("--repeat", default=1, show_default=True, help="How often each contestant runs.")
@click.option("--only", "contestants", default="", callback=_contestants, help=f"Some of {','.join(CONTESTANTS)}.")
@click.option("--generated", is_flag=True, help="Generated data even where Online Retail II is present.")
@click.option("--timeout", default=7200.0, show_default=True, help="Seconds after which one command is killed.")
@click.option(
    "--results", default=HERE / "results.md", type=click.Path(path_type=Path), help="The Markdown file to write."
)
def main(
    scales: list[int], repeat: int, contestants: list[Contestant], generated: bool, timeout: float, results: Path
) -> None:
    """Measures the main job and its baselines; writes the results as Markdown and, beside it, as raw JSON."""
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    out = HERE / "out" / datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-%H%M%S")
    out.mkdir(parents=True)
    surroundings = machine()
    outcomes: list[Outcome] = []
    raw: list[dict[str, Any]] = []
    rows: dict[int, int] = {}
    described = ""
    turns = [(scale, repetition) for scale in scales for repetition in range(1, repeat + 1)]
    for turn, (scale, repetition) in enumerate(turns):
        data = history(scale, generated)
        rows[scale] = data.rows
        described = f"{data.description}, as of {data.as_of}"
        # Every other turn the other way round: whoever runs first finds a colder machine.
        for contestant in contestants if turn % 2 == 0 else reversed(contestants):
            console.print(f"{scale}× turn {repetition}: [bold]{contestant.name}[/bold] ({contestant.description}) …")
            logs = out / f"x{scale}-{contestant.name}-{repetition}"
            outcome, measurements = attempt(contestant, scale, data, logs, timeout)
            console.print(
                f"  [red]failed[/red]: {escape(outcome['failure'])}"
                if outcome["failure"]
                else f"  {outcome['wall']:.1f} s, {outcome['cpu']:.1f} CPU-s, {outcome['peak_memory'] / 1e9:.2f} GB"
                f" {outcome['figures']}",
            )
            outcomes.append(outcome)
            raw.append({**outcome, "repetition": repetition, "steps": measurements})
            # After every contestant, so that a run cut short has not been for nothing.
            document = {"command": command, "data": described, "machine": surroundings, "outcomes": raw}
            (out / "results.json").write_text(json.dumps(document, indent=1, default=str))
            results.write_text(markdown(outcomes, rows, described, command, surroundings))
    console.print(terminal_table(outcomes, rows))
    for promise in promises(outcomes):
        console.print(promise, markup=False)
    console.print(f"Written: {results}, {out}")
    sys.exit(1 if any(outcome["failure"] for outcome in outcomes) else 0)


if __name__ == "__main__":
    main()
