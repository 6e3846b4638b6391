"""A verdict sticks, and what passes is waited for or tried again."""

import gzip
import threading
import time
from collections.abc import Callable

import pytest
from dagster import DagsterEventType, DagsterRun
from databricks.sdk.errors.platform import STATUS_CODE_MAPPING
from databricks.sdk.service.jobs import TerminationCodeCode

from retail_assets.databricks.verdicts import ITS_OWN_END, PASSING_ENDS, VERDICTS, login_is_refused, may_pass
from retail_assets.databricks.workspace_api import Refused
from retail_assets_tests.databricks.shop import Shop

PASSING = {408, 429, 500, 502, 503, 504}


@pytest.mark.parametrize("status", sorted({*STATUS_CODE_MAPPING, *range(400, 432), 451, *range(500, 512), 599}))
def test_of_the_answers_these_pass_and_no_others(status: int):
    assert Refused(status, "", "").passing == (status in PASSING)


@pytest.mark.parametrize(
    ("code", "kind", "passes"),
    [
        ("INTERNAL_ERROR", "INTERNAL_ERROR", True),
        ("DRIVER_ERROR", "CLIENT_ERROR", True),
        ("CLUSTER_ERROR", "CLIENT_ERROR", True),
        ("CLUSTER_TERMINATED_BY_USER", "CLIENT_ERROR", True),
        ("CLOUD_FAILURE", "CLOUD_FAILURE", True),
        ("STORAGE_ACCESS_ERROR", "CLIENT_ERROR", True),
        ("WORKSPACE_RUN_LIMIT_EXCEEDED", "CLIENT_ERROR", True),
        ("CLUSTER_REQUEST_LIMIT_EXCEEDED", "CLIENT_ERROR", True),
        ("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR", True),
        ("MAX_SPARK_CONTEXTS_EXCEEDED", "CLIENT_ERROR", True),
        ("MAX_JOB_QUEUE_SIZE_EXCEEDED", "CLIENT_ERROR", True),
        ("USER_CANCELED", "SUCCESS", False),
        ("CANCELED", "INTERNAL_ERROR", False),
        ("SKIPPED", "CLIENT_ERROR", False),
        ("DISABLED", "CLIENT_ERROR", False),
        ("LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR", False),
        ("INVALID_CLUSTER_REQUEST", "CLIENT_ERROR", False),
        ("INVALID_RUN_CONFIGURATION", "CLIENT_ERROR", False),
        ("FEATURE_DISABLED", "CLIENT_ERROR", False),
        ("BUDGET_POLICY_LIMIT_EXCEEDED", "CLIENT_ERROR", False),
        ("UNAUTHORIZED_ERROR", "CLIENT_ERROR", False),
        ("RESOURCE_NOT_FOUND", "CLIENT_ERROR", False),
        ("REPOSITORY_CHECKOUT_FAILED", "CLIENT_ERROR", False),
        ("BREAKING_CHANGE", "CLIENT_ERROR", False),
        ("RUN_EXECUTION_ERROR", "CLIENT_ERROR", False),
        ("A_CODE_OF_TOMORROW", "INTERNAL_ERROR", True),
        ("A_CODE_OF_TOMORROW", "CLOUD_FAILURE", True),
        ("A_CODE_OF_TOMORROW", "CLIENT_ERROR", False),
        ("A_CODE_OF_TOMORROW", "", False),
    ],
)
def test_of_the_ends_of_a_run_these_pass_and_no_others(code: str, kind: str, passes: bool):
    assert may_pass(code, kind) == passes


def test_every_end_that_the_sdk_knows_is_judged():
    judged = {*PASSING_ENDS, *VERDICTS, ITS_OWN_END, "SUCCESS", "SUCCESS_WITH_FAILURES"}
    assert {code.value for code in TerminationCodeCode} <= judged
    assert not set(PASSING_ENDS) & set(VERDICTS)


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ("invalid_client: Client authentication failed", True),
        ("unauthorized_client: no", True),
        ("invalid_scope: Expected the scope all-apis", True),
        ("AADSTS7000222: The provided client secret keys are expired", True),
        ("b'upstream connect error'", False),
        ("unknown: unknown", False),
        ("temporarily_unavailable: later", False),
    ],
)
def test_a_login_is_refused_only_by_the_words_of_its_standard(told: str, refused: bool):
    assert login_is_refused(told) == refused


def beside(shop: Shop, reached: Callable[[], bool], action: Callable[[], object]) -> threading.Thread:
    """Does something, once, when it is time; while the test's own thread makes a run."""

    def wait() -> None:
        until = time.monotonic() + 240
        while not reached() and time.monotonic() < until:
            time.sleep(0.05)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def running(shop: Shop) -> int:
    """The id of the newest run that was submitted."""
    return max(run_id for run_id in shop.workspace.run_ids)


def events_have(shop: Shop, text: str) -> bool:
    """Whether a remote process has written of this."""
    place = shop.workspace.dbfs / shop.settings["staging"].removeprefix("dbfs:/")
    return any(text in gzip.decompress(file.read_bytes()).decode() for file in place.glob("*/events.gz"))


def tries(shop: Shop, run: DagsterRun) -> int:
    return sum("makes" in entry.message for entry in shop.entries(run, DagsterEventType.ENGINE_EVENT))


