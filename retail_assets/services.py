"""The commands that go on as Dagster's own programs: the UI, and the services of a deployment."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from retail_assets.settings import Settings, project_root
from retail_assets.table_commands import Refusal, java_for


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ui(settings: Settings, arguments: tuple[str, ...]) -> None:
    """The Dagster UI with its daemon; further arguments go to `dagster dev`."""
    java_for(settings)
    os.chdir(project_root())
    _become("dagster", "dev", "--workspace", str(project_root() / "workspace.yaml"), *arguments)


SERVICES = {
    "code": "dagster api grpc --host localhost --port {port} --module-name retail_assets.definitions",
    "webserver": "dagster-webserver --workspace deploy/workspace.yaml",
    "daemon": "dagster-daemon run --workspace deploy/workspace.yaml",
}
"""The three processes of a deployment, as Dagster's own programs."""

CODE_SERVER_SECONDS = 180
"""So long the webserver and the daemon wait for the code server, which they need when they start."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("service", type=click.Choice(list(SERVICES)))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def serve(settings: Settings, service: str, arguments: tuple[str, ...]) -> None:
    """One service of a deployment (docs/production.md); further arguments go to Dagster's own program."""
    os.chdir(project_root())
    port = int(os.environ.setdefault("RETAIL_CODE_SERVER_PORT", str(settings.code_server_port)))
    if service != "code":
        _wait_for_code_server(port)
    name, *options = SERVICES[service].format(port=port).split()
    _become(name, *options, "--log-format", settings.log_format, *arguments)


def _become(name: str, *arguments: str) -> NoReturn:
    """Goes on as one of Dagster's own programs."""
    program = str(Path(sys.executable).parent / name)
    if not os.access(program, os.X_OK):
        raise Refusal(f"{program} is missing: install the project's packages anew (make setup, or pip install).")
    os.execv(program, [program, *arguments])


def _wait_for_code_server(port: int) -> None:
    deadline = time.monotonic() + CODE_SERVER_SECONDS
    while True:
        try:
            socket.create_connection(("localhost", port), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise Refusal(f"No code server answers on port {port}: start `retail serve code`.") from None
            time.sleep(0.5)
        else:
            return


COMMANDS = [ui, serve]
