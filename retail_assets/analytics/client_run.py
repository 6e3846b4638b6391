"""MLflow by its own client, through dagster-mlflow: for servers, workspaces, and whatever store MLflow can use."""

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pandas as pd
from dagster import BetaWarning

from retail_assets.analytics.mlflow_store import artifacts_of, ensure_store, sqlite_file
from retail_assets.analytics.model_files import requirements
from retail_assets.analytics.tracked_run import (
    CHAMPION,
    CHAMPION_AS_OF,
    Asked,
    RegisteredModel,
    TrackedRun,
    as_numbers,
    ended_with_its_status,
)


@contextmanager
def client_run(tracking_uri: str, catalog: str | None, asked: Asked, log: Any) -> Iterator[TrackedRun]:
    """The run, found again by the tag `dagster_run_id` or new, open while the block lasts.

    It ends FINISHED, FAILED or (on an interruption) KILLED: left to itself, dagster-mlflow calls a failed run finished
    where no hook fires, as in runs of an automation. `log` is where dagster-mlflow says what it does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)  # known: the version is pinned, and it is tested here
        mlflow = _opened(tracking_uri, catalog, asked, log)
    with ended_with_its_status(lambda status: mlflow.end_run(status=status)):
        yield ClientRun(mlflow, catalog)


class ClientRun(TrackedRun):
    """A run that MLflow's client writes."""

    def __init__(self, mlflow: Any, catalog: str | None = None) -> None:
        self.mlflow = mlflow  # dagster-mlflow's MlFlow: it takes on MLflow's functions when it is imported
        self._catalog = catalog

    @property
    def run_id(self) -> str:
        """The innermost open run."""
        return str(self.mlflow.active_run().info.run_id)

    @contextmanager
    def nested(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """A child run."""
        self.mlflow.start_run(run_name=name, nested=True, tags=dict(tags or {}))
        with ended_with_its_status(lambda status: self.mlflow.end_run(status=status)):
            yield self.run_id

    def log(
        self,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """In one call."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self.mlflow.tracking_client.log_batch(
            self.run_id,
            metrics=[Metric(name, float(value), now, 0) for name, value in (metrics or {}).items()],
            params=[Param(name, str(value)) for name, value in (parameters or {}).items()],
            tags=[RunTag(name, str(value)) for name, value in (tags or {}).items()],
        )

    def register(
        self,
        model: Any,
        name: str,
        example: pd.DataFrame,
        champion: bool = True,
        alias: str | None = None,
        definition: Mapping[str, Any] | None = None,
    ) -> RegisteredModel:
        """By `mlflow.sklearn.log_model`."""
        from mlflow import MlflowException, sklearn
        from mlflow.models import infer_signature

        name, rows = self._registered_name(name), as_numbers(example)
        logged = sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows,
            pip_requirements=requirements(),
            serialization_format=sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
            metadata=dict(definition) if definition else None,
        )
        # Not by log_model's registered_model_name: that prints, and looks at the version again to wait for it.
        client = self.mlflow.tracking_client
        try:  # not searched for first: Unity Catalog cannot search by name
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = client.create_model_version(
            name, logged.model_uri, run_id=self.run_id, model_id=logged.model_id, await_creation_for=0
        )
        registered = str(created.version)
        for moved in ([CHAMPION] if champion else []) + ([alias] if alias else []):
            client.set_registered_model_alias(name, moved, registered)
        return RegisteredModel(self.run_id, name, registered, f"models:/{name}/{registered}")

    def version(self, name: str, alias: str) -> str | None:
        """Of the registry that goes with the store."""
        from mlflow import MlflowException

        try:
            found = self.mlflow.tracking_client.get_model_version_by_alias(self._registered_name(name), alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return str(found.version)

    def tell(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """One call each."""
        for key, value in tags.items():
            self.mlflow.tracking_client.set_model_version_tag(self._registered_name(name), version, key, value)

    def promote(self, name: str, version: str, as_of: str) -> bool:
        """By alias and tag of the registered model."""
        client, name = self.mlflow.tracking_client, self._registered_name(name)
        if client.get_registered_model(name).tags.get(CHAMPION_AS_OF, "") > as_of:
            return False
        client.set_registered_model_alias(name, CHAMPION, version)
        client.set_registered_model_tag(name, CHAMPION_AS_OF, as_of)
        return True

    def _registered_name(self, name: str) -> str:
        return f"{self._catalog}.{name}" if self._catalog else name


def _opened(tracking_uri: str, catalog: str | None, asked: Asked, log: Any) -> Any:
    """dagster-mlflow's own object for this run, given as much of a resource context as it reads."""
    from dagster_mlflow.resources import MlFlow

    _ensure_experiment(tracking_uri, catalog, asked.experiment)
    init_context = SimpleNamespace(
        log=log,
        dagster_run=SimpleNamespace(job_name=asked.name),  # only that, and for the run's name
        run_id=asked.dagster_run_id,
        resource_config={
            "experiment_name": asked.experiment,
            "mlflow_tracking_uri": tracking_uri,
            "extra_tags": dict(asked.tags),
        },
    )
    return MlFlow(init_context)


def _ensure_experiment(tracking_uri: str, catalog: str | None, name: str) -> None:
    """Creates it if need be, its artifacts beside the SQLite file (MLflow's default is the working directory)."""
    from mlflow import MlflowClient, set_registry_uri

    ensure_store(tracking_uri)
    registry = "databricks-uc" if catalog else tracking_uri
    set_registry_uri(registry)
    client = MlflowClient(tracking_uri, registry)
    if client.get_experiment_by_name(name) is None:
        database = sqlite_file(tracking_uri)
        client.create_experiment(name, artifact_location=artifacts_of(database) if database else None)
