"""What goes wrong between here and a cluster, and what becomes of the step."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from dagster import DagsterEventType

from retail_assets_tests.databricks.shop import HOST_PROGRAM, Shop

CANCEL = "/jobs/runs/cancel"


def calls(shop: Shop, path: str) -> int:
    return sum(call.path.endswith(path) for call in shop.workspace.requests)


def test_a_process_that_dies_is_explained_by_its_state_its_page_and_its_last_words(shop: Shop):
    run = shop.run("crash")

    assert run.is_failure
    failure = shop.failure(run).user_failure_data
    assert "of crash ended (" in failure.description
    assert "FAILED) before the step did" in failure.description
    assert "these are my last words" in failure.description
    assert f"{shop.workspace.host}/?o=0#job/" in failure.description
    assert failure.metadata["result_state"].value == "FAILED"
    assert failure.metadata["databricks_run"].value in failure.description
    assert "these are my last words" in failure.metadata["log_end"].value
    assert shop.staged() == []


@pytest.mark.long
@pytest.mark.parametrize("dies", [False, True], ids=["raises", "dies"])
def test_a_step_with_a_retry_policy_is_tried_again(shop: Shop, dies: bool):
    shop.settings["dies"] = dies

    run = shop.run("flaky")

    assert run.is_success, shop.messages(run)
    assert len(shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)) == 1
    assert len(shop.events(run, DagsterEventType.STEP_SUCCESS)) == 1


def test_answers_that_pass_are_waited_for_and_a_lost_one_starts_no_second_run(shop: Shop):
    workspace, submitted = shop.workspace, len(shop.workspace.runs)
    workspace.fail_next("dbfs/put", 429, retry_after=1)
    workspace.fail_next("dbfs/put", 500)
    workspace.fail_next("dbfs/put", "drop")
    workspace.fail_next("runs/submit", "lose")
    workspace.fail_next("runs/submit", 503, retry_after=1)
    workspace.fail_next("runs/get$", 500)
    workspace.fail_next("runs/get$", 504)
    workspace.fail_next("dbfs/read", "drop")
    workspace.fail_next("dbfs/read", 500)
    workspace.fail_next("dbfs/delete", 503, retry_after=1)

    run = shop.run("totals")

    assert run.is_success, shop.messages(run)
    assert len(workspace.runs) == submitted + 1
    assert shop.messages(run).count("A poll of Databricks run") == 4
    assert shop.status("totals", "positive") == "passed"
    assert shop.staged() == []


@pytest.mark.long
def test_events_that_are_being_written_are_read_again(shop: Shop):
    shop.workspace.slow_reads("events.gz", seconds=0.5, torn=0.6, times=1)
    shop.workspace.slow_reads("events.gz", torn=0.98, times=3)

    run = shop.run("drops", days=("2011-01-01", "2011-01-02"))

    assert run.is_success, shop.messages(run)
    assert len(shop.events(run, DagsterEventType.STEP_START)) == 1
    assert len(shop.events(run, DagsterEventType.ASSET_MATERIALIZATION)) == 2
    assert len(shop.events(run, DagsterEventType.ASSET_CHECK_EVALUATION)) == 4


def test_a_request_that_cannot_be_fulfilled_is_not_repeated(shop: Shop):
    shop.settings["cluster_id"] = "0101-000000-nowhere"

    run = shop.run("flaky")

    assert run.is_failure
    assert "0101-000000-nowhere" in shop.failure(run).user_failure_data.description
    assert not shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)
    assert shop.staged() == []


def test_an_expired_token_says_what_to_do(shop: Shop):
    old = shop.workspace.token
    shop.workspace.expire_token()

    run = shop.run("flaky")

    assert run.is_failure
    description = shop.failure(run).user_failure_data.description
    assert "refused the request: Invalid access token." in description
    assert "make a new one" in description
    assert old not in shop.messages(run)
    assert not shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)


@pytest.mark.long
def test_a_token_that_expires_meanwhile_names_the_run_that_goes_on(shop: Shop):
    shop.settings["seconds"] = 6
    threading.Timer(3, shop.workspace.expire_token).start()

    run = shop.run("slow")

    description = shop.failure(run).user_failure_data.description
    assert "Invalid access token." in description
    assert "may go on until its time limit: http" in description
    assert "could not be cancelled" in shop.messages(run)


@pytest.mark.long
def test_a_step_that_takes_too_long_is_cancelled(shop: Shop):
    shop.settings["timeout"] = 4
    cancelled = calls(shop, CANCEL)

    run = shop.run("slow")

    assert "took longer than 4 s" in shop.failure(run).user_failure_data.description
    assert calls(shop, CANCEL) == cancelled + 1
    assert shop.remote(run).result_state == "CANCELED"
    assert shop.staged() == []


@pytest.mark.parametrize(
    "at_once", [False, pytest.param(True, marks=pytest.mark.long)], ids=["in process", "in a child"]
)
def test_a_terminated_run_cancels_the_remote_one(shop: Shop, at_once: bool):
    shop.settings["at_once"] = at_once
    run = shop.plan("slow")
    host = subprocess.Popen([sys.executable, "-c", HOST_PROGRAM, run.run_id], env=shop.process_environment)
    try:
        until = time.monotonic() + 240
        while "I am taking my time" not in shop.messages(run) and time.monotonic() < until:
            assert host.poll() is None
            time.sleep(0.2)
        host.send_signal(signal.SIGTERM)
        host.wait(timeout=240)
    finally:
        host.kill()

    assert shop.remote(run).result_state == "CANCELED"
    assert "Cancelled Databricks run" in shop.messages(run)
    assert not shop.ended(run).is_success
    assert shop.staged() == []
