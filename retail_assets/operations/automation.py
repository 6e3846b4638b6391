"""Following: what is made by itself once something that it reads was made, by declarative automation.

A table has a condition, which the daemon looks at every few seconds; partitions for which it is true are asked for. The
leaves of our own (Due, UnderWay, Tried, MainJobAtWork) do not wait for events but read what is the case from Dagster's
event log, by the rule of `retail run` (`operations/planning.py`). So nothing is missed while the daemon is down,
nothing that is current is ever made again, whoever made it, and a corrected day of an old month asks for that month's
snapshots and for the later ones that read it, and for nothing else.
"""

import weakref
from datetime import date, timedelta
from functools import cache

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AutomationCondition,
    AutomationConditionSensorDefinition,
    BackfillPolicy,
    DagsterInstance,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    MonthlyPartitionsDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
)
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.asset_graph_view.entity_subset import EntitySubset
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.declarative_automation.automation_context import AutomationContext
from dagster._core.definitions.declarative_automation.operands.subset_automation_condition import (
    SubsetAutomationCondition,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._record import record

from retail_assets.operations.binding import Places, unattended
from retail_assets.operations.main_job_lock import is_under_way
from retail_assets.operations.planned_runs import next_run, without_blocked
from retail_assets.operations.planning import (
    Graph,
    Request,
    arrivals_since,
    as_it_was_made,
    is_monthly,
    looked_back,
    tried,
    what_is_due,
)
from retail_assets.operations.stored import Stored
from retail_assets.settings import Settings

MONTH_END = "0 6 1 * *"
"""When the month that has ended is closed, in UTC."""

# What is due in a lakehouse, worked out once for all the conditions of one look of the daemon.
_plans: "weakref.WeakKeyDictionary[AssetGraphView, Plan]" = weakref.WeakKeyDictionary()


@cache
def _stored(root: str | None) -> Stored:
    """One for the process: it remembers what it saw of tables that have not changed since."""
    return Stored(root)


class Plan:
    """What is due, and of that what was tried since what it reads was made; and what was under way just before."""

    def __init__(
        self, graph: Graph, instance: DagsterInstance, under_way: dict[AssetKey, set[str]], places: Places
    ) -> None:
        self._graph, self._instance, self.under_way = graph, instance, under_way
        self._past = looked_back(graph, instance, _stored(places.tables))
        roots = {key: as_it_was_made(under_way.get(key, set())) for key in graph.roots}
        self.due = what_is_due(graph, self._past, arrivals_since(self._past, roots), Request())

    def tried(self, key: AssetKey) -> set[str]:
        """See `planning.tried`."""
        return tried(self._graph, self._instance, self._past, key, self.due.get(key, []))


async def _plan(view: AssetGraphView, places: Places) -> Plan:
    plan = _plans.get(view)
    if plan is None:
        assert isinstance(view.asset_graph, AssetGraph)  # evaluated where the definitions are
        graph = Graph(list(view.asset_graph.assets_defs))
        under_way = {}
        for key in graph.assets:
            every = view.get_full_subset(key=key)
            runs = await view.compute_run_in_progress_subset(key=key, from_subset=every)
            backfills = await view.compute_backfill_in_progress_subset(key=key, from_subset=every)
            under_way[key] = set(runs.compute_union(backfills).expensively_compute_partition_keys())
        plan = _plans[view] = Plan(graph, view.instance, under_way, places)
    return plan


def _subset(context: AutomationContext[AssetKey], partitions: set[str]) -> EntitySubset[AssetKey]:
    definition = context.partitions_def
    assert definition is not None
    found = context.asset_graph_view.get_subset_from_partition_keys(context.key, definition, partitions)
    return context.candidate_subset.compute_intersection(found)


@record
class Due(SubsetAutomationCondition[AssetKey]):
    """True for a partition that was never made, or was made before something that it reads, or that reads one of which
    this is true. Partitions later than what has been ingested are not due. As the main job has it."""

    places: Places

    @property
    def name(self) -> str:
        return "due"

    async def compute_subset(self, context: AutomationContext[AssetKey]) -> EntitySubset[AssetKey]:  # type: ignore[override]
        plan = await _plan(context.asset_graph_view, self.places)
        return _subset(context, set(plan.due.get(context.key, [])))


@record
class UnderWay(SubsetAutomationCondition[AssetKey]):
    """True for a partition that a run or a backfill, waiting or going on, is to make: as it was before it was read what
    is due. Asked afterwards, as Dagster's own `in_progress()` is, a partition that was made in between would be neither
    under way nor current, and would be made again."""

    places: Places

    @property
    def name(self) -> str:
        return "under_way"

    async def compute_subset(self, context: AutomationContext[AssetKey]) -> EntitySubset[AssetKey]:  # type: ignore[override]
        plan = await _plan(context.asset_graph_view, self.places)
        return _subset(context, plan.under_way[context.key])


@record
class Tried(SubsetAutomationCondition[AssetKey]):
    """True for a partition that some run, by whomever, was to make after everything that it reads was made. If the
    partition is due nevertheless, that run has failed or goes on."""

    places: Places

    @property
    def name(self) -> str:
        return "tried_since_its_inputs_were_made"

    async def compute_subset(self, context: AutomationContext[AssetKey]) -> EntitySubset[AssetKey]:  # type: ignore[override]
        plan = await _plan(context.asset_graph_view, self.places)
        return _subset(context, plan.tried(context.key))


@record
class MainJobAtWork(SubsetAutomationCondition[AssetKey]):
    """True while `retail run` is at work on the lakehouse; and while that is not there, or is not this home's: then
    nothing is made before somebody has looked."""

    places: Places

    @property
    def name(self) -> str:
        return "main_job_at_work"

    def compute_subset(self, context: AutomationContext[AssetKey]) -> EntitySubset[AssetKey]:
        instance = context.asset_graph_view.instance
        waits = unattended(instance, self.places) or is_under_way(instance, self.places)
        return context.candidate_subset if waits else context.get_empty_subset()


def follows(places: Places) -> AutomationCondition[AssetKey]:
    """When a partition is made by itself: all of the clauses below have to hold for it."""
    due, under_way = Due(places=places).with_label("due"), UnderWay(places=places).with_label("under_way")
    checks_say_no = AutomationCondition.any_checks_match(
        AutomationCondition.check_failed() | AutomationCondition.in_progress(), blocking_only=True
    ).with_label("a_blocking_check_failed_or_is_running")
    return (
        # It is missing or out of date. This alone says what a correction makes anew: what reads the corrected day, and
        # what reads that. All that comes after only says when.
        due
        # No run was to make it since what it reads was made. Each change of what it reads is thus answered by one run;
        # within that run a step is tried once more, and a run that was killed is started once more. Then it is quiet,
        # until what it reads changes or somebody runs it by hand.
        & ~Tried(places=places).with_label("tried_since_its_inputs_were_made")
        # No run or backfill that waits or goes on is to make it.
        & ~under_way
        # Nothing that it reads is about to change: is due itself, or being made. So a day waits for its bronze, a month
        # for all its days, and a snapshot for the months before it; what reads a partition that failed waits with it,
        # and readers see what was there before. What will be made in the same run, before it, need not be waited for.
        & ~AutomationCondition.any_deps_match((due | under_way) & ~AutomationCondition.will_be_requested()).with_label(
            "something_that_it_reads_is_about_to_change"
        )
        # No blocking check says no of something that it reads, or has not said yet. A step publishes nothing that its
        # own checks refuse; this is about checks that run by themselves, afterwards.
        & ~AutomationCondition.any_deps_match(checks_say_no).with_label("a_check_of_what_it_reads_says_no")
        # `retail run` makes everything that is due. Afterwards nothing is.
        & ~MainJobAtWork(places=places).with_label("main_job_at_work")
    ).with_label("follows")


def follows_at_most_once_a(cron: str, places: Places) -> AutomationCondition[AssetKey]:
    """As `follows`, but a partition is asked for at most once between two ticks of the cron schedule: every drop of the
    running month changes all its snapshots, and a backfill of days would change them again and again."""
    gate = AutomationCondition.cron_tick_passed(cron).since(AutomationCondition.newly_requested())
    return (gate.with_label(f"not_asked_for_since_the_last_tick_of ({cron})") & follows(places)).with_label(
        f"follows_at_most_once_per_tick_of ({cron})"
    )


def automated(asset: AssetsDefinition, settings: Settings) -> AssetsDefinition:
    """The asset with its condition, if it reads another table, and with the bound on what one run makes of it.

    Backfills are split into runs of consecutive partitions, no longer than the bound; each run has one check evaluation
    per partition, and a backfill that was interrupted goes on with the runs that are left.
    """
    monthly = isinstance(asset.partitions_def, MonthlyPartitionsDefinition)
    longest = settings.months_per_run if monthly else settings.days_per_run
    bounded = asset.with_attributes(backfill_policy=BackfillPolicy.multi_run(longest))
    if not asset.asset_deps[asset.key]:
        return bounded
    places = Places.of(settings)
    cron = settings.snapshots_cron
    condition = follows_at_most_once_a(cron, places) if monthly and cron else follows(places)
    return bounded.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=condition))


