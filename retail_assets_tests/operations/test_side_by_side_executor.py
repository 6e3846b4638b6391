"""A run that is stopped ends, whatever retry policies its steps have; what merely fails is tried again."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from retail_assets.operations.side_by_side_executor import side_by_side_executor
from retail_assets_tests.operations.homes import home_of

TWICE = RetryPolicy(max_retries=1)
POOL = "one_writer"


def events_of(home: Path, assets: Sequence[AssetsDefinition]) -> list[DagsterEvent]:
    """What one run of the assets says; it gives back its places in pools, however it ends."""
    job = Definitions(assets, executor=side_by_side_executor).resolve_implicit_global_asset_job_def()
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


def test_of_tables_that_are_ready_those_of_the_longest_chain_begin_first(tmp_path: Path):
    begun = []

    def table(name: str, *after: AssetsDefinition) -> AssetsDefinition:
        @asset(name=name, deps=after, pool=POOL)  # one at a time
        def made() -> None:
            begun.append(name)

        return made

    first = table("first")
    leaves = [table(name, first) for name in ("a_leaf", "b_leaf")]
    features = table("y_features", first)
    *_, end = events_of(tmp_path, [first, *leaves, features, table("z_model", features)])
    assert end.event_type == DagsterEventType.PIPELINE_SUCCESS
    assert begun[:2] == ["first", "y_features"]
    assert sorted(begun[2:]) == ["a_leaf", "b_leaf", "z_model"]


def test_tables_that_do_not_depend_on_each_other_are_made_side_by_side_and_others_in_order(tmp_path: Path):
    together, order = threading.Barrier(2, timeout=60), []

    @asset
    def left() -> None:
        together.wait()
        order.append("left")

    @asset
    def right() -> None:
        together.wait()
        order.append("right")

    @asset(deps=[left, right])
    def both() -> None:
        order.append("both")

    *_, end = events_of(tmp_path, [left, right, both])
    assert end.event_type == DagsterEventType.PIPELINE_SUCCESS
    assert (set(order[:2]), order[2:]) == ({"left", "right"}, ["both"])


def test_two_writers_of_one_pool_take_turns(tmp_path: Path):
    at_work, most = [], []

    def write() -> None:
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()

    @asset(pool=POOL)
    def one() -> None:
        write()

    @asset(pool=POOL)
    def other() -> None:
        write()

    *_, end = events_of(tmp_path, [one, other])
    assert (end.event_type, most) == (DagsterEventType.PIPELINE_SUCCESS, [1, 1])


def test_a_stop_reaches_every_step_under_way_and_none_goes_on_afterwards(tmp_path: Path):
    both_at_work = threading.Barrier(2, timeout=60)
    ended: list[str] = []
    before = set(threading.enumerate())

    @asset(retry_policy=TWICE)
    def stopped() -> None:
        with _end_noticed(ended):
            both_at_work.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            _go_on()

    @asset(retry_policy=TWICE)
    def beside() -> None:
        with _end_noticed(ended):
            both_at_work.wait()
            _go_on()

    *_, end = events_of(tmp_path, [stopped, beside])
    assert end.event_type == DagsterEventType.PIPELINE_FAILURE
    assert end.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
    assert ended == ["ended", "ended"]
    assert not {"stopped", "beside"} & {thread.name for thread in set(threading.enumerate()) - before}


@contextmanager
def _end_noticed(ended: list[str]) -> Iterator[None]:
    try:
        yield
    finally:
        ended.append("ended")


def _go_on() -> None:
    while True:
        time.sleep(0.01)


def test_what_fails_leaves_what_stands_beside_it_alone(tmp_path: Path):
    @asset
    def fails() -> None:
        raise ValueError("no")

    @asset(deps=[fails])
    def waits() -> None: ...

    @asset
    def goes_on() -> None: ...

    events = events_of(tmp_path, [fails, waits, goes_on])
    said = {(event.step_key, event.event_type) for event in events if event.step_key}
    assert ("fails", DagsterEventType.STEP_FAILURE) in said
    assert ("waits", DagsterEventType.STEP_START) not in said
    assert ("goes_on", DagsterEventType.STEP_SUCCESS) in said
