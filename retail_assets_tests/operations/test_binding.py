"""A Dagster home and its lakehouse: another one is refused, a moved one is known again, two homes take turns."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dagster import AssetMaterialization, DagsterInstance, MetadataValue, RunRequest

from retail_assets.operations.arrival import DROPS, fingerprints
from retail_assets.operations.binding import MARK, RECORD, NotItsOwn, Places, bind, mismatch, unattended
from retail_assets.operations.main_job_lock import AlreadyRunning, alone, is_under_way
from retail_assets.settings import Settings
from retail_assets.sources.arrivals import arrivals
from retail_assets.sources.known import known_sources
from retail_assets_tests.made_shop import SOURCE
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.homes import home_of
from retail_assets_tests.operations.test_arrival_sensor import Landing, asked
from retail_assets_tests.workbench import line


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with home_of(tmp_path / "home") as instance:
        yield instance


def places(directory: Path, missing: list[str] | None = None) -> Places:
    environment = {"RETAIL_LAKEHOUSE": str(directory / "lakehouse"), "RETAIL_LANDING": str(directory / "landing")}
    found = Places.of(Settings.read(environment))
    return found if missing is None else replace(found, missing_drops=lambda: missing)


# The lakehouse -------------------------------------------------------------------------------------------------------


def test_another_lakehouse_is_refused_and_both_are_named_with_what_to_do(tmp_path, instance):
    bind(instance, places(tmp_path))
    with pytest.raises(NotItsOwn) as refused, alone(instance, places(tmp_path / "elsewhere")):
        pass
    for named in (tmp_path / "home", tmp_path / "lakehouse", tmp_path / "elsewhere" / "lakehouse", "DAGSTER_HOME"):
        assert str(named) in str(refused.value)
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "home" / RECORD).unlink()  # as it says
    bind(instance, places(tmp_path / "elsewhere"))
    assert mismatch(instance, places(tmp_path))


def test_a_lakehouse_is_known_again_where_it_was_moved_to(tmp_path, instance):
    bind(instance, places(tmp_path))
    shutil.copytree(tmp_path / "lakehouse", tmp_path / "elsewhere" / "lakehouse")
    (notice,) = bind(instance, places(tmp_path / "elsewhere"))
    assert f"moved from {tmp_path}/lakehouse to {tmp_path}/elsewhere/lakehouse" in notice
    assert bind(instance, places(tmp_path / "elsewhere")) == []


def test_another_lakehouse_in_the_place_of_its_own_is_refused(tmp_path, instance):
    bind(instance, places(tmp_path))
    with home_of(tmp_path / "other_home") as other:
        bind(other, places(tmp_path / "other"))
    shutil.rmtree(tmp_path / "lakehouse")
    shutil.move(tmp_path / "other" / "lakehouse", tmp_path / "lakehouse")
    assert "there is another lakehouse" in str(mismatch(instance, places(tmp_path)))


def test_a_lakehouse_that_is_away_is_made_again_by_hand_only_and_is_its_own_once_it_is_back(tmp_path, instance):
    bind(instance, places(tmp_path))
    assert unattended(instance, places(tmp_path)) is None
    (tmp_path / "lakehouse").rename(tmp_path / "away")
    assert "Put it back" in str(unattended(instance, places(tmp_path)))
    with alone(instance, places(tmp_path)) as notices:
        assert notices == []
    assert unattended(instance, places(tmp_path)) is None
    shutil.rmtree(tmp_path / "lakehouse")
    (tmp_path / "away").rename(tmp_path / "lakehouse")
    assert bind(instance, places(tmp_path)) == []


def test_a_way_to_a_lakehouse_by_a_link_is_the_same_lakehouse(tmp_path, instance):
    bind(instance, places(tmp_path))
    (tmp_path / "linked").symlink_to(tmp_path)
    assert bind(instance, places(tmp_path / "linked")) == []


def test_a_home_in_memory_and_a_catalog_have_nothing_to_keep(tmp_path, instance):
    with DagsterInstance.ephemeral() as in_memory:
        assert bind(in_memory, places(tmp_path)) == []
        assert not (tmp_path / "lakehouse").exists()
    catalog = Places("catalog retail", None, None, "s3://shop/landing")
    assert bind(instance, catalog) == []
    assert "catalog retail" in str(mismatch(instance, replace(catalog, lakehouse="catalog other")))


def test_a_record_that_cannot_be_read_is_named(tmp_path, instance):
    bind(instance, places(tmp_path))
    (tmp_path / "lakehouse" / MARK).write_text("{")
    with pytest.raises(NotItsOwn, match=MARK):
        bind(instance, places(tmp_path))


# The landing zone ----------------------------------------------------------------------------------------------------


def test_another_landing_zone_is_refused_where_drops_that_were_ingested_are_missing(tmp_path, instance):
    here, other = places(tmp_path, []), replace(places(tmp_path, []), landing="/other")
    bind(instance, here)
    with pytest.raises(NotItsOwn, match=r"2 of them do not lie in /other, such as a\.csv") as refused:
        bind(instance, replace(other, missing_drops=lambda: ["a.csv", "b.csv"]))
    assert f"RETAIL_LANDING={tmp_path}/landing" in str(refused.value)
    assert bind(instance, here) == []
    (notice,) = bind(instance, other)
    assert notice.startswith(f"The landing zone was moved from {tmp_path}/landing to /other")
    assert bind(instance, other) == []


def test_commands_that_do_not_look_at_the_landing_zone_leave_it_bound(tmp_path, instance):
    bind(instance, places(tmp_path, []))
    bind(instance, replace(places(tmp_path), landing="/other"))
    with pytest.raises(NotItsOwn):
        bind(instance, replace(places(tmp_path, ["a.csv"]), landing="/other"))


def test_the_drops_that_are_missing_elsewhere_are_told_by_what_was_ingested(tmp_path, instance):
    landing = Landing(tmp_path, instance)
    landing.drop("2010-01-04", "2010-01-05")
    for drop in landing.zone.drops("online_retail"):
        metadata = {DROPS: MetadataValue.json(fingerprints([drop]))}
        instance.report_runless_asset_event(
            AssetMaterialization(SOURCE.tables[0].key, partition=str(drop.day), metadata=metadata)
        )
    copied = replace(landing.settings, landing=str(tmp_path / "copied"))
    shutil.copytree(tmp_path / "landing", tmp_path / "copied")
    for moved in (landing.settings, copied):
        assert missing(moved, instance) == []
    (tmp_path / "copied" / "online_retail" / "online_retail_2010-01-05.csv").write_text("another")
    assert missing(copied, instance) == ["online_retail_2010-01-05.csv"]


def missing(settings: Settings, instance: DagsterInstance) -> list[str]:
    told = arrivals(settings, instance, known_sources(settings).values()).places.missing_drops
    assert told is not None
    return list(told())


# Two homes -----------------------------------------------------------------------------------------------------------


def test_main_jobs_of_two_homes_on_one_lakehouse_exclude_each_other(tmp_path, instance):
    with home_of(tmp_path / "other_home") as other:
        with alone(instance, places(tmp_path)):
            assert is_under_way(other, places(tmp_path))
            with pytest.raises(AlreadyRunning) as refused, alone(other, places(tmp_path)):
                pass
            for named in (tmp_path / "lakehouse", tmp_path / "home", os.getpid()):
                assert str(named) in str(refused.value)
        assert not is_under_way(instance, places(tmp_path))
        with alone(other, places(tmp_path)) as notices:
            assert len(notices) == 1
            assert f"another Dagster home, {tmp_path}/home" in notices[0]
        with alone(other, places(tmp_path)) as notices:
            assert notices == []
        with alone(instance, places(tmp_path)) as notices:
            assert f"another Dagster home, {tmp_path}/other_home" in notices[0]


def test_two_lakehouses_have_a_main_job_each(tmp_path, instance):
    here, there = places(tmp_path), places(tmp_path / "other")
    with home_of(tmp_path / "other_home") as other, alone(instance, here), alone(other, there):
        assert is_under_way(instance, here)
        assert is_under_way(other, there)


# What one sees -------------------------------------------------------------------------------------------------------


def test_the_sensor_says_why_it_waits_and_asks_for_what_its_table_lost(tmp_path, instance):
    landing = Landing(tmp_path, instance)
    landing.drop("2010-01-01", "2010-01-02")
    assert landing.settle() == ["2010-01-01", "2010-01-02"]
    (tmp_path / "lakehouse").rename(tmp_path / "away")
    assert landing.tick() == []
    assert "is not there" in landing.said
    (tmp_path / "away").rename(tmp_path / "lakehouse")
    assert landing.tick() == []
    landing.made_by_version = 3  # of a table that is not there
    landing.drop("2010-01-02", content="corrected")
    assert landing.settle() == ["2010-01-02"]
    requests: list[RunRequest] = landing.tick()
    assert [day for request in requests for day in asked(request)] == ["2010-01-02"]


@pytest.mark.long
def test_the_commands_refuse_another_lakehouse(tmp_path):
    retail = RetailCommand(tmp_path)
    with home_of(retail.home) as instance:
        bind(instance, places(tmp_path))
    retail.drop("2011-01-04", [line()])
    for command in ("run", "maintain"):
        refused = retail(command, RETAIL_LAKEHOUSE=str(tmp_path / "elsewhere"))
        assert refused.returncode == 2, refused.stderr
        assert f"This Dagster home, {retail.home}, has made the lakehouse at {tmp_path}/lakehouse" in refused.stderr
