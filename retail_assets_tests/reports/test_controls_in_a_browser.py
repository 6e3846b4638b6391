"""What readers of a page ask of it: an order, a word, a choice that a link keeps; on a telephone, too."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.reports.opened import Opened

pytestmark = pytest.mark.long

COUNTRIES, PRODUCTS, WRITE = "[data-table=countries]", "[data-table=products]", "[data-table=write]"


def amounts(texts: list[str]) -> list[int]:
    return [int(text.replace("£", "").replace(",", "")) for text in texts]


def asked(opened: Opened) -> dict[str, list[str]]:
    return parse_qs(urlsplit(opened.page.url).query)


def test_what_is_chosen_stands_in_the_address_and_back_goes_a_choice_back(opened: Opened):
    assert asked(opened) == {}
    opened.choose(month="May 2011", country="United Kingdom")
    opened.page.click("[data-measure=orders]")
    opened.page.click("[data-view=world]")
    may = {"month": ["2011-05"], "country": ["United Kingdom"]}
    assert asked(opened) == may | {"measure": ["orders"], "view": ["world"]}
    for _ in range(2):
        opened.page.go_back()
    assert asked(opened) == may
    assert opened.page.get_attribute("[data-measure=orders]", "aria-pressed") == "false"
    opened.page.go_back()
    opened.settle()
    assert asked(opened) == {"month": ["2011-05"]}
    assert opened.page.inner_text("#chosen") == "May 2011 · all countries · all customers"
    opened.page.click("#reset")
    assert asked(opened) == {}


def test_a_link_shows_what_its_sender_saw(browser: Browser, file: Path, opened: Opened):
    opened.choose(month="All months", country="Germany", segment="Loyal Customers")
    opened.page.click("[data-measure=orders]")
    window = Opened(browser, file, query=opened.page.url.removeprefix(file.as_uri()))
    assert window.page.inner_text("#chosen") == "all months · Germany · Loyal Customers"
    assert window.headline("Revenue") == opened.headline("Revenue")
    assert window.page.get_attribute("[data-measure=orders]", "aria-pressed") == "true"
    assert window.said == []
    window.page.context.close()


def test_what_an_address_asks_for_and_there_is_not_is_as_if_it_had_not_asked(browser: Browser, file: Path):
    window = Opened(browser, file, query="?month=1999-01&country=Atlantis&segment=&measure=__proto__")
    assert window.page.inner_text("#chosen") == "August 2011 · all countries · all customers"
    assert window.said == []
    window.page.context.close()


def test_a_heading_puts_the_most_first_then_the_least_then_the_order_as_given(opened: Opened):
    given = opened.column(COUNTRIES, "Country")
    heading = opened.page.locator(f"{COUNTRIES} th", has_text="Orders")
    orders = []
    for said in ("descending", "ascending", "none"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == said
        orders.append(amounts(opened.column(COUNTRIES, "Orders")))
    assert orders[0] == sorted(orders[0], reverse=True)
    assert orders[1] == sorted(orders[0]) != orders[0]
    assert opened.column(COUNTRIES, "Country") == given

    opened.page.focus(f"{COUNTRIES} th button >> nth=0")
    opened.page.keyboard.press("Enter")
    assert opened.column(COUNTRIES, "Country") == sorted(given, key=str.casefold)


def test_what_is_not_known_comes_last_whatever_the_order(opened: Opened):
    heading = opened.page.locator(f"{PRODUCTS} th", has_text="On the month").locator("button")
    for _ in range(2):
        heading.click()
        shown = opened.column(PRODUCTS, "On the month")
        unknown = shown.count("–")
        assert 0 < unknown < len(shown)
        assert set(shown[-unknown:]) == {"–"}


def test_a_search_keeps_the_rows_with_every_word_and_the_csv_has_those(opened: Opened):
    products, categories = opened.column(PRODUCTS, "Product"), opened.column(PRODUCTS, "Category")
    words = categories[0].split()[0].lower(), products[0].split()[0].lower()
    opened.page.fill(f"{PRODUCTS} input", " ".join(words))
    expected = [
        product
        for product, category in zip(products, categories, strict=True)
        if all(word in f"{product} {category}".lower() for word in words)
    ]
    assert 0 < len(expected) < len(products)
    assert opened.column(PRODUCTS, "Product") == expected
    assert opened.page.inner_text(f"{PRODUCTS} .count") == f"{len(expected)} of {len(products)}"
    assert [row["Product"] for row in opened.downloaded(PRODUCTS)] == expected


def test_more_are_found_than_are_listed_and_the_search_outlives_a_filter(opened: Opened):
    found = opened.page.evaluate(
        "[...Tables.tableOf('Numbers', [['Number', row => row, String, 'number']], [...Array(90).keys()],"
        " {most: 5, wanted: {by: 'Number', down: true, words: '7'}}).querySelectorAll('td')].map(td => td.textContent)"
    )
    assert found == ["87", "79", "78", "77", "76"]
    everybody = [row["Customer"] for row in opened.downloaded(WRITE)]
    opened.page.fill(f"{WRITE} input", everybody[-1])
    assert opened.column(WRITE, "Customer") == [everybody[-1]]
    opened.choose(month="May 2011")
    assert opened.page.input_value(f"{WRITE} input") == everybody[-1]
    assert opened.column(WRITE, "Customer") == [everybody[-1]]


def test_the_table_behind_a_chart_is_sorted_and_searched_too(opened: Opened):
    opened.page.click("[data-chart=revenue] summary")
    days = "[data-chart=revenue] details"
    opened.page.fill(f"{days} input", "2011-05")
    opened.page.locator(f"{days} th", has_text="Revenue").locator("button").click()
    shown = opened.downloaded("[data-chart=revenue]")
    assert {row["Day"][:7] for row in shown} == {"2011-05"}
    revenue = [float(row["Revenue"]) for row in shown]
    assert len(revenue) == 31
    assert revenue == sorted(revenue, reverse=True)


def test_on_a_telephone_cards_are_ordered_and_unfolded(browser: Browser, file: Path):
    window = Opened(browser, file, viewport={"width": 390, "height": 900})
    rows = window.page.locator(f"{PRODUCTS} tbody tr")
    visible = f"[...document.querySelectorAll('{PRODUCTS} tbody tr')].filter(row => row.offsetHeight).length"
    assert window.page.evaluate(visible) == 6 < rows.count()
    window.page.select_option(f"{PRODUCTS} .order select", label="Units")
    units = amounts(window.column(PRODUCTS, "Units"))
    assert units == sorted(units, reverse=True)
    window.page.click(f"{PRODUCTS} .order button")
    assert amounts(window.column(PRODUCTS, "Units")) == sorted(units)
    window.page.click(f"{PRODUCTS} .more")
    assert window.page.evaluate(visible) == rows.count()
    assert window.page.inner_text(f"{PRODUCTS} .more") == "Show fewer"
    assert window.said == []
    window.page.context.close()


def test_wide_pages_have_no_holes_between_cards_and_no_broken_names(opened: Opened):
    pairs = "[...document.querySelectorAll('.two')].filter(two => !two.classList.contains('one'))"
    ends = ".map(two => [...two.children].map(card => Math.round(card.getBoundingClientRect().bottom)))"
    for left, right in opened.page.evaluate(pairs + ends):
        assert left == right
    lines = (
        "[...document.querySelectorAll('table:not(.cards) td:first-child')].filter(cell => cell.offsetHeight)"
        ".filter(cell => { const range = document.createRange(); "
        " range.selectNodeContents(cell.querySelector('button') || cell);"
        " return new Set([...range.getClientRects()].map(line => Math.round(line.top))).size > 1; })"
        ".map(cell => cell.textContent)"
    )
    assert opened.page.evaluate(lines) == []


def test_unusual_days_are_marked_and_explained(opened: Opened, reader: IndependentReader):
    shown = opened.downloaded("[data-chart=expected]")
    sold = dict(
        reader.rows("SELECT invoice_date::VARCHAR, revenue FROM daily_metrics WHERE invoice_date >= '2011-08-01'")
    )
    assert {row["Day"]: float(row["Revenue"] or 0) for row in shown}.items() <= {
        d: float(r) for d, r in sold.items()
    }.items()
    for row in shown:
        if not (row["Revenue"] and row["Expected from"]):
            continue  # a day without sales, or with nothing to compare it with
        inside = float(row["Expected from"]) <= float(row["Revenue"] or 0) <= float(row["to"])
        assert row["Found"] == ("as expected" if inside else "unusual")
    unusual = opened.downloaded("[data-table=unusual]")
    assert [row["Day"] for row in unusual] == sorted((row["Day"] for row in unusual), reverse=True)
    assert {row["Day"] for row in unusual} >= {row["Day"] for row in shown if row["Found"] == "unusual"}
    assert all(row["What was not as usual"].endswith(".") for row in unusual)
    opened.choose(country="United Kingdom")
    assert "whatever is chosen above" in opened.page.inner_text("[data-chart=expected] .note")
    assert opened.downloaded("[data-chart=expected]") == shown
