"""Lands the World Development Indicators: files in either form, and the list of economies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retail_assets.landing.bring_back import KEPT_DAYS
from retail_assets.landing.consent import NONE_GIVEN, Consent
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import Progress
from retail_assets.landing.table_files import LandedTable, tables_landing
from retail_assets.wdi.source import COUNTRIES, INDICATORS, WDI


@dataclass(frozen=True)
class LandedFiles:
    """What became of the files of each table; `left_out` of what directories and archives have besides."""

    tables: dict[str, LandedTable]
    left_out: list[str]


def land(
    paths: Sequence[str | Path],
    zone: LandingZone,
    progress: Progress | None = None,
    consent: Consent = NONE_GIVEN,
    keep_days: int = KEPT_DAYS,
) -> LandedFiles:
    """Land the published files, plain or gzipped, the archive they come in, or a directory of them.

    Each delivery, `<zone>/wdi/indicators/wdi_indicators_2000-01-01.csv`, replaces the one before; files of one landing
    add up. Rows stay as they are written, wide or long. Holds a few blocks of rows at a time. Raises DropRefused as the
    landing of a shop's history does.
    """
    layouts = {"indicators": INDICATORS, "countries": COUNTRIES}
    with tables_landing(paths, zone, WDI.name, layouts, progress) as landing:
        for table in landing.tables:
            landing.deliver(table)
        return LandedFiles(landing.put_in_place(consent, keep_days=keep_days), landing.left_out)