def test_a_cancel_from_databricks_own_ui_sticks(shop: Shop):
    shop.settings |= {"lock": f"/dbfs/{shop.package.parent.parent.name}.lock", "seconds": 60}
    cancel = lambda: shop.workspace.cancel_from_outside(running(shop))  # noqa: E731
    beside(shop, lambda: events_have(shop, "I am writing"), cancel)

    run = shop.run("writer")

    assert run.is_failure
    assert "somebody cancelled it in Databricks" in shop.failure(run).user_failure_data.description
    assert tries(shop, run) == 1
    assert shop.staged() == []


@pytest.mark.long
def test_a_cancel_sticks_even_where_the_step_had_asked_for_another_try(shop: Shop):
    shop.settings["lingers"] = 60
    cancel = lambda: shop.workspace.cancel_from_outside(running(shop))  # noqa: E731
    beside(shop, lambda: events_have(shop, "STEP_UP_FOR_RETRY"), cancel)

    run = shop.run("indecisive")

    assert run.is_failure
    assert not shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)
    assert tries(shop, run) == 1


@pytest.mark.long
def test_a_step_that_asks_for_another_try_gets_it_when_its_run_has_ended(shop: Shop):
    run = shop.run("indecisive")

    assert run.is_success
    assert len(shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)) == 1
    assert tries(shop, run) == 2


def test_a_library_that_cannot_be_installed_is_not_tried_again(shop: Shop):
    shop.settings["libraries"] = ["dagster", "threadpoolctl"]
    shop.workspace.not_to_be_had.add("threadpoolctl")
    try:
        run = shop.run("flaky")
    finally:
        shop.workspace.not_to_be_had.clear()

    assert run.is_failure
    description = shop.failure(run).user_failure_data.description
    assert "a library could not be installed" in description
    assert "No matching distribution found for threadpoolctl" in description
    assert tries(shop, run) == 1


@pytest.mark.long
def test_an_error_of_the_code_outside_of_the_step_is_shown_and_not_tried_again(shop: Shop):
    shop.settings["unsettled"] = True

    run = shop.run("flaky")

    assert run.is_failure
    description = shop.failure(run).user_failure_data.description
    assert "its code failed outside of the step" in description
    assert "a setting is missing on the cluster" in description
    assert tries(shop, run) == 1


@pytest.mark.long
def test_a_second_try_of_databricks_own_changes_nothing_and_is_seen_as_such(shop: Shop):
    shop.settings |= {"lock": f"/dbfs/{shop.package.parent.parent.name}.lock", "seconds": 2}
    again = lambda: shop.workspace.run_again(running(shop))  # noqa: E731
    beside(shop, lambda: events_have(shop, "I am writing"), again)

    run = shop.run("writer")

    assert run.is_success, shop.messages(run)
    [asked] = shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)
    assert "Databricks began the same task again, which did nothing" in str(asked)
    said = [entry.user_message for entry in shop.instance.all_logs(run.run_id)]
    assert said.count("I am writing") == 2  # what the first had told is kept
    assert tries(shop, run) == 2


def test_a_token_endpoint_that_is_down_for_a_while_is_waited_for(shop: Shop):
    client = {"client_id": shop.workspace.client_id, "client_secret": shop.workspace.client_secret}
    shop.settings["credentials"] = {"auth_type": "oauth-m2m", **client}
    shop.settings["seconds"] = 1
    shop.workspace.token_lifetime(1)
    down = lambda: shop.workspace.fail_next("/oidc/v1/token", 503, times=5)  # noqa: E731
    shop.workspace.at_next("runs/get$", down, handled=True)
    try:
        run = shop.run("slow")
    finally:
        shop.workspace.token_lifetime(3600)

    assert run.is_success, shop.messages(run)
    assert tries(shop, run) == 1
    assert "The login at" in shop.messages(run)


@pytest.mark.parametrize("status", [409, 413, 501, 507])
def test_what_stays_as_it_is_ends_the_step_at_once(shop: Shop, status: int):
    shop.workspace.fail_next("dbfs/put", status)

    run = shop.run("flaky")

    assert run.is_failure
    assert "Databricks could not be used for flaky" in shop.failure(run).user_failure_data.description
    assert tries(shop, run) == 0
    assert not shop.events(run, DagsterEventType.STEP_UP_FOR_RETRY)
    assert shop.staged() == []


def test_who_may_see_a_run_and_as_whom_it_runs_go_along_with_its_submission(shop: Shop):
    said = {
        "access_control_list": [{"group_name": "analysts", "permission_level": "CAN_VIEW"}],
        "run_as": {"service_principal_name": "6f2c1c3e-0f6b-4b1e-9c55-0a4d4ad0a6f1"},
        "queue": {"enabled": True},
        "budget_policy_id": "budget-1",
    }
    shop.settings["run_fields"] = said
    before = len(shop.workspace.requests)

    run = shop.run("totals")

    assert run.is_success
    calls = shop.workspace.requests[before:]
    [submitted] = [call.body for call in calls if call.path.endswith("/runs/submit")]
    assert {name: submitted[name] for name in said} == said
    assert not [call.path for call in calls if "/permissions/" in call.path]
