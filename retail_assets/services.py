"""The commands that go on as Dagster's own programs: the UI, and the services of a deployment."""

import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import NoReturn
from urllib.parse import urlsplit

import click

from retail_assets.project import project_file, project_root
from retail_assets.settings import Settings
from retail_assets.table_commands import Refusal, java_for


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ui(settings: Settings, arguments: tuple[str, ...]) -> None:
    """The Dagster UI with its daemon; further arguments go to `dagster dev`."""
    java_for(settings)
    os.chdir(project_root())
    _serve_pages(settings)
    _become("dagster", "dev", "--workspace", str(project_file("workspace.yaml")), *arguments)


def _serve_pages(settings: Settings) -> None:
    """The dashboard's pages beside the UI, for as long as this process goes on, which becomes Dagster's."""
    address = urlsplit(settings.dashboards_url or "")
    if address.hostname not in ("localhost", "127.0.0.1"):
        return  # somebody else serves them, or nobody
    arguments = [settings.dashboards, str(address.port or 80), str(os.getpid())]
    subprocess.Popen([sys.executable, "-m", "retail_assets.reports.serving", *arguments])
    click.echo(f"Dashboards: {settings.dashboards_url}")


SERVICES = {
    "code": "dagster api grpc --host localhost --port {port} --module-name retail_assets.definitions",
    "webserver": "dagster_webserver --workspace {workspace}",
    "viewer": "dagster_webserver --workspace {workspace} --read-only --path-prefix /view --host 127.0.0.1 --port 3001",
    "daemon": "dagster._daemon run --workspace {workspace}",
}
"""The processes of a deployment, as modules of Dagster's that run as programs; `viewer` is a UI that only reads."""

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
    workspace = project_file("deploy/workspace.yaml")
    name, *options = (part.format(port=port, workspace=workspace) for part in SERVICES[service].split())
    _become(name, *options, "--log-format", settings.log_format, *arguments)


def _become(module: str, *arguments: str) -> NoReturn:
    """Goes on as one of Dagster's own programs, by its module: what this Python imports, not what lies on a path."""
    if not find_spec(module):
        raise Refusal(f"{module} is missing: install the project's packages anew (make setup, or pip install).")
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


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
