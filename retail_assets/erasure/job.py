"""The job `forget`: takes people out of everything that is stored, and searches all of it for them.

In this order, each part such that it may be killed anywhere and done again: the drops, then the tables that follow from
them (by the main job, in ordinary runs beside this one), what tables keep of older versions, Dagster's and MLflow's own
records, and in the end the search. Whom it is about, `retail forget` has left in the Dagster home (`requests`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dagster import (
    AssetCheckEvaluation,
    AssetMaterialization,
    Definitions,
    Failure,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    in_process_executor,
    job,
    op,
)

from retail_assets.erasure.drops import Manner, People, all_drops, erase_from_drops, without
from retail_assets.erasure.requests import ForgetRequest, directory, keep, pending
from retail_assets.erasure.search import Ids, search
from retail_assets.lakehouse.pseudonyms import key_of, pseudonym_of
from retail_assets.landing.campaign_lists import forget_contacts
from retail_assets.landing.drops import YOUNG_SECONDS, LandingZone
from retail_assets.operations import erasures
from retail_assets.operations.binding import Places, home_of
from retail_assets.operations.main_job import Observer, run_main_job
from retail_assets.operations.main_job_lock import AlreadyRunning, alone
from retail_assets.operations.planning import Request
from retail_assets.operations.warm_up import warm_up
from retail_assets.settings import Settings
from retail_assets.shops.shop import Shop
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.source import Source

JOB = "forget"
REVENUE = ("clean_transactions", "line_total")
"""Table and column of whose sum nothing may be lost where lines stay."""

_LOOKS_EVERY = 1.0


class NotForgotten(Failure):
    """Something keeps a person from being forgotten; the message says what."""


@dataclass(frozen=True)
class Stores:
    """Everything that is stored, as far as it can be reached from here."""

    landing: Path
    lakehouse: Path
    dashboards: Path
    mlflow: tuple[Path, ...]
    fitted: Path
    home: Path

    @staticmethod
    def of(settings: Settings, home: Path) -> "Stores":
        """As the settings say. MLflow's are the file of a SQLite store, and its artifacts."""
        lakehouse, uri = Path(settings.lakehouse), settings.mlflow_tracking_uri
        database = Path(unquote(urlsplit(uri).path.removeprefix("/"))) if uri.startswith("sqlite:///") else None
        mlflow = (database, database.parent / "mlflow-artifacts") if database else ()
        return Stores(
            Path(settings.landing),
            lakehouse,
            Path(settings.dashboards),
            mlflow,
            lakehouse.with_name("fitted-models"),
            home,
        )

    def all(self) -> list[Path]:
        """What is searched."""
        return [self.landing, self.lakehouse, self.dashboards, *self.mlflow, self.fitted, self.home]


def out_of_reach(settings: Settings) -> list[str]:
    """What may hold people and cannot be reached from here, in words."""
    said = ["backups and copies elsewhere, files that were landed from, topics of Kafka, what was exported or mailed"]
    if not settings.mlflow_tracking_uri.startswith("sqlite:///"):
        said.append(f"MLflow at {urlsplit(settings.mlflow_tracking_uri).hostname or settings.mlflow_tracking_uri}")
    return said


def forget_job(settings: Settings, sources: Sequence[Source], definitions: Callable[[], Definitions]) -> JobDefinition:
    """The job over all that is asked for. `definitions` are asked for when it runs: the job is a part of them."""
    by_name = {source.name: source for source in sources}

    @op(name="forget_who_is_asked_for")
    def forget_all(context: OpExecutionContext) -> None:
        home = home_of(context.instance)
        if home is None:
            raise NotForgotten("This Dagster instance has no home, in which it would be said who is to be forgotten.")
        requests = list(pending(home))
        if not requests:
            context.log.info("Nobody is to be forgotten: retail forget says who is.")
        for path, request in requests:
            source = by_name.get(request.source)
            if source is None or not isinstance(source.owner, Shop):
                raise NotForgotten(f"{path}: {request.source} is no shop whose drops lie here.")
            _Forgetting(settings, Stores.of(settings, home), source, definitions, context).forget(path, request)

    @job(name=JOB, description=__doc__, executor_def=in_process_executor)
    def forget() -> None:
        forget_all()

    return forget


