"""The calendar is the same wherever it is read, and grows with what lands."""

import subprocess
import sys
from datetime import date
from uuid import uuid4

import pytest

from retail_assets.landing.calendar import keep_calendar, last_day_of, read_calendar
from retail_assets.partitions.calendar import Calendar
from retail_assets.settings import SettingError

TODAY = date(2026, 11, 21)
FIRST, LAST = "RETAIL_ONLINE_RETAIL_FIRST_DAY", "RETAIL_ONLINE_RETAIL_LAST_DAY"
HISTORY = Calendar(date(2009, 12, 1), date(2011, 12, 9))


@pytest.fixture
def zone(tmp_path) -> str:
    return str(tmp_path)


def read(zone: str, **environment: str) -> Calendar:
    return read_calendar(zone, "online_retail", environment, today=TODAY)


def keep(zone: str, first_day: date, last_day: date | None) -> Calendar:
    return keep_calendar(zone, "online_retail", first_day, last_day)


def drop(zone: str, tmp_path, day: str) -> None:
    (tmp_path / "online_retail").mkdir(exist_ok=True)
    (tmp_path / "online_retail" / f"{day}.csv").write_text("x")


def test_nothing_landed_means_open_since_last_month(zone):
    assert read(zone) == Calendar(date(2026, 10, 1), None)


def test_without_a_kept_calendar_it_starts_with_the_first_drop(zone, tmp_path):
    for day in ["2099-01-01", "2026-03-02", "2026-02-01"]:
        drop(zone, tmp_path, day)
    assert read(zone) == Calendar(date(2026, 2, 1), None)


def test_drops_of_the_future_alone_do_not_start_it(zone, tmp_path):
    drop(zone, tmp_path, "2099-01-01")
    assert read(zone) == Calendar(date(2026, 10, 1), None)


def test_what_is_kept_counts_more_than_the_drops(zone, tmp_path):
    drop(zone, tmp_path, "2026-02-01")
    assert keep(zone, HISTORY.first_day, HISTORY.last_day) == HISTORY
    assert read(zone) == HISTORY


def test_the_environment_counts_most_each_day_by_itself(zone):
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    assert read(zone, **{FIRST: "2010-01-01"}) == Calendar(date(2010, 1, 1), HISTORY.last_day)
    assert read(zone, **{LAST: "2010-06-30"}) == Calendar(HISTORY.first_day, date(2010, 6, 30))
    assert read(zone, **{LAST: "open"}) == Calendar(HISTORY.first_day, None)
    assert read(zone, **{FIRST: "2010-01-01", LAST: "2010-01-01"}) == Calendar(date(2010, 1, 1), date(2010, 1, 1))
    assert read(zone, **{FIRST: "", LAST: ""}) == HISTORY


def test_more_history_extends_it_and_less_does_not_shorten_it(zone):
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    keep(zone, date(2010, 5, 1), date(2010, 6, 1))
    assert read(zone) == HISTORY
    keep(zone, date(2008, 1, 1), date(2012, 1, 1))
    assert read(zone) == Calendar(date(2008, 1, 1), date(2012, 1, 1))


def test_an_open_calendar_stays_open(zone):
    keep(zone, date(2026, 1, 1), None)
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    assert read(zone) == Calendar(HISTORY.first_day, None)


def test_a_closed_one_is_opened_by_what_is_recent(zone):
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    keep(zone, date(2026, 11, 1), None)
    assert read(zone) == Calendar(HISTORY.first_day, None)


def test_keeping_leaves_nothing_but_the_calendar(zone, tmp_path):
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    assert [file.name for file in (tmp_path / "online_retail").iterdir()] == ["_calendar.json"]


def test_it_is_kept_in_an_object_store_too():
    zone = f"memory://landing-{uuid4().hex}"
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    keep(zone, date(2008, 1, 1), HISTORY.last_day)
    assert read(zone) == Calendar(date(2008, 1, 1), HISTORY.last_day)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({FIRST: "1.12.2009"}, [FIRST, "'1.12.2009'"]),
        ({FIRST: "open"}, [FIRST]),
        ({LAST: "2011-02-30"}, [LAST, "'2011-02-30'", "'open'"]),
        ({FIRST: "2010-02-01", LAST: "2010-01-31"}, [FIRST, LAST, "2010-01-31", "2010-02-01"]),
        ({LAST: "2009-11-30"}, [LAST, "2009-11-30", "2009-12-01"]),
        ({FIRST: "2011-12-10"}, [FIRST, "2011-12-10", "2011-12-09"]),
    ],
)
def test_a_setting_that_cannot_be_is_named(zone, environment, named):
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    with pytest.raises(SettingError) as refused:
        read(zone, **environment)
    assert [part for part in named if part not in str(refused.value)] == []


@pytest.mark.parametrize(
    "written",
    [
        "{",
        "[]",
        '{"first_day": "2009-12-01"}',
        '{"first_day": 1, "last_day": "open"}',
        '{"first_day": "2009-12-01", "last_day": "soon"}',
        '{"first_day": "2009-12-01", "last_day": "2009-11-30"}',
    ],
)
def test_a_spoilt_calendar_file_is_named(zone, tmp_path, written):
    keep(zone, HISTORY.first_day, HISTORY.last_day)
    (tmp_path / "online_retail" / "_calendar.json").write_text(written)
    with pytest.raises(SettingError, match=r"_calendar\.json"):
        read(zone)
    with pytest.raises(SettingError, match=r"_calendar\.json"):
        keep(zone, HISTORY.first_day, HISTORY.last_day)
    assert read(zone, **{FIRST: "2010-01-01", LAST: "open"}) == Calendar(date(2010, 1, 1), None)


@pytest.mark.parametrize(
    ("ends", "last_day"),
    [
        (date(2011, 12, 9), date(2011, 12, 9)),
        (date(2026, 10, 15), date(2026, 10, 15)),
        (date(2026, 10, 16), None),
        (date(2026, 11, 20), None),
        (date(2027, 1, 1), None),
    ],
)
def test_a_history_that_ends_within_35_days_of_yesterday_is_open(ends, last_day):
    assert last_day_of(ends, TODAY) == last_day


def test_it_is_read_without_what_is_heavy():
    heavy = "{'pyspark', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules)"
    program = f"import sys, retail_assets.landing.calendar, retail_assets.landing.layout; print({heavy})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
