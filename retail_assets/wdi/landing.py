"""Lands the World Development Indicators: files in either form, and the list of economies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from retail_assets.landing.bring_back import KEPT_DAYS
from retail_assets.landing.consent import NONE_GIVEN, Consent
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.history import Progress
from retail_assets.landing.table_files import LandedTable, tables_landing
from retail_assets.partitions.calendar import current_day
from retail_assets.wdi.source import COUNTRIES, INDICATORS, WDI


@dataclass(frozen=True)
class LandedFiles:
    """What became of the files of each table; `left_out` of what directories and archives have besides, and the tables
    whose newest delivery is the same already."""

    tables: dict[str, LandedTable]
    left_out: list[str]
    unchanged: list[str]


def land(
    paths: Sequence[str | Path],
    zone: LandingZone,
    progress: Progress | None = None,
    today: date | None = None,
    consent: Consent = NONE_GIVEN,
    keep_days: int = KEPT_DAYS,
) -> LandedFiles:
    """Land the published files, plain or gzipped, the archive they come in, or a directory of them.

    They are delivered whole, as `<zone>/wdi/indicators/wdi_indicators_<day>.csv` with the day of the landing, unless
    the newest delivery is the same; files of one landing add up. Rows stay as they are written, wide or long. Holds a
    few blocks of rows at a time. Raises DropRefused as the landing of a shop's history does.
    """
    layouts = {"indicators": INDICATORS, "countries": COUNTRIES}
    with tables_landing(paths, zone, WDI.name, layouts, progress) as landing:
        unchanged = [table for table in landing.tables if not landing.deliver(table, today or current_day())]
        return LandedFiles(landing.put_in_place(consent, keep_days=keep_days), landing.left_out, unchanged)
