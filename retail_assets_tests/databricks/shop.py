"""The shop_assets package in a folder of its own, run against a rehearsal workspace through the launcher."""

import base64
import io
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import AssetCheckKey, AssetKey, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, RunsFilter
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.event_api import EventLogRecord
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.api import execute_run, execute_run_iterator
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from retail_assets.databricks.compute import Compute, ExistingCluster, NewCluster, Serverless
from retail_assets.databricks.launcher import RetailStepLauncher
from retail_assets.databricks.rehearsal.run import Ran
from retail_assets.databricks.rehearsal.server import Received
from retail_assets.databricks.rehearsal.workspace import Workspace

LIBRARIES = ("dagster",)
HOST_PROGRAM = """
import sys

from dagster import DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import execute_run
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

setup_interrupt_handlers()
repository = ReconstructableRepository.for_module("shop_assets.definitions", "defs")
with DagsterInstance.get() as instance, capture_interrupts():
    run = instance.get_run_by_id(sys.argv[1])
    execute_run(repository.get_reconstructable_job("__ASSET_JOB"), run, instance, raise_on_error=False)
"""
"""A host of its own: makes the run whose id it is given, and can be stopped as Dagster stops runs."""

DBFS, VOLUME = "dbfs:/staging of the shop", "/Volumes/retail/operations/staging/shop"


COMPUTE: dict[str, Callable[[str], Compute]] = {
    "existing": ExistingCluster,
    "serverless": lambda _: Serverless("4"),
    **{
        kind: lambda _, kind=kind: NewCluster(  # type: ignore[misc]
            spark_version="17.3.x-scala2.13",
            node_type="i3.xlarge",
            pool_id=None,
            workers=(1, 2),
            policy_id="policy-1",
            spark_conf={"spark.sql.shuffle.partitions": "8"},
            init_scripts=[{"volumes": {"destination": "/Volumes/retail/operations/scripts/i.sh"}}],
            tags={"team": "retail"},
            kind=kind,
        )
        for kind in ("dedicated", "standard")
    },
}
"""What a step of the shop may run on, by name; given the warm cluster's id."""


def launcher(shop: Mapping[str, Any]) -> RetailStepLauncher:
    """The launcher as SHOP describes it; also made by the shop's own definitions, in any process of the host."""
    behaviour = {name: value for name, value in shop.items() if name not in ("host", "credentials")}
    return RetailStepLauncher(
        host=shop["host"],
        credentials=shop["credentials"],
        compute=COMPUTE[shop.get("compute", "existing")](shop["cluster_id"]),
        staging=shop["staging"],
        environment={"RETAIL_ON_CLUSTER": "1", "SHOP": json.dumps(behaviour)},
        run_fields=shop.get("run_fields"),
        secrets=shop["secrets"],
        poll_seconds=0.2,
        timeout_seconds=shop.get("timeout", 300),
        package=Path(shop["package"]),
        libraries=shop.get("libraries", LIBRARIES),
        carried=(),
    )


