"""What lies in the landing zone is a drop, an oddity that is named, or none of our business."""

import os
import threading
import time
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from upath import UPath

from retail_assets.landing.drops import Drop, LandingZone, Look, Oddity, is_unchanged, settled, state_of

LONG_AGO = 1_700_000_000


@pytest.fixture(params=["local", "memory"])
def zone(request, tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path) if request.param == "local" else f"memory://landing-{uuid4().hex}")


def put(zone: LandingZone, name: str, content: bytes = b"x") -> None:
    path = UPath(zone.directory("shop")) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def aged(directory: Path, name: str, content: bytes = b"x") -> Drop:
    (directory / "shop").mkdir(exist_ok=True)
    (directory / "shop" / name).write_bytes(content)
    os.utime(directory / "shop" / name, (LONG_AGO, LONG_AGO))
    return next(drop for drop in LandingZone(str(directory)).drops("shop") if drop.name == name)


def test_drops_come_by_day_and_name_future_ones_too(zone):
    for name in ["b_2026-02-01.csv", "2026-01-31_sales.CSV", "a-2026-02-01-late.csv.gz", "x2099-12-31.csv"]:
        put(zone, name, b"12345")
    drops = zone.drops("shop")
    assert [(drop.day, drop.name) for drop in drops] == [
        (date(2026, 1, 31), "2026-01-31_sales.CSV"),
        (date(2026, 2, 1), "a-2026-02-01-late.csv.gz"),
        (date(2026, 2, 1), "b_2026-02-01.csv"),
        (date(2099, 12, 31), "x2099-12-31.csv"),
    ]
    assert {drop.size for drop in drops} == {5}
    assert [UPath(drop.path).read_bytes() for drop in drops] == [b"12345"] * 4
    assert all(state_of(drop.path) == (drop.size, drop.modified_ns) for drop in drops)
    assert zone.oddities("shop") == []


def test_the_newest_day_can_be_held_to_a_limit(zone):
    assert zone.newest_day("shop") is None
    for name in ["2026-01-31.csv", "2026-11-20.csv", "2099-12-31.csv"]:
        put(zone, name)
    assert zone.newest_day("shop") == date(2099, 12, 31)
    assert zone.newest_day("shop", not_after=date(2026, 11, 20)) == date(2026, 11, 20)
    assert zone.newest_day("shop", not_after=date(2026, 1, 1)) is None


def test_what_is_no_drop_is_named_with_a_remedy(zone):
    put(zone, "2026-02-01.csv")
    put(zone, "2026-02-02.csv/inside.csv")
    for name in ["sales.csv", "2026-02-30.csv", "2026-02-01_to_2026-02-07.csv", "2026-02-01.xlsx", "120260-02-01.csv"]:
        put(zone, name)
    problems = {UPath(oddity.path).name: oddity.problem for oddity in zone.oddities("shop")}
    assert problems == {
        "sales.csv": "has no date in its name",
        "120260-02-01.csv": "has no date in its name",
        "2026-02-30.csv": "has an impossible date in its name, 2026-02-30",
        "2026-02-01_to_2026-02-07.csv": "has more than one date in its name",
        "2026-02-01.xlsx": "is neither .csv nor .csv.gz",
        "2026-02-02.csv": "is a directory where a file should be",
    }
    assert all(oddity.remedy for oddity in zone.oddities("shop"))
    assert [drop.name for drop in zone.drops("shop")] == ["2026-02-01.csv"]


def test_hidden_and_unfinished_files_and_our_own_are_ignored(zone):
    names = [".2026-02-01.csv", "2026-02-01.csv.part", "2026-02-01.csv.tmp", "2026-02-01.csv.crdownload"]
    for name in [*names, "_calendar.json", "_generated.json", ".landing/2026-02-01.0"]:
        put(zone, name)
    assert zone.drops("shop") == []
    assert zone.oddities("shop") == []


def test_a_source_without_anything_has_no_drops(zone):
    assert zone.drops("shop") == []
    assert zone.oddities("shop") == []


def test_a_file_in_the_place_of_the_directory_is_an_oddity(tmp_path):
    (tmp_path / "shop").write_text("x")
    (oddity,) = LandingZone(str(tmp_path)).oddities("shop")
    assert (oddity.path, oddity.problem) == (str(tmp_path / "shop"), "is a file where a directory should be")
    assert LandingZone(str(tmp_path)).drops("shop") == []


def test_links_count_as_what_they_lead_to(tmp_path):
    target = aged(tmp_path, "2026-01-01.csv", b"123")
    (tmp_path / "shop" / "2026-01-02.csv").symlink_to(target.path)
    (tmp_path / "shop" / "2026-01-03.csv").symlink_to(tmp_path / "gone")
    zone = LandingZone(str(tmp_path))
    assert [(drop.size, drop.modified_ns) for drop in zone.drops("shop")] == [(3, LONG_AGO * 10**9)] * 2
    assert zone.oddities("shop") == [
        Oddity(
            str(tmp_path / "shop" / "2026-01-03.csv"),
            "is a link to a file that is not there",
            "put the file there, or remove the link",
        )
    ]


def test_a_fingerprint_changes_with_size_time_and_name(tmp_path):
    drop = aged(tmp_path, "2026-01-01.csv")
    assert aged(tmp_path, "2026-01-01.csv").fingerprint == drop.fingerprint
    assert aged(tmp_path, "2026-01-01.csv", b"xy").fingerprint != drop.fingerprint
    assert aged(tmp_path, "a2026-01-01.csv").fingerprint != drop.fingerprint
    os.utime(drop.path, (LONG_AGO, LONG_AGO + 1))
    assert not is_unchanged(drop)


def test_old_drops_are_settled_without_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited"))
    drops = [aged(tmp_path, "2026-01-01.csv"), aged(tmp_path, "2026-01-02.csv")]
    assert settled(drops) == (drops, [])


def test_the_wait_is_shorter_by_the_time_since_the_same_drops_were_listed(tmp_path, monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    put(LandingZone(str(tmp_path)), "2026-01-02.csv")
    drops = LandingZone(str(tmp_path)).drops("shop")
    assert settled(drops, 1.0, Look(drops, time.monotonic() - 60)) == (drops, [])
    Path(drops[0].path).write_text("another\n")
    changed = LandingZone(str(tmp_path)).drops("shop")
    settled(changed, 1.0, Look(drops, time.monotonic() - 60))
    assert waited == [0.0, 1.0]


def test_a_drop_that_grows_or_goes_during_the_wait_is_still_being_written(tmp_path):
    old = aged(tmp_path, "2026-01-01.csv")
    for name in ["2026-01-02.csv", "2026-01-03.csv", "2026-01-04.csv"]:
        put(LandingZone(str(tmp_path)), name)
    drops = LandingZone(str(tmp_path)).drops("shop")

    def change() -> None:
        with Path(drops[1].path).open("ab") as file:
            file.write(b"more")
        Path(drops[3].path).unlink()

    writer = threading.Timer(0.05, change)
    writer.start()
    ready, moving = settled(drops, wait_seconds=0.5)
    writer.join()
    assert ready == [old, drops[2]]
    assert moving == [drops[1], drops[3]]
