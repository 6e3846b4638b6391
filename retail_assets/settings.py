"""Settings from the environment, read and checked in one place, at start-up."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingError(ValueError):
    """A setting that cannot be used; the message names the variable, its value and what would do."""


def _choice(environment: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    value = environment.get(variable, choices[0])
    if value not in choices:
        raise SettingError(f"{variable}={value!r} is not one of {', '.join(choices)}. Unset it for {choices[0]!r}.")
    return value


def _positive(environment: Mapping[str, str], variable: str, default: int) -> int:
    value = environment.get(variable, str(default))
    if not value.isdecimal() or int(value) == 0:
        raise SettingError(f"{variable}={value!r} is not a whole number above 0. Unset it for {default}.")
    return int(value)


def _memory(environment: Mapping[str, str], variable: str, default: str) -> str:
    value = environment.get(variable, default)
    if not re.fullmatch(r"[1-9][0-9]*[kmgt]", value):
        raise SettingError(f"{variable}={value!r} is no amount of memory such as 6g or 512m. Unset it for {default}.")
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
    calendars: Mapping[str, str]
    """What the environment says of the sources' calendars: RETAIL_<SOURCE>_FIRST_DAY and _LAST_DAY."""

    @staticmethod
    def read(environment: Mapping[str, str] | None = None) -> "Settings":
        """Raises SettingError, naming the variable, for a value that cannot be used."""
        environment = os.environ if environment is None else environment
        lakehouse = located(environment.get("RETAIL_LAKEHOUSE", "data/lakehouse"))
        return Settings(
            landing=located(environment.get("RETAIL_LANDING", "data/landing")),
            lakehouse=lakehouse,
            # The other deployment and the other engine join these choices with the code that serves them.
            deployment=_choice(environment, "RETAIL_DEPLOYMENT", ("local",)),
            engine=_choice(environment, "RETAIL_ENGINE", ("spark",)),
            mlflow_tracking_uri=environment.get("MLFLOW_TRACKING_URI") or beside(lakehouse),
            driver_memory=_memory(environment, "RETAIL_SPARK_DRIVER_MEMORY", "6g"),
            shuffle_partitions=_positive(environment, "RETAIL_SPARK_SHUFFLE_PARTITIONS", 4),
            calendars={
                name: value
                for name, value in environment.items()
                if name.startswith("RETAIL_") and name.endswith(("_FIRST_DAY", "_LAST_DAY"))
            },
        )


def project_root() -> Path:
    """The directory of the project: what relative paths in settings are relative to."""
    return Path(__file__).resolve().parent.parent


def located(path: str) -> str:
    """A local path made absolute against the project's root, so that every process means the same place."""
    if "://" in path:
        return path
    return str(project_root() / Path(path).expanduser())


def beside(lakehouse: str) -> str:
    """MLflow's default store: a SQLite file beside a local lakehouse."""
    if "://" in lakehouse:
        raise SettingError(f"RETAIL_LAKEHOUSE={lakehouse!r} is not local: set MLFLOW_TRACKING_URI as well.")
    return f"sqlite:///{Path(lakehouse).parent / 'mlflow.db'}"
