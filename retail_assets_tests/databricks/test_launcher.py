"""Steps through the launcher, the real SDK and a rehearsal workspace: what comes back, and how it is kept here."""

from hashlib import sha256
from typing import Any, cast

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    DagsterEventType,
    DataVersion,
    evaluate_automation_conditions,
)
from dagster._core.definitions.data_version import compute_logical_data_version
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from retail_assets.databricks.rehearsal.workspace import Workspace
from retail_assets_tests.databricks.shop import VOLUME, Shop

DAY = "2011-01-03"
THIRD = (DAY, DAY)
JANUARY = ("2011-01-01", "2011-01-31")


def remote_runs(workspace: Workspace) -> int:
    return sum(call.path.endswith("/jobs/runs/submit") for call in workspace.requests)


def test_a_partition_comes_back_with_current_checks_its_versions_and_what_it_cost(shop: Shop):
    run = shop.run("drops", "sales", days=THIRD)

    assert run.is_success, shop.messages(run)
    assert shop.status("drops", "complete", DAY) == "passed"
    assert shop.status("drops", "usual", DAY) == "passed"
    drops, sales = shop.newest("drops", DAY), shop.newest("sales", DAY)
    assert drops
    assert sales
    assert drops.asset_materialization
    assert drops.asset_materialization.metadata["delta_version"].value == 7
    assert shop.tags("drops", DAY)["dagster/data_version"] == "7"
    # What the cluster's empty instance cannot know: what sales was made from.
    assert shop.tags("sales", DAY)["dagster/input_event_pointer/drops"] == str(drops.storage_id)
    assert shop.tags("sales", DAY)["dagster/input_data_version/drops"] == sha256(b"7").hexdigest()
    expected = compute_logical_data_version(run.run_id, {AssetKey("drops"): DataVersion(sha256(b"7").hexdigest())})
    assert shop.tags("sales", DAY)["dagster/data_version"] == expected.value
    assert shop.staged() == []
    [account] = [
        {name: cast("float", value.value) for name, value in event.engine_event_data.metadata.items()}
        for event in shop.events(run, DagsterEventType.ENGINE_EVENT)
        if "staged_bytes" in event.engine_event_data.metadata and event.step_key == "drops"
    ]
    assert 5_000 < account["staged_bytes"] < 50_000
    assert 0 < account["remote_execution_seconds"] < account["wait_seconds"]
    assert account["noticed_after_seconds"] < 2


def test_a_range_is_one_step_and_one_run_with_each_day_current(shop: Shop):
    before = remote_runs(shop.workspace)

    run = shop.run("drops", days=JANUARY)

    assert run.is_success
    assert remote_runs(shop.workspace) == before + 1
    days = [f"2011-01-{day:02}" for day in range(1, 32)]
    assert shop.instance.get_materialized_partitions(AssetKey("drops")) == set(days)
    assert {shop.status("drops", check, day) for check in ("complete", "usual") for day in days} == {"passed"}


@pytest.mark.long
def test_years_of_days_are_kept_in_a_few_seconds(shop: Shop):
    run = shop.run("drops", days=("2009-01-01", "2010-12-31"))

    assert run.is_success
    assert len(shop.instance.get_materialized_partitions(AssetKey("drops"))) == 730
    assert shop.status("drops", "usual", "2009-01-01") == "passed"
    assert shop.status("drops", "usual", "2010-12-31") == "passed"
    # 730 materializations and 1,460 evaluations; one transaction each would take half a minute.
    [done] = [entry.timestamp for entry in shop.entries(run, DagsterEventType.STEP_SUCCESS)]
    assert shop.ended_at(run) - done < 10


def test_a_failing_blocking_check_stops_what_depends_and_one_that_does_not_block_does_not(shop: Shop):
    shop.settings["failing"] = {"complete": ["2011-01-02"], "usual": [DAY]}
    days = ("2011-01-01", DAY)

    run = shop.run("drops", "sales", days=days)

    assert run.is_failure
    assert shop.failure(run).user_failure_data.description == "refused: 2011-01-02"
    assert shop.instance.get_materialized_partitions(AssetKey("drops")) == {"2011-01-01", DAY}
    assert shop.newest("sales") is None
    # The refused day's verdict is about data that nobody sees.
    assert shop.status("drops", "complete", "2011-01-02") == "failed, of no materialization"
    assert shop.status("drops", "complete", "2011-01-01") == "passed"

    shop.settings["failing"] = {"usual": [DAY]}
    run = shop.run("drops", "sales", days=days)

    assert run.is_success
    assert shop.status("drops", "complete", "2011-01-02") == "passed"
    assert shop.status("drops", "usual", DAY) == "failed"
    assert shop.newest("sales", DAY)


@pytest.mark.long
def test_a_volume_serves_as_well_as_dbfs(shop: Shop):
    shop.settings["staging"] = VOLUME
    before = len(shop.workspace.requests)

    run = shop.run("drops", days=THIRD)

    assert run.is_success, shop.messages(run)
    assert shop.status("drops", "complete", DAY) == "passed"
    assert shop.staged() == []
    calls = shop.workspace.requests[before:]
    assert not [call.path for call in calls if "/dbfs/" in call.path]
    [submitted] = [call.body for call in calls if call.path.endswith("/runs/submit")]
    task = submitted["tasks"][0]["spark_python_task"]
    assert task["python_file"].startswith(f"{VOLUME}/")
    assert all(parameter.startswith(f"{VOLUME}/") for parameter in task["parameters"])


