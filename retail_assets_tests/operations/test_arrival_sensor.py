"""The arrival sensor, tick by tick, over a real landing zone and event log; its runs are only said to be made."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from dagster import (
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    MetadataValue,
    RunRequest,
    build_sensor_context,
)
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.sensor import fetch_existing_runs
from moto.server import ThreadedMotoServer
from upath import UPath

from retail_assets.definitions import build_definitions
from retail_assets.lakehouse.io_manager import DATA_VERSION_TAG
from retail_assets.landing.drops import LandingZone
from retail_assets.operations import arrival_sensor
from retail_assets.operations.arrival import CONTENTS, DROPS, contents, fingerprints
from retail_assets.operations.arrival_decision import COMPARED_AT_ONCE, RUNS_AT_ONCE
from retail_assets.settings import Settings
from retail_assets_tests.made_shop import SOURCE
from retail_assets_tests.operations.test_planning import days

if TYPE_CHECKING:
    from dagster._core.remote_representation.external import RemoteSensor

SENSOR, RAW = "online_retail_arrivals", SOURCE.tables[0].key
FIRST_DAY = "RETAIL_ONLINE_RETAIL_FIRST_DAY"


class Landing:
    """A landing zone, the sensor that looks at it, and runs that do as they are told."""

    def __init__(self, directory: Path, instance: DagsterInstance, root: str | None = None, **environment: str) -> None:
        self.settings = Settings.read(
            {
                "RETAIL_LANDING": root or str(directory / "landing"),
                "RETAIL_LAKEHOUSE": str(directory / "lakehouse"),
                FIRST_DAY: "2010-01-01",
                "RETAIL_ONLINE_RETAIL_LAST_DAY": "2026-10-31",
                **environment,
            }
        )
        self.zone = LandingZone(self.settings.landing, self.settings.drop_marker)
        self.directory = UPath(self.zone.directory("online_retail"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.instance = instance
        self.cursor: str | None = None
        self.said = ""
        self.moment = 1_700_000_000
        self.made_by_version: int | None = None
        self.restart()

    def restart(self) -> None:
        """Another process, with nothing in memory but what the cursor says."""
        self.repository = build_definitions(self.settings).get_repository_def()

    def drop(self, *landed: str, content: str = "one\n", name: str = "online_retail") -> None:
        for day in landed:
            path = self.directory / f"{name}_{day}.csv"
            path.write_text(f"{day}{content}")
            self.moment += 1  # files written at once may have the same time of modification
            if isinstance(path, Path):
                os.utime(path, (self.moment, self.moment))

    def tick(self) -> list[RunRequest]:
        """What the sensor asks for now."""
        context = build_sensor_context(self.instance, self.cursor, repository_def=self.repository)
        found = self.repository.get_sensor_def(SENSOR).evaluate_tick(context)
        self.cursor, self.said = found.cursor, found.skip_message or ""
        return list(found.run_requests or [])

    def has_launched(self, request: RunRequest) -> bool:
        """Whether the daemon, by its own rule, has made a run of the request's key, and skips the request."""
        sensor = cast("RemoteSensor", SimpleNamespace(name=SENSOR))
        return bool(fetch_existing_runs(self.instance, sensor, [request]))

    def launch(self, request: RunRequest, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> DagsterRun:
        """The run that the daemon makes of a request."""
        assert not self.has_launched(request)
        tags = {**request.tags, RUN_KEY_TAG: request.run_key or "", SENSOR_NAME_TAG: SENSOR}
        return create_run_for_test(self.instance, status=status, tags=tags)

    def make(self, request: RunRequest, leaving_out: str = "") -> None:
        """The run of a request, to its end; all of its days are made but the one that is left out."""
        run = self.launch(request)
        drops = self.zone.drops("online_retail")
        for day in asked(request):
            if day != leaving_out:
                of_day = [drop for drop in drops if str(drop.day) == day]
                metadata = {
                    DROPS: MetadataValue.json(fingerprints(of_day)),
                    CONTENTS: MetadataValue.json(contents(of_day) or []),
                }
                tags = {DATA_VERSION_TAG: str(self.made_by_version)} if self.made_by_version else None
                made = AssetMaterialization(RAW, partition=day, metadata=metadata, tags=tags)
                self.instance.report_runless_asset_event(made)
        end(self.instance, run, not leaving_out)

    def settle(self) -> list[str]:
        """The days that are asked for at this tick and the next, made."""
        found = []
        for _ in range(2):
            for request in self.tick():
                self.make(request)
                found += asked(request)
        return found


def end(instance: DagsterInstance, run: DagsterRun, well: bool) -> None:
    ended = DagsterEventType.RUN_SUCCESS if well else DagsterEventType.RUN_FAILURE
    instance.report_dagster_event(DagsterEvent(ended.value, run.job_name), run.run_id)


def asked(request: RunRequest) -> list[str]:
    """The days of a request."""
    [op] = request.run_config["ops"].values()
    return list(op["config"]["days"])


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    """Three drops, made."""
    with DagsterInstance.ephemeral() as instance:
        made = Landing(tmp_path, instance)
        made.drop("2010-01-04", "2010-01-05", "2010-01-08")
        assert made.settle() == days("2010-01-01", "2010-01-08")
        assert made.tick() == []
        yield made


def test_a_drop_counts_when_it_was_the_same_at_two_looks(landing):
    landing.drop("2010-01-09", content="half")
    assert landing.tick() == []
    assert "looked at once more" in landing.said
    landing.drop("2010-01-09", content="half and the rest")
    assert landing.tick() == []
    (request,) = landing.tick()
    assert asked(request) == ["2010-01-09"]


def test_new_changed_and_gone_drops_are_asked_for_and_nothing_else(landing):
    landing.drop("2010-01-04", content="corrected")
    (landing.directory / "online_retail_2010-01-08.csv").unlink()
    landing.drop("2010-01-10", "2010-01-06")  # a closed day's drop comes late
    assert landing.tick() == []
    (request,) = landing.tick()
    # The 9th was closed.
    assert asked(request) == ["2010-01-04", "2010-01-06", "2010-01-08", "2010-01-09", "2010-01-10"]
    landing.make(request)
    assert [landing.tick(), landing.tick()] == [[], []]


def test_a_tick_with_nothing_new_lists_the_landing_zone_and_reads_no_event(landing, monkeypatch):
    assert landing.tick() == []
    monkeypatch.setattr(arrival_sensor, "ingested", None)
    assert landing.tick() == []
    assert landing.said == "3 drops, nothing new."


def test_what_was_ingested_is_recognised_under_another_name_and_a_correction_of_it_is_not(landing):
    path = landing.directory / "online_retail_2010-01-05.csv"
    path.rename(landing.directory / "again_2010-01-05.csv")
    assert landing.settle() == []
    assert "left alone: 2010-01-05" in landing.said
    landing.restart()
    assert landing.settle() == []
    landing.drop("2010-01-05", name="again", content="corrected")
    assert landing.settle() == ["2010-01-05"]


def test_a_failed_day_is_not_asked_for_again_before_its_drop_changes(landing):
    landing.drop("2010-01-09", "2010-01-10", content="broken")
    landing.tick()
    (request,) = landing.tick()
    landing.make(request, leaving_out="2010-01-09")
    for _ in range(3):
        assert landing.tick() == []
        assert "Not made although asked for: 2010-01-09" in landing.said
    landing.drop("2010-01-09", content="mended")
    assert landing.settle() == ["2010-01-09"]


def test_a_lost_cursor_asks_only_for_what_failed_as_often_as_it_is_lost(landing):
    landing.drop("2010-01-09", content="broken")
    landing.tick()
    landing.make(landing.tick()[0], leaving_out="2010-01-09")
    for _ in range(2):
        assert landing.tick() == []
        landing.cursor = None
        assert landing.tick() == []
        (request,) = landing.tick()
        assert asked(request) == ["2010-01-09"]
        landing.make(request, leaving_out="2010-01-09")
    assert [landing.tick(), landing.tick()] == [[], []]


@pytest.mark.parametrize("lost", [False, True], ids=["first memory", "memory after a lost cursor"])
def test_a_tick_repeated_after_its_run_was_made_makes_no_second_even_if_that_failed(landing, lost):
    landing.drop("2010-01-09", content="broken")
    if lost:
        landing.settle()
        landing.drop("2010-01-09", content="still broken")
        landing.cursor = None
    landing.tick()
    before = landing.cursor
    landing.make(landing.tick()[0], leaving_out="2010-01-09")
    landing.cursor = before  # killed after it made the run, before it kept the cursor
    landing.restart()
    (again,) = landing.tick()
    assert asked(again) == ["2010-01-09"]
    assert landing.has_launched(again)
    assert landing.tick() == []


def test_days_under_way_are_not_asked_for_and_a_drop_that_changes_meanwhile_is_afterwards(landing):
    landing.drop("2010-01-09")
    landing.tick()
    (request,) = landing.tick()
    run = landing.launch(request)
    landing.drop("2010-01-09", content="corrected while it was being read")
    assert [landing.tick(), landing.tick()] == [[], []]
    assert "1 runs under way" in landing.said
    landing.cursor = None
    assert [landing.tick(), landing.tick()] == [[], []]
    end(landing.instance, run, well=False)
    assert landing.settle() == ["2010-01-09"]


def test_a_request_that_never_became_a_run_is_made_again_with_the_same_key(landing):
    landing.drop("2010-01-09")
    landing.tick()
    before = landing.cursor
    first = landing.tick()  # killed before it made the run, after it kept the cursor
    landing.restart()
    again = landing.tick()
    assert [request.run_key for request in again] == [request.run_key for request in first]
    landing.cursor = before  # killed before it kept the cursor
    assert [request.run_key for request in landing.tick()] == [request.run_key for request in first]


def test_with_a_marker_a_drop_counts_as_soon_as_the_marker_lies_beside_it(tmp_path):
    with DagsterInstance.ephemeral() as instance:
        landing = Landing(tmp_path, instance, RETAIL_DROP_MARKER=".done")
        landing.drop("2010-01-01", "2010-01-02")
        assert [landing.tick(), landing.tick()] == [[], []]
        (landing.directory / "online_retail_2010-01-01.csv.done").touch()
        (request,) = landing.tick()
        assert asked(request) == ["2010-01-01"]
        assert [oddity.problem for oddity in landing.zone.oddities("online_retail")] == ["is not said to be complete"]


def test_ten_thousand_drops_become_a_bounded_number_of_runs(tmp_path):
    every = days("1999-01-01", "2026-05-18")
    assert len(every) == 10_000
    with DagsterInstance.ephemeral() as instance:
        landing = Landing(tmp_path, instance, RETAIL_ONLINE_RETAIL_FIRST_DAY=every[0])
        landing.drop(*every)
        assert landing.tick() == []
        requests = landing.tick()
        # 28 runs of at most 366 days: 20 at once, the others as these end.
        assert [len(asked(request)) for request in requests] == [366] * RUNS_AT_ONCE
        runs = [landing.launch(request) for request in requests]
        assert landing.tick() == []
        end(instance, runs[0], well=False)  # what it made of it is another matter
        (request,) = landing.tick()
        assert asked(request)[0] == every[20 * 366]
        assert len(landing.cursor or "") < 1_000_000


def test_days_before_a_later_first_day_keep_no_corrected_drop_from_being_seen(tmp_path):
    before, last = days("2010-01-01", "2010-07-31"), "2010-08-01"
    assert len(before) > COMPARED_AT_ONCE
    with DagsterInstance.ephemeral() as instance:
        landing = Landing(tmp_path, instance)
        landing.drop(*before, last)
        assert landing.settle() == [*before, last]
        landing.settings = replace(landing.settings, calendars={**landing.settings.calendars, FIRST_DAY: last})
        landing.restart()
        landing.drop(last, content="corrected")
        assert landing.settle() == [last]


def test_drops_outside_the_calendar_are_named(landing):
    landing.drop("2009-12-31")
    assert landing.tick() == []
    assert "online_retail_2009-12-31.csv" in landing.said


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A landing zone in an object store: a server on this machine that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    UPath("s3://shop").fs.mkdir("shop")
    yield "s3://shop/landing"
    server.stop()


def test_an_object_store_is_a_landing_zone_like_another(tmp_path, bucket):
    with DagsterInstance.ephemeral() as instance:
        landing = Landing(tmp_path, instance, root=bucket, RETAIL_ONLINE_RETAIL_FIRST_DAY="2010-01-04")
        assert landing.settle() == []
        landing.drop("2010-01-04", "2010-01-06")
        assert landing.tick() == []
        (request,) = landing.tick()
        assert asked(request) == ["2010-01-04", "2010-01-05", "2010-01-06"]
        landing.make(request)
        landing.drop("2010-01-06", content="corrected")
        assert landing.settle() == ["2010-01-06"]
        landing.directory.fs.mv(
            f"{landing.directory.path}/online_retail_2010-01-04.csv", f"{landing.directory.path}/again_2010-01-04.csv"
        )
        assert landing.settle() == []
        assert "left alone: 2010-01-04" in landing.said
        (landing.directory / "again_2010-01-04.csv").unlink()
        assert landing.settle() == ["2010-01-04"]
