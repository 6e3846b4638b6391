"""An MLflow run that is written into a SQLite store as MLflow writes it, but without loading MLflow.

Beside the models of one new day MLflow costs more than the models themselves: 4 CPU seconds to be imported, 1 for
dagster-mlflow, 2 to write thirty runs and two models. What they leave behind is a few rows and small files. So where
the store is a file that the pinned version of MLflow has made, they are written here, a step's in one transaction; a
test holds every row and file against what MLflow's own client writes. Any other store, and a file of any other version,
is left to that client (`client_run`).
"""

import getpass
import math
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pandas as pd

from retail_assets.analytics.mlflow_store import PATIENCE, artifacts_of, connection_to, now
from retail_assets.analytics.model_files import LoggedModel, write_model
from retail_assets.analytics.tracked_run import (
    CHAMPION,
    CHAMPION_AS_OF,
    Asked,
    RegisteredModel,
    TrackedRun,
    as_numbers,
    ended_with_its_status,
)

LONGEST_PARAMETER, LONGEST_TAG = 6000, 8000
"""Characters; MLflow cuts off what is longer, too."""

LARGEST = sys.float_info.max
"""Stands for an infinite metric, which SQL does not know."""


class NotTracked(Exception):
    """The store could not be written; the message says why, and what to do."""


@contextmanager
def stored_run(database: Path, asked: Asked) -> Iterator[TrackedRun]:
    """The run, found again by the tag `dagster_run_id` or new, open while the block lasts.

    It ends FINISHED, FAILED or (on an interruption) KILLED. What it says is written when it registers a model or asks
    the registry, and when it ends: a process that is killed leaves no run that seems to go on.
    """
    with connection_to(database) as connection:
        run = StoredRun(connection, database, asked)
        with ended_with_its_status(run.end):
            yield run