@dataclass(frozen=True)
class _Forgetting:
    settings: Settings
    stores: Stores
    source: Source
    definitions: Callable[[], Definitions]
    context: OpExecutionContext

    def forget(self, path: Path, request: ForgetRequest) -> None:
        """All of it; raises NotForgotten where something is left."""
        people, shop = People(frozenset(request.ids), frozenset(request.named)), self.source.owner
        self._tell(request, erasures.UNDER_WAY)
        manner = Manner(shop.forgets_lines, shop.personal_columns)
        zone = LandingZone(self.settings.landing, self.settings.drop_marker)
        with self._alone():
            erased = erase_from_drops(zone, shop.layout, people, manner)
            forget_contacts(zone, shop.name, people.ids)
            before = request.begun_at
            for artifacts in self.stores.mlflow[1:]:
                self._examples_removed(artifacts, before)
            from retail_assets.erasure.logs import remove_fitted

            remove_fitted(self.stores.fitted, before)
        request = replace(request, drops=request.drops + erased.drops, lines=request.lines + erased.lines)
        keep(self.stores.home, request)
        self._say(f"{erased.drops:,} drops were written anew, {erased.lines:,} of their lines without the person.")
        self._make_tables(erased.drops > 0)
        with self._alone():
            request = self._old_versions_gone(request, people)
            self._keeps_revenue(request, manner)
            self._records_struck(people)
            self._search(path, request, people, zone, manner)

    def _examples_removed(self, artifacts: Path, before: datetime) -> None:
        from retail_assets.erasure.logs import remove_examples

        if removed := remove_examples(artifacts, before):
            self._say(f"{removed:,} sample inputs of models were removed.")

    def _make_tables(self, waits: bool) -> None:
        """What follows from the drops, as `retail run` makes it."""
        if waits:
            time.sleep(YOUNG_SECONDS + 1)  # a drop that changed a moment ago may still be written to
        keys = frozenset(table.key for table in self.source.tables)
        while True:
            try:
                arrived = arrivals(self.settings, self.context.instance, [self.source])
                summary = run_main_job(
                    self.definitions(),
                    self.context.instance,
                    arrived.landed,
                    Request(tables=keys),
                    _Told(self._say),
                    warm_up=lambda partitions: warm_up(self.settings, partitions),
                    places=arrived.places,
                )
                break
            except AlreadyRunning:
                time.sleep(_LOOKS_EVERY)
        if not summary.succeeded:
            raise NotForgotten(
                "The drops hold the people no more, but not all tables could be made anew: "
                f"{'; '.join(summary.failures)}. Mend that, then: retail forget",
                allow_retries=False,
            )

    def _old_versions_gone(self, request: ForgetRequest, people: People) -> ForgetRequest:
        from retail_assets.erasure.stored import erase_from_table, tables_below

        ids, made = self._ids(people), {table.key.path[-1] for table in self.source.tables}
        touched = []
        for place in tables_below(self.stores.lakehouse):
            remade = place.parent.name == self.source.name and place.name in made
            if erase_from_table(place, ids, is_made_anew=remade):
                touched.append(f"{place.parent.name}.{place.name}")
        request = replace(request, tables=tuple(sorted({*request.tables, *touched})))
        keep(self.stores.home, request)
        self._say(f"Old versions of {len(touched)} tables went: they held one of the people.")
        return request

    def _keeps_revenue(self, request: ForgetRequest, manner: Manner) -> None:
        from retail_assets.erasure.stored import revenue_of

        now = revenue_of(self.stores.lakehouse / self.source.name / REVENUE[0], REVENUE[1])
        if request.revenue is not None and not manner.removes and now != request.revenue:
            keep(self.stores.home, replace(request, revenue=now))
            raise NotForgotten(
                f"The sum of all lines was {request.revenue} before and is {now}: other drops were landed meanwhile, "
                "or something is wrong. Nothing more was done; retail forget goes on all the same.",
                allow_retries=False,
            )
        self._say(f"The sum of all lines is {now}; it was {request.revenue} before.")

    def _records_struck(self, people: People) -> None:
        from retail_assets.erasure.logs import erase_from_files

        kept, ids = directory(self.stores.home), self._ids(people)
        struck = erase_from_files(self.stores.home, ids, but=kept)
        struck += sum(erase_from_files(place, ids, but=kept) for place in self.stores.mlflow)
        self._say(f"{struck:,} of Dagster's and MLflow's files named one of the people, and do no more.")

    def _search(self, path: Path, request: ForgetRequest, people: People, zone: LandingZone, manner: Manner) -> None:
        ids, shop = self._ids(people), self.source.owner
        drops = set(all_drops(Path(zone.directory(self.source.name))))
        left = [str(drop) for drop in sorted(drops) if without(drop, shop.layout, people, manner)]
        kept = directory(self.stores.home)
        found = search(self.stores.all(), ids)
        left += [str(one) for one in found if one.path not in drops and kept not in one.path.parents]
        status = erasures.LEFT if left else erasures.COMPLETE
        self._tell(request, status, left)
        if left:
            raise NotForgotten(
                f"An id is left in {len(left)} places: {', '.join(left[:5])}. Remove it there, then: retail forget",
                allow_retries=False,
            )
        path.unlink()
        self._say(
            "Everything that is stored was searched: no id is left. "
            + "Not reached: "
            + "; ".join(out_of_reach(self.settings))
            + "."
        )

    def _tell(self, request: ForgetRequest, status: str, left: Sequence[str] = ()) -> None:
        """In the table, and in Dagster."""
        settings, instance = self.settings, self.context.instance
        key = erasures.key_of_hashes(settings.lakehouse, settings.pseudonym_key)
        people = [erasures.person(key, request.source, one) for one in request.ids]
        now = None if status == erasures.UNDER_WAY else datetime.now(UTC)
        known: dict[str, Any] = {
            "ended_at": now,
            "last_version_gone_at": now,
            "drops": request.drops,
            "lines": request.lines,
            "tables": list(request.tables),
            "places_left": list(left),
        }
        version = erasures.keep(
            settings.lakehouse, erasures.told(request.source, people, status, request.begun_at, **known)
        )
        metadata = {"people": MetadataValue.int(len(people)), "delta_version": MetadataValue.int(version)}
        instance.report_runless_asset_event(AssetMaterialization(erasures.KEY, metadata=metadata))
        if now:
            result = erasures.verdict(erasures.rows(settings.lakehouse))
            instance.report_runless_asset_event(
                AssetCheckEvaluation(
                    asset_key=erasures.KEY,
                    check_name=erasures.NOTHING_LEFT,
                    passed=result.passed,
                    metadata=result.metadata,
                )
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no main job is at work."""
        while True:
            try:
                with alone(self.context.instance, Places.of(self.settings)):
                    yield
                    return
            except AlreadyRunning:
                time.sleep(_LOOKS_EVERY)

    def _say(self, line: str) -> None:
        self.context.log.info(line)

    def _ids(self, people: People) -> Ids:
        return _ids(people, self.settings, self.source.name)


def _ids(people: People, settings: Settings, source: str) -> Ids:
    """What is looked for: ids, and the pseudonyms that people read in their place."""
    key = settings.pseudonym_key
    pseudonyms = {pseudonym_of(key_of(key, source), one) for one in people.ids} if key else set()
    return Ids(people.named | pseudonyms, people.ids | pseudonyms)


@dataclass(frozen=True)
class _Told(Observer):
    say: Callable[[str], object]

    def noticed(self, notice: str) -> None:
        self.say(notice)
