"""What runs on the cluster: one step, from the staged files, telling the host what happens as it happens.

Staged as a file of its own and run as a `spark_python_task`, so it imports nothing of this package: the package
comes out of the staged zip. Beside the step's files it writes `events.gz` (Dagster's events, one JSON text a line),
`stdout` and `stderr`, at most once a second and whole each time: neither /dbfs nor /Volumes can append. It keeps
printing to the cluster's log, so that a process that dies leaves a trace there; it makes the staged code known to
Spark's Python workers; what it writes shows no secret; and it knows Databricks' own second try of a task, which
serverless compute makes in the same directory: that one leaves everything as it is.

`config.json` says the environment of the step (`environment`) and which secrets it takes (`secrets`: name, scope, key).
Where the process fails outside of its step, `word.json` says so: an end without a word is a process that died.
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
from collections import deque
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
        self._kept: deque[str] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            self._kept.append(text[-TEXT_KEPT:])
            self._size += len(self._kept[-1])
            # Whole texts go: what is kept is cut to its length when it is read.
            while self._size - len(self._kept[0]) >= TEXT_KEPT:
                self._size -= len(self._kept.popleft())
        self._stream.write(self._secrets.hide(text))
        self._stream.flush()  # a process that dies would take the rest with it
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def content(self) -> bytes:
        with self._lock:
            kept = "".join(self._kept)
            self._kept = deque([kept] if kept else [])
        return self._secrets.hide(kept[-TEXT_KEPT:]).encode(errors="replace")

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


def session(given: dict[str, Any]) -> Any:
    """The session that is there: a global of the task, or else the one that asking for one gives. None where the
    task's own global is."""
    if "spark" in given:
        return given["spark"]
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def import_from(code_zip: Path, unpacked: str, spark: Any) -> None:
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
    if spark is None:
        return
    if type(spark).__module__.startswith("pyspark.sql.connect"):  # where there is no Spark context
        spark.addArtifacts(str(kept), pyfile=True)
    else:
        spark.sparkContext.addPyFile(str(kept))


def begun_before(directory: Path) -> bool:
    """Whether this task was begun in this directory before; from now on it was."""
    begun = directory / "begun"
    if begun.exists():
        return True
    begun.write_text(str(os.getpid()))
    return False


def set_up(config: dict[str, Any], given: dict[str, Any], secrets: Secrets) -> None:
    """The environment of the step, with the secrets that it takes from their scopes."""
    os.environ.update(config["environment"])
    for secret in config["secrets"]:
        value = utilities(given).secrets.get(scope=secret["scope"], key=secret["key"])
        secrets.add(value)
        os.environ[secret["name"]] = value


def utilities(given: dict[str, Any]) -> Any:
    """Databricks' `dbutils`: a global of the task on a cluster, the SDK's own where it is none."""
    if given.get("dbutils") is not None:
        return given["dbutils"]
    from databricks.sdk.runtime import dbutils

    return dbutils


def run_step(reference: bytes, report: Report) -> None:
    """Makes the step; what happens in it goes to the report, errors of the step, too."""
    from dagster._core.execution.plan.external_step import external_instance_from_step_run_ref, run_step_from_ref

    step = pickle.loads(reference)
    instance = external_instance_from_step_run_ref(step, event_listener_fn=report.event)
    for _ in run_step_from_ref(step, instance):
        pass


def main(step_run_ref_path: str, config_path: str, code_path: str) -> None:
    """Runs the step of the pickled reference. A step that fails says so in its events; an error here fails the run."""
    given, secrets = globals(), Secrets()  # a cluster puts dbutils and spark there
    directory = Path(step_run_ref_path).parent
    if begun_before(directory):
        told = "This step was begun here before and its process died. Databricks' second try leaves it as it is: "
        if not (directory / "word.json").exists():
            (directory / "word.json").write_text(json.dumps({"again": True, "trace": told}))
        raise SystemExit(f"{told}whether it is made again is for Dagster to say.")
    with Report(directory, secrets) as report, tempfile.TemporaryDirectory() as unpacked:
        try:
            import_from(Path(code_path), unpacked, session(given))
            set_up(json.loads(Path(config_path).read_text(encoding="utf-8")), given, secrets)
            run_step(Path(step_run_ref_path).read_bytes(), report)
        except BaseException:
            trace = secrets.hide(traceback.format_exc())
            (directory / "word.json").write_text(json.dumps({"again": False, "trace": trace}))
            traceback.print_exc()
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
