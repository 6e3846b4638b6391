"""A broker of Kafka on this machine's loopback address, for tests and for trying out; it needs Java.

Apache Kafka is resolved from Maven's central repository by Spark's own resolver, as the jars of Delta are, and checked
against locked hashes. One process is broker and controller; its data lie in a directory that goes with it.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from retail_assets.lakehouse.engines.jars import fetch_package
from retail_assets.lakehouse.engines.java import require_java

PACKAGE = "org.apache.kafka:kafka_2.13:4.4.0"
JARS = Path(sys.prefix) / "share" / "retail-assets" / "kafka"
LOCK = Path(__file__).with_name("kafka.lock")
UP_SECONDS = 180.0

_FORMAT = ("kafka.tools.StorageTool", "format")
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def wanted_jars() -> list[Path]:
    """Kafka's jars, fetched when first asked for, and the Scala library that Spark has. Raises JavaMissing."""
    require_java()
    if not JARS.is_dir():
        sys.stderr.write("Fetching Apache Kafka; this happens once …\n")
        made = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"Kafka's jars could not be fetched:\n{made.stdout}{made.stderr}")
    import pyspark

    scala = Path(pyspark.__file__).parent / "jars"
    return [*sorted(JARS.glob("*.jar")), *scala.glob("scala-library-*.jar")]


class Broker:
    """A broker that is up until it is stopped. `settings` go beside those that it needs anyway; `users` are
    kept with their passwords, as Kafka's own tool takes them."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None, users: Sequence[str] = ()) -> None:
        self.directory, self.settings = directory, dict(settings or {})
        self._users = [option for user in users for option in ("--add-scram", user)]
        self.port, self.controller_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._classpath = os.pathsep.join(map(str, wanted_jars()))

    @property
    def servers(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, and waits until it takes connections. Raises RuntimeError with its log where it does not."""
        self.directory.mkdir(parents=True, exist_ok=True)
        written = self.directory / "server.properties"
        if not written.exists():
            written.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
            identity = uuid.uuid4().hex[:22]
            self._java([*_FORMAT, "-t", identity, "-c", str(written), *self._users]).wait()
        self._process = self._java(["kafka.Kafka", str(written)])
        deadline = time.monotonic() + UP_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                told = (self.directory / "log.txt").read_text(errors="replace")
                raise RuntimeError(f"The broker did not come up:\n{told[-3000:]}")
            time.sleep(0.05)

    def _settings(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.directory / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "offsets.topic.num.partitions": "1",
            "auto.create.topics.enable": "false",
            "log.retention.check.interval.ms": "500",
            "log.initial.task.delay.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            **self.settings,
        }

    def _java(self, arguments: Iterable[str]) -> "subprocess.Popen[bytes]":
        java = shutil.which(str(Path(os.environ["JAVA_HOME"], "bin", "java")) if "JAVA_HOME" in os.environ else "java")
        with (self.directory / "log.txt").open("ab") as log:
            return subprocess.Popen([str(java), *_JVM, "-cp", self._classpath, *arguments], stdout=log, stderr=log)

    def kill(self) -> None:
        """Kills it as a power cut would; its data stay, and it can be started again."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ends it and takes away its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port() -> int:
    """A port of the loopback address that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    fetch_package(PACKAGE, JARS, LOCK)
