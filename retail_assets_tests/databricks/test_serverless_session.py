"""What a task finds on the rehearsal's serverless compute: a client of Spark Connect that refuses what Databricks' own
does.

The embedded engine is the server here: the refusals are the client's.
"""

import json
import subprocess
import sys

TRIED = {
    "session.conf.set('spark.sql.warehouse.dir', '/x')": "[CONFIG_NOT_AVAILABLE] Configuration spark.sql.warehouse.dir",
    "session.range(1).persist()": "[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE",
    "session.range(1).cache()": "[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE",
    "session.range(1).localCheckpoint()": "[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE",
    "session.sparkContext": "JVM_ATTRIBUTE_NOT_SUPPORTED",
    "session.range(1)._jdf": "JVM_ATTRIBUTE_NOT_SUPPORTED",
    "session.range(1).rdd": "",
    "__import__('py4j')": "ModuleNotFoundError",
    "__import__('pyspark.core')": "ModuleNotFoundError",
    "session.conf.set('spark.sql.session.timeZone', 'UTC')": "taken",
    "session.range(3).count()": "taken",
}
"""What is tried -> how its answer begins, or what is in it; the empty text is in any refusal."""

PROGRAM = """
import json, sys

from retail_assets.databricks.rehearsal.task_process import given_to_task
from retail_assets.lakehouse.engines.sail import embedded_session

session = embedded_session()
order = {"gateway": {"connect": "sc://127.0.0.1:1/"}, "kind": "serverless", "name": "run-1", "secrets": {}}
assert given_to_task(order) == {}
told = {}
for code in json.loads(sys.argv[1]):
    try:
        eval(code)
        told[code] = "taken"
    except Exception as error:
        told[code] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


def test_what_is_not_to_be_had_is_refused_and_the_rest_is_taken():
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(TRIED))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert [code for code, answer in TRIED.items() if answer not in told[code]] == [], told
    assert {code for code in TRIED if told[code] == "taken"} == {code for code in TRIED if TRIED[code] == "taken"}, told
