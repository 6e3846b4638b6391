"""Runs one `spark_python_task` the way a cluster's driver does: the file as `__main__`, with `spark`, `sc`, `dbutils`.

This file is copied to the cluster and started by the cluster's own Python, where nothing of this repository can be
imported. Its order comes as one line of JSON on standard input, so that secrets stay out of files and of `ps`:
`file`, `parameters`, `result` (where to write the error), `secrets` (scope -> key -> value), `name`, `gateway`
(port and secret of the cluster's JVM, or null for a cluster without Spark), `serverless`. When standard input ends, so
does the task: the workspace is gone.
"""

import json
import os
import sys
import threading
import traceback
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
        spark = attach(order["gateway"], order["name"]) if order["gateway"] else None
        task = ModuleType("__main__")
        task.__dict__.update(__file__=file, __builtins__=__builtins__, spark=spark)
        if not order["serverless"]:  # where neither is a global
            task.__dict__.update(dbutils=Utilities(order["secrets"]), sc=spark and spark.sparkContext)
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
