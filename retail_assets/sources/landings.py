"""How the files of each kind of source are landed, and what is told of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from retail_assets.landing.consent import Consent, listed
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import Progress, land
from retail_assets.landing.table_files import LandedTable
from retail_assets.partitions.calendar import current_day
from retail_assets.shops.refusal import looks_usable
from retail_assets.shops.shop import Shop


@dataclass(frozen=True)
class How:
    """What the user asked for. `anyway`: files of which almost nothing can be used, too. `descriptions`: the directory
    of the shops that the user described."""

    progress: Progress
    consent: Consent
    keep_days: int
    anyway: bool
    descriptions: Path


def land_shop(shop: Shop, files: Sequence[Path], zone: LandingZone, how: How) -> list[str]:
    """Land a shop's files as daily drops; says what became of them. Raises DropRefused and SettingError."""
    usable = None if how.anyway else looks_usable(shop, how.descriptions / f"{shop.name}.toml", current_day())
    landed = land(files, zone, shop.layout, how.progress, None, how.consent, how.keep_days, usable)
    told = [
        f"Landed {landed.rows:,} rows in {len(landed.drops):,} daily drops, {landed.first_day} to {landed.last_day}, "
        f"under {zone.directory(shop.name)}. Next: make run (or: retail run)",
        *_left_out(landed.left_out),
    ]
    told += [
        f"Set aside: {aside.rows:,} rows of {aside.day}, far from all others ({aside.name}, line {aside.line:,}). They "
        f"lie in the drop of {aside.target}, and go to quarantine. If the date is right: --far-dates keep."
        for aside in landed.set_aside
    ]
    return told + _replaced(landed.replaced, landed.landing)


class LandedTables(Protocol):
    """What became of the files of a source that has several kinds of them."""

    @property
    def tables(self) -> Mapping[str, LandedTable]:
        """By table."""

    @property
    def left_out(self) -> Sequence[str]:
        """What was left out, and why."""


LandTables = Callable[..., LandedTables]
"""(files, zone, progress=…, consent=…, keep_days=…) -> what became of them."""


def land_tables(lands: LandTables, files: Sequence[Path], zone: LandingZone, how: How) -> list[str]:
    """Land files of a source's tables; says what became of them. Raises DropRefused and SettingError."""
    landed = lands(files, zone, progress=how.progress, consent=how.consent, keep_days=how.keep_days)
    told = []
    for name, table in landed.tables.items():
        odd = [(table.malformed, "are no rows of it"), (table.undated, "could not be told the day of")]
        noted = "".join(f", of which {rows:,} {what}" for rows, what in odd if rows)
        told.append(f"Landed {table.rows:,} rows of {name} in {len(table.drops):,} drops{noted}.")
        told += _replaced(table.replaced, table.landing)
    return [*told, *_left_out(landed.left_out), "Next: make run (or: retail run)"]


def _left_out(left_out: Sequence[str]) -> list[str]:
    return [f"Left out: {what}." for what in left_out]


def _replaced(days: Sequence[date], landing: str | None) -> list[str]:
    if not days:
        return []
    return [
        f"Other rows that lay there were replaced: {listed(days)}. To add rows to a day, land all of its files "
        f"together. What was replaced is kept: retail bring-back {landing}."
    ]
