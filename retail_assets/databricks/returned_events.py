"""Events that came back from a cluster, with what they say of the past as this instance has it.

The cluster's own instance is empty: a check judged there knows no earlier materialization, and what was read seems
never to have been made. Both are looked up here before an event is stored.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from dagster import AssetKey, DagsterEventType, DagsterInstance, DataVersion
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    compute_logical_data_version,
)
from dagster._core.event_api import AssetRecordsFilter, EventLogRecord
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.execute_step import _build_data_version_tags, _get_input_provenance_data
from dagster_shared.record import copy


def as_made_here(context: StepExecutionContext, events: Iterable[EventLogEntry]) -> Iterator[EventLogEntry]:
    """The events with what they say of the past as this instance has it.

    To be consumed one by one: an event is looked at when those before it are stored.
    """
    for kind, group in groupby(events, _kind):
        same = list(group)
        if kind == DagsterEventType.ASSET_CHECK_EVALUATION:
            yield from _current_evaluations(context, same)
        elif kind == DagsterEventType.ASSET_MATERIALIZATION:
            tags: dict[AssetKey, dict[str, str]] = {}
            for event in same:
                yield _with_provenance(context, event, tags)
        else:
            yield from same


def as_of_run(context: StepExecutionContext, event: EventLogEntry) -> EventLogEntry:
    """The event as one of this Dagster run, which has taken over the remote run of another."""
    if event.run_id == context.run_id:
        return event
    dagster_event = event.dagster_event
    if dagster_event is not None:
        tags = {**(dagster_event.logging_tags or {}), "run_id": context.run_id, "job_name": context.job_name}
        dagster_event = dagster_event._replace(job_name=context.job_name, logging_tags=tags)
    return event._replace(run_id=context.run_id, job_name=context.job_name, dagster_event=dagster_event)


def _kind(event: EventLogEntry) -> DagsterEventType | None:
    """All evaluations that come without a materialization between them are looked up at once."""
    kind = event.get_dagster_event().event_type if event.is_dagster_event else None
    known = (DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.ASSET_MATERIALIZATION)
    return kind if kind in known else None


def _current_evaluations(context: StepExecutionContext, events: Sequence[EventLogEntry]) -> Iterator[EventLogEntry]:
    """Evaluations that point at this instance's materializations.

    One that points at none although its own step makes the asset means it: the partition was refused. In a step that
    only checks, the remote instance just knew none.
    """
    made_here = context.get_output_asset_keys()
    pointing: dict[AssetKey, set[str | None]] = {}
    for event in events:
        evaluation = event.get_dagster_event().asset_check_evaluation_data
        if evaluation.target_materialization_data or evaluation.asset_key not in made_here:
            pointing.setdefault(evaluation.asset_key, set()).add(evaluation.partition)
    newest = {key: _newest(context.instance, key, partitions) for key, partitions in pointing.items()}
    for event in events:
        dagster_event = event.get_dagster_event()
        evaluation = dagster_event.asset_check_evaluation_data
        if evaluation.target_materialization_data or evaluation.asset_key not in made_here:
            target = newest[evaluation.asset_key].get(evaluation.partition)
            evaluation = copy(evaluation, target_materialization_data=target)
        yield event._replace(dagster_event=dagster_event._replace(event_specific_data=evaluation))


def _newest(instance: DagsterInstance, key: AssetKey, partitions: set[str | None]) -> dict[str | None, Target]:
    """The newest materialization of each of the partitions; of the asset, for None."""
    keys = {partition for partition in partitions if partition is not None}
    newest: dict[str | None, Target] = {}
    if keys:
        ids = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION, keys
        )
        if ids:
            wanted = AssetRecordsFilter(key, storage_ids=list(ids.values()))
            for record in instance.fetch_materializations(wanted, limit=len(ids)).records:
                newest[record.partition_key] = _target(record)
    if None in partitions:
        for record in instance.fetch_materializations(key, limit=1).records:
            newest[None] = _target(record)
    return newest


def _target(record: EventLogRecord) -> Target:
    return Target(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)


def _with_provenance(
    context: StepExecutionContext, event: EventLogEntry, known: dict[AssetKey, dict[str, str]]
) -> EventLogEntry:
    """The materialization with the versions of what was read, which the remote instance took for never made.

    `known` keeps the tags of an asset from one partition to the next.
    """
    dagster_event = event.get_dagster_event()
    data = dagster_event.step_materialization_data
    materialization = data.materialization
    tags, key = materialization.tags or {}, materialization.asset_key
    if not any(name.startswith(INPUT_DATA_VERSION_TAG_PREFIX) for name in tags):
        return event
    if key not in known:
        read = _get_input_provenance_data(key, context)
        user_provided = DATA_VERSION_IS_USER_PROVIDED_TAG in tags
        code_version = tags[CODE_VERSION_TAG]
        version = (
            DataVersion(tags[DATA_VERSION_TAG])
            if user_provided
            else compute_logical_data_version(code_version, {k: one["data_version"] for k, one in read.items()})
        )
        known[key] = _build_data_version_tags(version, code_version, read, user_provided)
    changed = data._replace(materialization=materialization._replace(tags={**tags, **known[key]}))
    return event._replace(dagster_event=dagster_event._replace(event_specific_data=changed))
