"""Weeks: which are due, and when. A week is made once it is over; a new day of the running one makes nothing due."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from retail_assets.operations.planning import Request, due_by_themselves
from retail_assets.partitions.cadence import NEWEST, ORIGINS, is_origin, weekly
from retail_assets.partitions.calendar import Calendar
from retail_assets_tests.operations.test_planning import Ledger, days, key


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """From a Friday on; everything made up to Wednesday, 10 March 2010."""
    made = Ledger(tmp_path, "2010-01-15", "2010-10-20")
    made.drop(*days("2010-01-15", "2010-03-10"))
    with made.instance:
        yield made


def due(ledger: Ledger, request: Request | None = None) -> list[str]:
    return ledger.due(request).get(key("product_demand"), [])


def test_weeks_begin_on_monday_and_only_those_that_are_over_are_due(ledger):
    assert due(ledger)[:2] == ["2010-01-11", "2010-01-18"]  # the first begins before the calendar does
    assert due(ledger)[-1] == "2010-03-01"


def test_a_new_day_makes_no_week_due_before_it_is_over(ledger):
    ledger.make_all()
    ledger.drop("2010-03-11", "2010-03-13")
    assert due(ledger) == []
    ledger.make_all()
    ledger.drop("2010-03-14")  # Sunday
    assert due(ledger) == ["2010-03-08"]


def test_a_corrected_day_makes_its_week_due(ledger):
    ledger.make_all()
    ledger.drop("2010-02-14", content="changed")
    assert due(ledger) == ["2010-02-08"]


def test_from_and_to_take_in_the_weeks_of_their_days(ledger):
    asked = Request(first_day=date(2010, 1, 20), last_day=date(2010, 2, 3))
    assert due(ledger, asked) == ["2010-01-18", "2010-01-25", "2010-02-01"]


def test_every_fourth_week_is_an_origin_wherever_a_calendar_begins():
    weeks = [
        date.fromisoformat(week) for week in weekly(Calendar(date(2011, 1, 5), date(2011, 12, 31))).get_partition_keys()
    ]
    origins = [week for week in weeks if is_origin(week)]
    assert date(2011, 4, 18) in origins
    assert {(later - week).days for week, later in pairwise(origins)} == {28}


def test_of_a_table_that_is_not_made_every_week_the_newest_and_half_a_year_of_origins_are_due():
    weeks = weekly(Calendar(date(2009, 12, 1), date(2011, 12, 8))).get_partition_keys()
    assert due_by_themselves([NEWEST], weeks) == {"2011-11-28"}
    both = sorted(due_by_themselves([NEWEST, ORIGINS], weeks))
    assert (len(both), both[0], both[-1]) == (6, "2011-07-11", "2011-11-28")
    every = sorted(due_by_themselves([ORIGINS], weeks, however_long_ago=True))
    assert (len(every), every[0]) == (27, "2009-11-30")
