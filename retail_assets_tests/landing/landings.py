"""Files to land, landings of them, and what then lies in the zone."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from retail_assets.landing.consent import NONE_GIVEN, Consent
from retail_assets.landing.drop_reader import DropRefused, read_drop
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import Landed, land
from retail_assets_tests.made_shop import INVOICES

TODAY = date(2026, 11, 21)
HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"


def line(invoice: int | str, written: str, description: str = "MUG") -> str:
    """One row of a file, with its line end."""
    return f"{invoice},85048,{description},12,{written},6.95,13085.0,United Kingdom\n"


def file(directory: Path, content: str | bytes, name: str = "history.csv") -> Path:
    """A file to land."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    """A workbook to land, with the rows of each sheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def lands(files: Sequence[Path], zone: LandingZone, consent: Consent = NONE_GIVEN) -> Landed:
    """A landing of the files on TODAY."""
    return land(files, zone, INVOICES, today=TODAY, consent=consent)


def snapshot(zone: LandingZone) -> dict[str, bytes]:
    """Every file of the zone, hidden ones too."""
    return {str(path): path.read_bytes() for path in Path(zone.root).rglob("*") if path.is_file()}


def refused(files: Sequence[Path], zone: LandingZone, consent: Consent = NONE_GIVEN) -> str:
    """What a landing says that is refused and changes nothing."""
    before = snapshot(zone)
    with pytest.raises(DropRefused) as refusal:
        lands(files, zone, consent)
    assert snapshot(zone) == before
    assert refusal.value.remedy
    return str(refusal.value)


def rows(zone: LandingZone) -> list[dict[str, Any]]:
    """Every row that bronze reads, by drop and line."""
    drops = zone.drops(INVOICES.name)
    return [row for drop in drops for batch in read_drop(drop.path, INVOICES) for row in batch.to_pylist()]


def invoices(zone: LandingZone) -> dict[str, list[str | None]]:
    """The invoice numbers of each drop's rows, None for malformed ones, by the drop's name."""
    found: dict[str, list[str | None]] = {drop.name: [] for drop in zone.drops(INVOICES.name)}
    for row in rows(zone):
        found[row["source_file"]].append(row["invoice_no"])
    return found
