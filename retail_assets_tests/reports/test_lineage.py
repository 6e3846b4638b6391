"""The lineage of columns that people can see: a picture in each table's metadata, and a page of all tables."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from retail_assets.lakehouse.contracts import origins, table_name
from retail_assets.lakehouse.lineage_picture import lineage_picture, lineage_shown
from retail_assets.reports.lineage import keep_lineage_page, lineage_page
from retail_assets.reports.page import Pages
from retail_assets.settings import Settings
from retail_assets.sources.known import contracts_of, known_sources
from retail_assets_tests.lakehouse.shop import Sales, Takings

SVG = "{http://www.w3.org/2000/svg}"


def lines(svg: str) -> list[tuple[str, str]]:
    """Which column each line leads from, and to, by where it begins and ends."""
    drawn = ElementTree.fromstring(svg)
    named = {(int(text.get("x", 0)), float(text.get("y", 0)) - 4): text.text or "" for text in drawn.iter(f"{SVG}text")}
    left, right = min(x for x, _ in named), max(x for x, _ in named)
    path = list(drawn.iter(f"{SVG}path"))[-1].get("d", "")
    ends = re.findall(r"M\S+ (\S+?)C\S+ \S+ \S+ \S+ \S+ ([\d.]+)", path)
    return sorted((named[left, float(begin)], named[right, float(end)]) for begin, end in ends)


def test_a_picture_has_a_line_for_each_column_that_a_column_is_made_from():
    assert lines(lineage_picture(Takings)) == [
        ("amount", "amount"),
        ("day", "day"),
        ("kind", "amount"),
        ("quantity", "amount"),
        ("ticket", "tickets"),
    ]


def test_dagster_is_given_the_picture_of_a_table_that_is_made_from_another_and_none_of_one_that_is_not():
    assert lineage_shown(Sales) == {}
    shown = lineage_shown(Takings)["column_lineage"].value
    told = re.fullmatch(r"!\[What each column of takings is made from]\(data:image/svg\+xml;base64,(\S+)\)", shown)
    assert told
    assert base64.b64decode(told[1]).decode() == lineage_picture(Takings)


def test_the_page_has_every_table_and_every_link_in_it_leads_somewhere(tmp_path: Path):
    settings = Settings.read({"RETAIL_LANDING": str(tmp_path), "RETAIL_LAKEHOUSE": str(tmp_path / "lakehouse")})
    contracts = contracts_of(known_sources(settings).values())
    page = lineage_page(contracts)
    places = re.findall(r'<section id="(.*?)"', page)
    assert places == [".".join(table_name(contract)) for contract in contracts]
    assert set(re.findall(r'href="#(.*?)"', page)) == set(places)
    drawn = sum(len(columns) for each in contracts for several in origins(each).values() for _, *columns in several)
    assert len(re.findall(r"M\d+ [\d.]+C", page)) == drawn > 500
    assert not re.search(r"(src|href)=\"(?!#|index\.html)", page)


@pytest.mark.parametrize("kept", [True, False])
def test_the_index_of_dashboards_links_to_it_where_it_is(tmp_path: Path, kept: bool):
    if kept:
        assert keep_lineage_page(str(tmp_path), [Sales, Takings]) == tmp_path / "lineage.html"
    else:
        Pages(directory=str(tmp_path)).index()
    assert ('<a href="lineage.html">' in (tmp_path / "index.html").read_text()) == kept