def following_sensor(settings: Settings) -> AutomationConditionSensorDefinition:
    """Looks at every table's condition; on as soon as a daemon runs."""
    return AutomationConditionSensorDefinition(
        "following",
        target=AssetSelection.all(),
        description="Makes what reads a table once that table was made. A table's Automation tab says why.",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=settings.look_after_seconds,
        # Our own leaves are evaluated where the definitions are.
        use_user_code_server=True,
    )


def month_end(settings: Settings) -> ScheduleDefinition:
    """On the first of a month at 06:00, the snapshots of the month that has ended, whatever the gate of the snapshots
    says: those that are due and can be made, in one run; what reads them follows. Nothing, if they are current."""

    def close(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        assert context.repository_def is not None
        graph = Graph(list(context.repository_def.asset_graph.assets_defs))
        day = context.scheduled_execution_time.date() - timedelta(days=1)
        return closing(graph, context.instance, day, Places.of(settings))

    return ScheduleDefinition(
        name="month_end",
        description="Makes the snapshots of the month that has ended, if they are not current.",
        cron_schedule=MONTH_END,
        # A job of its own could not have tables whose months begin at different ones.
        job_name=IMPLICIT_ASSET_JOB_NAME,
        execution_fn=close,
        default_status=DefaultScheduleStatus.RUNNING,
    )


def closing(graph: Graph, instance: DagsterInstance, day: date, places: Places) -> RunRequest | SkipReason:
    """The run that makes the snapshots of the day's month, or why there is none."""
    month = day.replace(day=1).isoformat()
    problem = unattended(instance, places)
    if problem:
        return SkipReason(problem)
    if is_under_way(instance, places):
        return SkipReason("A main job is at work: it makes whatever is due.")
    due = Plan(graph, instance, {}, places).due
    closed = {key: [month] for key, months in due.items() if is_monthly(graph, key) and month in months}
    others = {(key, p) for key, partitions in due.items() for p in partitions if p not in closed.get(key, [])}
    ready, _ = without_blocked(graph, closed, others)
    run = next_run(graph, ready)
    if run:
        return RunRequest(tags={PARTITION_NAME_TAG: month}, asset_selection=list(run.keys))
    if closed:
        waiting = ", ".join(sorted(key.path[-1] for key in closed))
        return SkipReason(f"{waiting} of {month} wait for partitions that they read and that are not current.")
    return SkipReason(f"Every snapshot of {month} is current, or nothing of it has landed.")
