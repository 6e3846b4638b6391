"""MLflow: one MLflow run per Dagster run and experiment, months and candidates nested in it."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from dagster import AssetExecutionContext, ConfigurableResource

from retail_assets.analytics.mlflow_store import ensure_store, known_file
from retail_assets.analytics.stored_run import stored_run
from retail_assets.analytics.tracked_run import Asked, TrackedRun
from retail_assets.lakehouse.outside import TOLD_AFTER, Outside

WORKSPACE_FOLDER = "/Shared/retail_assets"
"""Where experiments lie in a Databricks workspace."""


ANSWER_SECONDS = 30
"""With the one more try that a step has, a table without its server has failed within a minute."""

ADVICE = (
    "{} was not made; the tables before it are, and stay. See that MLFLOW_TRACKING_URI is right and that the server "
    "is up, then run again: it goes on from here. RETAIL_MLFLOW_SECONDS gives a slow server longer."
)

_ONE_AT_A_TIME = threading.Lock()
"""Tables are made side by side, but which experiment MLflow's client writes to is a setting of the process."""


class MlflowTracking(ConfigurableResource):
    """Tracks models in the store at `tracking_uri`; with a SQLite file, artifacts lie in a directory beside it.

    `catalog`: in the store of a Databricks workspace, the catalog of the models, which are named by three levels there;
    experiments are named by a path in the workspace. `answer_seconds`: how long a server may take for each call.
    """

    tracking_uri: str
    catalog: str | None = None
    answer_seconds: int = ANSWER_SECONDS

    @contextmanager
    def run(
        self, context: AssetExecutionContext, experiment: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedRun]:
        """The MLflow run of this Dagster run in `experiment`: found again by the tag `dagster_run_id`, or new."""
        asked = Asked(
            f"{WORKSPACE_FOLDER}/{experiment}" if self.catalog else experiment,
            _run_name(context),
            context.run.run_id,
            tags or {},
        )
        database = None if self.catalog else known_file(self.tracking_uri)
        if database:
            with stored_run(database, asked) as run:
                yield run
            return
        quieten()
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(self.answer_seconds))
        from retail_assets.analytics.client_run import client_run

        advice = ADVICE.format(context.asset_key.path[-1])
        with _alone(context.log), _without_password(self.tracking_uri):
            server = Outside(f"MLflow at {_shown(self.tracking_uri)}", self.answer_seconds, advice, context.log)
            with client_run(self.tracking_uri, self.catalog, asked, context.log, server) as run:
                yield run


@contextmanager
def _alone(log: Any) -> Iterator[None]:
    """One step after the other; a step that waits for another says so."""
    if not _ONE_AT_A_TIME.acquire(timeout=TOLD_AFTER):
        log.info("Waiting for another table of this run, which writes to MLflow.")
        _ONE_AT_A_TIME.acquire()
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


def _shown(uri: str) -> str:
    """A store's URI as people may see it."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


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
    # Its own seven tries take over four minutes, which nobody waits for any more.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
