"""The arrival sensor: asks for exactly the days whose drops are new, changed or gone. Knows no source.

A tick lists the landing zone and compares it with what the table says it was made from; if neither changed since the
tick before, that is all it does. A day is asked for once its drops are complete: the same names, sizes and times at two
ticks in a row, or, where the landing zone has a marker, as soon as that lies there. Days that are due become one run,
of at most `days_per_run` days; at most RUNS_AT_ONCE runs of the sensor wait or go on at a time, and what is left is
asked for as they end. So n days at first start are n / days_per_run runs. A run makes what follows, too (catch_up.py).
Where there is no such job, it is one over days without gaps, of the table alone, which others follow by automation.

Nothing is skipped and nothing repeated, whatever is killed in between:
- What was ingested is told by the table's own materializations, not by the sensor's memory. A cursor that is lost or
  reset costs one more look at everything, and asks once more for what had failed.
- What was asked for and is not made yet is remembered in the cursor, with the state of the drops, and the runs carry a
  run key made of both. If a request never became a run, it is made again with the same key; if it did, Dagster refuses
  the same key twice. A memory that begins anew takes the sensor's newest run into its keys, or Dagster would also
  refuse what had failed.
- A day that failed is not asked for again before its drops change: one retry is the step's and the run's own business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dagster import (
    AssetSelection,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    JobDefinition,
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

from retail_assets.landing.drops import Drop, ZoneRefused
from retail_assets.operations.arrival import Inbox, contents, fingerprints, ingested, missing_drops, state
from retail_assets.operations.arrival_decision import Asked, Known, Look, Memory, Rules, decide, to_compare
from retail_assets.operations.binding import NotItsOwn, Places, bind, unattended
from retail_assets.operations.catch_up import FIRST_DAY, LAST_DAY, request
from retail_assets.operations.main_job_lock import is_under_way
from retail_assets.operations.materializations import newest_materializations
from retail_assets.operations.stored import Stored
from retail_assets.partitions.keys import PARTITION
from retail_assets.settings import Settings

_NOT_OVER = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def arrival_sensor(settings: Settings, inbox: Inbox, catch_up: JobDefinition | None) -> SensorDefinition:
    """The sensor of one source's drops; on as soon as a daemon runs. Its runs are of the `catch_up` job, if there is
    one."""
    name, places = f"{inbox.source.replace('/', '_')}_arrivals", Places.of(settings)
    marked, gaps = inbox.zone.marker is not None, catch_up is not None
    rules = Rules(inbox.table.to_user_string(), settings.days_per_run, marked, gaps=gaps)
    return SensorDefinition(
        name=name,
        description=f"Asks for the days of {inbox.table.to_user_string()} whose drops are new, changed or gone.",
        target=catch_up or AssetSelection.assets(inbox.table),
        evaluation_fn=_Watch(name, inbox, places, rules, Stored(places.tables)).tick,
        minimum_interval_seconds=settings.look_after_seconds,
        default_status=DefaultSensorStatus.RUNNING,
    )


@dataclass(frozen=True)
class _Watch:
    """A landing zone, watched for the table that ingests its drops."""

    sensor: str
    inbox: Inbox
    places: Places
    rules: Rules
    stored: Stored

    def tick(self, context: SensorEvaluationContext) -> SensorResult | SkipReason:
        """What to ask for now, or why nothing."""
        try:
            problem = self._not_ready(context.instance)
            if problem:
                return SkipReason(problem)
            drops = self.inbox.zone.drops(self.inbox.source)
        except (NotItsOwn, ZoneRefused) as refusal:  # such as a landing that is under way
            return SkipReason(str(refusal))
        memory, by_day = _remembering(context.instance, context.cursor, self.sensor), self.inbox.by_day(drops)
        look, numbers = self._look(context, by_day)
        asked: list[Asked] = []
        if memory.mark != look.mark:
            known = Known(numbers.keys(), ingested(context.instance, numbers))
            compared = {day: contents(by_day.get(day, [])) for day in to_compare(memory, look, known, self.rules)}
            memory, asked = decide(memory, replace(look, contents=compared), known, self.rules)
        return SensorResult(
            run_requests=[request(self.inbox.table, run) if self.rules.gaps else _of_range(run) for run in asked],
            cursor=memory.cursor(),
            skip_reason=None if asked else _why_nothing(self.inbox, drops, look, memory),
        )

    def _not_ready(self, instance: DagsterInstance) -> str | None:
        """Why nothing can be asked for: `retail run` makes it, or the lakehouse is not there. Raises NotItsOwn."""
        if is_under_way(instance, self.places):
            return "A main job is at work, as retail run or by itself: it is waited for."
        problem = unattended(instance, self.places)
        if not problem:
            bind(instance, replace(self.places, missing_drops=lambda: missing_drops(instance, self.inbox)))
        return problem

    def _look(self, context: SensorEvaluationContext, by_day: Mapping[str, list[Drop]]) -> tuple[Look, dict[str, int]]:
        """What is the case now, and the days that were made, with the number of their newest materialization."""
        assert context.repository_def is not None
        table, instance = context.repository_def.asset_graph.get(self.inbox.table), context.instance
        assert table.partitions_def is not None
        days, every = table.partitions_def.get_partition_keys(), newest_materializations(instance, [table.key])
        made = {table.key: {day: every[table.key][day] for day in days if day in every[table.key]}}
        numbers = {day: found.storage_id for day, found in made[table.key].items()}
        under_way = instance.get_runs(RunsFilter(statuses=_NOT_OVER, tags={SENSOR_NAME_TAG: self.sensor}))
        columns = {table.key: table.metadata[PARTITION]} if PARTITION in table.metadata else {}
        missing = self.stored.gone(instance, made, columns)
        look = Look(
            {day: state(fingerprints(drops)) for day, drops in by_day.items()},
            days,
            {run.run_id: _span(run) for run in under_way},
            max(numbers.values(), default=0),
            {day: numbers[day] for gone in missing for day in gone.partitions},
            held_back={day for day, drops in by_day.items() if any(drop.held_back for drop in drops)},
        )
        return look, numbers


def _remembering(instance: DagsterInstance, cursor: str | None, sensor: str) -> Memory:
    """The memory that the cursor holds, without requests that never became a run: a daemon may be killed between
    keeping the cursor and making the runs that it stands for."""
    memory = Memory.read(cursor)
    if memory.after is None:
        runs = instance.get_runs(RunsFilter(tags={SENSOR_NAME_TAG: sensor}), limit=1)
        memory = replace(memory, after=runs[0].run_id if runs else "")
    keys = list(memory.requested)
    runs = instance.get_runs(RunsFilter(tags={RUN_KEY_TAG: keys})) if keys else []
    return memory.without(set(keys) - {run.tags[RUN_KEY_TAG] for run in runs})


def _span(run: DagsterRun) -> tuple[str, str]:
    day = run.tags.get(PARTITION_NAME_TAG, "")
    first, last = run.tags.get(FIRST_DAY, day), run.tags.get(LAST_DAY, day)
    return run.tags.get(ASSET_PARTITION_RANGE_START_TAG, first), run.tags.get(ASSET_PARTITION_RANGE_END_TAG, last)


def _of_range(run: Asked) -> RunRequest:
    if len(run.days) == 1:
        return RunRequest(run_key=run.key, partition_key=run.days[0])
    return RunRequest(
        run_key=run.key,
        tags={ASSET_PARTITION_RANGE_START_TAG: run.days[0], ASSET_PARTITION_RANGE_END_TAG: run.days[-1]},
    )


def _why_nothing(inbox: Inbox, drops: Sequence[Drop], look: Look, memory: Memory) -> str:
    """What the tick's page says in the UI."""
    said = [f"{len(drops):,} drops, nothing new."]
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
    return " ".join([*said, *inbox.notices(drops)])