@pytest.mark.parametrize("kind", [pytest.param("dedicated", marks=pytest.mark.long), "standard", "serverless"])
def test_a_step_runs_on_every_kind_of_compute(shop: Shop, kind: str):
    shop.settings |= {"staging": VOLUME, "compute": kind}
    before = len(shop.workspace.requests)

    run = shop.run("drops", days=THIRD)

    assert run.is_success, shop.messages(run)
    assert shop.status("drops", "complete", DAY) == "passed"
    calls = shop.workspace.requests[before:]
    [body] = [call.body for call in calls if call.path.endswith("/runs/submit")]
    [task] = body["tasks"]
    if kind == "serverless":
        assert not {"new_cluster", "existing_cluster_id", "libraries"} & set(task)
        [environment] = body["environments"]
        assert environment["environment_key"] == task["environment_key"]
        assert any(line.startswith("dagster==") for line in environment["spec"]["dependencies"])
    else:
        assert "environments" not in body
        assert "environment_key" not in task
        mode = {"dedicated": "SINGLE_USER", "standard": "USER_ISOLATION"}[kind]
        assert task["new_cluster"]["data_security_mode"] == mode


@pytest.mark.long
def test_an_oauth_client_serves_as_well_as_a_token(shop: Shop):
    client = {"client_id": shop.workspace.client_id, "client_secret": shop.workspace.client_secret}
    shop.settings["credentials"] = {"auth_type": "oauth-m2m", **client}

    run = shop.run("totals")

    assert run.is_success, shop.messages(run)
    assert shop.workspace.client_secret not in shop.messages(run)
    assert any(call.path.endswith("/oidc/v1/token") for call in shop.workspace.requests)


@pytest.mark.long
def test_without_partitions_checks_are_current_and_a_failing_one_blocks(shop: Shop):
    assert shop.run("totals", "report").is_success
    assert shop.status("totals", "positive") == "passed"

    shop.settings["negative"] = True
    before = shop.newest("report")
    assert shop.run("totals", "report").is_failure
    assert shop.status("totals", "positive") == "failed"
    assert shop.newest("report") == before


@pytest.mark.long
def test_a_run_of_a_check_alone_judges_the_newest_data(shop: Shop):
    for _ in range(2):
        shop.instance.report_runless_asset_event(AssetMaterialization("sales", partition=DAY))

    run = shop.run(days=THIRD, checks=("sales:plausible",))

    assert run.is_success
    assert [event.event_type for event in shop.events(run, DagsterEventType.ASSET_MATERIALIZATION)] == []
    assert shop.status("sales", "plausible", DAY) == "passed"


@pytest.mark.long
def test_automation_sees_what_came_back(shop: Shop):
    def requested(cursor: Any) -> tuple[int, Any]:
        with shop.loaded():
            from shop_assets.definitions import defs

            found = evaluate_automation_conditions(defs, shop.instance, AssetSelection.assets("sales"), cursor=cursor)
            return found.total_requested, found.cursor

    before, cursor = requested(None)
    last = ("2011-02-28", "2011-02-28")
    assert shop.run("drops", days=last).is_success
    after, cursor = requested(cursor)
    assert (before, after) == (0, 1)

    shop.settings["failing"] = {"complete": ["2011-02-28"]}
    assert shop.run("drops", days=last).is_failure
    assert requested(cursor)[0] == 0


@pytest.mark.long
def test_steps_run_side_by_side(shop: Shop):
    shop.settings |= {"at_once": True, "seconds": 2}

    run = shop.run("slow", "totals")

    assert run.is_success, shop.messages(run)
    sent = [e.timestamp for e in shop.entries(run, DagsterEventType.ENGINE_EVENT) if "makes" in e.message]
    done = [e.timestamp for e in shop.entries(run, DagsterEventType.STEP_SUCCESS)]
    assert len(sent) == len(done) == 2
    assert max(sent) < min(done)
    assert shop.staged() == []


def test_a_job_of_this_process_alone_is_refused_with_a_reason(shop: Shop):
    run = shop.plan("totals")
    with shop.loaded():
        subset = shop.job.get_subset(asset_selection={AssetKey("totals")}).get_definition()
        execute_run(InMemoryJob(subset), run, shop.instance, raise_on_error=False)

    description = shop.failure(run).user_failure_data.description
    assert "exists only in this process (InMemoryJob)" in description
    assert "a workspace's code location" in description


def test_what_the_cluster_is_given_is_the_package_and_no_secret(shop: Shop, monkeypatch):
    shop.workspace.secrets["shop"] = {"key": "opensesame-from-the-scope"}
    shop.settings["secrets"] = [{"name": "SHOP_SECRET", "scope": "shop", "key": "key"}]
    for name in ("SHOP_SECRET", "AWS_SECRET_ACCESS_KEY", "RETAIL_PSEUDONYM_KEY", "MY_PASSWORD"):
        monkeypatch.setenv(name, "a-secret-of-the-host")
    (shop.package / "secrets.json").write_text("a-secret-of-the-host")
    (shop.package / ".env").write_text("KEY=a-secret-of-the-host")
    before = len(shop.workspace.requests)

    run = shop.run("indiscreet")

    assert run.is_failure
    calls = shop.workspace.requests[before:]
    staged = shop.staged_by(calls)
    assert sorted(staged) == ["code.zip", "config.json", "main.py", "step_run_ref.pkl"]
    assert [name for name, _ in shop.unzipped(staged["code.zip"])] == [
        "shop_assets/__init__.py",
        "shop_assets/automated.py",
        "shop_assets/definitions.py",
    ]
    for secret in ("a-secret-of-the-host", "opensesame-from-the-scope", shop.workspace.token):
        for name, content in [*staged.items(), *shop.unzipped(staged["code.zip"])]:
            assert secret.encode() not in content, name
        assert secret not in str([call.body for call in calls])
        assert secret not in shop.messages(run)
    assert "bad key ***" in shop.messages(run)
