"""Catching up: the run of an arrival makes the days that the sensor asks for and all that follows from them.

It is the main job in a process of the code server, which has loaded everything: one engine, and the next table begins
when the one before it is there, where runs that follow each other by automation would each wait for the daemon to look,
for the queue, for a process and for an engine. What it makes, it makes in ordinary runs beside its own. What it leaves
undone, as when it is killed, is asked for by automation, and what others make is followed as before.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    JobDefinition,
    MonthlyPartitionsDefinition,
    OpExecutionContext,
    RunRequest,
    RunsFilter,
    in_process_executor,
    job,
    op,
)
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from retail_assets.erasure.returned import brought_by_a_run
from retail_assets.landing.drops import ZoneRefused
from retail_assets.operations.arrival import Arrived, Inbox, ingested
from retail_assets.operations.arrival_decision import Asked
from retail_assets.operations.binding import Places
from retail_assets.operations.main_job import Observer, Summary, TableSummary, run_main_job
from retail_assets.operations.main_job_lock import AlreadyRunning
from retail_assets.operations.planned_runs import PlannedRun
from retail_assets.operations.planning import (
    Graph,
    Landed,
    Partition,
    Past,
    Request,
    as_it_was_made,
    tried,
)
from retail_assets.operations.warm_up import warm_up
from retail_assets.settings import Settings

FIRST_DAY, LAST_DAY = "retail/first_day", "retail/last_day"
"""On the run: of the days that it was asked for."""

JOB = "catch_up"
_OP = "make_days_and_what_follows"
_LOOKS_EVERY = 1.0
"""Seconds between two looks whether another main job is done."""


def request(table: AssetKey, asked: Asked) -> RunRequest:
    """The run that makes the table's days, which need not follow each other, and what follows from them."""
    config = {"ops": {_OP: {"config": {"table": table.to_user_string(), "days": list(asked.days)}}}}
    return RunRequest(asked.key, config, tags={FIRST_DAY: asked.days[0], LAST_DAY: asked.days[-1]})


def catch_up_job(settings: Settings, inboxes: Sequence[Inbox], definitions: Callable[[], Definitions]) -> JobDefinition:
    """The job of all arrivals. `definitions` are asked for when it runs: the job is a part of them."""
    by_table = {inbox.table.to_user_string(): inbox for inbox in inboxes}

    @op(name=_OP, config_schema={"table": str, "days": [str]})
    def make(context: OpExecutionContext) -> None:
        again = PARENT_RUN_ID_TAG in context.run.tags  # the run before it was killed
        arrival = _Arrival(context.instance, what_to_make(context.run, context.instance, by_table), again)
        summary = _made(settings, arrival, definitions(), _Told(context.log.info))
        # Of runs that are told of by themselves, and of people who are there again.
        for line in (*summary.failures, *brought_by_a_run(settings, summary.tables)):
            context.log.warning(line)

    @job(
        name=JOB,
        description="Makes days whose drops have arrived and all that follows from them, in one process.",
        executor_def=in_process_executor,
    )
    def catch_up() -> None:
        make()

    return catch_up


def asked_together(run: DagsterRun, instance: DagsterInstance) -> dict[str, list[str]]:
    """Table -> the days that the run is asked for, and those of the first run of each other table that waits in the
    queue: of what arrives together, in several directories, one run makes all. The others find nothing to do."""
    waiting = instance.get_runs(RunsFilter(job_name=JOB, statuses=[DagsterRunStatus.QUEUED]))  # newest first
    days: dict[str, list[str]] = {}
    for each in (run, *reversed(waiting)):
        days = asked_of(each) | days
    return days


def asked_of(run: DagsterRun) -> dict[str, list[str]]:
    """Table -> the days that a run of this job is asked for."""
    config: Any = run.run_config
    asked = config.get("ops", {}).get(_OP, {}).get("config", {})  # a run that somebody began by hand may lack it
    return {asked["table"]: asked["days"]} if asked else {}


def what_to_make(run: DagsterRun, instance: DagsterInstance, by_table: Mapping[str, Inbox]) -> dict[Inbox, list[str]]:
    """By where they arrive, the days that a run makes: its own, and of those that wait what can be looked at."""
    own, together = asked_of(run), asked_together(run, instance)
    return {by_table[of]: days for of, days in together.items() if of in own or _can_be_listed(by_table[of])}


def _can_be_listed(inbox: Inbox) -> bool:
    """Not while its files are being landed, say: then its own run tells of it, and no other waits for that."""
    try:
        inbox.zone.drops(inbox.source)
    except ZoneRefused:
        return False
    return True


@dataclass(frozen=True)
class _Arrival:
    """What was asked for: the days of what arrives in each directory. `again`: for the second time, as the run was
    killed."""

    instance: DagsterInstance
    days: Mapping[Inbox, Collection[str]]
    again: bool

    def landed(self, graph: Graph) -> dict[AssetKey, Landed]:
        """For the planner: nothing has landed but these days; what else reads the landing zone, is as it was made."""
        as_made = {key: as_it_was_made(()) for key in graph.roots}
        return {**as_made, **{inbox.table: self._of(inbox, days) for inbox, days in self.days.items()}}

    def _of(self, inbox: Inbox, days: Collection[str]) -> Landed:
        arrived = Arrived(inbox.by_day(inbox.zone.drops(inbox.source)))
        differing = arrived.landed(lambda made: ingested(self.instance, made))

        def landed(made: Mapping[str, int]) -> tuple[set[str], str | None]:
            return differing(made)[0] & set(days), max({*made, *days})

        return landed

    def others(self, graph: Graph, past: Past, due: Mapping[AssetKey, Sequence[str]]) -> set[Partition]:
        """What is due for another reason, and not for the first time: days that failed, or what failed after them. It
        waits until what it reads has changed; as under automation."""
        days = {inbox.table: days for inbox, days in self.days.items()}
        found = {(key, p) for key in graph.roots for p in due.get(key, []) if p not in days.get(key, ())}
        if self.again:
            return found
        read = ((key, partitions) for key, partitions in due.items() if key not in graph.roots)
        return found | {(key, p) for key, ps in read for p in tried(graph, self.instance, past, key, ps)}


def _made(settings: Settings, arrival: _Arrival, definitions: Definitions, observer: Observer) -> Summary:
    """The main job, once no other is at work. With a gate, months are left to automation, which knows of it."""
    graph = Graph(list(definitions.resolve_asset_graph().assets_defs))
    months = {key for key in graph.assets if isinstance(graph.partitions_def(key), MonthlyPartitionsDefinition)}
    wanted = frozenset(graph.assets.keys() - months) if settings.snapshots_cron else None
    asked = Request(tables=wanted, left_alone=arrival.others)
    while True:
        try:
            return run_main_job(
                definitions,
                arrival.instance,
                arrival.landed(graph),
                asked,
                observer,
                warm_up=lambda partitions: warm_up(settings, partitions),
                places=Places.of(settings),
            )
        except AlreadyRunning:
            time.sleep(_LOOKS_EVERY)


@dataclass(frozen=True)
class _Told(Observer):
    """What is made, in the log of the run."""

    say: Callable[[str], object]

    def noticed(self, notice: str) -> None:
        self.say(notice)

    def finished(self, key: AssetKey, run: PlannedRun, table: TableSummary, succeeded: bool, seconds: float) -> None:
        self.say(f"{key.to_user_string()} {run}: {f'made in {seconds:.1f} s' if succeeded else 'not made'}")