class Shop:
    """The package, a Dagster instance as the project configures it, and a workspace."""

    def __init__(self, directory: Path, workspace: Workspace, instance: DagsterInstance) -> None:
        self.workspace = workspace
        self.instance = instance
        self.module = "shop_assets.definitions"
        self.package = directory / "a path with spaces" / "shop_assets"
        shutil.copytree(Path(__file__).parent / "shop_assets", self.package, dirs_exist_ok=True)
        self.settings: dict[str, Any] = {
            "host": workspace.host,
            "credentials": {"auth_type": "pat", "token": workspace.token},
            "cluster_id": workspace.cluster_id,
            "staging": f"{DBFS}/{directory.name}",
            "secrets": [],
            "package": str(self.package),
        }

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the host needs to make runs of the shop."""
        return {"SHOP": json.dumps(self.settings), "PYTHONPATH": f"{self.package.parent}{os.pathsep}{_repository()}"}

    @property
    def process_environment(self) -> dict[str, str]:
        """The whole environment of such a process."""
        return {**os.environ, **self.environment}

    @property
    def job(self) -> ReconstructableJob:
        """The job of all assets, to be built anew wherever it runs."""
        repository = ReconstructableRepository.for_module(self.module, "defs", str(self.package.parent))
        return repository.get_reconstructable_job("__ASSET_JOB")

    def plan(self, *assets: str, days: tuple[str, str] | None = None, checks: tuple[str, ...] | None = None) -> Any:
        """A run of these assets that has not begun; `days` are the first and the last partition."""
        tags = {}
        if days:
            tags = {ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[1]}
            if days[0] == days[1]:
                tags = {PARTITION_NAME_TAG: days[0]}
        selection = frozenset(AssetKey(name) for name in assets)
        check_keys = None if checks is None else frozenset(AssetCheckKey.from_user_string(check) for check in checks)
        with self.loaded():
            subset = self.job.get_subset(asset_selection=selection, asset_check_selection=check_keys)
            run = self.instance.create_run_for_job(subset.get_definition(), asset_selection=selection, tags=tags)
        return run._replace(asset_check_selection=check_keys)

    def run(
        self, *assets: str, days: tuple[str, str] | None = None, checks: tuple[str, ...] | None = None
    ) -> DagsterRun:
        """Makes a run in this process, one step after the other, and returns it as it ended."""
        run = self.plan(*assets, days=days, checks=checks)
        with self.loaded():
            execute_run(self.job, run, self.instance, raise_on_error=False)
        return self.ended(run)

    def resume(self, run: DagsterRun) -> DagsterRun:
        """Takes up a run whose host has died, as Dagster's run monitoring does, and returns it as it ended."""
        with self.loaded():
            list(execute_run_iterator(self.job, self.ended(run), self.instance, resume_from_failure=True))
        return self.ended(run)

    def ended(self, run: DagsterRun) -> DagsterRun:
        """The run as it is stored now."""
        ended = self.instance.get_run_by_id(run.run_id)
        assert ended is not None
        return ended

    def ended_at(self, run: DagsterRun) -> float:
        """When the host was done with the run, in seconds of the epoch."""
        [record] = self.instance.get_run_records(RunsFilter(run_ids=[run.run_id]))
        assert record.end_time is not None
        return record.end_time

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """The shop's definitions with the settings of now, importable in this process for a while."""
        before = os.environ.copy()
        os.environ.update(self.environment)
        sys.path.insert(1, str(self.package.parent))
        ReconstructableJob.get_definition.cache_clear()
        ReconstructableJob.get_repository_definition.cache_clear()
        try:
            yield
        finally:
            sys.path.remove(str(self.package.parent))
            for name in [name for name in sys.modules if name.split(".")[0] == "shop_assets"]:
                del sys.modules[name]
            os.environ.clear()
            os.environ.update(before)

    def status(self, asset: str, check: str, day: str | None = None) -> str:
        """The check's status as the UI shows it: of its newest evaluation, if that is about the newest data."""
        key = AssetCheckKey(AssetKey(asset), check)
        records = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1000)
        record = next((r for r in records if day is None or r.partition == day), None)
        if record is None or record.event is None:
            return "missing"
        evaluation = record.event.get_dagster_event().asset_check_evaluation_data
        newest = self.newest(asset, day)
        target = evaluation.target_materialization_data
        verdict = "passed" if evaluation.passed else "failed"
        if target is None:
            return f"{verdict}, of no materialization"
        if newest is None or target.storage_id != newest.storage_id:
            return f"{verdict}, of another materialization"
        assert (target.run_id, target.timestamp) == (newest.run_id, newest.timestamp)
        return verdict

    def newest(self, asset: str, day: str | None = None) -> EventLogRecord | None:
        """The newest materialization."""
        from dagster._core.event_api import AssetRecordsFilter

        found = self.instance.fetch_materializations(
            AssetRecordsFilter(AssetKey(asset), asset_partitions=[day] if day else None), limit=1
        )
        return found.records[0] if found.records else None

    def tags(self, asset: str, day: str | None = None) -> Mapping[str, str]:
        """The newest materialization's tags."""
        record = self.newest(asset, day)
        assert record is not None
        assert record.asset_materialization is not None
        return record.asset_materialization.tags or {}

    def entries(self, run: DagsterRun, kind: DagsterEventType) -> list[EventLogEntry]:
        """The run's events of a kind, with their time and message."""
        log = [entry for entry in self.instance.all_logs(run.run_id) if entry.is_dagster_event]
        return [entry for entry in log if entry.get_dagster_event().event_type == kind]

    def events(self, run: DagsterRun, kind: DagsterEventType) -> list[DagsterEvent]:
        """The run's events of a kind."""
        return [entry.get_dagster_event() for entry in self.entries(run, kind)]

    def messages(self, run: DagsterRun) -> str:
        """All that the run's log says."""
        return "\n".join(entry.message + str(entry.dagster_event) for entry in self.instance.all_logs(run.run_id))

    def remote(self, run: DagsterRun) -> Ran:
        """The remote run of the run's one step, once it has ended."""
        [run_id] = set(re.findall(r"Databricks run (\d+) makes", self.messages(run)))
        return next(ran for ran in self.workspace.runs if ran.run_id == int(run_id))

    def failure(self, run: DagsterRun) -> Any:
        """What the failed step says."""
        [event] = self.events(run, DagsterEventType.STEP_FAILURE)
        return event.step_failure_data

    def staged(self) -> list[str]:
        """What lies in the staging area, beside the lists of libraries, which stay."""
        staging = self.settings["staging"]
        if staging.startswith("dbfs:"):
            root = self.workspace.dbfs / staging.removeprefix("dbfs:/")
        else:
            root = self.workspace.volumes / staging.removeprefix("/Volumes/")
        return sorted({path.name for path in root.iterdir()} - {"libraries"}) if root.exists() else []

    def staged_by(self, calls: Iterable[Received]) -> dict[str, bytes]:
        """The files that these calls put into DBFS, by name."""
        puts = [call.body for call in calls if call.path.endswith("/dbfs/put")]
        return {body["path"].split("/")[-1]: base64.b64decode(body["contents"]) for body in puts}

    def unzipped(self, content: bytes) -> list[tuple[str, bytes]]:
        """The files in a zip."""
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(name, archive.read(name)) for name in archive.namelist()]


def open_instance(directory: Path) -> DagsterInstance:
    """An instance at home in the directory, which DAGSTER_HOME must name, with the project's own event log."""
    directory.mkdir()
    (directory / "dagster.yaml").write_text(
        "event_log_storage: {module: retail_assets.lakehouse.event_log, class: OpenSqliteEventLogStorage, config: {}}\n"
        "compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}\n"
        "telemetry: {enabled: false}\n"
    )
    return DagsterInstance.get()


def _repository() -> Path:
    return Path(__file__).resolve().parents[2]
