"""Settings from the environment, read and checked in one place, at start-up."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from retail_assets.project import project_root

if TYPE_CHECKING:
    from retail_assets.databricks.settings import DatabricksSettings
    from retail_assets.operations.alerts.settings import AlertSettings

ON_CLUSTER = "RETAIL_ON_CLUSTER"
"""Set to 1 where a step of the databricks deployment runs, by what started it there."""

SHORTEST_KEY = 32

RETENTION_DAYS = 30
"""A month to notice a mistake and to read the table as it was before."""

SHORTEST_RETENTION_DAYS = 7
"""Delta's own bound: below it, vacuum could take files from under a query or a write that goes on."""

WIN_BACK_CHANCE = 0.1
"""Of those who would have left, the share that stays because somebody wrote to them: an assumption, until a campaign
with a control group has measured it. It scales what could be won and orders nothing."""


class SettingError(ValueError):
    """A setting that cannot be used; the message names the variable, its value and what would do."""


def _engine(environment: Mapping[str, str], remote: bool, lakehouse: str) -> str:
    """Locally what a fresh machine can run; on Databricks what is there."""
    if remote:
        return _choice(environment, "RETAIL_ENGINE", ("spark",))
    engine = _choice(environment, "RETAIL_ENGINE", ("sail", "spark"))
    if "://" in lakehouse:
        raise SettingError(
            f"RETAIL_LAKEHOUSE={lakehouse!r} is no directory of this machine, where tables are kept. Set it to a "
            "directory, or keep tables in a catalog with RETAIL_DEPLOYMENT=databricks."
        )
    return engine


def _spark_master(environment: Mapping[str, str]) -> str:
    value = environment.get("RETAIL_SPARK_MASTER", "local")
    if value != "local" and not re.fullmatch(r"local\[(\d+|\*)\]|spark://[^\s/:]+:\d+(,[^\s/:]+:\d+)*", value):
        raise SettingError(
            f"RETAIL_SPARK_MASTER={value!r} is neither local nor a standalone cluster such as spark://host:7077. "
            "Unset it for local."
        )
    if value != "local" and environment.get("RETAIL_ENGINE") != "spark":
        raise SettingError("RETAIL_SPARK_MASTER is for Spark: set RETAIL_ENGINE=spark, too, or unset it.")
    return value


