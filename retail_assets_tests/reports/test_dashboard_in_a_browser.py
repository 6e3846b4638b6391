"""The dashboard as its readers have it: a file in Chromium, every control used, no network, no complaint."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from retail_assets.reports.page import MOST_BYTES
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.reports.opened import Opened

pytestmark = pytest.mark.long

BOUGHT = "FROM clean_transactions WHERE line_type = 'product' AND customer_id IS NOT NULL"
SEGMENT_FIGURES = ("Customers", "Revenue so far", "Median days since last order", "Median orders", "Median spent")
CHARTS = ["revenue", "expected", "segments", "movement", "map", "cohorts", "churn", "risk", "value", "categories"]


def test_the_page_is_small_and_painted_soon(opened: Opened, file: Path):
    assert file.stat().st_size <= MOST_BYTES
    (paint,) = opened.page.evaluate("performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)")
    assert paint > 0  # how soon is measured in docs/dashboard.md: a loaded machine is no page's fault
    for name in CHARTS:
        assert opened.page.query_selector(f"[data-chart={name}] .chart svg"), name


def test_axes_of_money_say_pounds_from_nothing_on(opened: Opened):
    texts = "[...document.querySelectorAll('[data-chart=revenue] svg text, [data-chart=risk] svg text')]"
    written = opened.page.evaluate(f"{texts}.map(text => text.textContent)")
    assert written.count("£0") == 2
    assert any(re.fullmatch(r"£[1-9][\d.]*k", label) for label in written)
    assert not [label for label in written if re.fullmatch(r"£?0k|\d+k", label)]


def test_a_card_says_its_headings_and_is_a_table_again_where_there_is_room(opened: Opened):
    table = "[data-table=segments] table"
    heading = "getComputedStyle(document.querySelector('[data-table=segments] td:nth-child(2)'), '::before').content"
    assert opened.page.evaluate(heading) == "none"
    opened.page.set_viewport_size({"width": 390, "height": 900})
    opened.page.wait_for_selector(f"{table}.cards")
    assert opened.page.evaluate(heading) == '"Customers"'
    opened.page.set_viewport_size({"width": 1440, "height": 900})
    opened.page.wait_for_selector(f"{table}:not(.cards)")


def test_headline_figures_are_those_of_the_month_in_the_gold_tables(opened: Opened, reader: IndependentReader):
    revenue, orders = reader.row(
        "SELECT sum(revenue) * 1000, sum(orders) FROM daily_metrics WHERE invoice_date >= '2011-08-01'"
    )
    new = reader.row("SELECT sum(new_customers) FROM geo_metrics WHERE snapshot_month = '2011-08-01'")[0]
    assert (opened.headline("Revenue"), opened.headline("Orders")) == (f"{int(revenue)}", f"{int(orders)}")
    assert opened.headline("New customers") == f"{int(new)}"


def test_month_country_and_segment_filter_together(opened: Opened, reader: IndependentReader):
    opened.choose(month="May 2011", country="United Kingdom")
    where = "invoice_date BETWEEN '2011-05-01' AND '2011-05-31' AND country = 'United Kingdom'"
    sold = (
        "SELECT sum(line_total) * 1000, count(DISTINCT invoice_no) FROM clean_transactions "
        "WHERE line_type = 'product' AND "
    )
    revenue, orders = reader.row(sold + where)
    assert (opened.headline("Revenue"), opened.headline("Orders")) == (f"{int(revenue)}", f"{int(orders)}")

    opened.choose(segment="Champions")
    champions = (
        " AND customer_id IN (SELECT customer_id FROM customer_rfm "
        "WHERE snapshot_month = '2011-08-01' AND rfm_segment = 'Champions')"
    )
    revenue, orders = reader.row(sold + where + champions)
    assert revenue
    assert (opened.headline("Revenue"), opened.headline("Orders")) == (f"{int(revenue)}", f"{int(orders)}")
    assert opened.page.inner_text("#chosen") == "May 2011 · United Kingdom · Champions"

    opened.choose(month="All months")
    everything = reader.row(sold + "country = 'United Kingdom'" + champions)
    assert opened.headline("Revenue") == f"{int(everything[0])}"

    opened.page.click("#reset")
    opened.settle()
    assert opened.page.inner_text("#chosen") == "August 2011 · all countries · all customers"


def days_so_far(reader: IndependentReader) -> int:
    """Of August."""
    return int(reader.row("SELECT day(max(invoice_date)) FROM clean_transactions")[0])


def test_customers_are_counted_once_whatever_is_chosen(opened: Opened, reader: IndependentReader):
    """August is not over: the change is that against as many days of July."""

    def buyers(**span: str) -> int:
        where = " AND ".join(f"invoice_date {comparison} '{day}'" for comparison, day in span.items())
        return int(reader.row(f"SELECT count(DISTINCT customer_id) {BOUGHT} AND {where}")[0])

    assert opened.headline("Active customers") == f"{buyers(**{'>=': '2011-08-01'})}"
    now, before = buyers(**{">=": "2011-08-01"}), buyers(**{">=": "2011-07-01", "<=": f"2011-07-{days_so_far(reader)}"})
    written = opened.page.inner_text("[data-figure='Active customers'] .change >> nth=0")
    assert written == f"{'+' if now > before else '−'}{abs(now / before - 1):.1%} on the month"

    opened.choose(month="All months")
    assert (
        opened.headline("Active customers") == opened.headline("New customers") == f"{buyers(**{'>=': '2011-01-01'})}"
    )
    countries = {row["Country"]: int(row["Customers"]) for row in opened.downloaded("[data-table=countries]")}
    bought_there = reader.rows(f"SELECT country, count(DISTINCT customer_id) {BOUGHT} GROUP BY 1")
    assert {name: count for name, count in countries.items() if count} == dict(bought_there)


def test_segments_of_a_country_have_the_medians_of_its_customers(opened: Opened, reader: IndependentReader):
    opened.choose(country="United Kingdom")
    shown = {
        row["Segment"]: [float(row[name]) for name in SEGMENT_FIGURES]
        for row in opened.downloaded("[data-table=segments]")
        if row["Customers"] != "0"
    }
    counted = reader.rows(
        "SELECT rfm_segment, count(*), sum(monetary), median(recency_days), median(frequency), median(monetary) "
        "FROM customer_rfm WHERE snapshot_month = '2011-08-01' AND country = 'United Kingdom' GROUP BY 1"
    )
    assert shown == {name: [float(value) for value in values] for name, *values in counted}
    written = opened.downloaded("[data-table=write]")
    assert written
    assert {row["Country"] for row in written} == {"United Kingdom"}


def test_the_same_customers_are_divided_otherwise_too(opened: Opened, reader: IndependentReader):
    shown = {
        (row["Segment"], int(row["Customers"]), row["What to do"]) for row in opened.downloaded("[data-table=schemes]")
    }
    assert shown == set(
        reader.rows(
            "SELECT segment, customers, recommended_action FROM segment_summary "
            "WHERE snapshot_month = '2011-08-01' AND scheme <> 'rfm'"
        )
    )


def test_a_segment_and_a_country_are_chosen_from_their_tables(opened: Opened):
    opened.page.click("[data-table=segments] .pick >> text=Champions")
    opened.page.click("[data-table=countries] .pick >> text=United Kingdom")
    opened.settle()
    assert opened.page.inner_text("#chosen") == "August 2011 · United Kingdom · Champions"
    assert opened.page.eval_on_selector("#segment", "select => select.selectedOptions[0].label") == "Champions"


def test_tables_and_their_csv_are_the_gold_tables_to_the_penny(opened: Opened, reader: IndependentReader):
    countries = {row["Country"]: float(row["Revenue"]) for row in opened.downloaded("[data-table=countries]")}
    gold = reader.rows("SELECT country, revenue, returns_value FROM geo_metrics WHERE snapshot_month = '2011-08-01'")
    assert countries == {name: float(revenue) for name, revenue, returns in gold if revenue or returns}

    segments = {
        row["Segment"]: (int(row["Customers"]), float(row["Revenue so far"]))
        for row in opened.downloaded("[data-table=segments]")
        if row["Customers"] != "0"
    }
    by_rule = reader.rows(
        "SELECT rfm_segment, count(*), sum(monetary) FROM customer_rfm WHERE snapshot_month = '2011-08-01' GROUP BY 1"
    )
    assert segments == {name: (count, float(spent)) for name, count, spent in by_rule}

    daily = opened.downloaded("[data-chart=revenue]")
    assert {row["Day"]: float(row["Revenue"]) for row in daily} == {
        str(day): float(revenue) for day, revenue in reader.rows("SELECT invoice_date, revenue FROM daily_metrics")
    }
    value = {row["Segment"]: float(row["Expected"]) for row in opened.downloaded("[data-table=value]")}
    worth = reader.rows(
        "SELECT rfm_segment, sum(clv_12m::DECIMAL(18,3)) FROM customer_clv JOIN customer_rfm "
        "USING (customer_id, snapshot_month) WHERE snapshot_month = '2011-08-01' GROUP BY 1"
    )
    assert value == pytest.approx({name: float(total) for name, total in worth}, abs=0.005 * 200)


def test_cohorts_count_customers_who_bought_again(opened: Opened, reader: IndependentReader):
    shown = {
        (row["First bought in"], int(row["Months since"])): (
            int(row["Customers who bought"]),
            int(row["Of the cohort's"]),
        )
        for row in opened.downloaded("[data-chart=cohorts]")
    }
    assert len(shown) == 28
    counted = reader.rows(
        """
        WITH buyers AS (SELECT DISTINCT customer_id, date_trunc('month', invoice_date) AS month FROM clean_transactions
                        WHERE line_type = 'product' AND customer_id IS NOT NULL),
        firsts AS (SELECT customer_id, min(month) AS first FROM buyers GROUP BY 1)
        SELECT strftime(first, '%Y-%m'), datediff('month', first, month), count(*)
        FROM buyers JOIN firsts USING (customer_id) GROUP BY 1, 2
        """
    )
    assert {key: bought for key, (bought, _) in shown.items() if bought} == {
        (first, since): count for first, since, count in counted if since > 0
    }


def test_who_to_win_back_first_is_ordered_by_what_can_be_won_and_the_lost_stand_apart(
    opened: Opened, reader: IndependentReader
):
    told = reader.rows(
        "SELECT customer_id FROM actions WHERE snapshot_month = '2011-08-01' AND action = 'win_back' ORDER BY rank"
    )
    listed, lost = opened.downloaded("[data-table=write]"), opened.downloaded("[data-table=lost]")
    won = [float(row["Could be won"]) for row in listed]
    assert [row["Customer"] for row in listed] == [customer for (customer,) in told]
    assert won
    assert won == sorted(won, reverse=True)
    known = {
        customer: (float(probability), float(value), alive)
        for customer, probability, value, alive in reader.rows(
            "SELECT customer_id, round(churn_probability, 4), clv_12m * greatest(net_monetary / r.monetary, 0), "
            "probability_alive FROM churn_scores JOIN customer_clv USING (customer_id, snapshot_month) "
            "JOIN customer_rfm r USING (customer_id, snapshot_month) WHERE snapshot_month = '2011-08-01'"
        )
    }
    for row in listed:
        probability, value, alive = known[row["Customer"]]
        assert (float(row["Probability"]), float(row["Expected in 12 months"])) == (
            pytest.approx(probability),
            pytest.approx(value, abs=0.006),
        )
        assert row["Risk"] == ("High" if probability >= 0.75 else "Medium")
        assert float(row["Could be won"]) == pytest.approx(value * probability * 0.1, abs=0.006)
        assert alive >= 0.1
    assert not {row["Customer"] for row in listed} & {row["Customer"] for row in lost}
    assert {customer for customer, (_, _, alive) in known.items() if alive < 0.1} <= {row["Customer"] for row in lost}
    assert "× 10.0%, the chance of winning back" in opened.page.inner_text("[data-table=write] .note >> nth=0")
    assert "naive" not in opened.page.inner_text("body").lower()


def test_this_week_says_what_to_do_the_most_valuable_first_with_its_list_and_its_worth(
    opened: Opened, reader: IndependentReader
):
    lists = opened.page.locator("#week details")
    sentences = [text.split("\n")[0] for text in lists.locator("summary").all_inner_texts()]
    worths = [int(found[1].replace(",", "")) for text in sentences if (found := re.search(r"£([\d,]+)", text))]
    assert 3 <= len(sentences) <= 6
    assert worths == sorted(worths, reverse=True)
    of_month = "FROM actions WHERE snapshot_month = '2011-08-01' AND action = 'win_back'"
    named, worth = reader.row(f"SELECT count(*), sum(worth) {of_month}")
    (told,) = (text for text in sentences if text.startswith("Win back"))
    assert f"{named:,} customers" in told
    assert f"£{worth:,.0f} can be won" in told
    opened.page.click("[data-list=win_back] summary")
    listed = opened.downloaded("[data-list=win_back]")
    rows = reader.rows(f"SELECT customer_id, worth, reason {of_month} ORDER BY rank LIMIT 500")
    assert [(row["Customer"], float(row["Could be won"]), row["Why"]) for row in listed] == [
        (customer, float(worth), reason) for customer, worth, reason in rows
    ]


def test_what_a_figure_is_stands_where_it_stands(opened: Opened, reader: IndependentReader):
    assert "before returns" in opened.page.inner_text("[data-figure=Revenue] dt")
    sold, returned = reader.row(
        "SELECT sum(revenue), sum(returns_value) FROM daily_metrics WHERE invoice_date >= '2011-08-01'"
    )
    assert f"£{sold - returned:,.0f} after returns" in opened.page.inner_text("[data-figure=Revenue]")
    assert opened.page.locator("[data-figure] .up, [data-figure] .down").count() > 0
    opened.choose(segment="Champions")  # who bought lately: against earlier months they grow by construction
    assert opened.page.locator("[data-figure] .up, [data-figure] .down").count() == 0
    opened.page.click("#reset")
    opened.settle()
    sizes = opened.page.evaluate(
        "[...document.querySelectorAll('[data-chart=cohorts] svg text')].map(text => text.textContent)"
    )
    assert any(re.fullmatch(r"2011-0\d · [\d,]+ customers", text) for text in sizes)
    daily = opened.downloaded("[data-chart=revenue]")
    assert [row["Mean of 30 days"] for row in daily[:29]] == [""] * 29
    first_month = sum(float(row["Revenue"]) for row in daily[:30]) / 30
    assert float(daily[29]["Mean of 30 days"]) == pytest.approx(first_month, abs=0.006)
    assert [row["Mean of 7 days"] for row in daily[:7]].count("") == 6


def test_products_of_an_unfinished_month_are_compared_with_as_many_days(opened: Opened, reader: IndependentReader):
    product = opened.downloaded("[data-table=products]")[0]
    so_far = days_so_far(reader)
    days = (
        "line_type = 'product' AND stock_code = '{}' AND invoice_date BETWEEN '2011-{}-01' AND '2011-{}-" + f"{so_far}'"
    )
    now, before = (
        reader.row(f"SELECT sum(line_total) FROM clean_transactions WHERE {days.format(product['Code'], month, month)}")
        for month in ("08", "07")
    )
    if before[0]:
        assert float(product["On the month"]) == pytest.approx(float(now[0] / before[0]) - 1)
    told = f"its {so_far} days against as many of the month before"
    for panel in ("[data-table=products]", "[data-chart=categories]", "[data-table=countries]"):
        assert told in opened.page.inner_text(f"{panel} .note >> nth=0")


def test_switches_and_the_tables_behind_charts(opened: Opened):
    opened.page.click("[data-measure=orders]")
    opened.settle()
    assert "Orders a day" in str(opened.page.get_attribute("[data-chart=revenue] .chart", "aria-label"))
    opened.page.click("[data-view=world]")
    opened.settle()
    assert opened.page.get_attribute("[data-view=world]", "aria-pressed") == "true"
    for name in CHARTS:
        opened.page.click(f"[data-chart={name}] summary")
        opened.page.locator(f"[data-chart={name}] details tbody tr").first.wait_for()


def test_everything_is_reached_by_keyboard(opened: Opened):
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "main"
    opened.page.focus("#segment")
    opened.page.keyboard.press("ArrowDown")
    opened.settle()
    assert opened.page.inner_text("#chosen").endswith("Champions")
    opened.page.focus("[data-chart=churn] summary")
    opened.page.keyboard.press("Enter")
    opened.page.locator("[data-chart=churn] details tbody tr").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_chosen(browser: Browser, file: Path, scheme: str):
    window = Opened(browser, file, color_scheme=scheme)
    assert window.page.get_attribute("html", "data-theme") == scheme
    window.page.click("#theme")
    window.settle()
    assert window.page.get_attribute("html", "data-theme") == {"light": "dark", "dark": "light"}[scheme]
    assert (window.said, window.asked) == ([], [file.as_uri()])
    window.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    browser: Browser, file: Path, scheme: str, width: int
):
    window = Opened(browser, file, color_scheme=scheme, viewport={"width": width, "height": 900})
    for name in CHARTS:
        window.page.click(f"[data-chart={name}] summary")
    found = Axe().run(window.page).response["violations"]
    serious = [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]][:3])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert window.page.evaluate("document.documentElement.scrollWidth") == width
    tables = "[...document.querySelectorAll('.scroll')]"
    wider = ".filter(frame => frame.scrollWidth > frame.clientWidth).map(frame => frame.ariaLabel)"
    assert window.page.evaluate(tables + wider) == []
    assert window.page.is_visible("[data-table=segments] .cards") == (width < 1000)
    assert window.said == []
    window.page.context.close()


def test_it_prints_without_its_controls(opened: Opened):
    opened.page.emulate_media(media="print")
    assert not opened.page.is_visible(".filters select >> nth=0")
    assert not opened.page.is_visible(".csv >> nth=0")
    assert opened.page.is_visible("#chosen")
    assert opened.page.pdf(format="A4").startswith(b"%PDF")
