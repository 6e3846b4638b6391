"""The prompt of `retail sql`: questions one after another, each up to its semicolon."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from retail_assets.sql.answers import show
from retail_assets.sql.door import Door, NotAnswered

HELP = """\
A question ends with a semicolon, and may go over several lines.
  .tables [SOURCE]   the tables; _current beside a table of snapshots is its newest
  .schema TABLE      its columns, types and what they mean
  .quit              or Ctrl-D
A table as it was at a version: SELECT * FROM myshop."customer_rfm@3"
The figures of the trade, each defined once: FROM online_retail_metrics.definitions"""


def converse(door: Door, read: Callable[[str], str] = input) -> None:
    """Answers until there is no more to read. Errors are told, and the next question is waited for."""
    asked: list[str] = []
    while True:
        try:
            line = read("   ...> " if asked else "retail> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            click.echo()
            asked = []
            continue
        if not asked and line.strip().startswith("."):
            if line.strip() in (".quit", ".exit"):
                return
            _command(door, *line.split())
            continue
        asked += [line] if line.strip() or asked else []
        if line.rstrip().endswith(";"):
            _answer(door, "\n".join(asked))
            asked = []


def _answer(door: Door, question: str) -> None:
    try:
        answer = door.answer(question)
        if answer is not None:
            show(answer)
    except NotAnswered as problem:
        click.echo(problem, err=True)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)


def _command(door: Door, command: str, name: str = "", *_: str) -> None:
    if command == ".tables":
        for table in door.tables:
            if name in ("", table.source):
                click.echo(table.full_name)
    elif command == ".schema" and name:
        _schema(door, name)
    else:
        click.echo(HELP)


def _schema(door: Door, name: str) -> None:
    try:
        columns = door.columns(name)
    except NotAnswered as problem:
        click.echo(problem, err=True)
        return
    for column in columns:
        click.echo(f"{column.name:<32} {column.kind:<26} {column.description}")


def with_history(file: Path) -> None:
    """Lets the prompt's lines be edited and found again, where this Python can."""
    with suppress(ImportError, OSError):
        import atexit
        import readline

        if file.exists():
            readline.read_history_file(file)
        readline.set_history_length(1000)
        atexit.register(readline.write_history_file, file)
