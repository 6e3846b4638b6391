"""One writer at any time, whatever becomes of the host: killed, stopped, begun again while a cancel takes its time."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from dagster import DagsterEventType, DagsterRun

from retail_assets.databricks import predecessors
from retail_assets.databricks.open_runs import OpenRuns
from retail_assets_tests.databricks.shop import HOST_PROGRAM, Shop


@pytest.fixture
def writing(shop: Shop) -> Iterator[Shop]:
    """The shop with the lock that its writer holds; in the end there was never a second one, and nothing is left."""
    name = shop.instance.root_directory.strip("/").replace("/", "-")
    shop.settings |= {"lock": f"/dbfs/{name}.lock", "seconds": 2}
    yield shop
    shop.workspace.slow_cancels(0)
    assert not (shop.workspace.dbfs / f"{name}.two").exists()
    assert OpenRuns(shop.instance, shop.workspace.host, "writer").all() == []
    assert shop.staged() == []


@contextmanager
def host(shop: Shop, run: DagsterRun) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that makes the run, and is killed in the end if it still lives."""
    program = [sys.executable, "-c", HOST_PROGRAM, run.run_id]
    process = subprocess.Popen(program, env=shop.process_environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(reached: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 240
    while not reached() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.1)
    assert reached()


def submits(shop: Shop) -> list[str]:
    """The idempotency tokens of the requests that were handled."""
    calls = [call for call in shop.workspace.requests if call.path.endswith("/runs/submit")]
    return [call.body["idempotency_token"] for call in calls if call.status != "drop"]


def written(shop: Shop) -> int:
    """How many writers came to their end."""
    return (shop.workspace.dbfs / shop.settings["lock"].removeprefix("/dbfs/")).read_text().count("written")


def killed(shop: Shop, moment: str, handled: bool = False) -> DagsterRun:
    """A run whose host is killed in the middle of a call; without an answer to it."""
    run = shop.plan("writer")
    with host(shop, run) as process:
        shop.workspace.at_next(moment, process.kill, handled)
        assert process.wait(240) == -signal.SIGKILL
    return run


@pytest.mark.parametrize(
    ("moment", "handled"),
    [
        pytest.param("dbfs/put", True, id="while staging", marks=pytest.mark.long),
        pytest.param("runs/submit", False, id="before it is submitted", marks=pytest.mark.long),
        pytest.param("runs/submit", True, id="before the answer"),
        pytest.param("runs/get$", False, id="at the first poll", marks=pytest.mark.long),
        pytest.param("dbfs/delete", False, id="when all is stored", marks=pytest.mark.long),
    ],
)
def test_a_host_that_is_killed_leaves_one_writer_to_whoever_comes_next(writing: Shop, moment: str, handled: bool):
    before = len(submits(writing))
    killed(writing, moment, handled)

    run = writing.run("writer")

    assert run.is_success, writing.messages(run)
    tokens = submits(writing)[before:]
    if moment == "dbfs/put":
        assert len(tokens) == 1
    elif moment == "dbfs/delete":  # it had ended well before: the second does it again
        assert written(writing) == 2
    else:  # what was begun is taken over
        assert len(set(tokens)) == 1
        assert written(writing) == 1
        assert "is taken over" in writing.messages(run)
        assert len(writing.events(run, DagsterEventType.ASSET_MATERIALIZATION)) == 1
        [started] = writing.entries(run, DagsterEventType.STEP_START)
        assert started.run_id == run.run_id


def test_other_work_of_a_killed_host_is_cancelled_and_its_end_awaited(writing: Shop):
    writing.workspace.slow_cancels(3)
    writing.settings["seconds"] = 30
    run = writing.plan("writer")
    with host(writing, run) as process:
        wait_until(lambda: "I am writing" in writing.messages(run), process)

    writing.settings["seconds"] = 0.1  # which makes it other work
    again = writing.run("writer")

    assert again.is_success, writing.messages(again)
    assert "does other work than this step: it is cancelled" in writing.messages(again)
    first, second = writing.remote(run), writing.remote(again)
    assert (first.result_state, second.result_state) == ("CANCELED", "SUCCESS")
    assert second.began > first.ended


@pytest.mark.long
def test_a_run_taken_up_again_by_its_own_name_stores_no_event_twice(writing: Shop):
    writing.settings["seconds"] = 4
    run = writing.plan("writer")
    with host(writing, run) as process:
        wait_until(lambda: "I am writing" in writing.messages(run), process)
    seen = len(writing.entries(run, DagsterEventType.STEP_START))

    resumed = writing.resume(run)

    assert resumed.is_success, writing.messages(resumed)
    assert seen == len(writing.entries(run, DagsterEventType.STEP_START)) == 1
    assert len(writing.events(run, DagsterEventType.ASSET_MATERIALIZATION)) == 1
    assert writing.messages(run).count("I am writing") == 1
    assert written(writing) == 1


@pytest.mark.long
def test_a_retry_waits_for_a_cancel_that_takes_its_time(writing: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predecessors, "CANCEL_SECONDS", 0.2)
    writing.workspace.slow_cancels(4)
    writing.settings |= {"seconds": 30, "timeout": 5}
    run = writing.run("writer")
    assert "is still ending" in writing.messages(run)
    assert not writing.events(run, DagsterEventType.STEP_UP_FOR_RETRY)  # a time limit is a verdict

    writing.settings |= {"seconds": 0.1, "timeout": 300}
    again = writing.run("writer")

    assert again.is_success, writing.messages(again)
    assert writing.remote(again).began > writing.remote(run).ended


@pytest.mark.parametrize(
    ("moment", "handled"),
    [
        pytest.param("dbfs/put", True, id="while staging", marks=pytest.mark.long),
        pytest.param("runs/submit", True, id="before the answer"),
    ],
)
def test_a_stop_is_heard_at_any_point(writing: Shop, moment: str, handled: bool):
    writing.settings["seconds"] = 30
    before = len(writing.workspace.runs)
    run = writing.plan("writer")
    with host(writing, run) as process:
        writing.workspace.at_next(moment, process.terminate, handled)
        process.wait(240)

    assert not writing.ended(run).is_success
    assert [ran.result_state for ran in writing.workspace.runs[before:]] in ([], ["CANCELED"])
    if moment == "runs/submit":
        assert "Cancelled Databricks run" in writing.messages(run)
