"""Lands Olist's nine files: facts as one drop a month of purchase and table, references whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retail_assets.landing.bring_back import KEPT_DAYS
from retail_assets.landing.calendar import is_plausible, keep_calendar, kept_calendar, last_day_of
from retail_assets.landing.consent import NONE_GIVEN, Consent, listed
from retail_assets.landing.drop_lines import Block, Header
from retail_assets.landing.drop_reader import opened
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.far_dates import days_in, far_stretches
from retail_assets.landing.history import Progress
from retail_assets.landing.table_files import Days, LandedTable, TablesLanding, tables_landing
from retail_assets.olist.raw_category_translation import RawCategoryTranslation
from retail_assets.olist.raw_customers import RawCustomers
from retail_assets.olist.raw_geolocation import RawGeolocation
from retail_assets.olist.raw_order_items import RawOrderItems
from retail_assets.olist.raw_order_payments import RawOrderPayments
from retail_assets.olist.raw_order_reviews import RawOrderReviews
from retail_assets.olist.raw_orders import RawOrders
from retail_assets.olist.raw_products import RawProducts
from retail_assets.olist.raw_sellers import RawSellers
from retail_assets.olist.source import OLIST, month_end
from retail_assets.operations.bronze import LandedRows, layout_of
from retail_assets.partitions.calendar import current_day

FACTS: dict[str, type[LandedRows]] = {
    "orders": RawOrders,
    "order_items": RawOrderItems,
    "order_payments": RawOrderPayments,
    "order_reviews": RawOrderReviews,
}
"""Their rows belong to the month of the order's purchase."""

REFERENCES: dict[str, type[LandedRows]] = {
    "customers": RawCustomers,
    "products": RawProducts,
    "sellers": RawSellers,
    "geolocation": RawGeolocation,
    "category_translation": RawCategoryTranslation,
}
"""Delivered whole: each delivery replaces the one before."""

_OWN_DATES = {"order_items": "shipping_limit_date", "order_reviews": "review_creation_date"}
"""What dates a row whose order is not known."""


@dataclass(frozen=True)
class LandedFiles:
    """What became of the files of each table; `left_out` of what directories and archives have besides. The calendar
    covers the months of the orders; None where none were landed."""

    tables: dict[str, LandedTable]
    left_out: list[str]
    first_day: date | None
    last_day: date | None


def land(
    paths: Sequence[str | Path],
    zone: LandingZone,
    progress: Progress | None = None,
    today: date | None = None,
    consent: Consent = NONE_GIVEN,
    keep_days: int = KEPT_DAYS,
) -> LandedFiles:
    """Land any of the nine files, plain or gzipped, the archive they are published in, or a directory of them.

    Orders go to `<zone>/olist/orders/olist_orders_2017-01-01.csv`, named after the first day of the month, and so do
    items, payments and reviews, by the month of their order: of one landed along, or before. Rows whose order is not
    known go to the month of their own date if there are orders of it, else where the row before them went: none is
    lost, and the check of their table finds them. A delivery of references replaces the one before. Values keep the
    text of the source, comments of several lines theirs.

    Raises DropRefused and SettingError as the landing of a shop's history does; then nothing has changed.
    """
    today = today or current_day()
    layouts = {table: layout_of(contract, f"{OLIST.name}/{table}") for table, contract in (FACTS | REFERENCES).items()}
    with tables_landing(paths, zone, OLIST.name, layouts, progress) as landing:
        kept = kept_calendar(zone.root, OLIST.name)  # if it is spoilt, that is said before anything is changed
        purchases = _Purchases(today)
        if "orders" in landing.tables:
            landing.split("orders", purchases.of_orders, today.toordinal())
            orders = landing.staged["orders"]
            names = listed([file.name for file in landing.tables["orders"]])
            far = far_stretches(orders.dated_rows, kept, names, consent)
            purchases.move({one.day: one.target for one in orders.set_aside(days_in(far, orders.days))})
        else:
            purchases.read(landing)
        for table in (table for table in landing.tables if table in FACTS and table != "orders"):
            landing.split(table, purchases.of(table), purchases.first)
            # A month of orders without a row says so, or it would be waited for.
            landing.add_days_without_rows(table, purchases.months)
        for table in (table for table in landing.tables if table in REFERENCES):
            landing.deliver(table)
        months = landing.staged["orders"].days if "orders" in landing.staged else set()
        first, last = (min(months), month_end(max(months))) if months else (None, None)
        done = landing.put_in_place(
            consent,
            lambda: first and last and keep_calendar(zone.root, OLIST.name, first, last_day_of(last, today)),
            keep_days,
        )
        return LandedFiles(done, landing.left_out, first, last)


class _Purchases:
    """The month in which each order was placed, as the ordinal of its first day."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._months: dict[str, int] = {}

    @property
    def first(self) -> int:
        """The first month of all; without any the present one."""
        return min((month for month in self._months.values() if month), default=self._today.replace(day=1).toordinal())

    @property
    def months(self) -> set[date]:
        """All there are."""
        return {date.fromordinal(month) for month in set(self._months.values()) if month}

    def of_orders(self, header: Header, block: Block) -> np.ndarray:
        """The months of orders, which are remembered."""
        months = self._written(_column(header, block, "order_purchase_timestamp"))
        self._months.update(zip(_column(header, block, "order_id").to_pylist(), months.tolist(), strict=True))
        return months

    def move(self, moved: dict[date, date]) -> None:
        """Orders of months that are not believed are of others."""
        targets = {month.toordinal(): target.toordinal() for month, target in moved.items()}
        self._months = {order: targets.get(month, month) for order, month in self._months.items()}

    def read(self, landing: TablesLanding) -> None:
        """The orders that lie in the landing zone."""
        layout = landing.layouts["orders"]
        for drop in landing.zone.listed(layout.name)[0]:
            month = drop.day.replace(day=1).toordinal()
            with opened(drop.path, layout) as (header, blocks):
                for block in blocks:
                    self._months.update(dict.fromkeys(_column(header, block, "order_id").to_pylist(), month))

    def of(self, table: str) -> Days:
        """The months of the rows of a table, by their orders."""
        existing = np.unique([0, *self._months.values()])

        def days(header: Header, block: Block) -> np.ndarray:
            orders = _column(header, block, "order_id").to_pylist()
            found = np.array([self._months.get(order, 0) if order else 0 for order in orders], np.int64)
            if table not in _OWN_DATES:
                return found
            own = self._written(_column(header, block, _OWN_DATES[table]))
            return np.where(found > 0, found, np.where(np.isin(own, existing), own, 0))

        return days

    def _written(self, texts: pa.Array) -> np.ndarray:
        """The months of dates; 0 for what is no date that can be meant."""
        written = pc.utf8_slice_codeunits(texts, 0, 10).dictionary_encode()
        months = np.array([*(self._month(text) for text in written.dictionary.to_pylist()), 0])
        return months[written.indices.fill_null(len(months) - 1).to_numpy()]

    def _month(self, text: str) -> int:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return 0
        return day.replace(day=1).toordinal() if is_plausible(day, self._today) else 0


def _column(header: Header, block: Block, name: str) -> pa.Array:
    return block.columns[header.columns.index(name)]