class StoredRun(TrackedRun):
    """A run that is written here. Rows name their columns as MLflow's tables do."""

    def __init__(self, connection: sqlite3.Connection, database: Path, asked: Asked) -> None:
        self._connection, self._database = connection, database
        self._pending: list[tuple[str, list[Any]]] = []
        self._open: list[str] = []
        with self._transaction():  # the run is found or made in one: of two steps side by side, one makes it
            self._experiment, self._artifacts = self._experiment_of(asked.experiment)
            found = self._one(
                "SELECT run_uuid FROM runs JOIN tags USING (run_uuid) WHERE experiment_id = ? AND lifecycle_stage = "
                "'active' AND tags.key = 'dagster_run_id' AND tags.value = ? ORDER BY start_time DESC, run_uuid",
                self._experiment,
                asked.dagster_run_id,
            )
            if found:
                self._open.append(found[0])
                # MLflow calls a run that goes on by the name of the step that goes on with it.
                self._add(
                    "UPDATE runs SET name = ?, status = 'RUNNING', end_time = NULL WHERE run_uuid = ?",
                    asked.name,
                    self.run_id,
                )
                self.log(tags={"mlflow.runName": asked.name})
            else:
                self._start(asked.name, {})
            self.log(tags={"dagster_run_id": asked.dagster_run_id, **asked.tags})

    @property
    def run_id(self) -> str:
        """The innermost open run."""
        return self._open[-1]

    @contextmanager
    def nested(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """A child run."""
        self._start(name, {**(tags or {}), "mlflow.parentRunId": self.run_id})
        with ended_with_its_status(self.end):
            yield self.run_id

    def end(self, status: str) -> None:
        """Ends the innermost open run; with the last one everything is written."""
        self._add("UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", status, now(), self._open.pop())
        if not self._open:
            with self._transaction():
                pass

    def log(
        self,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Written with the next transaction."""
        run, at = self.run_id, now()
        for name, value in (parameters or {}).items():
            self._insert("params", key=name, value=str(value)[:LONGEST_PARAMETER], run_uuid=run)
        for name, number in (metrics or {}).items():
            value, is_nan = _stored(float(number))
            row: dict[str, Any] = {"key": name, "value": value, "timestamp": at, "step": 0, "is_nan": is_nan}
            self._insert("metrics", "OR IGNORE", **row, run_uuid=run)
            self._insert("latest_metrics", "OR REPLACE", **row, run_uuid=run)
        for name, value in (tags or {}).items():
            self._insert("tags", "OR REPLACE", key=name, value=str(value)[:LONGEST_TAG], run_uuid=run)

    def register(
        self,
        model: Any,
        name: str,
        example: pd.DataFrame,
        champion: bool = True,
        alias: str | None = None,
        definition: Mapping[str, Any] | None = None,
    ) -> RegisteredModel:
        """The files first: a version is of a model that is whole."""
        model_id, began = f"m-{uuid4().hex}", now()
        location = f"{self._artifacts}/models/{model_id}/artifacts"
        logged = LoggedModel(model_id, self.run_id, location, definition)
        write_model(Path(unquote(urlsplit(location).path)), logged, model, as_numbers(example))
        self._insert_model(logged, began)
        with self._transaction():
            version = self._insert_version(name, logged)
            for moved in ([CHAMPION] if champion else []) + ([alias] if alias else []):
                self._move_alias(name, moved, version)
        return RegisteredModel(self.run_id, name, str(version), f"models:/{name}/{version}")

    def version(self, name: str, alias: str) -> str | None:
        """With what was registered by this run."""
        with self._transaction():
            found = self._one(
                "SELECT version FROM registered_model_aliases WHERE workspace = 'default' AND name = ? AND alias = ?",
                name,
                alias,
            )
        return str(found[0]) if found else None

    def tell(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Written with the next transaction."""
        for key, value in tags.items():
            self._insert("model_version_tags", "OR REPLACE", key=key, value=value, name=name, version=int(version))

    def promote(self, name: str, version: str, as_of: str) -> bool:
        """By alias and tag of the registered model."""
        with self._transaction():
            found = self._one(
                "SELECT value FROM registered_model_tags WHERE workspace = 'default' AND name = ? AND key = ?",
                name,
                CHAMPION_AS_OF,
            )
            if found and found[0] > as_of:
                return False
            self._move_alias(name, CHAMPION, int(version))
            self._insert("registered_model_tags", "OR REPLACE", key=CHAMPION_AS_OF, value=as_of, name=name)
        return True

    def _start(self, name: str, tags: Mapping[str, Any]) -> None:
        run = uuid4().hex
        self._insert(
            "runs",
            run_uuid=run,
            name=name,
            source_type="UNKNOWN",
            source_name="",
            entry_point_name="",
            user_id=getpass.getuser(),
            status="RUNNING",
            start_time=now(),
            source_version="",
            lifecycle_stage="active",
            artifact_uri=f"{self._artifacts}/{run}/artifacts",
            experiment_id=self._experiment,
        )
        self._open.append(run)
        self.log(tags={**_origin(), **tags, "mlflow.runName": name})

    def _experiment_of(self, name: str) -> tuple[int, str]:
        """Its number, and where its artifacts lie; it is made if need be."""
        asked = "SELECT experiment_id, artifact_location FROM experiments WHERE workspace = 'default' AND name = ?"
        found = self._one(asked, name)
        if not found:
            self._insert(
                "experiments",
                name=name,
                artifact_location=artifacts_of(self._database),
                lifecycle_stage="active",
                creation_time=now(),
                last_update_time=now(),
            )
            self._write_pending()
            found = self._one(asked, name)
        return int(found[0]), str(found[1])

    def _insert_model(self, logged: LoggedModel, began: int) -> None:
        """The model with the parameters, the metrics and the origin of its run, and as what the run put out."""
        model: dict[str, Any] = {"model_id": logged.model_id, "experiment_id": self._experiment}
        self._insert(
            "logged_models",
            **model,
            name="model",
            artifact_location=logged.location,
            creation_timestamp_ms=began,
            last_updated_timestamp_ms=now(),
            status=_READY,
            lifecycle_stage="active",
            source_run_id=logged.run_id,
        )
        of_run = (*model.values(), logged.run_id)
        self._add("INSERT INTO logged_model_params SELECT ?, ?, key, value FROM params WHERE run_uuid = ?", *of_run)
        self._add(
            "INSERT INTO logged_model_metrics SELECT ?, key, timestamp, step, value, ?, run_uuid, NULL, NULL, NULL "
            "FROM latest_metrics WHERE run_uuid = ?",
            *of_run,
        )
        for key, value in _origin().items():
            self._insert("logged_model_tags", **model, tag_key=key, tag_value=value)
        self._insert(
            "inputs",
            input_uuid=uuid4().hex,
            source_type="RUN_OUTPUT",
            source_id=logged.run_id,
            destination_type="MODEL_OUTPUT",
            destination_id=logged.model_id,
            step=0,
        )

    def _insert_version(self, name: str, logged: LoggedModel) -> int:
        at = now()
        self._insert("registered_models", "OR IGNORE", name=name, creation_time=at)
        self._add("UPDATE registered_models SET last_updated_time = ? WHERE name = ?", at, name)
        newest = self._one("SELECT max(version) FROM model_versions WHERE workspace = 'default' AND name = ?", name)
        version = int(newest[0] or 0) + 1
        self._insert(
            "model_versions",
            name=name,
            version=version,
            creation_time=at,
            last_updated_time=at,
            current_stage="None",
            source=f"models:/{logged.model_id}",
            run_id=logged.run_id,
            status="READY",
            storage_location=logged.location,
        )
        return version

    def _move_alias(self, name: str, alias: str, version: int) -> None:
        self._insert("registered_model_aliases", "OR REPLACE", alias=alias, version=version, name=name)

    def _insert(self, table: str, otherwise: str = "", **row: Any) -> None:
        places = ", ".join("?" * len(row))
        self._add(f"INSERT {otherwise} INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())

    def _add(self, statement: str, *values: Any) -> None:
        self._pending.append((statement, list(values)))

    def _one(self, query: str, *values: Any) -> Any:
        return self._connection.execute(query, values).fetchone()

    def _write_pending(self) -> None:
        for statement, values in self._pending:
            self._connection.execute(statement, values)
        self._pending.clear()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Everything that is pending, and what the block adds, in one."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._write_pending()
                yield
                self._write_pending()
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise NotTracked(
                f"MLflow's store {self._database} could not be written ({error}). See that there is room, that the "
                f"file may be written to, and that no other process holds it for longer than {PATIENCE:.0f} s; then "
                "repeat the step."
            ) from error


_READY = 2
"""What MLflow counts as the status of a logged model that is whole."""


def _origin() -> dict[str, str]:
    """Tags that say who made it, by what."""
    return {
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": sys.argv[0] if sys.argv else "",
        "mlflow.source.type": "LOCAL",
    }


def _stored(number: float) -> tuple[float, bool]:
    """As SQL can hold it, and whether it is no number."""
    if math.isnan(number):
        return 0.0, True
    return (math.copysign(LARGEST, number) if math.isinf(number) else number), False
