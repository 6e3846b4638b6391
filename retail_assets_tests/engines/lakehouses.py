"""Whole lakehouses made by one engine and continued by the other, and where two of them differ."""

import csv
import json
import os
from collections.abc import Sequence
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from retail_assets.generator.generate import generate
from retail_assets.reports.page import embedded
from retail_assets_tests.engines import texts, times
from retail_assets_tests.engines.asking import encoded, same
from retail_assets_tests.engines.constructs import PACKAGE
from retail_assets_tests.made_shop import INVOICES, TABLES
from retail_assets_tests.operations.as_written import OF_THE_WRITING
from retail_assets_tests.operations.command import RetailCommand
from retail_assets_tests.operations.homes import home_of
from retail_assets_tests.workbench import HEADER, Workbench

OTHER = {"sail": "spark", "spark": "sail"}

OF_THE_RUN = {"run_id", "evaluated_at", "evaluated_on", "evaluated_month", "delta_version"}
"""What dq_results says of when and where a partition was judged."""

SHOWN = 3
"""So many differing rows of a table are told."""


class Shop:
    """A landing zone, a lakehouse and a Dagster home, used by this process on its engine and by others on the other."""

    def __init__(self, directory: Path, spark: SparkSession, last_day: str) -> None:
        self.command = RetailCommand(directory)
        # The code under test, wherever another is installed.
        self.command.environment |= {"RETAIL_ONLINE_RETAIL_LAST_DAY": last_day, "PYTHONPATH": str(PACKAGE.parent)}
        self.zone, self.lakehouse = self.command.zone, self.command.lakehouse
        self.bench = Workbench(directory, spark, home_of(self.command.home), last_day)

    def here(self, last: str | None = None, tables: Sequence[str] = ()) -> None:
        """The main job on this process's engine, up to a day if there is one, of these tables if there are any."""
        summary = self.bench.run(tables or None, last=last)
        assert not summary.failures, summary.failures

    def elsewhere(self, last: str | None = None, tables: Sequence[str] = ()) -> None:
        """The same in a process of its own, on the other engine."""
        asked = ["--to", last] if last else []
        asked += [part for table in tables for part in ("--select", table)]
        run = self.command("run", *asked, RETAIL_ENGINE=OTHER[os.environ["RETAIL_ENGINE"]])
        assert run.returncode == 0, run.stdout + run.stderr


def generated(zone: Path, lines: int, days: int, last_day: date) -> None:
    """A small shop like a real one, with faults; and on one of its days everything that is strange."""
    generate(zone, lines=lines, days=days, last_day=last_day, seed=7)
    strange = last_day.replace(day=3)
    (zone / f"strange_{strange}.csv").write_text(_strange(strange), encoding="utf-8")


def _strange(day: date) -> str:
    """A drop with every edge value in every column that it may be in."""
    usual = {
        "Invoice": "599001", "StockCode": "85123A", "Description": "MUG", "Quantity": "1",
        "InvoiceDate": f"{day} 10:00:00", "Price": "2.55", "Customer ID": "13085", "Country": "France",
    }  # fmt: skip
    written = [str(text) for (text,) in texts.WRITTEN.rows if text is not None]
    moments = [str(text).replace("2011-01-04", str(day)) for (text,) in times.WRITTEN.rows if text is not None]
    moments += [text.replace("1/4/2011", f"{day.month}/{day.day}/{day.year}") for text in moments]
    words = [str(text) for (text,) in texts.TEXTS.rows if text is not None and "\x00" not in text]
    values = {"Quantity": written, "Price": written, "InvoiceDate": moments}
    values |= {name: [*words, "13085.0", "13085.00\n", "599002\n", " c599003 "] for name in usual if name not in values}
    lines = StringIO()
    rows = csv.DictWriter(lines, HEADER.split(","), lineterminator="\n")
    rows.writeheader()
    rows.writerows(usual | {name: value} for name, strange in values.items() for value in strange)
    return lines.getvalue()


def differences(left: Path, right: Path) -> dict[str, list[str]]:
    """Table -> rows that only one of the lakehouses has, and figures that only one dashboard shows."""
    names = [table.key.path[-1] for table in TABLES if (left / INVOICES.name / table.key.path[-1]).is_dir()]
    found = {name: _differing(_rows(left, name), _rows(right, name)) for name in [*names, "dq_results"]}
    found["pages"] = _differing(_pages(left.parent), _pages(right.parent))
    return {name: rows for name, rows in found.items() if rows}


def _rows(lakehouse: Path, table: str) -> list[Any]:
    """The rows in an order of their own: by everything that is exact in them."""
    stored = DeltaTable(str(lakehouse / INVOICES.name / table)).to_pyarrow_table()
    left_out = OF_THE_WRITING | (OF_THE_RUN if table == "dq_results" else set())
    names = sorted(set(stored.column_names) - left_out)
    exact = [name for name in names if "double" not in str(stored.schema.field(name).type)]
    rows = stored.to_pylist()
    rows.sort(key=lambda row: json.dumps([encoded(_value(row[name])) for name in exact]))
    return [[[name, encoded(_value(row[name]))] for name in names] for row in rows]


def _value(value: Any) -> Any:
    """As it is; pyarrow gives a map as a list of pairs."""
    is_map = isinstance(value, list) and bool(value) and all(isinstance(item, tuple) for item in value)
    return dict(value) if is_map else value


def _pages(directory: Path) -> list[Any]:
    """The figures in each page, without the versions of the tables that they are from."""
    found = []
    for page in sorted((directory / "dashboards").glob(f"{INVOICES.name}-*.html")):
        shown = embedded(page.read_text(encoding="utf-8"), "figures")
        found.append([page.name, encoded({name: value for name, value in shown.items() if name != "tables"})])
    return found


def _differing(ours: list[Any], theirs: list[Any]) -> list[str]:
    if len(ours) != len(theirs):
        return [f"{len(ours)} rows, and {len(theirs)}"]
    wrong = [(one, other) for one, other in zip(ours, theirs, strict=True) if not same(one, other, "double")]
    return [f"{len(wrong)} rows", *(_told(one, other) for one, other in wrong[:SHOWN])] if wrong else []


def _told(one: Any, other: Any) -> str:
    pairs = zip(one, other, strict=True)
    return "; ".join(f"{a} is {b}" for a, b in pairs if not same(a, b, "double"))[:2000]
