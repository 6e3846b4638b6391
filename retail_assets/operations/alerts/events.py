"""What Dagster's storage knows of failures and recoveries, as observations.

Read from the event log, where SQLite and PostgreSQL keep the same rows: check evaluations, failed and successful runs,
changes of freshness. Partitions that stay failed are asked of the log's own account of attempts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    PartitionKeyRange,
    RunsFilter,
)
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)

from retail_assets.lakehouse.table import NEWEST, REFUSED
from retail_assets.operations import catch_up
from retail_assets.operations.alerts.messages import Graph, GraphAsset
from retail_assets.operations.alerts.problems import (
    SETTLED_AFTER_SECONDS,
    Kind,
    Ledger,
    Observation,
    Position,
    Severity,
    Subject,
)

EVENTS_AT_ONCE, MOST_EVENTS = 2000, 20_000
"""A page of events, and how many a tick reads at most of each type."""

RETRY_PATIENCE_SECONDS = 600
"""So long after its failure a run that is to be retried may wait for its retry; then it counts as failed."""

TAGGED_AFTER_SECONDS = 5
"""Dagster tags a failed run with whether it will be retried just after the event."""

LONGEST_FACT = 300

# A mail goes where the tables' access rules do not reach: rows that a check shows as samples stay in the UI.
_LEFT_IN_THE_UI = ("sample", "sample_keys")

_STATED = ("observed", "lower", "upper", "explanation", "family")

_FRESHNESS = {
    FreshnessState.FAIL: Severity.ERROR,
    FreshnessState.WARN: Severity.WARN,
    FreshnessState.PASS: None,
    FreshnessState.NOT_APPLICABLE: None,
}

ALL_ASSETS_JOB = "__ASSET_JOB"

WHOLE = ""
"""Stands for all of an asset without partitions."""


@dataclass(frozen=True)
class AssetGraph:
    """What alerts need of the definitions."""

    assets: Graph
    checks: frozenset[tuple[str, str]]
    partitions: Mapping[str, Any]
    assets_of_step: Mapping[str, tuple[str, ...]]
    all_assets: tuple[str, ...]

    @staticmethod
    def of(definitions: Sequence[Any]) -> "AssetGraph":
        """The graph of these definitions and specs of assets."""
        found = [each for each in definitions if isinstance(each, AssetsDefinition)]
        specs = [spec for each in found for spec in each.specs]
        specs += [each for each in definitions if isinstance(each, AssetSpec)]
        children: dict[str, set[str]] = {}
        for spec in specs:
            for dependency in spec.deps:
                children.setdefault(path_of(dependency.asset_key), set()).add(path_of(spec.key))
        return AssetGraph(
            assets={
                path_of(spec.key): GraphAsset(
                    spec.group_name or "default",
                    tuple(spec.owners),
                    tuple(sorted(_reached(path_of(spec.key), children))),
                )
                for spec in specs
            },
            checks=frozenset((path_of(key.asset_key), key.name) for each in found for key in each.check_keys),
            partitions={path_of(spec.key): spec.partitions_def for spec in specs},
            assets_of_step={
                each.node_def.name: tuple(path_of(key) for key in each.keys) for each in found if each.is_executable
            },
            all_assets=tuple(path_of(spec.key) for spec in specs),
        )

    def knows(self, subject: Subject) -> bool:
        """Whether the subject is still part of the graph."""
        if subject.kind is Kind.CHECK:
            return (subject.assets[0], subject.name) in self.checks
        return all(asset in self.assets for asset in subject.assets)

    def partitions_between(self, asset: str, named: str | None) -> list[str] | None:
        """The keys that a run's partition or `first...last` names, for an asset; None where none is named.

        The calendar may begin later, or end earlier, than when the run was: what is not in it any more is left out.
        """
        if named is None:
            return None
        partitions = self.partitions[asset]
        first, _, last = named.partition("...")
        begins, ends = partitions.get_first_partition_key(), partitions.get_last_partition_key()
        if begins is None or ends is None:
            return []
        first, last = max(first, begins), min(last or named, ends)
        return list(partitions.get_partition_keys_in_range(PartitionKeyRange(first, last))) if first <= last else []


def path_of(key: AssetKey) -> str:
    """An asset key as one text."""
    return "/".join(key.path)


def _reached(asset: str, children: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [asset]
    while waiting:
        new = children.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found - {asset}


class Events:
    """The event log of an instance, as observations for one ledger."""

    def __init__(self, instance: DagsterInstance, graph: AssetGraph) -> None:
        from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

        self.instance, self.graph, self.log = instance, graph, instance.event_log_storage
        # SQLite has one writer at a time: what is visible there is in the order of its ids.
        self.settle = 0 if isinstance(self.log, SqliteEventLogStorage) else SETTLED_AFTER_SECONDS

    def newest(self) -> dict[str, Position]:
        """The positions of who wants to hear only of what comes."""
        horizon = self.log.get_maximum_record_id() or 0
        return {event_type.value: Position(horizon) for event_type in _READ}

    def read(self, ledger: Ledger, now: float) -> tuple[list[Observation], dict[str, Position]]:
        """What happened since the ledger's positions, and the positions after it."""
        newest = self.log.get_maximum_record_id() or 0
        observations: list[Observation] = []
        positions: dict[str, Position] = {}
        for event_type, observed in _READ.items():
            position = ledger.positions.get(event_type.value, Position(newest))
            if newest < position.horizon:  # the log was emptied: it counts anew
                position = Position(newest)
            read, left = [], []
            for event_id, entry in self._entries(event_type, position):
                found = observed(self, event_id, entry, now)
                if found is None:
                    left.append(event_id)
                else:
                    read.append(event_id)
                    observations += found
            positions[event_type.value] = position.after(read, left, now, self.settle)
        return observations, positions

    def _entries(self, event_type: DagsterEventType, position: Position) -> Iterator[tuple[int, EventLogEntry]]:
        after, count = position.horizon, 0
        while count < MOST_EVENTS:
            page = self.log.get_logs_for_all_runs_by_log_id(after, event_type, EVENTS_AT_ONCE)
            for event_id, entry in page.items():
                if event_id not in position.met:
                    count += 1
                    yield event_id, entry
            if len(page) < EVENTS_AT_ONCE:
                return
            after = max(page)

    # Each returns None for an event that can only be judged later.

    def _check(self, event_id: int, entry: EventLogEntry, now: float) -> list[Observation]:
        evaluation = entry.get_dagster_event().event_specific_data
        assert isinstance(evaluation, AssetCheckEvaluation)
        if NEWEST in evaluation.metadata:  # said of the partition already
            return []
        severity = Severity.WARN if evaluation.severity == AssetCheckSeverity.WARN else Severity.ERROR
        return [
            Observation(
                Subject(Kind.CHECK, (path_of(evaluation.asset_key),), evaluation.check_name, evaluation.partition),
                None if evaluation.passed else severity,
                entry.timestamp,
                entry.run_id,
                event_id,
                {} if evaluation.passed else _facts_of(evaluation),
            )
        ]

    def _freshness(self, event_id: int, entry: EventLogEntry, now: float) -> list[Observation]:
        change = entry.get_dagster_event().event_specific_data
        assert isinstance(change, FreshnessStateChange)
        if change.new_state not in _FRESHNESS:  # never made: nothing is known
            return []
        return [
            Observation(
                Subject(Kind.FRESHNESS, (path_of(change.key),)),
                _FRESHNESS[change.new_state],
                change.state_change_timestamp,
                event=event_id,
                facts={"details": f"{change.previous_state.value} became {change.new_state.value}"},
            )
        ]

    def _success(self, event_id: int, entry: EventLogEntry, now: float) -> list[Observation]:
        run = self.instance.get_run_by_id(entry.run_id)
        if run is None or run.asset_selection or run.job_name.startswith(ALL_ASSETS_JOB):
            return []  # assets recover when they are materialized
        return [
            Observation(subject, None, entry.timestamp, entry.run_id, event_id)
            for subject in [Subject(Kind.RUN, (), _named(run), _partition_of(run)), *self._steps_done(run)]
        ]

    def _steps_done(self, run: DagsterRun) -> Iterator[Subject]:
        """What is well of a run whose steps make no asset: a step that failed the last time may be among them."""
        if run.asset_selection or run.job_name.startswith(ALL_ASSETS_JOB):
            return
        types = DagsterEventType.STEP_SUCCESS
        for record in self.instance.get_records_for_run(run.run_id, of_type=types, limit=MOST_EVENTS).records:
            step = record.event_log_entry.get_dagster_event().step_key
            if step and not self.graph.assets_of_step.get(step):
                yield Subject(Kind.RUN, (), _named(run, step), _partition_of(run))

    def _failure(self, event_id: int, entry: EventLogEntry, now: float) -> list[Observation] | None:
        run = self.instance.get_run_by_id(entry.run_id)
        if run is None:  # deleted
            return []
        age = now - entry.timestamp
        if WILL_RETRY_TAG not in run.tags and self.instance.run_retries_enabled and age < TAGGED_AFTER_SECONDS:
            return None
        if run.tags.get(WILL_RETRY_TAG) == "true":
            if AUTO_RETRY_RUN_ID_TAG in run.tags:
                return []  # the retry speaks for both
            if age < RETRY_PATIENCE_SECONDS:
                return None
        failed = [
            Observation(subject, Severity.ERROR, entry.timestamp, run.run_id, event_id, facts)
            for subject, facts in self._failed_in(run, entry)
        ]
        return failed + [
            Observation(subject, None, entry.timestamp, run.run_id, event_id) for subject in self._steps_done(run)
        ]

    def _failed_in(self, run: DagsterRun, entry: EventLogEntry) -> Iterator[tuple[Subject, dict[str, str]]]:
        """What of a run failed, without what its failed checks tell already."""
        partition, steps = _partition_of(run), list(_step_failures(self.instance, run.run_id))
        if run.job_name == catch_up.JOB and (left := list(self._left_undone(run))):
            details = {"details": _short(_cause(steps[0][1])) if steps else _said(entry)}
            yield from ((subject, details) for subject in left)
            return
        if not steps:
            assets = [path_of(key) for key in run.asset_selection or []]
            missing = tuple(sorted(asset for asset in assets if not self._made(asset, partition, run.run_id)))
            if missing or not assets:
                subject = Subject(Kind.RUN, missing, "" if missing else _named(run), partition)
                yield subject, {"details": _said(entry)}
            return
        for step_key, data in steps:
            if _told_by_checks(data):
                continue
            assets_of_step = self.graph.assets_of_step.get(step_key.partition("[")[0], ())
            subject = Subject(Kind.RUN, assets_of_step, "" if assets_of_step else _named(run, step_key), partition)
            yield subject, {"details": _short(_cause(data))}

    def _left_undone(self, run: DagsterRun) -> Iterator[Subject]:
        """The days that an arrival's run was asked for and did not make, in runs of their own, before it failed."""
        begun = self.instance.get_records_for_run(run.run_id, limit=1).records
        for asset, days in catch_up.asked_of(run).items():
            made = self._newest_materializations(asset, set(days))
            for day in days:
                if made.get(day, 0) < min((record.storage_id for record in begun), default=0):
                    yield Subject(Kind.RUN, (asset,), partition=day)

    def _made(self, asset: str, partition: str | None, run_id: str) -> bool:
        """Whether a run that failed had materialized the asset before."""
        types = DagsterEventType.ASSET_MATERIALIZATION
        records = self.instance.get_records_for_run(run_id, of_type=types, limit=MOST_EVENTS).records
        made = {
            event.partition
            for event in (record.event_log_entry.get_dagster_event() for record in records)
            if event.asset_key and path_of(event.asset_key) == asset
        }
        wanted = self.graph.partitions_between(asset, partition) if asset in self.graph.partitions else None
        return bool(made) and made.issuperset(wanted or ())

    def recoveries(self, ledger: Ledger, now: float) -> list[Observation]:
        """The failed runs of the ledger whose assets have all been made since, as far as their partitions are there."""
        waiting = [
            (subject, problem)
            for subject, problem in ledger.problems.items()
            if subject.kind is Kind.RUN and subject.assets and problem.recovered is None and self.graph.knows(subject)
        ]
        keys = [
            {asset: self.graph.partitions_between(asset, subject.partition) for asset in subject.assets}
            for subject, _ in waiting
        ]
        wanted: dict[str, set[str]] = {}
        for by_asset in keys:
            for asset, partitions in by_asset.items():
                wanted.setdefault(asset, set()).update(partitions or ())
        newest = {asset: self._newest_materializations(asset, partitions) for asset, partitions in wanted.items()}
        return [
            Observation(subject, None, now)
            for (subject, problem), by_asset in zip(waiting, keys, strict=True)
            if all(
                newest[asset].get(partition, 0) > problem.event
                for asset, partitions in by_asset.items()
                for partition in ([WHOLE] if partitions is None else partitions)
            )
        ]

    def _newest_materializations(self, asset: str, partitions: set[str]) -> Mapping[str, int]:
        """Partition -> the id of its newest materialization; of an asset without partitions under WHOLE."""
        key, made = AssetKey(asset.split("/")), DagsterEventType.ASSET_MATERIALIZATION
        if partitions:
            return self.log.get_latest_storage_id_by_partition(key, made, partitions)
        records = self.instance.fetch_materializations(key, limit=1).records
        return {WHOLE: max((record.storage_id for record in records), default=0)}

    def still_failed(self, ledger: Ledger, now: float, after_seconds: float) -> list[Observation]:
        """The partitions whose last attempt failed so long ago, and those that no longer are in that state."""
        attempts = {
            asset: self.log.get_latest_asset_partition_materialization_attempts_without_materializations(
                AssetKey(asset.split("/"))
            )
            for asset in self.graph.all_assets
            if self.graph.partitions[asset]
        }
        failed = self._failed_runs({run_id for each in attempts.values() for run_id, _ in each.values()})
        observations = [
            Observation(
                Subject(Kind.STILL_FAILED, (asset,), partition=partition),
                Severity.ERROR,
                failed[run_id],
                run_id,
                event_id,
            )
            for asset, by_partition in attempts.items()
            for partition, (run_id, event_id) in by_partition.items()
            if run_id in failed and now - failed[run_id] >= after_seconds
        ]
        return observations + [
            Observation(subject, None, now)
            for subject in ledger.problems
            if subject.kind is Kind.STILL_FAILED and subject.partition not in attempts.get(subject.assets[0], {})
        ]

    def _failed_runs(self, run_ids: Iterable[str]) -> dict[str, float]:
        """Run -> when it ended, of those that failed."""
        ids, found = sorted(run_ids), {}
        for start in range(0, len(ids), EVENTS_AT_ONCE):
            wanted = RunsFilter(run_ids=ids[start : start + EVENTS_AT_ONCE], statuses=[DagsterRunStatus.FAILURE])
            for record in self.instance.get_run_records(wanted):
                found[record.dagster_run.run_id] = record.end_time or record.update_timestamp.timestamp()
        return found


