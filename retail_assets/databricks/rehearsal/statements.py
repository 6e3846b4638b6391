"""SQL statements, run on the warm cluster's Spark: /api/2.0/sql/statements."""

import itertools
import re
from collections.abc import Callable
from typing import Any

from databricks.sdk.service.sql import StatementExecutionAPI

from retail_assets.databricks.rehearsal.rest import Request, Route, does_not_exist, invalid
from retail_assets.databricks.rehearsal.signatures import check_body

MOST_ROWS = 10_000


class Statements:
    """`warehouse_id` is the one SQL warehouse; `run(sql, limit)` gives `columns` and `rows`, or `error`."""

    def __init__(self, run: Callable[[str, int], dict[str, Any]]) -> None:
        self.warehouse_id = "0123456789abcdef"
        self._run = run
        self._numbers = itertools.count(1)
        self._done: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/2.0/sql/statements/?", self._execute),
            Route("GET", "/api/2.0/sql/statements/(?P<statement_id>[^/]+)", self._get),
        ]

    def _execute(self, request: Request) -> dict[str, Any]:
        body = request.json()
        check_body(StatementExecutionAPI.execute_statement, body)
        if body["warehouse_id"] != self.warehouse_id:
            raise does_not_exist(f"SQL warehouse {body['warehouse_id']} does not exist.")
        if body.get("disposition", "INLINE") != "INLINE" or body.get("format", "JSON_ARRAY") != "JSON_ARRAY":
            raise invalid("The rehearsal answers INLINE, as JSON_ARRAY")
        if {"parameters", "catalog", "schema"} & set(body):
            raise invalid("The rehearsal takes statements without parameters, with full names of tables")
        if not re.fullmatch(r"0s|([5-9]|[1-4]\d|50)s", body.get("wait_timeout", "10s")):
            raise invalid("wait_timeout must be 0s or between 5s and 50s")
        limit = body.get("row_limit", MOST_ROWS)
        answer = self._answer(f"01ef{next(self._numbers):028x}", self._run(body["statement"], limit))
        self._done[answer["statement_id"]] = answer
        return answer

    def _answer(self, statement_id: str, outcome: dict[str, Any]) -> dict[str, Any]:
        if "error" in outcome:
            error = {"error_code": "BAD_REQUEST", "message": outcome["error"]}
            return {"statement_id": statement_id, "status": {"state": "FAILED", "error": error}}
        rows = outcome["rows"]
        columns = [
            {"name": column["name"], "position": position, "type_text": column["type"].upper()}
            for position, column in enumerate(outcome["columns"])
        ]
        return {
            "statement_id": statement_id,
            "status": {"state": "SUCCEEDED"},
            "manifest": {
                "format": "JSON_ARRAY",
                "schema": {"column_count": len(columns), "columns": columns},
                "total_row_count": len(rows),
                "total_chunk_count": 1,
                "truncated": False,
            },
            "result": {"chunk_index": 0, "row_offset": 0, "row_count": len(rows), "data_array": rows},
        }

    def _get(self, request: Request, statement_id: str) -> dict[str, Any]:
        if statement_id not in self._done:
            raise does_not_exist(f"The statement {statement_id} was not found.")
        return self._done[statement_id]
