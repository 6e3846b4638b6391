"""The catalog of tables that outlives clusters: a Hive metastore service, out of the jars that pyspark brings.

Clusters come and go, and two may run at once; an embedded Derby metastore lets in one JVM. So one small JVM of its own
holds Derby, and clusters ask it over Thrift, as on Databricks before Unity Catalog. The open-source Unity Catalog
server is not used: a server and a connector for this Spark to download and to lock, where the metastore's jars come
with pyspark.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pyspark

CONFIGURATION = """<configuration>
  <property><name>javax.jdo.option.ConnectionURL</name><value>jdbc:derby:;databaseName={database};create=true</value></property>
  <property><name>datanucleus.schema.autoCreateAll</name><value>true</value></property>
  <property><name>hive.metastore.schema.verification</name><value>false</value></property>
  <property><name>hive.metastore.warehouse.dir</name><value>{warehouse}</value></property>
  <property><name>hive.async.log.enabled</name><value>false</value></property>
</configuration>
"""
LOGGING = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
SERVICE = "org.apache.hadoop.hive.metastore.HiveMetaStore"
# Ends Java when its own input ends, which also happens when this process is killed. Java may have been told to ignore
# SIGTERM: whoever is started in the background of a script is.
UNTIL_INPUT_ENDS = """
"$@" & java=$!
cat > /dev/null
kill $java
(sleep 10; kill -9 $java) & harder=$!
wait $java
kill $harder
"""


def free_port() -> int:
    """A port of the loopback address that nobody listens at now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Metastore:
    """Keeps its database in `directory`; `warehouse` is where tables without a place of their own lie."""

    def __init__(self, directory: Path, warehouse: Path) -> None:
        self._directory = directory
        self._warehouse = warehouse
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.uri = f"thrift://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts it unless it runs; does not wait for it."""
        if self._process is not None and self._process.poll() is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        self._warehouse.mkdir(parents=True, exist_ok=True)
        configuration = CONFIGURATION.format(database=self._directory / "derby", warehouse=self._warehouse.as_uri())
        (self._directory / "hive-site.xml").write_text(configuration)
        (self._directory / "hive-log4j2.properties").write_text(LOGGING)
        java_home = os.environ.get("JAVA_HOME")
        java = str(Path(java_home, "bin", "java")) if java_home else shutil.which("java") or "java"
        jars = Path(pyspark.__file__).parent / "jars"
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        with (self._directory / "metastore.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", UNTIL_INPUT_ENDS, "sh", java, *options, SERVICE, "-p", str(self._port)],
                env={**os.environ, "CLASSPATH": f"{self._directory}:{jars}/*"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,
            )

    def wait(self, seconds: float = 120) -> None:
        """Until it answers. Raises RuntimeError with the end of its log if it does not."""
        assert self._process is not None
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.1)
        last = (self._directory / "metastore.log").read_bytes()[-4000:].decode(errors="replace")
        raise RuntimeError(f"The metastore did not start. The end of its log:\n{last}")

    def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(30)
            self._process = None