_READ = {
    # Failures of runs first: what their checks said was stored before, and is then read in the same tick.
    DagsterEventType.RUN_FAILURE: Events._failure,
    DagsterEventType.RUN_SUCCESS: Events._success,
    DagsterEventType.ASSET_CHECK_EVALUATION: Events._check,
    DagsterEventType.FRESHNESS_STATE_CHANGE: Events._freshness,
}


def _facts_of(evaluation: AssetCheckEvaluation) -> dict[str, str]:
    """What the check measured: the keys by which it states bounds, or else all that it says."""
    said = {key: _short(value.value) for key, value in evaluation.metadata.items() if key not in _LEFT_IN_THE_UI}
    stated = {key: said[key] for key in _STATED if said.get(key) not in (None, "None", "")}
    if "observed" not in stated:
        rest = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in said.items() if key not in _STATED)
        stated |= {"details": _short(rest or evaluation.description or "")}
    return stated | ({"blocking": "yes"} if evaluation.blocking and evaluation.severity.value == "ERROR" else {})


def _named(run: DagsterRun, step: str = "") -> str:
    """A run that makes no asset: its job, with the table whose arrival it is for, or with a step of several."""
    if run.job_name == catch_up.JOB:
        return f"{run.job_name} of {', '.join(catch_up.asked_of(run))}"
    return f"{run.job_name}, step {step}" if step else run.job_name


def _partition_of(run: DagsterRun) -> str | None:
    first, last = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    if first and last:
        return first if first == last else f"{first}...{last}"
    return run.tags.get(PARTITION_NAME_TAG)


def _step_failures(instance: DagsterInstance, run_id: str) -> Iterator[tuple[str, Any]]:
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE, limit=100).records
    for record in records:
        event = record.event_log_entry.get_dagster_event()
        if event.step_key:
            yield event.step_key, event.step_failure_data


def _said(entry: EventLogEntry) -> str:
    return _short(entry.user_message or entry.get_dagster_event().message or "")


def _told_by_checks(data: Any) -> bool:
    if data.user_failure_data and REFUSED in (data.user_failure_data.metadata or {}):
        return True
    return bool(data.error) and data.error.cls_name == "DagsterAssetCheckFailedError"


def _cause(data: Any) -> str:
    """The error that a person wants to see: what the step raised, without Dagster's frame around it."""
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message) if error is not None else ""


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_FACT else f"{text[: LONGEST_FACT - 1]}…"
