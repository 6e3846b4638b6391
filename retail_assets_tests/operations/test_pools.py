"""A step whose process is gone, and a run that is over, give back their places in pools: no later main job waits."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    multiprocess_executor,
)
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.test_utils import create_run_for_test

from retail_assets.operations.main_job import Observer, clear_dead_runs, run_main_job
from retail_assets.operations.planning import Landed, Request
from retail_assets_tests.operations.homes import home_of

POOL, DAY = "write_sales", "2011-01-04"


@asset(partitions_def=DailyPartitionsDefinition(DAY, end_date="2011-01-05"), pool=POOL)
def sales() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


DEFINITIONS = Definitions([sales], executor=multiprocess_executor)
"""A process for each step, as with Databricks."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """With one place in the pool."""
    with home_of(tmp_path) as made:
        made.event_log_storage.set_concurrency_slots(POOL, 1)
        yield made


def test_a_step_whose_process_is_killed_gives_back_its_place(instance: DagsterInstance):
    landed: dict[AssetKey, Landed] = {sales.key: lambda made: (set(), DAY)}
    whole = ReconstructableJob(ReconstructableRepository.for_module(__name__, "DEFINITIONS"), "__ASSET_JOB")
    summary = run_main_job(DEFINITIONS, instance, landed, Request(), Observer(), whole=whole)
    assert "ChildProcessCrashException" in summary.failures[0]
    assert instance.event_log_storage.get_concurrency_info(POOL).claimed_slots == []


def test_runs_that_are_over_give_back_their_places_and_others_keep_theirs(instance: DagsterInstance):
    pools = instance.event_log_storage
    over = create_run_for_test(instance, status=DagsterRunStatus.FAILURE)
    goes_on = create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    assert pools.claim_concurrency_slot(POOL, over.run_id, "sales").is_claimed
    assert not pools.claim_concurrency_slot(POOL, goes_on.run_id, "sales").is_claimed
    clear_dead_runs(instance)
    assert pools.claim_concurrency_slot(POOL, goes_on.run_id, "sales").is_claimed
    clear_dead_runs(instance)
    assert [place.run_id for place in pools.get_concurrency_info(POOL).claimed_slots] == [goes_on.run_id]
