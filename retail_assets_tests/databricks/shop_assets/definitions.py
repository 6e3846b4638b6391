"""Assets without Spark, each showing one thing that a launcher has to get right.

A package of its own, staged and run remotely by the tests of the launcher. `SHOP` in the environment, JSON, says how
its steps behave and, on the host, where the launcher finds its workspace.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AutomationCondition,
    BackfillPolicy,
    DailyPartitionsDefinition,
    DataVersion,
    Definitions,
    Failure,
    InputContext,
    IOManager,
    MaterializeResult,
    Output,
    OutputContext,
    RetryPolicy,
    asset,
    asset_check,
    in_process_executor,
    multiprocess_executor,
    resource,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import DagsterEventType

DAYS = DailyPartitionsDefinition("2009-01-01", end_date="2011-03-01")
SHOP: dict[str, Any] = json.loads(os.environ.get("SHOP", "{}"))


class Nothing(IOManager):
    """Keeps nothing: what the assets hand on is None."""

    def handle_output(self, context: OutputContext, obj: None) -> None:
        """Stores nothing."""

    def load_input(self, context: InputContext) -> None:
        """Loads nothing."""


@resource
def step_launcher(_: object) -> Any:
    """The launcher on the host, nothing on the cluster."""
    if os.environ.get("RETAIL_ON_CLUSTER"):
        return None
    from retail_assets_tests.databricks.shop import launcher

    return launcher(SHOP)


@asset(
    partitions_def=DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    check_specs=[
        AssetCheckSpec("complete", asset="drops", blocking=True, partitions_def=DAYS),
        AssetCheckSpec("usual", asset="drops", partitions_def=DAYS),
    ],
    required_resource_keys={"step_launcher"},
)
def drops(context: AssetExecutionContext) -> Iterator[Any]:
    """Publishes the days that pass the blocking check and reports per day, as lakehouse/table.py does."""
    failing = SHOP.get("failing", {})
    refused = [day for day in context.partition_keys if day in failing.get("complete", [])]
    for day in context.partition_keys:
        if day not in refused and not refused:
            context.add_asset_metadata({"delta_version": 7}, partition_key=day)
        elif day not in refused:
            yield AssetMaterialization("drops", partition=day, tags={"dagster/data_version": "7"})
    if not refused:
        yield Output(None, output_name="result", data_version=DataVersion("7"))
    latest = context.instance.event_log_storage.get_latest_storage_id_by_partition(
        AssetKey("drops"), DagsterEventType.ASSET_MATERIALIZATION, set(context.partition_keys)
    )
    for check in ("complete", "usual"):
        yield Output(None, output_name=f"drops_{check}")
        for day in context.partition_keys:
            target = None
            if day in latest and day not in refused:
                target = AssetCheckEvaluationTargetMaterializationData(
                    storage_id=latest[day], run_id=context.run_id, timestamp=time.time()
                )
            yield AssetCheckEvaluation(
                asset_key=AssetKey("drops"),
                check_name=check,
                passed=day not in failing.get(check, []),
                severity=AssetCheckSeverity.ERROR if check == "complete" else AssetCheckSeverity.WARN,
                blocking=check == "complete",
                partition=day,
                target_materialization_data=target,
            )
    if refused:
        raise Failure(f"refused: {', '.join(refused)}", allow_retries=False)


@asset(
    partitions_def=DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[drops],
    required_resource_keys={"step_launcher"},
    automation_condition=AutomationCondition.eager() & AutomationCondition.all_deps_blocking_checks_passed(),
)
def sales() -> MaterializeResult:
    """Has no version of its own: Dagster computes one from what was read."""
    print("sold")
    return MaterializeResult(metadata={"rows": 3})


@asset_check(asset=sales, required_resource_keys={"step_launcher"}, partitions_def=DAYS)
def plausible() -> AssetCheckResult:
    """A step that only checks."""
    return AssetCheckResult(passed=True)


@asset(
    required_resource_keys={"step_launcher"},
    check_specs=[AssetCheckSpec("positive", asset="totals", blocking=True)],
)
def totals() -> MaterializeResult:
    """Without partitions, with a check of its own."""
    check = AssetCheckResult(check_name="positive", passed=not SHOP.get("negative", False))
    return MaterializeResult(check_results=[check])


@asset(deps=[totals], required_resource_keys={"step_launcher"})
def report() -> None:
    """Comes after totals."""


@asset(required_resource_keys={"step_launcher"}, retry_policy=RetryPolicy(max_retries=1))
def flaky(context: AssetExecutionContext) -> None:
    """Fails, or dies, when it is first tried."""
    if context.retry_number == 0:
        if SHOP.get("dies"):
            os._exit(9)
        raise ConnectionError("the weather")


@asset(required_resource_keys={"step_launcher"})
def crash() -> None:
    """Ends the process without a word to Dagster."""
    print("these are my last words", flush=True)
    os._exit(3)


@asset(required_resource_keys={"step_launcher"})
def slow(context: AssetExecutionContext) -> None:
    """Takes its time."""
    context.log.info("I am taking my time")
    time.sleep(SHOP.get("seconds", 60))


@asset(required_resource_keys={"step_launcher"}, retry_policy=RetryPolicy(max_retries=1))
def writer(context: AssetExecutionContext) -> None:
    """Holds a lock for as long as its process lives, and leaves a mark if somebody else does."""
    lock = Path(SHOP["lock"])
    with lock.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.with_suffix(".two").write_text("two writers at once")
        context.log.info("I am writing")
        time.sleep(SHOP.get("seconds", 2))
        held.write("written\n")


@asset(required_resource_keys={"step_launcher"})
def indiscreet(context: AssetExecutionContext) -> None:
    """Tells its secret by every way out."""
    secret = os.environ["SHOP_SECRET"]
    print(f"the key is {secret}", flush=True)
    context.log.info(f"logged: {secret}")
    raise ValueError(f"bad key {secret}")


@resource
def lingering(_: object) -> Iterator[None]:
    """Takes its time to be put away, after the step's last event."""
    yield
    if os.environ.get("RETAIL_ON_CLUSTER"):
        time.sleep(SHOP.get("lingers", 0))


@asset(required_resource_keys={"step_launcher", "lingering"}, retry_policy=RetryPolicy(max_retries=1))
def indecisive(context: AssetExecutionContext) -> None:
    """Asks for another try, and is still there for a while."""
    if context.retry_number == 0:
        raise ConnectionError("the weather")


if SHOP.get("unsettled") and os.environ.get("RETAIL_ON_CLUSTER"):
    raise RuntimeError("a setting is missing on the cluster")

defs = Definitions(
    assets=[drops, sales, totals, report, flaky, crash, slow, writer, indecisive, indiscreet],
    asset_checks=[plausible],
    resources={"step_launcher": step_launcher, "io_manager": Nothing(), "lingering": lingering},
    executor=multiprocess_executor if SHOP.get("at_once") else in_process_executor,
)
