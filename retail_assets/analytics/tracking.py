"""MLflow through dagster-mlflow: one MLflow run per Dagster run and experiment, months and candidates nested in it."""

import fcntl
import logging
import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from dagster import AssetExecutionContext, BetaWarning, ConfigurableResource

CHAMPION = "champion"
CHAMPION_AS_OF = "champion_as_of"
"""The tag of a registered model that says for which partition its champion was chosen."""
# What a model needs to be loaded. Without such a list MLflow loads the model in a new process to find out: 7.5 s.
MODEL_PACKAGES = ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle")
SQLITE = "sqlite:///"
WORKSPACE_FOLDER = "/Shared/retail_assets"
"""Where experiments lie in a Databricks workspace."""


_ONE_AT_A_TIME = threading.Lock()
"""Tables are made side by side, but which experiment MLflow writes to is a setting of the process."""


@dataclass(frozen=True)
class RegisteredModel:
    """Where a model that was logged is: for the metadata of a materialization."""

    run_id: str
    name: str
    version: str
    uri: str


class TrackedRun:
    """An open MLflow run. What is logged goes to the innermost of the runs that are open."""

    def __init__(self, mlflow: Any, catalog: str | None = None) -> None:
        self.mlflow = mlflow  # dagster-mlflow's MlFlow: it takes on MLflow's functions when it is imported
        self._catalog = catalog

    @property
    def run_id(self) -> str:
        """The innermost open run."""
        return str(self.mlflow.active_run().info.run_id)

    @contextmanager
    def nested(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """A child run, ended with its own status; yields its id."""
        self.mlflow.start_run(run_name=name, nested=True, tags=dict(tags or {}))
        with ended_with_its_status(self.mlflow):
            yield self.run_id

    def month(self, name: str) -> AbstractContextManager[str]:
        """The nested run of one monthly partition."""
        return self.nested(name, {"level": "month", "partition": name})

    def candidate(self, name: str) -> AbstractContextManager[str]:
        """The nested run of one model that was tried."""
        return self.nested(name, {"level": "candidate"})

    def log(
        self,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Parameters, metrics and tags of the innermost open run, in one write."""
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
        """Logs a fitted scikit-learn `model` in the innermost open run and registers it as a new version of `name`.

        `example`: a few rows that it takes; they give the signature. `champion`: the alias moves to this version.
        `alias`: a further one that does. `definition`: what its inputs are, kept with the model itself.
        """
        from mlflow import MlflowException, sklearn
        from mlflow.models import infer_signature

        name = self._registered_name(name)
        rows = example.astype("float64")  # MLflow's integers cannot be missing, and its users' columns can
        logged = sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows,
            pip_requirements=[f"{package}=={version(package)}" for package in MODEL_PACKAGES],
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
        """The version of a registered model that has the alias; None where the registry has no such model or alias."""
        from mlflow import MlflowException

        try:
            found = self.mlflow.tracking_client.get_model_version_by_alias(self._registered_name(name), alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return str(found.version)

    def tell(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Tags of a model version: what was found out about it since it was registered."""
        for key, value in tags.items():
            self.mlflow.tracking_client.set_model_version_tag(self._registered_name(name), version, key, value)

    def promote(self, name: str, version: str, as_of: str) -> bool:
        """Makes the version the champion as of a partition, unless the champion is already one of a later partition
        (months that are made again leave the newest in force). Returns whether it did."""
        client, name = self.mlflow.tracking_client, self._registered_name(name)
        if client.get_registered_model(name).tags.get(CHAMPION_AS_OF, "") > as_of:
            return False
        client.set_registered_model_alias(name, CHAMPION, version)
        client.set_registered_model_tag(name, CHAMPION_AS_OF, as_of)
        return True

    def _registered_name(self, name: str) -> str:
        return f"{self._catalog}.{name}" if self._catalog else name


class MlflowTracking(ConfigurableResource):
    """Tracks models in the store at `tracking_uri`; with a SQLite file, artifacts lie in a directory beside it.

    `catalog`: in the store of a Databricks workspace, the catalog of the models, which are named by three levels there;
    experiments are named by a path in the workspace.
    """

    tracking_uri: str
    catalog: str | None = None

    @contextmanager
    def run(
        self, context: AssetExecutionContext, experiment: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedRun]:
        """The MLflow run of this Dagster run in `experiment`: found again by the tag `dagster_run_id`, or new.

        It ends FINISHED, FAILED or (on an interruption) KILLED: left to itself, dagster-mlflow calls a failed run
        finished where no hook fires, as in runs of an automation.
        """
        quieten()
        if self.catalog:
            experiment = f"{WORKSPACE_FOLDER}/{experiment}"
        with _ONE_AT_A_TIME, _without_password(self.tracking_uri):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", BetaWarning)  # known: the version is pinned, and it is tested here
                mlflow = self._opened(context, experiment, tags)
            with ended_with_its_status(mlflow):
                yield TrackedRun(mlflow, self.catalog)

    def _opened(self, context: AssetExecutionContext, experiment: str, tags: Mapping[str, str] | None) -> Any:
        """dagster-mlflow's own object for this run, given as much of a resource context as it reads."""
        from dagster_mlflow.resources import MlFlow

        self._ensure_experiment(experiment)
        init_context = SimpleNamespace(
            log=context.log,
            dagster_run=SimpleNamespace(job_name=_run_name(context)),  # only that, and for the run's name
            run_id=context.run.run_id,
            resource_config={
                "experiment_name": experiment,
                "mlflow_tracking_uri": self.tracking_uri,
                "extra_tags": dict(tags or {}),
            },
        )
        return MlFlow(init_context)

    def _ensure_experiment(self, name: str) -> None:
        """Creates it if need be, its artifacts beside the SQLite file (MLflow's default is the working directory)."""
        from mlflow import MlflowClient, set_registry_uri

        ensure_store(self.tracking_uri)
        registry = "databricks-uc" if self.catalog else self.tracking_uri
        set_registry_uri(registry)
        client = MlflowClient(self.tracking_uri, registry)
        if client.get_experiment_by_name(name) is None:
            database = _database(self.tracking_uri)
            client.create_experiment(name, artifact_location=_artifacts(database) if database else None)


def ensure_store(tracking_uri: str) -> None:
    """Makes the tables of a SQLite store that is new: aside, and put into its place once it is whole. MLflow makes them
    by a hundred migrations where they are to lie, and cannot use what is left of an interruption in between."""
    database = _database(tracking_uri)
    if database is None or database.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = database.with_name(f".{database.name}.in-the-making")
    database.parent.mkdir(parents=True, exist_ok=True)
    with aside.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time, of threads and of processes; let go of when one is killed
        if database.exists():
            return
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        made = aside / database.name
        SqlAlchemyStore(f"{SQLITE}{made}", _artifacts(database)).engine.dispose()
        made.rename(database)
        aside.rmdir()


def _database(tracking_uri: str) -> Path | None:
    """The file of a SQLite store."""
    return Path(tracking_uri.removeprefix(SQLITE)).absolute() if tracking_uri.startswith(SQLITE) else None


def _artifacts(database: Path) -> str:
    return (database.parent / "mlflow-artifacts").as_uri()


def _run_name(context: AssetExecutionContext) -> str:
    """The table, and the partitions that the run makes: a job's name, the same for all, would tell nothing."""
    name = context.asset_key.path[-1]
    if not context.has_partition_key and not context.has_partition_key_range:
        return name
    keys = context.partition_keys
    return f"{name} {keys[0]}" if len(keys) == 1 else f"{name} {keys[0]} to {keys[-1]}"


@contextmanager
def _without_password(uri: str) -> Iterator[None]:
    """Strikes the password of the store out of errors: MLflow quotes the whole URI of a server that does not answer."""
    password = urlsplit(uri).password
    try:
        yield
    except Exception as error:
        told: BaseException | None = error
        while password and told is not None:
            told.args = tuple(part.replace(password, "***") if isinstance(part, str) else part for part in told.args)
            told = told.__cause__ or told.__context__
        raise


@contextmanager
def ended_with_its_status(mlflow: Any) -> Iterator[None]:
    """Ends the innermost open run as the block ends."""
    status = "FINISHED"
    try:
        yield
    except BaseException as error:
        # What is no Exception is an interruption: a keyboard's, or Dagster's on termination.
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        mlflow.end_run(status=status)


def load(tracking_uri: str) -> None:
    """Loads what models are made and tracked with, and makes the tables of a SQLite store that is new: seconds that
    can pass beside other work."""
    quieten()
    import sklearn.cluster
    import sklearn.ensemble  # noqa: F401

    ensure_store(tracking_uri)


def quieten() -> None:
    """No telemetry, no look at git, and no log lines of MLflow's own: called before MLflow is first imported."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
