"""The warm JVM of a cluster, from this side: it is started, asked, and stopped."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class SparkDriver:
    """Starts at once, and waits until Spark listens. `gateway`: port and secret that tasks attach with.

    Raises RuntimeError with the end of its log if Spark does not start.
    """

    def __init__(
        self, command: Sequence[str], config: Mapping[str, str], environment: Mapping[str, str], directory: Path
    ) -> None:
        self._log = directory / "driver.log"
        self._lock = threading.Lock()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=directory,
                env=dict(environment),
                start_new_session=True,
                text=True,
            )
        try:
            self.gateway = self._ask(config)
        except RuntimeError:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def statement(self, sql: str, limit: int) -> dict[str, Any]:
        """`columns` (name, type) and `rows` (texts), or `error`."""
        return self._ask({"sql": sql, "limit": limit})

    def cancel(self, name: str) -> None:
        with contextlib.suppress(RuntimeError):
            self._ask({"cancel": name})

    def stop(self) -> None:
        """Lets it end in order, and kills what is left after a while."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(order) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            last = self._log.read_bytes()[-4000:].decode(errors="replace")
            raise RuntimeError(f"The cluster's driver has ended. The end of its log:\n{last}")
        answer: dict[str, Any] = json.loads(line)
        return answer
