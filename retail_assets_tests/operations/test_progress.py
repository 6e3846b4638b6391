"""The summary of a run: which checks warned and of what, and what to open next."""

import io

from dagster import AssetKey
from rich.console import Console

from retail_assets.operations.main_job import Summary, TableSummary
from retail_assets.operations.progress import report
from retail_assets.settings import Settings

QUARANTINE, PAGES = AssetKey(["shop", "quarantined_invoices"]), AssetKey(["shop", "dashboard"])


def told(summary: Summary) -> list[str]:
    """The lines of the summary."""
    console = Console(file=io.StringIO(), width=120)
    report(console, summary, Settings.read({}))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_summary_names_the_checks_that_warned_with_their_partitions():
    warnings = {"quarantine_share": ["2011-01-05", "2011-01-03"], "volume": ["2011-01-04"]}
    lines = told(Summary({QUARANTINE: TableSummary(warned=3, warnings=warnings)}))
    assert "  shop.quarantined_invoices, quarantine_share: 2011-01-03 … 2011-01-05 (2)" in lines
    assert "  shop.quarantined_invoices, volume: 2011-01-04" in lines


def test_it_mentions_the_dashboard_where_a_page_was_made_and_no_warnings_where_there_are_none():
    made = told(Summary({PAGES: TableSummary(partitions={"2011-01-01"})}))
    assert "The page of the newest month: retail dashboard" in made
    assert not any(line.startswith("Warned") for line in made)
    assert "The page of the newest month: retail dashboard" not in told(Summary({QUARANTINE: TableSummary()}))