def _choice(environment: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    value = environment.get(variable, choices[0])
    if value not in choices:
        raise SettingError(f"{variable}={value!r} is not one of {', '.join(choices)}. Unset it for {choices[0]!r}.")
    return value


def positive(environment: Mapping[str, str], variable: str, default: int) -> int:
    """A whole number above 0, or SettingError."""
    value = environment.get(variable, str(default))
    if not value.isdecimal() or int(value) == 0:
        raise SettingError(f"{variable}={value!r} is not a whole number above 0. Unset it for {default}.")
    return int(value)


def _rate(environment: Mapping[str, str], variable: str, default: float) -> float:
    value = environment.get(variable, str(default))
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1:
        raise SettingError(f"{variable}={value!r} is no rate from 0 to below 1, such as 0.1. Unset it for {default}.")
    return rate


def required(environment: Mapping[str, str], variable: str, wanted: str) -> str:
    """A value that must be there, or SettingError that says what it should be."""
    value = environment.get(variable, "").strip()
    if not value:
        raise SettingError(f"{variable} is not set, and RETAIL_DEPLOYMENT=databricks needs it: {wanted}.")
    return value


def _retention(environment: Mapping[str, str], variable: str) -> int:
    days = positive(environment, variable, RETENTION_DAYS)
    if days < SHORTEST_RETENTION_DAYS:
        raise SettingError(
            f"{variable}={days} is too short: below {SHORTEST_RETENTION_DAYS} days, clean-up could take files from "
            f"under a query that goes on. Set {SHORTEST_RETENTION_DAYS} or more, or unset it for {RETENTION_DAYS}."
        )
    return days


def _months(environment: Mapping[str, str], variable: str) -> int | None:
    value = environment.get(variable)
    if value is not None and not (value.isdecimal() and int(value)):
        raise SettingError(f"{variable}={value!r} is no number of months such as 36. Unset it to keep data for good.")
    return int(value) if value else None


def _memory(environment: Mapping[str, str], variable: str, default: str) -> str:
    value = environment.get(variable, default)
    if not re.fullmatch(r"[1-9][0-9]*[kmgt]", value):
        raise SettingError(f"{variable}={value!r} is no amount of memory such as 6g or 512m. Unset it for {default}.")
    return value


def _cron(environment: Mapping[str, str], variable: str) -> str | None:
    value = environment.get(variable)
    if value is None:
        return None
    from dagster._utils.schedules import is_valid_cron_string  # Dagster takes a second to import

    if not is_valid_cron_string(value):
        raise SettingError(f"{variable}={value!r} is no cron schedule such as 0 3 * * *. Unset it for no schedule.")
    return value


@dataclass(frozen=True)
class Settings:
    """Where things lie and how they run. Local paths are absolute; object-store URIs stay as they are."""

    landing: str
    lakehouse: str
    deployment: str
    engine: str
    mlflow_tracking_uri: str
    driver_memory: str
    shuffle_partitions: int
    spark_master: str
    """Where Spark runs: in this process (`local`), or on a standalone cluster, spark://host:port."""
    executor_memory: str
    dashboards: str
    """Where the pages of the dashboard are written: a directory, on Databricks one of a volume."""
    dashboards_url: str | None
    """Where browsers find these pages: what links in the Dagster UI lead to; none where nothing serves them."""
    calendars: Mapping[str, str]
    """What the environment says of the sources' calendars: RETAIL_<SOURCE>_FIRST_DAY and _LAST_DAY."""
    discount_rate: float
    """What a customer's purchases are worth less for each year that they are away."""
    win_back_chance: float = WIN_BACK_CHANCE
    """Of the customers who would leave, the share that is taken to stay because somebody wrote to them."""
    personal_data_months: int | None = None
    """For how long after their last purchase customers are known; without it, for good."""
    mlflow_seconds: int = 30
    """How long MLflow's server may take to answer a call."""
    shops: str = "shops"
    """Where shops are described, each in a file `<name>.toml`."""
    drop_marker: str | None = None
    """What a file beside a drop is called, after the drop's own name, to say that the drop is complete."""
    tick_seconds: int = 5
    """How often the daemon looks at the landing zone, and at what follows what."""
    days_per_run: int = 366
    months_per_run: int = 24
    """How many partitions one run of an arrival or of a backfill makes at most: it bounds memory."""
    snapshots_cron: str | None = None
    """Between two of its ticks, in UTC, a month's snapshot is made by itself at most once; without one, whenever
    something that it reads has changed."""
    on_cluster: bool = False
    """Whether this process runs a step on the Databricks cluster: no credentials there, and nothing is launched."""
    catalog: str | None = None
    """Where tables live by name, in the databricks deployment."""
    clustered: bool = False
    """Whether new tables of the catalog are laid out by liquid clustering instead of in directories."""
    databricks: "DatabricksSettings | None" = None
    """The workspace, on the host of the databricks deployment."""
    retention_days: int = RETENTION_DAYS
    """For how many days every version of a table can be read, at least."""
    segment_transform: str = "log"
    """What is done to customers' measures before they are clustered: their logarithm, or winsorised."""
    segment_engine: str = "auto"
    """What clusters them: scikit-learn on the driver, MLlib, or MLlib from so many customers on."""
    segment_driver_customers: int = 200_000
    """Up to how many customers a month `auto` stays on the driver."""
    pseudonym_key: str | None = field(default=None, repr=False)
    """The secret key of customers' pseudonyms in gold and ml; without one their ids stay as they are."""
    ui_url: str = "http://localhost:3000"
    """Where people open the Dagster UI: what alerts link to."""
    alerts: "AlertSettings | None" = None
    """Who hears of failures and recoveries; nobody, if it is not set."""
    code_server_port: int = 4000
    """Where the code server of a deployment listens."""
    log_format: str = "colored"
    """How the services of a deployment write their logs: for people, or as one JSON object a line."""

    @staticmethod
    def read(environment: Mapping[str, str] | None = None) -> "Settings":
        """Raises SettingError, naming the variable, for a value that cannot be used. A blank variable counts as unset:
        it is what a script or a unit file leaves where it has nothing to say."""
        given = os.environ if environment is None else environment
        environment = {name: value for name, value in given.items() if value.strip()}
        deployment = _choice(environment, "RETAIL_DEPLOYMENT", ("local", "databricks"))
        remote = deployment == "databricks"
        lakehouse = located(environment.get("RETAIL_LAKEHOUSE", "data/lakehouse"))
        on_cluster = remote and environment.get(ON_CLUSTER) == "1"
        settings = Settings(
            landing=_remote_landing(environment) if remote else located(environment.get("RETAIL_LANDING", LANDING)),
            lakehouse=lakehouse,
            shops=located(environment.get("RETAIL_SHOPS", SHOPS)),
            deployment=deployment,
            engine=_engine(environment, remote, lakehouse),
            mlflow_tracking_uri=_remote_tracking(environment)
            if remote
            else environment.get("MLFLOW_TRACKING_URI") or beside(lakehouse),
            personal_data_months=_months(environment, "RETAIL_PERSONAL_DATA_MONTHS"),
            mlflow_seconds=positive(environment, "RETAIL_MLFLOW_SECONDS", 30),
            driver_memory=_memory(environment, "RETAIL_SPARK_DRIVER_MEMORY", "6g"),
            shuffle_partitions=positive(environment, "RETAIL_SPARK_SHUFFLE_PARTITIONS", 4),
            spark_master=_spark_master(environment),
            executor_memory=_memory(environment, "RETAIL_SPARK_EXECUTOR_MEMORY", "2g"),
            dashboards=_dashboards(environment, lakehouse, _catalog(environment) if remote else None),
            dashboards_url=_dashboards_url(environment, remote),
            calendars={
                name: value
                for name, value in environment.items()
                if name.startswith("RETAIL_") and name.endswith(("_FIRST_DAY", "_LAST_DAY"))
            },
            discount_rate=_rate(environment, "RETAIL_DISCOUNT_RATE", 0.1),
            win_back_chance=_rate(environment, "RETAIL_WIN_BACK_CHANCE", WIN_BACK_CHANCE),
            drop_marker=environment.get("RETAIL_DROP_MARKER"),
            tick_seconds=positive(environment, "RETAIL_TICK_SECONDS", 5),
            days_per_run=positive(environment, "RETAIL_DAYS_PER_RUN", 366),
            months_per_run=positive(environment, "RETAIL_MONTHS_PER_RUN", 24),
            snapshots_cron=_cron(environment, "RETAIL_SNAPSHOTS_CRON"),
            on_cluster=on_cluster,
            catalog=_catalog(environment) if remote else None,
            clustered=_choice(environment, "RETAIL_LAYOUT", ("partitioned", "clustered")) == "clustered",
            databricks=_workspace(environment) if remote and not on_cluster else None,
            retention_days=_retention(environment, "RETAIL_RETENTION_DAYS"),
            segment_transform=_choice(environment, "RETAIL_SEGMENT_TRANSFORM", ("log", "winsorised")),
            segment_engine=_choice(environment, "RETAIL_SEGMENT_ENGINE", ("auto", "scikit-learn", "mllib")),
            segment_driver_customers=positive(environment, "RETAIL_SEGMENT_DRIVER_CUSTOMERS", 200_000),
            pseudonym_key=_key(environment, "RETAIL_PSEUDONYM_KEY"),
            ui_url=_ui_url(environment),
            alerts=None if on_cluster else _alerts(environment),
            code_server_port=positive(environment, "RETAIL_CODE_SERVER_PORT", 4000),
            log_format=_choice(environment, "RETAIL_LOG_FORMAT", ("colored", "json")),
        )
        if settings.engine == "sail" and settings.segment_engine == "mllib":
            raise SettingError(
                "RETAIL_SEGMENT_ENGINE=mllib needs Spark, whose library it is, and RETAIL_ENGINE is 'sail'. Set "
                "RETAIL_ENGINE=spark, or RETAIL_SEGMENT_ENGINE=scikit-learn."
            )
        if settings.databricks:
            _refuse_key_that_stays_behind(settings.databricks, settings.pseudonym_key)
        return settings

    @property
    def look_after_seconds(self) -> int:
        """A second less than a tick: Dagster's daemon looks every five seconds, and what is due a moment later waits
        for five more."""
        return max(1, self.tick_seconds - 1)

    @property
    def only_cluster_sees_landing(self) -> bool:
        """Whether the landing zone cannot be listed from the host: it lies in a volume."""
        return self.deployment == "databricks" and self.landing.startswith("/Volumes/")

    @property
    def remote_environment(self) -> dict[str, str]:
        """The environment that a step on the cluster needs to read the same settings there. Holds no secret."""
        return {
            "RETAIL_DEPLOYMENT": self.deployment,
            ON_CLUSTER: "1",
            "RETAIL_LANDING": self.landing,
            "RETAIL_DROP_MARKER": self.drop_marker or "",
            "RETAIL_CATALOG": self.catalog or "",
            "RETAIL_LAYOUT": "clustered" if self.clustered else "partitioned",
            "RETAIL_ENGINE": self.engine,
            "RETAIL_RETENTION_DAYS": str(self.retention_days),
            "RETAIL_DISCOUNT_RATE": str(self.discount_rate),
            "RETAIL_WIN_BACK_CHANCE": str(self.win_back_chance),
            "MLFLOW_TRACKING_URI": self.mlflow_tracking_uri,
            "RETAIL_MLFLOW_SECONDS": str(self.mlflow_seconds),
            "RETAIL_SEGMENT_TRANSFORM": self.segment_transform,
            "RETAIL_SEGMENT_ENGINE": self.segment_engine,
            "RETAIL_SEGMENT_DRIVER_CUSTOMERS": str(self.segment_driver_customers),
            "RETAIL_DASHBOARDS": self.dashboards,
            "RETAIL_DASHBOARDS_URL": self.dashboards_url or "",
            **self.calendars,
        }


LANDING = "data/landing"
SHOPS = "shops"
DBFS_DASHBOARDS = "/dbfs/retail_assets/dashboards"


def _remote_landing(environment: Mapping[str, str]) -> str:
    wanted = "the landing zone as the cluster sees it, such as /Volumes/retail/landing/drops or s3://bucket/landing"
    value = required(environment, "RETAIL_LANDING", wanted).rstrip("/")
    if not re.fullmatch(r"/Volumes(/[^/]+){3,}|(?!file:)[a-z][a-z0-9+.-]*://.+", value):
        raise SettingError(f"RETAIL_LANDING={value!r} cannot be read on a Databricks cluster. Set it to {wanted}.")
    return value


def _remote_tracking(environment: Mapping[str, str]) -> str:
    value = environment.get("MLFLOW_TRACKING_URI", "databricks")
    if urlsplit(value).password:
        raise SettingError(
            "MLFLOW_TRACKING_URI holds a password, which would be staged for the cluster. Leave it out, and give the "
            "cluster MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD by RETAIL_DATABRICKS_SECRETS."
        )
    return value


def _dashboards(environment: Mapping[str, str], lakehouse: str, catalog: str | None) -> str:
    value = environment.get("RETAIL_DASHBOARDS", "").strip()
    if "://" in value or (value and catalog and not value.startswith(("/Volumes/", "/dbfs/"))):
        wanted = "a directory of a volume, /Volumes/…" if catalog else "a directory of this machine"
        raise SettingError(f"RETAIL_DASHBOARDS={value!r} cannot hold the dashboard's pages. Set it to {wanted}.")
    if value:
        return located(value)
    if catalog:
        from retail_assets.databricks.settings import is_unity_catalog

        return f"/Volumes/{catalog}/retail_assets/dashboards" if is_unity_catalog(catalog) else DBFS_DASHBOARDS
    return located("data/dashboards") if "://" in lakehouse else str(Path(lakehouse).parent / "dashboards")


def _catalog(environment: Mapping[str, str]) -> str:
    from retail_assets.databricks.settings import read_catalog

    return read_catalog(environment)


def _workspace(environment: Mapping[str, str]) -> "DatabricksSettings":
    from retail_assets.databricks.settings import DatabricksSettings

    return DatabricksSettings.read(environment)


def _alerts(environment: Mapping[str, str]) -> "AlertSettings | None":
    from retail_assets.operations.alerts.settings import read_alerts

    return read_alerts(environment)


def _ui_url(environment: Mapping[str, str]) -> str:
    wanted = "of the Dagster UI such as https://dagster.example.org"
    return _address(environment.get("RETAIL_UI_URL", "http://localhost:3000"), "RETAIL_UI_URL", wanted)


def _dashboards_url(environment: Mapping[str, str], remote: bool) -> str | None:
    value = environment.get("RETAIL_DASHBOARDS_URL", "" if remote else "http://localhost:3010")
    return (
        _address(value, "RETAIL_DASHBOARDS_URL", "of the dashboard's pages such as http://localhost:3010")
        if value
        else None
    )


def _address(value: str, variable: str, wanted: str) -> str:
    value = value.rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise SettingError(f"{variable} is not an address {wanted}, without a password.")
    return value


def _key(environment: Mapping[str, str], variable: str) -> str | None:
    value = environment.get(variable)
    if value and len(value) < SHORTEST_KEY:
        raise SettingError(
            f"{variable} is shorter than {SHORTEST_KEY} characters, too short for a key. "
            "Make one: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return value


def _refuse_key_that_stays_behind(databricks: "DatabricksSettings", key: str | None) -> None:
    """Tables are written on the cluster: a key that only the host knows would leave the ids as they are."""
    if key and all(secret["name"] != "RETAIL_PSEUDONYM_KEY" for secret in databricks.secrets):
        raise SettingError(
            "RETAIL_PSEUDONYM_KEY is set here but would not reach the cluster. Put the key into a secret scope, and "
            "set RETAIL_DATABRICKS_SECRET_SCOPE and RETAIL_DATABRICKS_SECRETS=RETAIL_PSEUDONYM_KEY=<its key there>."
        )


def located(path: str) -> str:
    """A local path made absolute against the project's root, so that every process means the same place."""
    path = path.removeprefix("file://")
    if "://" in path:
        return path
    return str(project_root() / Path(path).expanduser())


def beside(lakehouse: str) -> str:
    """MLflow's default store: a SQLite file beside a local lakehouse."""
    if "://" in lakehouse:
        raise SettingError(f"RETAIL_LAKEHOUSE={lakehouse!r} is not local: set MLFLOW_TRACKING_URI as well.")
    return f"sqlite:///{Path(lakehouse).parent / 'mlflow.db'}"
