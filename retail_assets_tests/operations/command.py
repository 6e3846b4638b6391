"""The `retail` command as a process of its own, with a landing zone, a lakehouse and a Dagster home of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from retail_assets_tests.workbench import HEADER


class RetailCommand:
    """Runs `retail` in a temporary directory, seeing nothing of the developer's own settings."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home, self.lakehouse = directory / "dagster", directory / "lakehouse"
        self.zone = directory / "landing" / "online_retail"
        self.zone.mkdir(parents=True)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("RETAIL_", "DAGSTER_", "MLFLOW_"))
        } | {
            "DAGSTER_HOME": str(self.home),
            "RETAIL_LANDING": str(directory / "landing"),
            "RETAIL_LAKEHOUSE": str(self.lakehouse),
            "RETAIL_SPARK_DRIVER_MEMORY": "2g",
        }

    def command(self, arguments: tuple[str, ...]) -> list[str]:
        """What is started."""
        return [sys.executable, "-m", "retail_assets.cli", *arguments]

    def drop(self, day: str, lines: list[str]) -> None:
        """Puts a drop of that day into the landing zone."""
        (self.zone / f"online_retail_{day}.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")

    def __call__(self, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end; a variable given as None is unset."""
        changed = {**self.environment, **environment}
        return subprocess.run(
            self.command(arguments),
            env={name: value for name, value in changed.items() if value is not None},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=3600,
        )

    def start(self, *arguments: str, preexec: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        """Starts the command in a process group of its own; its output goes to `command.log`."""
        with (self.directory / "command.log").open("ab") as log:
            return subprocess.Popen(
                self.command(arguments),
                env=self.environment,
                cwd=self.directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=preexec,
            )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process and all it started: the JVM, and the JVM's workers, which have groups of their own."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        if member.is_running():
            member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=30)
