"""MLflow by its own client, through dagster-mlflow: for servers, workspaces, and whatever store MLflow can use.

Everything that is asked of it is asked by `Outside`: it may be a server, and a server may be gone.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

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
from retail_assets.lakehouse.outside import Outside

LAST_WORD_SECONDS = 5.0
"""How long a run that is stopped, and one whose server was lost before, waits for an answer."""

_lost: set[tuple[str, str]] = set()
"""By which Dagster run which server was lost: of its five tables, each tried twice, not each waits the whole time."""

Answer = TypeVar("Answer")


@contextmanager
def client_run(tracking_uri: str, catalog: str | None, asked: Asked, log: Any, server: Outside) -> Iterator[TrackedRun]:
    """The run, found again by the tag `dagster_run_id` or new, open while the block lasts.

    It ends FINISHED, FAILED or (on an interruption) KILLED: left to itself, dagster-mlflow calls a failed run finished
    where no hook fires, as in runs of an automation. `log` is where dagster-mlflow says what it does. Raises NoAnswer
    where `server`, in whose thread MLflow is called (which run is open is known by thread), leaves a call without one.
    """
    known = (tracking_uri, asked.dagster_run_id)
    try:
        opening = min(LAST_WORD_SECONDS, server.seconds) if known in _lost else None
        mlflow = _ask(server, f"open the run {asked.name}", lambda: _opened(tracking_uri, catalog, asked, log), opening)
        run = ClientRun(mlflow, server, catalog)
        with ended_with_its_status(run.end):
            yield run
    finally:
        if server.lost:
            _lost.add(known)
        server.close()


def _ask(server: Outside, purpose: str, function: Callable[[], Answer], seconds: float | None = None) -> Answer:
    """A call of MLflow. Whatever its many clients raise for a server that is gone becomes NoAnswer."""
    from requests import RequestException
    from sqlalchemy.exc import OperationalError

    try:
        return server.call(purpose, function, seconds)
    except Exception as error:
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, (RequestException, ConnectionError, OperationalError)):
            behind = behind.__cause__ or behind.__context__
        if behind is None or server.lost:
            raise
        raise server.gone(purpose, f"could not be reached ({error})") from None


class ClientRun(TrackedRun):
    """A run that MLflow's client writes."""

    def __init__(self, mlflow: Any, server: Outside, catalog: str | None = None) -> None:
        self.mlflow = mlflow  # dagster-mlflow's MlFlow: it takes on MLflow's functions when it is imported
        self._server, self._catalog = server, catalog

    @property
    def run_id(self) -> str:
        """The innermost open run."""
        return str(_ask(self._server, "say which run is open", lambda: self.mlflow.active_run().info.run_id))

    @contextmanager
    def nested(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """A child run."""
        begin = lambda: self.mlflow.start_run(run_name=name, nested=True, tags=dict(tags or {}))  # noqa: E731
        _ask(self._server, f"begin the run {name}", begin)
        with ended_with_its_status(self.end):
            yield self.run_id

    def end(self, status: str) -> None:
        """Ends the innermost open run. One that lost its server stays open there, as that cannot be told."""
        if not self._server.lost:
            limit = min(LAST_WORD_SECONDS, self._server.seconds) if status == "KILLED" else None
            _ask(self._server, f"end a run as {status}", lambda: self.mlflow.end_run(status=status), limit)

    def log(
        self,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """In one call."""
        from mlflow.entities import Metric, Param, RunTag

        now, run_id = int(time.time() * 1000), self.run_id
        logged: dict[str, Any] = {
            "metrics": [Metric(name, float(value), now, 0) for name, value in (metrics or {}).items()],
            "params": [Param(name, str(value)) for name, value in (parameters or {}).items()],
            "tags": [RunTag(name, str(value)) for name, value in (tags or {}).items()],
        }
        _ask(self._server, "log figures", lambda: self.mlflow.tracking_client.log_batch(run_id, **logged))

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
        name, run_id = self._registered_name(name), self.run_id
        logged = _ask(
            self._server, f"store the model {name}", lambda: _log_model(model, as_numbers(example), definition)
        )
        aliases = ([CHAMPION] if champion else []) + ([alias] if alias else [])
        client = self.mlflow.tracking_client
        version = _ask(
            self._server, f"register the model {name}", lambda: _new_version(client, name, logged, run_id, aliases)
        )
        return RegisteredModel(run_id, name, version, f"models:/{name}/{version}")

    def version(self, name: str, alias: str) -> str | None:
        """Of the registry that goes with the store."""
        from mlflow import MlflowException

        client, name = self.mlflow.tracking_client, self._registered_name(name)
        try:
            found = _ask(
                self._server, f"look up the model {name}", lambda: client.get_model_version_by_alias(name, alias)
            )
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return str(found.version)

    def tell(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """One call each."""
        client, name = self.mlflow.tracking_client, self._registered_name(name)
        for key, value in tags.items():
            tell = partial(client.set_model_version_tag, name, version, key, value)
            _ask(self._server, f"tag the model {name}", tell)

    def promote(self, name: str, version: str, as_of: str) -> bool:
        """By alias and tag of the registered model."""
        client, name = self.mlflow.tracking_client, self._registered_name(name)
        return _ask(self._server, f"promote the model {name}", lambda: _promoted(client, name, version, as_of))

    def _registered_name(self, name: str) -> str:
        return f"{self._catalog}.{name}" if self._catalog else name


def _log_model(model: Any, rows: pd.DataFrame, definition: Mapping[str, Any] | None) -> Any:
    from mlflow import sklearn
    from mlflow.models import infer_signature

    return sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(rows, model.predict(rows)),
        input_example=rows,
        pip_requirements=requirements(),
        serialization_format=sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
        metadata=dict(definition) if definition else None,
    )


def _new_version(client: Any, name: str, logged: Any, run_id: str, aliases: Sequence[str]) -> str:
    """Not by log_model's registered_model_name: that prints, and looks at the version again to wait for it."""
    from mlflow import MlflowException

    try:  # not searched for first: Unity Catalog cannot search by name
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name, logged.model_uri, run_id=run_id, model_id=logged.model_id, await_creation_for=0
    )
    for alias in aliases:
        client.set_registered_model_alias(name, alias, str(created.version))
    return str(created.version)


def _promoted(client: Any, name: str, version: str, as_of: str) -> bool:
    if client.get_registered_model(name).tags.get(CHAMPION_AS_OF, "") > as_of:
        return False
    client.set_registered_model_alias(name, CHAMPION, version)
    client.set_registered_model_tag(name, CHAMPION_AS_OF, as_of)
    return True


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)  # known: the version is pinned, and it is tested here
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
