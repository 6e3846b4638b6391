"""End to end with the real daemon: drops appear, are corrected, break a rule and are mended, and nobody clicks.

Phases of one story, in order; each begins where the one before it ended.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dagster import DagsterRunStatus
from playwright.sync_api import sync_playwright

from retail_assets_tests.operations.alerts.servers import ALERTS, Endpoint, MailServer, http_endpoint, mail_server
from retail_assets_tests.operations.as_written import version
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.live import Live, running
from retail_assets_tests.workbench import HEADER, line

pytestmark = pytest.mark.long

FIRST, CORRECTED, NEWEST = "2010-08-02", "2010-11-15", "2011-02-02"
SENSORS = ["alerts_hook", "alerts_office", "following", "online_retail_arrivals"]
CUSTOMERS = ["13085", "13086", "13087", "13090", "13091", "13092"]


def invoices(day: str, price: str = "2.55") -> list[str]:
    number = int(day.replace("-", "")[2:]) % 90000
    return [
        line(f"5{number + i:05}", quantity=i + 1, when=f"{day} 10:0{i}:00", price=price, customer=customer)
        for i, customer in enumerate(CUSTOMERS)
    ]


@dataclass
class Told:
    """What was told, over both channels. Only errors are: too little has landed to say much of anything else."""

    endpoint: Endpoint
    mails: MailServer

    @property
    def messages(self) -> list[Any]:
        """The JSON of the webhook's messages. As many mails have come."""
        return self.endpoint.messages


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with http_endpoint() as endpoint, mail_server() as mails:
        yield Told(endpoint, mails)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, told: Told) -> Iterator[Live]:
    """Webserver and daemon, up before anything has landed."""
    command = RetailCommand(tmp_path_factory.mktemp("live"))
    alerts = command.directory / "alerts.toml"
    routes = '[[routes]]\nchannels = ["hook", "office"]\nseverities = ["error"]\n'
    alerts.write_text(ALERTS.format(port=told.mails.port) + routes)
    command.environment |= {
        "RETAIL_ALERTS": str(alerts),
        "HOOK_URL": told.endpoint.url,
        "RETAIL_ONLINE_RETAIL_FIRST_DAY": FIRST,
        "RETAIL_ONLINE_RETAIL_LAST_DAY": "2011-02-28",
        "RETAIL_TICK_SECONDS": "5",
        "RETAIL_SNAPSHOTS_CRON": "* * * * *",
    }
    with running(Live(command)) as started:
        started.wait_for_looks(SENSORS, 1)
        yield started


def settle(live: Live) -> None:
    """Until everything that is due was made, and nothing is under way."""
    live.wait_until("the last table", lambda: not live.due() and not live.at_work())


def versions(live: Live) -> dict[str, int]:
    """Of every table that was made."""
    return {table: version(live.command.lakehouse, table) for table in {table for table, _ in live.made()}}


def test_three_drops_appear_and_the_whole_graph_is_made(live):
    assert live.made() == Counter()
    for day in (FIRST, CORRECTED, NEWEST):
        live.command.drop(day, invoices(day))
    live.wait_until("what is due", lambda: bool(live.due()))
    expected = live.due()
    assert {table for table, _ in expected} == {key.path[-1] for key in live.graph.assets}
    settle(live)
    assert live.made() == Counter(expected)  # each once
    assert live.runs(DagsterRunStatus.FAILURE) == 0


def test_a_corrected_drop_rebuilds_what_depends_on_it_once_and_nothing_else(live):
    before = live.made()
    live.command.drop(CORRECTED, invoices(CORRECTED, price="3.75"))
    expected = live.due()
    assert ("clean_transactions", CORRECTED) in expected
    assert ("customer_rfm", "2010-10-01") not in expected
    assert {month for table, month in expected if table == "customer_rfm"} == {
        f"{month}-01" for month in ("2010-11", "2010-12", "2011-01", "2011-02")
    }
    settle(live)
    assert live.made() - before == Counter(expected)


def test_a_drop_that_breaks_a_blocking_rule_leaves_everything_as_it_was_and_is_told_once(live, told):
    assert (told.messages, told.mails.mails) == ([], [])
    made, before, failed = live.made(), versions(live), live.runs(DagsterRunStatus.FAILURE)
    path = live.command.zone / f"online_retail_{NEWEST}.csv"
    path.write_text("\n".join([HEADER.replace(",InvoiceDate", ""), "1,2,3"]) + "\n", encoding="utf-8")
    live.wait_until("the failure", lambda: live.runs(DagsterRunStatus.FAILURE) > failed and not live.at_work())
    live.wait_for_looks(SENSORS)
    assert live.runs(DagsterRunStatus.FAILURE) == failed + 1
    assert live.made() == made
    assert versions(live) == before
    (message,), (mail,) = told.messages, told.mails.mails
    (item,) = message["items"]
    assert (item["status"], item["severity"], item["name"]) == ("failed", "ERROR", "drops_readable")
    assert (item["assets"], item["partitions"]) == (["online_retail/raw_invoices"], [NEWEST])
    assert "online_retail/clean_transactions" in item["blocks"]
    assert mail["Subject"].strip() == message["title"]  # it is folded on its way


def test_the_mended_drop_brings_everything_up_to_date_and_the_recovery_is_told(live, told):
    before = live.made()
    live.command.drop(NEWEST, invoices(NEWEST, price="4.25"))
    expected = live.due()
    assert ("clean_transactions", NEWEST) in expected
    settle(live)
    assert live.made() - before == Counter(expected)
    live.wait_for_looks(SENSORS)
    assert [[item["status"] for item in message["items"]] for message in told.messages] == [["failed"], ["recovered"]]
    assert [mail["Subject"].strip() for mail in told.mails.mails] == [message["title"] for message in told.messages]


def test_a_renamed_delivery_and_a_killed_daemon_make_nothing_again(live):
    made, runs = live.made(), live.runs()
    path = live.command.zone / f"online_retail_{NEWEST}.csv"
    path.rename(path.with_name(f"second_delivery_{NEWEST}.csv"))
    live.wait_for_looks(SENSORS)
    live.kill()
    live.start()
    live.wait_for_looks(SENSORS)
    assert live.made() == made
    assert live.runs() == runs


def test_the_ui_shows_what_runs_by_itself_and_how_it_was_decided(live):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed")
    pages = {
        "automation": ("/automation", ["online_retail_arrivals", "following", "month_end"]),
        "condition": ("/assets/online_retail/customer_rfm", ["follows_at_most_once_per_tick_of"]),
        "evaluations": ("/assets/online_retail/customer_rfm?view=automation", ["Evaluation result", "Not requested"]),
        "backfills": ("/runs?view=backfills", ["Launched by", "Success"]),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(120_000)
        for name, (path, texts) in pages.items():
            page.goto(f"http://127.0.0.1:{live.port}{path}")
            for text in texts:
                page.get_by_text(text).first.wait_for()
            page.screenshot(path=live.command.directory / f"{name}.png")
        browser.close()
