"""What a rehearsal takes along of other sources: a part of what has landed, or files that are made like theirs."""

from pathlib import Path

import pytest

from retail_assets.landing.drops import LandingZone
from retail_assets.settings import Settings
from retail_assets.sources.known import known_sources
from retail_assets.sources.sample import NEWEST, copy_part, make_part
from retail_assets.sources.source import Source
from retail_assets_tests.workbench import Workbench

MADE = [source for source in known_sources(Settings.read({})).values() if source.makes]


@pytest.fixture(params=MADE, ids=lambda source: source.name)
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.param
    return found


def test_what_has_not_landed_is_made_and_lands_in_every_directory_and_is_the_same_every_time(source, tmp_path: Path):
    zones = [LandingZone(str(tmp_path / name)) for name in ("one", "other")]
    for zone in zones:
        assert f"Nothing of {source.name} has landed here" in make_part(source, zone)
    for directory in source.arrives.values():
        one, other = ([Path(drop.path).read_bytes() for drop in zone.drops(directory)] for zone in zones)
        assert one
        assert one == other


def test_of_what_has_landed_the_newest_days_go_along_and_what_has_no_history_whole(source, tmp_path: Path):
    landed, into = LandingZone(str(tmp_path / "landed")), LandingZone(str(tmp_path / "into"))
    make_part(source, landed)
    copy_part(source, landed, into)
    for directory in source.arrives.values():
        names = [drop.name for drop in landed.drops(directory)]
        assert [drop.name for drop in into.drops(directory)] == names[-NEWEST:]


@pytest.mark.long
def test_all_tables_of_what_is_made_are_made_and_pass_their_checks(tmp_path: Path, spark):
    bench = Workbench(tmp_path, spark)
    for source in MADE:
        make_part(source, LandingZone(str(tmp_path / "landing")))
    bench.zone.rmdir()
    summary = bench.run()
    assert summary.failures == []
    assert {key.path[0] for key in summary.tables} == {source.name for source in MADE}
    assert sum(table.failed for table in summary.tables.values()) == 0
