"""The driver of a cluster: holds the JVM that its tasks share, and runs SQL statements on it.

Copied to the cluster and started there. Its configuration comes as the first line of JSON on standard input; it answers
with a line of JSON that says where the JVM listens: to tasks in the JVM's own language (`port`, `secret`), and, where
the configuration has a port for it, to clients of Spark Connect (`connect`). Then one line is one order, `{"sql": …}`
or `{"cancel": name}`, answered by one line. It ends, and the JVM with it, when its input ends.
"""

import json
import os
import sys
import uuid
from typing import Any

CONNECT_PORT = "spark.connect.grpc.binding.port"
USER = "rehearsal"


def statement(spark: Any, sql: str, limit: int) -> dict[str, Any]:
    """Columns and rows of a statement, the values as text; or its error."""
    from pyspark.errors import PySparkException

    try:
        frame = spark.sql(sql)
        columns = [{"name": field.name, "type": field.dataType.simpleString()} for field in frame.schema]
        texts = frame.selectExpr(*(f"CAST(`{name}` AS STRING)" for name in frame.columns)) if columns else frame
        rows = [list(row) for row in texts.limit(limit).collect()] if columns else []
        return {"columns": columns, "rows": rows}
    except PySparkException as error:
        return {"error": str(error)}


def listen(context: Any) -> None:
    """Serves Spark Connect from this JVM."""
    context._jvm.org.apache.spark.sql.connect.service.SparkConnectService.start(context._jsc.sc())


def end_session(context: Any, name: str) -> None:
    """Ends a task's session of Spark Connect, and all that it still does; one that is not there stays so."""
    service: Any = context._jvm.org.apache.spark.sql.connect.service
    key = service.SessionKey(USER, str(uuid.uuid5(uuid.NAMESPACE_URL, name)))
    getattr(getattr(service, "SparkConnectService$"), "MODULE$").sessionManager().closeSession(key, False)


def main() -> None:
    # What others print is for the log; the answers have the real standard output to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = json.loads(sys.stdin.readline())
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    spark = SparkSession.Builder().config(conf=SparkConf().setAll(config.items())).getOrCreate()
    context: Any = spark.sparkContext
    parameters = context._gateway.gateway_parameters
    told = {"port": parameters.port, "secret": parameters.auth_token}
    if CONNECT_PORT in config:
        listen(context)
        told["connect"] = f"sc://127.0.0.1:{config[CONNECT_PORT]}/;user_id={USER}"
    print(json.dumps(told), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "cancel" in order:
            context.cancelJobGroup(order["cancel"])
            if CONNECT_PORT in config:
                end_session(context, order["cancel"])
        reply = statement(spark, order["sql"], order["limit"]) if "sql" in order else {}
        print(json.dumps(reply), file=answers, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
