"""Shared rooms know no source: its name stands in what is its own, in the rooms of sources, and nowhere else."""

import re
from pathlib import Path

import pytest

import retail_assets
from retail_assets.settings import Settings
from retail_assets.sources.known import known_sources

PACKAGE = Path(retail_assets.__file__).parent
SHARED = ("invoices", "customers", "dashboards", "quality", "analytics", "lakehouse", "landing", "operations",
          "databricks", "partitions", "reports", "sql")  # fmt: skip
NAMES = re.compile(rf"\b({'|'.join(known_sources(Settings.read({})))})\b")


@pytest.mark.parametrize("room", SHARED)
def test_a_shared_room_names_no_source(room: str):
    files = [path for path in (PACKAGE / room).rglob("*") if path.suffix in (".py", ".js", ".html", ".css", ".sql")]
    assert files
    named = {path.name: NAMES.findall(path.read_text(encoding="utf-8")) for path in files}
    assert {name: found for name, found in named.items() if found} == {}


def test_the_names_are_those_that_stand_where_sources_are_declared():
    declared = NAMES.findall((PACKAGE / "sources" / "online_retail.py").read_text(encoding="utf-8"))
    assert "online_retail" in declared
