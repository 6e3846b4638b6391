"""What tables say of their models to MLflow, whoever writes it down."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

CHAMPION = "champion"
CHAMPION_AS_OF = "champion_as_of"
"""The tag of a registered model that says for which partition its champion was chosen."""


@dataclass(frozen=True)
class RegisteredModel:
    """Where a model that was logged is: for the metadata of a materialization."""

    run_id: str
    name: str
    version: str
    uri: str


@dataclass(frozen=True)
class Asked:
    """The run that is asked for: in which experiment, what it is called, of which Dagster run, with which tags."""

    experiment: str
    name: str
    dagster_run_id: str
    tags: Mapping[str, str]


class TrackedRun(ABC):
    """An open MLflow run. What is logged goes to the innermost of the runs that are open."""

    @property
    @abstractmethod
    def run_id(self) -> str:
        """The innermost open run."""

    @abstractmethod
    def nested(self, name: str, tags: Mapping[str, str] | None = None) -> AbstractContextManager[str]:
        """A child run, ended with its own status; yields its id."""

    def month(self, name: str) -> AbstractContextManager[str]:
        """The nested run of one monthly partition."""
        return self.nested(name, {"level": "month", "partition": name})

    def candidate(self, name: str) -> AbstractContextManager[str]:
        """The nested run of one model that was tried."""
        return self.nested(name, {"level": "candidate"})

    @abstractmethod
    def log(
        self,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Parameters, metrics and tags of the innermost open run, in one write."""

    @abstractmethod
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

    @abstractmethod
    def version(self, name: str, alias: str) -> str | None:
        """The version of a registered model that has the alias; None where the registry has no such model or alias."""

    @abstractmethod
    def tell(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Tags of a model version: what was found out about it since it was registered."""

    @abstractmethod
    def promote(self, name: str, version: str, as_of: str) -> bool:
        """Makes the version the champion as of a partition, unless the champion is already one of a later partition
        (months that are made again leave the newest in force). Returns whether it did."""


@contextmanager
def ended_with_its_status(end: Callable[[str], object]) -> Iterator[None]:
    """Ends a run as the block ends."""
    status = "FINISHED"
    try:
        yield
    except BaseException as error:
        # What is no Exception is an interruption: a keyboard's, or Dagster's on termination.
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        end(status)


def as_numbers(example: pd.DataFrame) -> pd.DataFrame:
    """MLflow's integers cannot be missing, and its users' columns can."""
    return example.astype("float64")
