"""The arrival sensor: asks for exactly the days whose drops are new, changed or gone. Knows no source.

A tick lists the landing zone and compares it with what the table says it was made from; if neither changed since the
tick before, that is all it does. A day is asked for once its drops are complete: the same names, sizes and times at two
ticks in a row, or, where the landing zone has a marker, as soon as that lies there. Days that are due and follow each
other become one run over their range, of at most `days_per_run` days; at most RUNS_AT_ONCE runs of the sensor wait or
go on at a time, and what is left is asked for as they end. So n days at first start are n / days_per_run runs.

Nothing is skipped and nothing repeated, whatever is killed in between:
- What was ingested is told by the table's own materializations, not by the sensor's memory. A cursor that is lost or
  reset costs one more look at everything, and asks once more for what had failed.
- What was asked for and is not made yet is remembered in the cursor, with the state of the drops, and the runs carry a
  run key made of both. If a request never became a run, it is made again with the same key; if it did, Dagster refuses
  the same key twice. A memory that begins anew takes the sensor's newest run into its keys, or Dagster would also
  refuse what had failed.
- A day that failed is not asked for again before its drops change: one retry is the step's and the run's own business.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dagster import (
    AssetSelection,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    RUN_KEY_TAG,
    SENSOR_NAME_TAG,
)

from retail_assets.landing.drops import Drop
from retail_assets.operations.arrival import Arrived, Inbox, Ingested, fingerprints, ingested, state
from retail_assets.operations.main_job import is_under_way
from retail_assets.operations.planning import Graph, Request, due_partitions

RUNS_AT_ONCE = 20
"""Runs of the sensor that wait or go on at a time: a queue that people can still read."""

COMPARED_AT_ONCE = 200
"""Days a tick whose drops are read to see whether they hold what was ingested; the rest waits for the next tick."""

_NOT_OVER = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@dataclass
class Memory:
    """What the sensor keeps from tick to tick.

    `mark` stands for the landing zone and the table as they were when nothing was left to do; `seen` is the state of
    the drops of days that differ, at the last look; `requested` are the days asked for and not made since, by run key,
    each with the state it was asked for in; `unchanged` is the state of days that hold what was ingested under other
    names; `after` is the run that was the sensor's newest when this memory began, "" if there was none.
    """

    mark: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    requested: dict[str, dict[str, str]] = field(default_factory=dict)
    unchanged: dict[str, str] = field(default_factory=dict)
    after: str | None = None

    @staticmethod
    def read(cursor: str | None) -> "Memory":
        """From a cursor; an empty memory from none, or from one that is not ours."""
        try:
            return Memory(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            return Memory()

    def cursor(self) -> str:
        """To be read again at the next tick."""
        return json.dumps(vars(self), separators=(",", ":"))


@dataclass(frozen=True)
class Look:
    """The landing zone, the table and the runs of the sensor as they are at one tick."""

    drops: Sequence[Drop]
    by_day: Mapping[str, list[Drop]]
    under_way: Sequence[DagsterRun]
    newest: int

    @property
    def mark(self) -> str:
        """Changes when anything of it does."""
        seen = [state(fingerprints(drops)) for _, drops in sorted(self.by_day.items())]
        return state([*seen, *sorted(self.by_day), *sorted(run.run_id for run in self.under_way), str(self.newest)])

    def state(self, day: str) -> str:
        """Of the day's drops."""
        return state(fingerprints(self.by_day.get(day, [])))

    def is_under_way(self, day: str) -> bool:
        """Whether a run of the sensor is to make the day, or is making it."""
        return any(first <= day <= last for first, last in map(_span, self.under_way))


def _span(run: DagsterRun) -> tuple[str, str]:
    one = run.tags.get(PARTITION_NAME_TAG, "")
    return run.tags.get(ASSET_PARTITION_RANGE_START_TAG, one), run.tags.get(ASSET_PARTITION_RANGE_END_TAG, one)


