"""What runs on the cluster: one step, from the staged files, telling the host what happens as it happens.

Staged as a file of its own and run as a `spark_python_task`, so it imports nothing of this package: the package
comes out of the staged zip. Beside the step's files it writes `events.gz` (Dagster's events, one JSON text a line),
`stdout` and `stderr`, at most once a second and whole each time: neither /dbfs nor /Volumes can append. Unlike
dagster_databricks' own main file it keeps printing to the cluster's log, so that a process that dies leaves a trace
there; it makes the staged code known to Spark's Python workers; and what it writes shows no secret.
"""

import gzip
import hashlib
import json
import os
import pickle
import sys
import tempfile
import threading
import traceback
import zipfile
from pathlib import Path
from typing import Any

SECONDS_BETWEEN_WRITES = 1.0
TEXT_KEPT = 1_000_000
"""Characters of stdout and of stderr that are handed back, from the end."""
HIDDEN = "***"
SHORTEST_HIDDEN = 8
"""Characters of a secret that is taken out of texts: a shorter one is part of too many words."""


class Secrets:
    """Takes the values of secrets out of texts."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def add(self, value: str) -> None:
        if len(value) >= SHORTEST_HIDDEN:
            self._values += [value, json.dumps(value)[1:-1]]

    def hide(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text


class Copied:
    """A stream that passes on what is printed to it and keeps the end of it."""

    def __init__(self, stream: Any, secrets: Secrets) -> None:
        self._stream = stream
        self._secrets = secrets
        self._kept = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            self._kept = (self._kept + text)[-TEXT_KEPT:]
        self._stream.write(self._secrets.hide(text))
        self._stream.flush()  # a process that dies would take the rest with it
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def content(self) -> bytes:
        with self._lock:
            return self._secrets.hide(self._kept).encode(errors="replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Report:
    """Writes what has happened beside the staged files, from a thread of its own."""

    def __init__(self, directory: Path, secrets: Secrets) -> None:
        self.stdout = Copied(sys.stdout, secrets)
        self.stderr = Copied(sys.stderr, secrets)
        self._directory = directory
        self._secrets = secrets
        self._new: list[str] = []
        self._packed = b""
        self._written: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, name="report", daemon=True)

    def event(self, event: Any) -> None:
        """Takes one of Dagster's events."""
        from dagster._serdes import serialize_value

        with self._lock:
            self._new.append(self._secrets.hide(serialize_value(event)) + "\n")

    def __enter__(self) -> "Report":
        sys.stdout, sys.stderr = self.stdout, self.stderr
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self.stdout._stream, self.stderr._stream
        self._done.set()
        self._thread.join()
        self._write()

    def _write_now_and_then(self) -> None:
        while not self._done.wait(SECONDS_BETWEEN_WRITES):
            try:
                self._write()
            except OSError:  # the next one may do better; the last one, at the end, must
                traceback.print_exc()

    def _write(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        if new:
            # Gzip allows one packed text after another: nothing is packed twice.
            self._packed += gzip.compress("".join(new).encode())
        for name, content in [
            ("stdout", self.stdout.content()),
            ("stderr", self.stderr.content()),
            ("events.gz", self._packed),
        ]:
            if content != self._written.get(name, b""):
                (self._directory / name).write_bytes(content)
                self._written[name] = content


def import_from(code_zip: Path, unpacked: str, spark_context: Any, spark: Any) -> None:
    """Makes the staged packages importable here, from the directory `unpacked`, and in Spark's Python workers."""
    content = code_zip.read_bytes()
    name = f"retail_assets_{hashlib.sha256(content).hexdigest()[:16]}"
    # Named after its content and left there: Spark hands the file to every worker that starts while the cluster lives.
    kept = Path(tempfile.gettempdir()) / f"{name}.zip"
    if not kept.exists() or kept.stat().st_size != len(content):
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(kept)
    with zipfile.ZipFile(kept) as archive:
        archive.extractall(unpacked)
    # Not in the first place, which Dagster leaves out while it imports a module of definitions.
    sys.path.insert(1, unpacked)
    if spark_context is not None:
        spark_context.addPyFile(str(kept))
    elif spark is not None:
        spark.addArtifacts(str(kept), pyfile=True)


def main(step_run_ref_path: str, config_path: str, code_path: str) -> None:
    """Runs the step of the pickled reference. A step that fails says so in its events; an error here fails the run."""
    given, secrets = globals(), Secrets()  # Databricks puts dbutils, spark and sc there
    with Report(Path(step_run_ref_path).parent, secrets) as report, tempfile.TemporaryDirectory() as unpacked:
        try:
            import_from(Path(code_path), unpacked, given.get("sc"), given.get("spark"))
            config = pickle.loads(Path(config_path).read_bytes())
            config.setup(given.get("dbutils"), given.get("sc"))
            for secret in config.secrets:
                secrets.add(os.environ[secret["name"]])

            from dagster._core.execution.plan.external_step import (
                external_instance_from_step_run_ref,
                run_step_from_ref,
            )

            step = pickle.loads(Path(step_run_ref_path).read_bytes())
            instance = external_instance_from_step_run_ref(step, event_listener_fn=report.event)
            for _ in run_step_from_ref(step, instance):
                pass
        except BaseException:
            traceback.print_exc()
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
