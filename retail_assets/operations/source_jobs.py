"""Named jobs of each source, so that a run that somebody starts in the UI says what it is for."""

from collections.abc import Iterable
from typing import Any

from dagster import (
    AssetsDefinition,
    AssetSelection,
    MonthlyPartitionsDefinition,
    PartitionsDefinition,
    define_asset_job,
)

_TOLD = {
    "days": "the tables of single days, from what landed to the day's figures. Choose the days, as partitions.",
    "months": "the month's end: customers, groups, products, places and the dashboard. Choose the months.",
    "scores": "what needs a longer history and begins later: churn and lifetime value. What reads them follows.",
}


def source_jobs(source: str, assets: Iterable[Any]) -> list[Any]:
    """`<source>_days`, `_months` and `_scores`, those of which the source has tables, as define_asset_job returns them.

    A job's tables must have the same partitions: those whose months begin later have one of their own.
    """
    alike: dict[PartitionsDefinition[str], list[AssetsDefinition]] = {}
    for asset in assets:
        if isinstance(asset, AssetsDefinition) and asset.partitions_def is not None:
            alike.setdefault(asset.partitions_def, []).append(asset)
    by_name: dict[str, list[AssetsDefinition]] = {}
    for partitions, tables in alike.items():
        monthly = isinstance(partitions, MonthlyPartitionsDefinition)
        by_name.setdefault(("scores" if "months" in by_name else "months") if monthly else "days", tables)
    return [
        define_asset_job(
            f"{source}_{name}",
            selection=AssetSelection.assets(*(table.key for table in tables)),
            description=f"{source}: {_TOLD[name]}",
        )
        for name, tables in by_name.items()
    ]
