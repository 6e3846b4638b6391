"""What a landing replaces is asked about where much would go, kept, and can be brought back."""

from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from upath import UPath

from retail_assets.landing import bring_back as kept
from retail_assets.landing.bring_back import bring_back, landings
from retail_assets.landing.consent import Consent
from retail_assets.landing.drop_reader import DropRefused
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.exchange import REPLACED
from retail_assets_tests.landing.landings import HEADER, TODAY, file, invoices, lands, line, refused, snapshot
from retail_assets_tests.made_shop import INVOICES

REPLACING = Consent(fewer_rows="replace")
MARCH, FEBRUARY = date(2011, 3, 1), date(2011, 2, 28)


@pytest.fixture(params=["local", "memory"])
def zone(request, tmp_path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing") if request.param == "local" else f"memory://landing-{uuid4().hex}")


@pytest.fixture
def march(tmp_path, zone) -> Path:
    """March, landed; the file of February with a stray line of the first of March."""
    lines = [line(number, "2011-03-01") for number in range(10)] + [line(20, "2011-03-02")]
    lands([file(tmp_path, HEADER + "".join(lines), "march.csv")], zone)
    stray = line(30, "2011-02-28") + line(31, "2011-03-01 00:03:00")
    return file(tmp_path, HEADER + stray, "february.csv")


def back(zone: LandingZone, number: str | None, *days: date) -> None:
    assert number is not None
    bring_back(zone, INVOICES, number, days, TODAY)


def test_a_day_that_would_lose_most_of_its_rows_is_not_replaced_without_a_word(march, zone):
    before = invoices(zone)
    with pytest.raises(DropRefused, match=r"lose more than 20% of their rows: 2011-03-01 from 10 to 1\.") as refusal:
        lands([march], zone)
    assert "--fewer-rows replace lands the files" in refusal.value.remedy
    assert invoices(zone) == before


@pytest.mark.parametrize(("rows", "asked"), [(10, False), (8, False), (7, True)])
def test_a_correction_may_take_a_fifth_of_a_days_rows(march, tmp_path, zone, rows, asked):
    corrected = file(tmp_path, HEADER + "".join(line(number + 50, "2011-03-01") for number in range(rows)), "new.csv")
    if asked:
        assert "2011-03-01 from 10 to 7" in refused([corrected], zone)
    else:
        assert lands([corrected], zone).replaced == [MARCH]


def test_what_was_replaced_is_brought_back_with_other_days_left_alone(march, zone):
    before = invoices(zone)
    told = lands([march], zone, REPLACING)
    assert told.replaced == [MARCH]
    assert invoices(zone)["online_retail_2011-03-01.csv"] == ["31"]
    back(zone, told.landing)
    assert invoices(zone) == before | {"online_retail_2011-02-28.csv": ["30"]}


def test_what_was_brought_back_is_landings_own_again(march, zone):
    back(zone, lands([march], zone, REPLACING).landing)
    with pytest.raises(DropRefused, match="lose more than"):
        lands([march], zone)


def test_bringing_back_can_itself_be_taken_back(march, zone):
    back(zone, lands([march], zone, REPLACING).landing)
    newest = landings(zone, "online_retail")[0]
    assert newest.replaced == ["2011-03-01"]
    back(zone, newest.landing)
    assert invoices(zone)["online_retail_2011-03-01.csv"] == ["31"]


def test_single_days_are_brought_back(tmp_path, zone):
    days = [date(2011, 3, day) for day in (1, 2, 3)]
    for first in (0, 10):
        lines = [line(first + day.day, str(day)) for day in days]
        told = lands([file(tmp_path, HEADER + "".join(lines))], zone)
    back(zone, told.landing, days[1])
    assert list(invoices(zone).values()) == [["11"], ["2"], ["13"]]
    with pytest.raises(DropRefused, match="did not replace anything of 2011-04-01"):
        back(zone, told.landing, date(2011, 4, 1))
    with pytest.raises(DropRefused, match="no landing 123 is known"):
        back(zone, "123")


def test_drops_of_others_come_back_as_theirs(tmp_path, zone):
    lands([file(tmp_path, HEADER + line(1, "2011-03-02"))], zone)
    theirs = UPath(zone.directory("online_retail")) / "sales_2011-03-01.csv"
    theirs.write_text(HEADER + line(9, "2011-03-01"))
    path = file(tmp_path, HEADER + line(1, "2011-03-01"))
    back(zone, lands([path], zone, Consent(other_drops="replace")).landing)
    assert invoices(zone) == {"online_retail_2011-03-02.csv": ["1"], "sales_2011-03-01.csv": ["9"]}
    with pytest.raises(DropRefused, match=r"landing did not make: sales_2011-03-01\.csv"):
        lands([path], zone)


def test_bringing_back_what_lies_there_changes_nothing(march, zone):
    told = lands([march], zone, REPLACING)
    back(zone, told.landing)
    before = snapshot(zone)
    back(zone, told.landing)
    assert snapshot(zone) == before


def test_what_was_replaced_long_ago_goes_with_the_next_landing(march, tmp_path, zone):
    told = lands([march], zone, REPLACING)
    assert [landing.landing for landing in landings(zone, "online_retail")] == [told.landing]
    place = UPath(zone.directory("online_retail")) / REPLACED
    assert kept.KEPT_DAYS == 30
    kept.forget_replaced(place.parent, 30)
    assert (place / str(told.landing)).exists()
    kept.forget_replaced(place.parent, -1)
    assert landings(zone, "online_retail") == []


def test_bringing_back_waits_for_a_landing_that_was_interrupted(march, tmp_path, zone, monkeypatch):
    told = lands([march], zone, REPLACING)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("retail_assets.landing.exchange.put", killed)
        with pytest.raises(Killed):
            lands([file(tmp_path, HEADER + line(77, "2011-03-02"), "second.csv")], zone)
    with pytest.raises(DropRefused, match=r"was interrupted\. Land its files again \(second\.csv\), or undo it first"):
        back(zone, told.landing)
    interrupted = landings(zone, "online_retail")[0]
    assert interrupted.files == ("second.csv",)
    back(zone, interrupted.landing)
    back(zone, told.landing)
    assert invoices(zone)["online_retail_2011-03-02.csv"] == ["20"]
    assert len(invoices(zone)["online_retail_2011-03-01.csv"]) == 10
