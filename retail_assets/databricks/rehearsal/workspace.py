"""The rehearsal workspace as one thing: made in a directory, with a host, a token and a warm cluster."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from retail_assets.databricks.compute import DEDICATED
from retail_assets.databricks.rehearsal.access import CALLER, Access
from retail_assets.databricks.rehearsal.cluster_driver import CONNECT_PORT
from retail_assets.databricks.rehearsal.clusters import Cluster, Clusters
from retail_assets.databricks.rehearsal.dbfs import Dbfs, absolute
from retail_assets.databricks.rehearsal.faults import Break, Faults
from retail_assets.databricks.rehearsal.grants import Grants
from retail_assets.databricks.rehearsal.metastore import Metastore, free_port
from retail_assets.databricks.rehearsal.run import Ran
from retail_assets.databricks.rehearsal.runs import Runs
from retail_assets.databricks.rehearsal.server import Received, RestServer
from retail_assets.databricks.rehearsal.spark_configuration import cluster_configuration
from retail_assets.databricks.rehearsal.spark_driver import SparkDriver
from retail_assets.databricks.rehearsal.tokens import Tokens
from retail_assets.databricks.rehearsal.view import View
from retail_assets.databricks.rehearsal.volumes import Volumes


class Workspace:
    """A Databricks workspace on this machine, from `with` to its end.

    `directory` keeps what outlives clusters and the workspace itself: `dbfs`, `volumes`, tables. `spark=False` makes
    clusters whose tasks get None for `spark` and `sc`, which saves the seconds of a JVM. `cluster_environment` is what
    the warm cluster is configured with as `spark_env_vars`, `standard` makes it one that a team shares.

    `secrets` (scope -> key -> value) is what `dbutils` hands out, `principals` whom privileges can be granted to; both
    may be added to. `volume` is a volume that there is; a directory made in `volumes` is another.

    Raises RuntimeError where `/dbfs` cannot be shown to tasks.
    """

    def __init__(
        self,
        directory: Path,
        spark: bool = True,
        cluster_environment: Mapping[str, str] | None = None,
        standard: bool = False,
    ) -> None:
        self.directory = directory.resolve()
        self.dbfs = self.directory / "dbfs"
        self.volumes = self.directory / "volumes"
        self.volume = "/Volumes/spark_catalog/rehearsal/staging"
        for place in (self.dbfs, self._local(self.volume)):
            place.mkdir(parents=True, exist_ok=True)
        self.principals = {CALLER, "account users", "analysts", "engineers"}
        self.absent: set[str] = set()
        """Securables that there are not, by their full names, where no Spark can be asked."""
        self.secrets: dict[str, dict[str, str]] = {}
        self._spark = spark
        self._faults = Faults()
        self._tokens = Tokens()
        self._dbfs = Dbfs(self.dbfs, self._faults)
        self._view = View(self.directory / "view", {"/dbfs": self.dbfs, "/Volumes": self.volumes})
        self.warehouse = self.directory / "warehouse"
        self._metastore = Metastore(self.directory / "metastore", self.warehouse)
        self._clusters = Clusters(self.directory / "clusters", self._view, self._start_spark if spark else None)
        self._runs = Runs(self.directory / "runs", self._clusters, self._local, self.secrets)
        self.cluster_id = self._clusters.make(
            {
                "cluster_name": "warm",
                "spark_env_vars": dict(cluster_environment or {}),
                "data_security_mode": "USER_ISOLATION" if standard else "SINGLE_USER",
            }
        ).cluster_id
        parts = (
            self._tokens,
            self._dbfs,
            Volumes(self.volumes, self._faults),
            self._clusters,
            self._runs,
            Access({"jobs": self._runs.knows_job, "clusters": self._clusters.knows}),
            Grants(self.directory / "grants.json", self._exists, self.principals),
        )
        routes = [route for part in parts for route in part.routes()]
        self._server = RestServer(routes, self._tokens.authorize, self._faults)
        self.host = self._tokens.host = self._runs.host = self._server.host

    def __enter__(self) -> "Workspace":
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._runs.stop()
        self._clusters.stop()
        self._metastore.stop()
        self._view.close()

    @property
    def token(self) -> str:
        """The personal access token that holds now."""
        return self._tokens.token

    @property
    def client_id(self) -> str:
        """With `client_secret`: a service principal's OAuth credentials."""
        return self._tokens.client_id

    @property
    def client_secret(self) -> str:
        return self._tokens.client_secret

    @property
    def requests(self) -> list[Received]:
        """Every call received, in order."""
        return self._server.requests

    @property
    def runs(self) -> list[Ran]:
        """Every run that has ended, in order."""
        return self._runs.ended()

    def fail_next(self, path_pattern: str, status: int | Break, times: int = 1, retry_after: int | None = None) -> None:
        """The next calls whose path has this pattern in it (a regular expression) fail: with an HTTP status, or
        `drop` (the connection breaks, nothing is done) or `lose` (it is done, and the answer is lost)."""
        self._faults.fail_next(path_pattern, status, times, retry_after)

    def at_next(self, path_pattern: str, action: Callable[[], object], handled: bool = False) -> None:
        """Does something at the next call whose path has this pattern in it, before it is handled or once it is. The
        connection breaks."""
        self._faults.at_next(path_pattern, handled, action)

    @property
    def run_ids(self) -> list[int]:
        """The ids of all runs that were submitted."""
        return self._runs.ids()

    @property
    def not_to_be_had(self) -> set[str]:
        """Libraries that pip does not find; to be changed."""
        return self._runs.not_to_be_had

    def token_lifetime(self, seconds: float) -> None:
        """How long the OAuth tokens hold that are given out from now on."""
        self._tokens.lifetime = seconds

    def slow_cancels(self, seconds: float) -> None:
        """From now on a run that is cancelled goes on for so long."""
        self._runs.cancel_seconds = seconds

    def cancel_from_outside(self, run_id: int) -> None:
        """As somebody does in Databricks' own UI."""
        self._runs.cancel(run_id)

    def run_again(self, run_id: int) -> None:
        """The task of a run that goes on loses its machine and is begun again in the same run, as serverless does."""
        self._runs.begin_again(run_id)

    def slow_reads(self, file_pattern: str, seconds: float = 0.0, torn: float = 1.0, times: int = 1) -> None:
        """The next `dbfs/read` calls of such a file are late, and see only the first `torn` share of its bytes."""
        self._faults.slow_reads(file_pattern, seconds, torn, times)

    def expire_token(self) -> None:
        """Every token given out so far is refused from now on; `token` is a new one."""
        self._tokens.expire()

    def statement(self, sql: str, limit: int = 10_000) -> dict[str, Any]:
        """Runs SQL on the warm cluster, which starts if need be: `columns` and `rows`, or `error`."""
        return self._clusters.find(self.cluster_id).spark.statement(sql, limit)

    def _exists(self, kind: str, name: str) -> bool:
        """Whether the metastore has a securable. Without Spark nobody can tell: only `absent` are not there."""
        quoted = ".".join(f"`{part}`" for part in name.split("."))
        if kind == "VOLUME":
            return self.volumes.joinpath(*name.split(".")).is_dir()
        questions = {"CATALOG": "SHOW SCHEMAS IN", "SCHEMA": "DESCRIBE SCHEMA", "TABLE": "DESCRIBE TABLE"}
        if not self._spark:
            return name not in self.absent
        return "error" not in self.statement(f"{questions[kind]} {quoted}")

    def _start_spark(self, cluster: Cluster) -> SparkDriver:
        self._metastore.start()
        asked_for = dict(cluster.spec.get("spark_conf", {}))
        if cluster.kind != DEDICATED:
            asked_for |= {CONNECT_PORT: str(free_port()), "spark.connect.grpc.binding.address": "127.0.0.1"}
        driver = SparkDriver(
            cluster.driver_command(),
            cluster_configuration(cluster.directory, self._metastore.uri, self.warehouse, asked_for),
            cluster.process_environment(),
            cluster.directory,
        )
        self._metastore.wait()
        return driver

    def _local(self, path: str) -> Path:
        """The place here of one on DBFS (`dbfs:/…`) or on a volume (`/Volumes/…`)."""
        if path.startswith("/Volumes/"):
            return self.volumes / path.removeprefix("/Volumes/")
        return self.dbfs / absolute(path).lstrip("/")
