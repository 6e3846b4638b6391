"""The shop as automation keeps it: drops ask for their sales, checked sales for a bulletin, and drops must be fresh."""

from datetime import timedelta
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetKey,
    AutomationCondition,
    BackfillPolicy,
    Definitions,
    FreshnessPolicy,
    MaterializeResult,
    Output,
    apply_freshness_policy,
    asset,
    asset_check,
    in_process_executor,
)

from .definitions import DAYS, SHOP, Nothing, drops, sales, step_launcher

DAILY = FreshnessPolicy.time_window(warn_window=timedelta(hours=24), fail_window=timedelta(hours=26))

# Any day, not only the newest: corrections of older days have to come through as well.
WHEN_CHECKED = (
    AutomationCondition.eager().without(AutomationCondition.in_latest_time_window())
    & AutomationCondition.all_deps_blocking_checks_passed()
)

fresh_drops = drops.map_asset_specs(lambda spec: apply_freshness_policy(spec, DAILY))
automated_sales = sales.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=WHEN_CHECKED))


@asset_check(asset=sales, blocking=True, required_resource_keys={"step_launcher"}, partitions_def=DAYS)
def balanced(context: AssetCheckExecutionContext) -> Any:
    """A step of its own, which may fail when the sales are published already.

    It judges day by day: of an AssetCheckResult over a range, Dagster makes one evaluation of no partition.
    """
    for day in context.partition_keys:
        yield AssetCheckEvaluation(
            asset_key=AssetKey("sales"),
            check_name="balanced",
            passed=day not in SHOP.get("failing", {}).get("balanced", []),
            blocking=True,
            partition=day,
        )
    yield Output(None)


@asset(
    partitions_def=DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[sales],
    required_resource_keys={"step_launcher"},
    automation_condition=WHEN_CHECKED,
)
def bulletin() -> MaterializeResult:
    """Tells of the sales."""
    return MaterializeResult()


defs = Definitions(
    assets=[fresh_drops, automated_sales, bulletin],
    asset_checks=[balanced],
    resources={"step_launcher": step_launcher, "io_manager": Nothing()},
    executor=in_process_executor,
)