def arrival_sensor(inbox: Inbox, days_per_run: int, tick_seconds: int) -> SensorDefinition:
    """The sensor of one source's drops; on as soon as a daemon runs."""
    name = f"{inbox.source}_arrivals"
    remembered: dict[int, Ingested | None] = {}  # a history has thousands of materializations, and none ever changes

    def tick(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        if is_under_way(context.instance):
            return SkipReason("retail run is at work: it makes whatever has landed.")
        memory = Memory.read(context.cursor)
        if memory.after is None:
            memory.after = _newest_run(context.instance, name)
        look = _look(inbox, context.instance, name)
        _forget_what_never_became_a_run(memory, context.instance)
        if memory.mark == look.mark:
            return SensorResult(cursor=memory.cursor(), skip_reason=_why_nothing(inbox, look, memory))
        assert context.repository_def is not None
        graph = Graph([context.repository_def.asset_graph.get(inbox.table).assets_def])
        requests = _requests(inbox, graph, context.instance, look, memory, remembered, days_per_run)
        return SensorResult(
            run_requests=requests,
            cursor=memory.cursor(),
            skip_reason=None if requests else _why_nothing(inbox, look, memory),
        )

    return SensorDefinition(
        name=name,
        description=f"Asks for the days of {inbox.table.to_user_string()} whose drops are new, changed or gone.",
        target=AssetSelection.assets(inbox.table),
        evaluation_fn=tick,
        minimum_interval_seconds=tick_seconds,
        default_status=DefaultSensorStatus.RUNNING,
    )


def _look(inbox: Inbox, instance: DagsterInstance, sensor: str) -> Look:
    drops = inbox.zone.drops(inbox.source)
    under_way = instance.get_runs(RunsFilter(statuses=_NOT_OVER, tags={SENSOR_NAME_TAG: sensor}))
    records = instance.get_asset_records([inbox.table])
    newest = [record.asset_entry.last_materialization_storage_id or 0 for record in records]
    return Look(drops, inbox.by_day(drops), under_way, max(newest, default=0))


def _newest_run(instance: DagsterInstance, sensor: str) -> str:
    runs = instance.get_runs(RunsFilter(tags={SENSOR_NAME_TAG: sensor}), limit=1)
    return runs[0].run_id if runs else ""


def _forget_what_never_became_a_run(memory: Memory, instance: DagsterInstance) -> None:
    """A daemon may be killed between keeping the cursor and making the runs that it stands for."""
    keys = list(memory.requested)
    if keys:
        runs = instance.get_runs(RunsFilter(tags={RUN_KEY_TAG: keys}))
        existing = {run.tags[RUN_KEY_TAG] for run in runs}
        lost = [key for key in keys if key not in existing]
        if lost:
            memory.mark = ""
        for key in lost:
            del memory.requested[key]


def _requests(
    inbox: Inbox,
    graph: Graph,
    instance: DagsterInstance,
    look: Look,
    memory: Memory,
    remembered: dict[int, Ingested | None],
    days_per_run: int,
) -> list[RunRequest]:
    """The runs to ask for now; brings the memory up to date."""
    made = instance.event_log_storage.get_latest_storage_id_by_partition(
        inbox.table, DagsterEventType.ASSET_MATERIALIZATION
    )
    known = ingested(instance, inbox.table, made, remembered)
    # A day that was made by hand, without a word of drops, is taken as it is.
    days = sorted({day for day in {*look.by_day, *made} if day in known or day not in made})
    differing = {day: look.state(day) for day in days if day not in known or known[day].state != look.state(day)}
    unchanged = {day for day, seen in memory.unchanged.items() if differing.get(day) == seen}
    complete = {day for day, seen in differing.items() if inbox.zone.marker or memory.seen.get(day) == seen}
    # Their drops have to be read, to see whether they hold what was ingested.
    compared = [day for day in differing if day in known and day in complete and day not in unchanged]
    held_back = (differing.keys() - complete - unchanged) | set(compared[COMPARED_AT_ONCE:])
    arrived = Arrived(look.by_day, held_back, unchanged)
    due = due_partitions(graph, instance, Request(), {inbox.table: arrived.landed(lambda _: known)})
    due_days = due.get(inbox.table, [])

    memory.seen = differing
    memory.unchanged = {day: differing[day] for day in arrived.unchanged if day in differing}
    memory.requested = _still_open(memory, look, {*due_days, *held_back})
    asked = {day: seen for days in memory.requested.values() for day, seen in days.items()}
    fresh = [day for day in due_days if asked.get(day) != look.state(day) and not look.is_under_way(day)]
    runs = _chunks(fresh, graph.partitions(inbox.table), days_per_run)
    now = runs[: max(0, RUNS_AT_ONCE - len(look.under_way))]
    requests = []
    for days in now:
        states = {day: look.state(day) for day in days}
        digest = _digest([memory.after, look.newest, *states.items()])
        key = f"{inbox.table.to_user_string()} {days[0]}..{days[-1]} {digest}"
        memory.requested[key] = states
        requests.append(_request(key, days))
    nothing_left = not held_back and len(now) == len(runs)
    memory.mark = look.mark if nothing_left else ""
    return requests


def _still_open(memory: Memory, look: Look, days: set[str]) -> dict[str, dict[str, str]]:
    """Of what was asked for, the days that are not made yet and whose drops are still as they were."""
    left = {
        key: {day: seen for day, seen in states.items() if day in days and look.state(day) == seen}
        for key, states in memory.requested.items()
    }
    return {key: states for key, states in left.items() if states}


def _chunks(days: Sequence[str], partitions: Sequence[str], longest: int) -> list[list[str]]:
    """Days that follow each other in the table's partitions, at most `longest` of them together."""
    position = {partition: i for i, partition in enumerate(partitions)}
    chunks: list[list[str]] = []
    for day in days:
        if chunks and position[day] == position[chunks[-1][-1]] + 1 and len(chunks[-1]) < longest:
            chunks[-1].append(day)
        else:
            chunks.append([day])
    return chunks


def _request(key: str, days: Sequence[str]) -> RunRequest:
    if len(days) == 1:
        return RunRequest(run_key=key, partition_key=days[0])
    return RunRequest(
        run_key=key,
        tags={ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[-1]},
    )


def _why_nothing(inbox: Inbox, look: Look, memory: Memory) -> str:
    """What the tick's page says in the UI."""
    said = [f"{len(look.drops):,} drops, nothing new."]
    moving = [day for day in memory.seen if not memory.mark and day not in memory.unchanged]
    if moving:
        said = [f"{len(moving)} days are looked at once more before they count as complete."]
    if look.under_way:
        said.append(f"{len(look.under_way)} runs under way.")
    failed = sorted(day for days in memory.requested.values() for day in days if not look.is_under_way(day))
    if failed:
        said.append(f"Not made although asked for: {', '.join(failed[:5])}{' …' if len(failed) > 5 else ''}.")
    if memory.unchanged:
        names = ", ".join(sorted(memory.unchanged)[:5])
        said.append(f"Delivered again with the content that was ingested, and left alone: {names}.")
    return " ".join([*said, *inbox.notices(look.drops)])


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
