"""Freshness: how long ago a table may have been made, before someone should hear of it."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from dagster import AssetSpec, DailyPartitionsDefinition, FreshnessPolicy, WeeklyPartitionsDefinition, map_asset_specs

from retail_assets.partitions.calendar import Calendar

# Friday's drop comes on Saturday and Sunday's on Monday; a bank holiday makes it a day more. Easter is four days
# without a drop and is warned of, Christmas ten and fails: nobody can tell from here that the shop is closed.
DAILY = FreshnessPolicy.time_window(warn_window=timedelta(days=3.5), fail_window=timedelta(days=6))

# The running month's snapshot follows its days; a backfill of many months may hold it up for some of them.
MONTHLY = FreshnessPolicy.time_window(warn_window=timedelta(days=8), fail_window=timedelta(days=35))


# A week is made once it is over, and its drop may be as late as a day's.
WEEKLY = FreshnessPolicy.time_window(warn_window=timedelta(days=11), fail_window=timedelta(days=21))


def with_freshness(assets: Iterable[Any], calendar: Calendar) -> Sequence[Any]:
    """The assets with a policy each, by cadence, where drops are still to come: a closed history is never late."""

    def policy_of(spec: AssetSpec) -> AssetSpec:
        if spec.partitions_def is None:
            return spec
        kinds = {DailyPartitionsDefinition: DAILY, WeeklyPartitionsDefinition: WEEKLY}
        return spec.replace_attributes(freshness_policy=kinds.get(type(spec.partitions_def), MONTHLY))

    return list(assets) if calendar.last_day else list(map_asset_specs(policy_of, assets))
