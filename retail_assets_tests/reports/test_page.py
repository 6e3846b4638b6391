"""A page is one file: it stands complete or not at all, asks nothing of any network, and holds its figures as given."""

import json
import re
from pathlib import Path

import pytest

from retail_assets.reports.charts import charts, picture, png
from retail_assets.reports.page import PageRefused, Pages, compose, embedded, publish
from retail_assets_tests.operations.command import RetailCommand

FIGURES = {
    "title": "Shop",
    "place": "country",
    "places": "countries",
    "name": "</script><script>alert(1)</script>{{STYLE}}",
    "money": 12345678901234,
    "none": None,
}


def test_a_page_holds_its_figures_as_given_and_nothing_of_them_is_markup():
    page = compose("Sales & <more>", FIGURES, {})
    assert embedded(page, "figures") == FIGURES
    assert "<title>Sales &amp; &lt;more></title>" in page
    assert "<script>alert(1)" not in page
    assert page == compose("Sales & <more>", FIGURES, {})


def test_a_page_may_ask_nothing_of_any_network():
    page = compose("Sales", FIGURES, charts())
    assert "default-src 'none'" in page
    markup = page[: page.index('<script type="application/json"')]
    assert not re.findall(r"(?:src|href)=\"(?!#|index\.html\")", markup)
    assert not re.findall(r"@import|url\(", markup)
    assert page.count("window.vegaEmbed=") == 1  # one copy of the library


def test_a_page_replaces_the_one_before_at_once_and_leaves_nothing_behind(tmp_path: Path):
    path = Pages(directory=str(tmp_path / "new")).path("shop", "2011-01")
    publish(b"one", path)
    publish(b"two", path)
    assert [file.name for file in path.parent.iterdir()] == ["shop-2011-01.html"]
    assert path.read_bytes() == b"two"


def test_a_place_that_cannot_be_written_to_is_named_with_what_would_do(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PageRefused, match=r"file/shop-2011-01\.html cannot be written .* set RETAIL_DASHBOARDS"):
        publish(b"page", tmp_path / "file" / "shop-2011-01.html")


def test_the_newest_page_is_that_of_the_latest_month(tmp_path: Path):
    pages = Pages(directory=str(tmp_path))
    assert pages.newest("shop") is None
    for name in (
        "shop-2010-12.html",
        "shop-2011-02.html",
        "shop-2011-01.html",
        ".shop-2011-03.html.7",
        "other-2012-01.html",
    ):
        (tmp_path / name).touch()
    assert pages.newest("shop") == tmp_path / "shop-2011-02.html"


def test_the_index_lists_the_months_of_every_source_newest_first_and_links_them(tmp_path: Path):
    pages = Pages(directory=str(tmp_path))
    for name in ("shop-2010-12.html", "shop-2011-02.html", "other_shop-2012-01.html", "note.html"):
        (tmp_path / name).touch()
    (tmp_path / "shop-2011-02.html").write_text("<title>A &amp; B: customers and sales, February 2011</title>")
    pages.index()
    index = (tmp_path / "index.html").read_text()
    assert re.findall(r"<h2>(.*?)</h2>", index) == ["other_shop", "A &amp; B"]
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', index)
    assert links == [
        ("other_shop-2012-01.html", "January 2012"),
        ("shop-2011-02.html", "February 2011"),
        ("shop-2010-12.html", "December 2010"),
    ]
    assert all((tmp_path / link).is_file() for link, _ in links)
    assert pages.to_open(None) == tmp_path / "index.html"
    assert pages.to_open("shop") == tmp_path / "shop-2011-02.html"
    (tmp_path / "other_shop-2012-01.html").unlink()
    assert pages.to_open(None) == pages.to_open("shop")


def test_a_picture_is_drawn_of_a_chart():
    rows = [{"category": "Bags", "revenue": 2.0}, {"category": "Toys", "revenue": 1.0}]
    shown = str(picture(png(charts()["categories"], rows, "GBP"), "Revenue").value)
    assert shown.startswith("![Revenue](data:image/png;base64,iVBOR")
    assert 2_000 < len(shown) < 40_000


def test_a_picture_has_room_for_every_name():
    def height(bars: int) -> int:
        rows = [{"category": f"Category {number}", "revenue": 1000.0 * number} for number in range(bars)]
        return int.from_bytes(png(charts()["categories"], rows, "GBP")[20:24], "big")

    assert height(20) - height(5) >= 15 * 14  # pixels of a name and what lies between two


def test_the_command_prints_the_newest_page_and_says_what_to_do_without_one(tmp_path: Path):
    retail = RetailCommand(tmp_path)
    none = retail("dashboard", "--no-open")
    assert (none.returncode, "retail run --select dashboard" in none.stderr) == (2, True)
    (tmp_path / "dashboards").mkdir()
    page = tmp_path / "dashboards" / "online_retail-2011-02.html"
    page.touch()
    assert retail("dashboard", "--no-open").stdout.strip() == str(page)


def test_charts_are_valid_and_have_no_colours_of_their_own():
    assert set(charts()) >= {"revenue", "orders", "segments", "movement", "map", "cohorts", "churn", "risk", "value"}
    assert not re.findall(r'"#[0-9a-f]{3,6}"', json.dumps(charts()))
