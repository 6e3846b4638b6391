"""People are taken out of drops, and nothing else is."""

import gzip
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from upath import UPath

from retail_assets.erasure.drops import Manner, People, customers_of, erase_from_drops, without
from retail_assets.landing.consent import Consent
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.exchange import own_drops
from retail_assets.landing.history import land
from retail_assets.landing.placing import Lying
from retail_assets_tests.made_shop import INVOICES
from retail_assets_tests.workbench import HEADER, line

KEEP, REMOVE = Manner(), Manner(removes=True)
WHO = People(frozenset({"13085", "15036"}), frozenset({"13085"}))
"""15036 is a product's code as well."""


def drop(directory: Path, *lines: str, header: str = HEADER, name: str = "online_retail_2011-01-04.csv") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    text = "".join(f"{one}\r\n" for one in (header, *lines)).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


@pytest.mark.parametrize("name", ["a_2011-01-04.csv", "a_2011-01-04.csv.gz"])
def test_lines_lose_the_person_or_go_and_all_other_bytes_stay(tmp_path: Path, name: str):
    theirs, others = line(customer="13085.0", description='"A ""box"", red"'), line(code="15036", customer="15037")
    path = drop(tmp_path, others, theirs, line(customer="15036", country="France"), others, name=name)
    kept = without(path, INVOICES, WHO, KEEP)
    removed = without(path, INVOICES, WHO, REMOVE)
    assert kept
    assert removed
    assert kept[1:] == (0, 2)
    assert removed[1:] == (2, 2)

    def text(content: bytes) -> list[str]:
        return (gzip.decompress(content) if name.endswith(".gz") else content).decode().split("\r\n")

    expected = [theirs.replace("13085.0", ""), line(customer="", country="France")]
    assert text(kept[0]) == [HEADER, others, *expected, others, ""]
    assert text(removed[0]) == [HEADER, others, others, ""]


def test_what_no_table_knows_is_blanked_too_unless_columns_are_declared(tmp_path: Path):
    header = f"{HEADER},E-Mail,Shelf"
    path = drop(tmp_path, f"{line()},me@example.org,7", header=header)
    kept = without(path, INVOICES, WHO, KEEP)
    declared = without(path, INVOICES, WHO, Manner(columns=("E-Mail", "country")))
    assert kept
    assert declared
    assert kept[0].decode().split("\r\n")[1] == f"{line(customer='')},,"
    assert declared[0].decode().split("\r\n")[1] == f"{line(customer='', country='')},,7"


def test_fields_over_several_lines_and_lines_that_are_no_row(tmp_path: Path):
    over = line(description='"two\r\nlines"')
    path = drop(tmp_path, over, "broken,13085", line(customer="1", description='"FOR 13085, 130850"'))
    kept, removed = without(path, INVOICES, WHO, KEEP), without(path, INVOICES, WHO, REMOVE)
    assert kept
    assert removed
    other = line(customer="1", description='"FOR , 130850"')
    assert kept[0].decode() == "\r\n".join([HEADER, over.replace("13085,", ","), "broken,", other, ""])
    assert removed[0].decode() == "\r\n".join([HEADER, other, ""])


def test_nobody_there_nothing_done(tmp_path: Path):
    path = drop(tmp_path, line(customer="1"), line(code="13085", customer="2"), line(invoice="13085", customer="3"))
    assert without(path, INVOICES, WHO, KEEP) is None
    assert customers_of(str(path), INVOICES) == {"1", "2", "3"}


def test_ids_that_are_codes_are_looked_for_among_customers_only(tmp_path: Path):
    drop(tmp_path / "online_retail", line(code="15036", customer="13085"))
    assert People.of(LandingZone(str(tmp_path)), INVOICES, ["13085", "15036"]) == WHO


def test_landing_still_knows_its_drops_and_what_it_replaced_loses_people_too(tmp_path: Path):
    zone = LandingZone(str(tmp_path / "landing"))
    consent = Consent("ask", "replace", "ask")
    for price in ("1.00", "2.00"):
        drop(tmp_path, line(price=price), line(customer="7"), name="history.csv")
        land([tmp_path / "history.csv"], zone, INVOICES, consent=consent)
    directory = Path(zone.directory("online_retail"))
    erased = erase_from_drops(zone, INVOICES, WHO, REMOVE)
    assert (erased.drops, erased.lines) == (2, 2)
    stored = [path.read_text() for path in directory.rglob("*.csv")]
    assert len(stored) == 2
    assert not any("13085" in text for text in stored)
    (known,) = own_drops(UPath(directory)).values()
    assert known.rows == 1
    (lying,) = Lying(zone, INVOICES).of_day(date(2011, 1, 4)).values()
    assert lying == known
    (record,) = directory.glob(".replaced/*/landing.json")
    assert [one["rows"] for one in json.loads(record.read_text())["taken"].values()] == [1]
    # Killed between the two, and done again: the same.
    before = [path.read_bytes() for path in sorted(directory.rglob("*.[cj]s*"))]
    assert erase_from_drops(zone, INVOICES, WHO, REMOVE).drops == 0
    assert [path.read_bytes() for path in sorted(directory.rglob("*.[cj]s*"))] == before


def test_another_encoding(tmp_path: Path):
    layout = replace(INVOICES, dialect=replace(INVOICES.dialect, encoding="cp1252"))
    path = drop(tmp_path)
    path.write_bytes("\n".join([HEADER, line(country="Österreich"), line(customer="1", country="Å")]).encode("cp1252"))
    kept = without(path, layout, WHO, KEEP)
    assert kept
    expected = [HEADER, line(customer="", country="Österreich"), line(customer="1", country="Å")]
    assert kept[0].decode("utf-8-sig").split("\n") == expected
