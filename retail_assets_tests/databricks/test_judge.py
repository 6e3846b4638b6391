"""The judge of requests finds those that no published API would take; conftest.py hands it all that were made."""

from typing import Any

import pytest

from retail_assets_tests.databricks.judge import judged

TASK = {
    "task_key": "step",
    "spark_python_task": {"python_file": "/Volumes/a/b/c/main.py", "parameters": ["x"]},
    "existing_cluster_id": "0101-000000-abcdefgh",
    "libraries": [{"requirements": "/Volumes/a/b/c/libraries/0.txt"}],
}


def submit(**changed: Any) -> dict[str, Any]:
    body = {"run_name": "retail x", "idempotency_token": "t", "timeout_seconds": 60, "tasks": [TASK], **changed}
    return {"method": "POST", "path": "/api/2.2/jobs/runs/submit", "query": {}, "body": body}


@pytest.mark.usefixtures("judge")
def test_what_cannot_be_is_found_by_both():
    wrong = [
        submit(surprise=1),
        submit(tasks=[{**TASK, "libraries": [{"pip": {"package": "a"}}]}]),
        submit(run_as={"service_principal": "x"}),
        {"method": "POST", "path": "/api/2.0/dbfs/put", "query": {}, "body": {"path": "/a", "content": "eA=="}},
        {"method": "GET", "path": "/api/2.2/jobs/runs/get", "query": {"run_id": "x"}, "body": {}},
        {"method": "GET", "path": "/api/2.2/jobs/runs/look", "query": {}, "body": {}},
    ]
    told = judged(wrong)
    assert len({line.split(": ", 1)[0] for line in told}) == 4
    assert sum("the SDK: " in line for line in told) == 5
    assert sum("the schema of bundles: " in line for line in told) == 3
    assert any("no call of the newest SDK" in line for line in told)
    assert judged([submit()]) == []
