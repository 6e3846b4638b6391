"""One made dashboard and one browser, shared by all that look at it."""

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from pyspark.sql import SparkSession

from retail_assets.generator.generate import generate
from retail_assets.reports.page import Pages
from retail_assets_tests.online_retail.independent_reader import IndependentReader
from retail_assets_tests.reports.opened import Opened
from retail_assets_tests.workbench import Workbench

LAST_DAY = date(2011, 8, 20)
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Workbench:
    """Seven months and a part of the eighth, from generated drops."""
    workbench = Workbench(tmp_path_factory.mktemp("browser"), spark, last_day=str(LAST_DAY))
    generate(workbench.zone, lines=6_000, days=230, last_day=LAST_DAY, seed=11)
    summary = workbench.run()
    assert summary.failures == []
    return workbench


@pytest.fixture(scope="package")
def reader(bench: Workbench) -> IndependentReader:
    return IndependentReader(bench.path("raw_invoices").parent)


@pytest.fixture(scope="package")
def file(bench: Workbench) -> Path:
    newest = Pages(directory=bench.settings.dashboards).newest("online_retail")
    assert newest is not None
    return newest


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium of this machine: RETAIL_CHROMIUM, or from the PATH."""
    program = os.environ.get("RETAIL_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium: install one, or name it by RETAIL_CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    window = Opened(browser, file)
    yield window
    assert window.said == []
    assert window.asked == [file.as_uri()]
    window.page.context.close()
