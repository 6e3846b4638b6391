"""Customers who were forgotten, and whom files bring again."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import AssetKey

from retail_assets.operations import erasures
from retail_assets.settings import Settings

if TYPE_CHECKING:
    from retail_assets.landing.layout import SourceLayout
    from retail_assets.operations.main_job import TableSummary

RAW = "raw_invoices"


def told(source: str, found: int) -> str:
    """What people are told of them."""
    return (
        f"{found:,} customers of {source} are there again who were forgotten (retail read erasures). Have whoever "
        "delivers the files take them out, or forget them once more: retail forget."
    )


def brought_by_drops(settings: Settings, layout: "SourceLayout", paths: Iterable[str]) -> list[str]:
    """Of drops that were landed just now."""
    from retail_assets.erasure.drops import customers_of

    if not erasures.place(settings.lakehouse).is_dir():
        return []
    ids = {one for path in paths for one in customers_of(path, layout)}
    found = erasures.come_back(settings.lakehouse, settings.pseudonym_key, layout.name, ids)
    return [told(layout.name, found)] if found else []


def brought_by_a_run(settings: Settings, made: Mapping[AssetKey, "TableSummary"]) -> Iterator[str]:
    """Of the days that a main job ingested."""
    if settings.catalog or not erasures.place(settings.lakehouse).is_dir():
        return
    for key, table in made.items():
        if key.path[-1] == RAW and table.partitions:
            days = [date.fromisoformat(partition) for partition in table.partitions]
            ids = _ingested(Path(settings.lakehouse, *key.path), days)
            found = erasures.come_back(settings.lakehouse, settings.pseudonym_key, key.path[0], ids)
            if found:
                yield told(key.path[0], found)


def _ingested(raw: Path, days: list[date]) -> set[str]:
    from deltalake import DeltaTable

    from retail_assets.erasure.drops import as_known

    only = [("invoice_date", "in", days)]
    rows = DeltaTable(str(raw)).to_pyarrow_table(columns=["customer_id"], filters=only)
    return {as_known(one) for one in rows["customer_id"].unique().to_pylist() if one}
