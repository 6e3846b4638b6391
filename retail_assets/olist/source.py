"""Olist: a marketplace of Brazilian shops, published as nine files."""

from dataclasses import dataclass
from datetime import date, timedelta

from retail_assets.lakehouse.contracts import Elsewhere
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.calendar import yesterday
from retail_assets.partitions.months import months_later


@dataclass(frozen=True)
class Marketplace:
    """The source as its tables want to know it."""

    name: str
    title: str
    currency: str
    """ISO 4217."""
    terms: str
    """Under which the data may be used, and whose they are."""
    elsewhere: Elsewhere = ()
    last_day: date | None = None
    """Where its calendar ends; without it, it goes on to yesterday."""

    def newest_day(self, landing: LandingZone) -> date | None:
        """The last day of the newest month of orders that is read; None if nothing has landed."""
        last_day = self.last_day or yesterday()
        newest = landing.newest_day(f"{self.name}/orders", not_after=last_day)
        return min(month_end(newest), last_day) if newest else None


def month_end(day: date) -> date:
    """The last day of a day's month."""
    return months_later(day, 1) - timedelta(days=1)


OLIST = Marketplace(
    "olist",
    "Olist",
    "BRL",
    "Brazilian E-Commerce Public Dataset by Olist, CC BY-NC-SA 4.0: not for commercial use; share alike",
)
