"""A run that is stopped ends, whatever retry policies its steps have; what merely fails is tried again."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DagsterEvent,
    DagsterEventType,
    Definitions,
    RetryPolicy,
    asset,
)
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import RunFailureReason
from dagster._core.execution.api import execute_run_iterator

from retail_assets.operations.stoppable_executor import stoppable_executor
from retail_assets_tests.operations.homes import home_of

TWICE = RetryPolicy(max_retries=1)
POOL = "one_writer"


def events_of(home: Path, assets: Sequence[AssetsDefinition]) -> list[DagsterEvent]:
    """What one run of the assets says; it gives back its places in pools, however it ends."""
    job = Definitions(assets, executor=stoppable_executor).resolve_implicit_global_asset_job_def()
    with home_of(home) as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 1)
        events = list(execute_run_iterator(InMemoryJob(job), instance.create_run_for_job(job), instance))
        assert instance.event_log_storage.get_concurrency_info(POOL).claimed_slots == []
    return events


@pytest.mark.parametrize("fails_first", [False, True])
def test_a_step_that_is_stopped_is_not_tried_again_and_its_run_ends(tmp_path: Path, fails_first: bool):
    tries = []

    @asset(retry_policy=TWICE, pool=POOL)
    def sales() -> None:
        tries.append(1)
        if fails_first and len(tries) == 1:
            raise ConnectionError("nobody answers")
        signal.raise_signal(signal.SIGTERM)

    *_, end = events_of(tmp_path, [sales])
    assert len(tries) == 1 + fails_first
    assert end.event_type == DagsterEventType.PIPELINE_FAILURE
    assert end.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION


def test_a_run_that_is_terminated_in_the_ui_is_canceled(tmp_path: Path):
    @asset(retry_policy=TWICE, pool=POOL)
    def sales(context: AssetExecutionContext) -> None:
        context.instance.report_run_canceling(context.run)
        signal.raise_signal(signal.SIGTERM)

    *_, end = events_of(tmp_path, [sales])
    assert end.event_type == DagsterEventType.PIPELINE_CANCELED


def test_a_step_that_fails_is_tried_again(tmp_path: Path):
    tries = []

    @asset(retry_policy=TWICE, pool=POOL)
    def sales() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("nobody answers")

    *_, end = events_of(tmp_path, [sales])
    assert (len(tries), end.event_type) == (2, DagsterEventType.PIPELINE_SUCCESS)
