"""How the files of each kind of source are landed, and what is told of it.

Definitions know how, and never do it: what reads files is loaded as they are landed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from retail_assets.landing.consent import Consent, listed
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.calendar import current_day
from retail_assets.shops.shop import Shop

if TYPE_CHECKING:
    from retail_assets.landing.history import Progress


@dataclass(frozen=True)
class How:
    """What the user asked for. `anyway`: files of which almost nothing can be used, too. `descriptions`: the directory
    of the shops that the user described."""

    progress: "Progress"
    consent: Consent
    keep_days: int
    anyway: bool
    descriptions: Path


def land_shop(shop: Shop, files: Sequence[Path], zone: LandingZone, how: How) -> list[str]:
    """Land a shop's files as daily drops; says what became of them. Raises DropRefused and SettingError."""
    from retail_assets.landing.history import land
    from retail_assets.shops.refusal import looks_usable

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


def land_tables(module: str, files: Sequence[Path], zone: LandingZone, how: How) -> list[str]:
    """Land files of a source's tables by the `land` of a module: of (files, zone, progress=, consent=, keep_days=) it
    makes `tables`, a LandedTable each by name, and what was `left_out`. Says what became of them. Raises DropRefused
    and SettingError."""
    lands = import_module(module).land
    landed = lands(files, zone, progress=how.progress, consent=how.consent, keep_days=how.keep_days)
    told = []
    for name, table in landed.tables.items():
        odd = [(table.malformed, "are no rows of it"), (table.undated, "could not be told the day of")]
        noted = "".join(f", of which {rows:,} {what}" for rows, what in odd if rows)
        told.append(f"Landed {table.rows:,} rows of {name} in {len(table.drops):,} drops{noted}.")
        told += _replaced(table.replaced, table.landing)
    return [*told, *_left_out(landed.left_out), "Next: make run (or: retail run)"]


def made_by(function: str, directory: Path) -> Sequence[Path]:
    """What a function, `module:name`, writes. Its module is loaded when it is called."""
    module, _, name = function.partition(":")
    made: Sequence[Path] = getattr(import_module(module), name)(directory)
    return made


def _left_out(left_out: Sequence[str]) -> list[str]:
    return [f"Left out: {what}." for what in left_out]


def _replaced(days: Sequence[date], landing: str | None) -> list[str]:
    if not days:
        return []
    return [
        f"Other rows that lay there were replaced: {listed(days)}. To add rows to a day, land all of its files "
        f"together. What was replaced is kept: retail bring-back {landing}."
    ]
