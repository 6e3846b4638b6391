"""A PostgreSQL server of its own for a test: Debian's package, a directory of its own, a port of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

DATABASE = "dagster"


def postgres_programs() -> Path:
    """Where initdb and postgres are; skips the test, visibly, where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        on_path = shutil.which("initdb")
        if on_path is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        return Path(on_path).parent
    return found[-1].parent


class Postgres:
    """A server that can be stopped and started again."""

    def __init__(self) -> None:
        self.programs = postgres_programs()
        # Not below pytest's own directory, which every run of pytest that begins closes to all other users.
        self._place = tempfile.TemporaryDirectory(prefix="retail-postgres-", ignore_cleanup_errors=True)
        directory = Path(self._place.name)
        directory.chmod(0o711)
        self.data, self.log = directory / "postgres", directory / "postgres.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            "RETAIL_POSTGRES_HOST": "127.0.0.1",
            "RETAIL_POSTGRES_PORT": str(self.port),
            "RETAIL_POSTGRES_DATABASE": DATABASE,
            "RETAIL_POSTGRES_USER": "retail",
            "RETAIL_POSTGRES_PASSWORD": "p@ss/word of the test",
        }
        # The server refuses to be root: it then runs as the package's own user.
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        self.data.mkdir(parents=True)
        self.log.touch()
        if self.user:
            owner = pwd.getpwnam("postgres")
            for path in (self.data, self.log):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._do("initdb", "-D", str(self.data), "-U", "retail", "--auth=trust", "--no-sync", "--locale=C")
        self.start()
        self.create_database(DATABASE)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k '' -F"
        self._do("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-w", "-o", options, "start")

    def create_database(self, name: str) -> None:
        """One more, empty."""
        self._do("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "retail", name)

    def stop(self) -> None:
        """Stops it at once: connections are cut."""
        self._do("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def _do(self, program: str, *arguments: str) -> None:
        # pg_ctl's server keeps an open pipe for ever: its words go to a file.
        with self.log.open("ab") as log:
            done = subprocess.run(
                [str(self.programs / program), *arguments],
                stdout=log,
                stderr=log,
                cwd="/",
                timeout=120,
                **self.user,  # type: ignore[call-overload]
            )
        assert done.returncode == 0, self.log.read_text()
