"""Runs one `spark_python_task` as Databricks does: the file as `__main__`, with the globals of its kind of compute.

`dedicated`: `spark`, `sc`, `dbutils`, in a Python beside the JVM. `standard`: `spark`, a client of Spark Connect, and
`dbutils`. `serverless`: nothing; who asks for a session gets one. In the latter two there is no JVM to be reached.

This file is copied to the cluster and started by the cluster's own Python, where nothing of this repository can be
imported. Its order comes as one line of JSON on standard input, so that secrets stay out of files and of `ps`:
`file`, `parameters`, `result` (where to write the error), `secrets` (scope -> key -> value), `name`, `gateway` (where
the cluster's JVM listens, or null for a cluster without Spark), `kind`. When standard input ends, so does the task: the
workspace is gone.
"""

import json
import os
import sys
import threading
import traceback
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any


class Secrets:
    """`dbutils.secrets`"""

    def __init__(self, scopes: dict[str, dict[str, str]]) -> None:
        self._scopes = scopes

    def get(self, scope: str, key: str) -> str:
        if scope not in self._scopes:
            raise ValueError(f"Secret does not exist with scope: {scope} and key: {key} (no such scope)")
        if key not in self._scopes[scope]:
            raise ValueError(f"Secret does not exist with scope: {scope} and key: {key}")
        return self._scopes[scope][key]

    def getBytes(self, scope: str, key: str) -> bytes:
        return self.get(scope, key).encode()


class Utilities:
    """`dbutils`, as far as it is rehearsed: its secrets."""

    def __init__(self, scopes: dict[str, dict[str, str]]) -> None:
        self.secrets = Secrets(scopes)


def attach(gateway: dict[str, Any], name: str) -> Any:
    """A new session on the cluster's JVM, as each notebook and task gets one. Sets this process's active session."""
    os.environ["PYSPARK_GATEWAY_PORT"] = str(gateway["port"])
    os.environ["PYSPARK_GATEWAY_SECRET"] = gateway["secret"]
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    java = launch_gateway()
    jvm: Any = java.jvm
    running = jvm.org.apache.spark.api.java.JavaSparkContext.fromSparkContext(
        jvm.org.apache.spark.SparkContext.getOrCreate()
    )
    context = SparkContext(gateway=java, jsc=running, conf=SparkConf(_jvm=jvm, _jconf=running.getConf()))
    shared = jvm.org.apache.spark.sql.classic.SparkSession.getDefaultSession().get()
    session = SparkSession(context, jsparkSession=shared.newSession())
    # The default session of the JVM stays the cluster's own: another task's threads may fall back on it.
    jvm.org.apache.spark.sql.classic.SparkSession.setDefaultSession(shared)
    context.setJobGroup(name, name, interruptOnCancel=True)
    return session


# What a session of serverless compute takes; others are refused (Databricks: limitations of serverless compute).
MAY_BE_SET = {
    "spark.databricks.execution.timeout",
    "spark.sql.ansi.enabled",
    "spark.sql.legacy.timeParserPolicy",
    "spark.sql.session.timeZone",
    "spark.sql.shuffle.partitions",
    "spark.sql.sources.partitionOverwriteMode",
}
KEEPS_ROWS = ("persist", "cache", "checkpoint", "localCheckpoint")


def connect(address: str, name: str) -> None:
    """From now on sessions of this process are clients of Spark Connect, and nothing else is to be had."""
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    os.environ["SPARK_REMOTE"] = f"{address};session_id={uuid.uuid5(uuid.NAMESPACE_URL, name)}"
    for module in ("py4j", "pyspark.core"):
        sys.modules[module] = None  # type: ignore[assignment]


def refuse_as_serverless_does() -> None:
    """What Databricks' serverless compute refuses of what Spark Connect has."""
    from pyspark.errors import AnalysisException
    from pyspark.sql.connect.conf import RuntimeConf
    from pyspark.sql.connect.dataframe import DataFrame

    take, take_all = RuntimeConf.set, RuntimeConf._set_all

    def set_if_allowed(self: Any, key: str, value: Any) -> None:
        if key not in MAY_BE_SET:
            raise AnalysisException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available. SQLSTATE: 42K0I")
        take(self, key, value)

    def set_what_is_allowed(self: Any, configs: dict[str, Any], silent: bool) -> None:
        take_all(self, {key: value for key, value in configs.items() if key in MAY_BE_SET}, silent)

    def refuse(self: Any, *_: Any, **__: Any) -> Any:
        raise AnalysisException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported on serverless compute.")

    RuntimeConf.set = set_if_allowed  # type: ignore[method-assign]
    RuntimeConf._set_all = set_what_is_allowed  # type: ignore[method-assign]
    for method in KEEPS_ROWS:
        setattr(DataFrame, method, refuse)


def given_to_task(order: dict[str, Any]) -> dict[str, Any]:
    """The globals that a task finds."""
    gateway, kind, name = order["gateway"], order["kind"], order["name"]
    utilities = Utilities(order["secrets"])
    if kind == "dedicated" or not gateway:
        spark = attach(gateway, name) if gateway else None
        given = {"spark": spark, "sc": spark and spark.sparkContext, "dbutils": utilities}
        return given if kind != "serverless" else {"spark": None}
    connect(gateway["connect"], name)
    if kind == "serverless":
        refuse_as_serverless_does()
        return {}
    from pyspark.sql import SparkSession

    return {"spark": SparkSession.Builder().getOrCreate(), "dbutils": utilities}


def main() -> None:
    order = json.loads(sys.stdin.readline())
    workspace = os.fdopen(os.dup(0))
    threading.Thread(target=lambda: (workspace.read(), os._exit(137)), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file: str = order["file"]
    result: dict[str, str] = {}
    code = 0
    try:
        source = Path(file).read_bytes()
        task = ModuleType("__main__")
        task.__dict__.update(__file__=file, __builtins__=__builtins__, **given_to_task(order))
        sys.argv, sys.modules["__main__"] = [file, *order["parameters"]], task
        exec(compile(source, file, "exec"), task.__dict__)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code:
            result = {"error": f"SystemExit: {stop.code}", "error_trace": traceback.format_exc()}
    except BaseException as error:
        code = 1
        result = {"error": f"{type(error).__name__}: {error}", "error_trace": traceback.format_exc()}
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    Path(order["result"]).write_text(json.dumps({"code": code, **result}))
    # Threads that the task left behind do not keep the cluster's process alive.
    os._exit(code)


if __name__ == "__main__":
    main()
