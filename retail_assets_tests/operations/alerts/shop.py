"""A small shop without Spark, whose faults a test plants: what its tables report is what a table of ours reports."""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetMaterialization,
    AssetsDefinition,
    BackfillPolicy,
    DailyPartitionsDefinition,
    Failure,
    IOManager,
    Output,
    asset,
    job,
    op,
)

from retail_assets.lakehouse.gathered_events import stored_together
from retail_assets.lakehouse.table import REFUSED

DAYS = DailyPartitionsDefinition("2011-01-01", end_date="2014-01-01")

REFUSED_DAYS, WARNED_DAYS, BROKEN = "refused", "warned", "broken"
FAULTS: dict[str, set[str]] = {REFUSED_DAYS: set(), WARNED_DAYS: set(), BROKEN: set()}
"""Days whose blocking check fails, days whose warning does, and what raises."""


def _shop_asset(name: str, **options: Any) -> Any:
    return asset(
        name=name,
        key_prefix="shop",
        partitions_def=DAYS,
        backfill_policy=BackfillPolicy.single_run(),
        **options,
    )


def _evaluation(context: AssetExecutionContext, name: str, day: str, faulty: set[str]) -> AssetCheckEvaluation:
    warns = name == "volume"
    return AssetCheckEvaluation(
        asset_key=context.asset_key,
        check_name=name,
        passed=day not in faulty,
        metadata={"observed": 12, "lower": 90, "upper": 410, "explanation": "too few", "family": "volume"}
        if warns
        else {"rows": 5, "failed_rows": 2, "sample_keys": "13085"},
        severity=AssetCheckSeverity.WARN if warns and day in faulty else AssetCheckSeverity.ERROR,
        blocking=not warns,
        partition=day,
    )


SALES_CHECKS = [
    AssetCheckSpec("contract", asset=["shop", "sales"], blocking=True, partitions_def=DAYS),
    AssetCheckSpec("volume", asset=["shop", "sales"], partitions_def=DAYS),
]


@_shop_asset("sales", group_name="bronze", owners=["team:data-engineering"], check_specs=SALES_CHECKS)
def sales(context: AssetExecutionContext) -> Iterator[Any]:
    """As a table of ours reports: what passes is published, what fails a blocking check is not."""
    with stored_together(context.instance):
        if BROKEN in FAULTS[BROKEN]:
            raise ValueError("the till is locked")
        days = list(context.partition_keys)
        refused = [day for day in days if day in FAULTS[REFUSED_DAYS]]
        if refused:
            for day in set(days) - set(refused):
                yield AssetMaterialization(context.asset_key, partition=day)
        else:
            yield Output(None)
        for name, faulty in (("contract", FAULTS[REFUSED_DAYS]), ("volume", FAULTS[WARNED_DAYS])):
            yield Output(None, output_name=f"shop__sales_{name}")
            for day in days:
                yield _evaluation(context, name, day, faulty)
        if refused:
            raise Failure(f"{len(refused)} partitions were not published", metadata={REFUSED: len(refused)})


@_shop_asset("takings", group_name="gold", owners=["team:analytics"], deps=[sales])
def takings() -> None:
    """Made from sales."""


@_shop_asset("report", group_name="gold", owners=["team:analytics"], deps=[takings])
def report() -> None:
    """Made from takings."""


ASSETS: list[AssetsDefinition] = [sales, takings, report]


class Nowhere(IOManager):
    """Keeps no output."""

    def handle_output(self, context: Any, obj: Any) -> None:
        """Does nothing."""

    def load_input(self, context: Any) -> None:
        """There is nothing to load."""


@op
def count_the_till() -> None:
    """Fails when the test wants it to."""
    if BROKEN in FAULTS[BROKEN]:
        raise ValueError("the till is locked")


@job
def stocktaking() -> None:
    """A job that makes no asset."""
    count_the_till()
