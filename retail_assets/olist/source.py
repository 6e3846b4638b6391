"""Olist as it is published: nine files, four of facts, which belong to months, and five that these refer to."""

from dataclasses import dataclass
from datetime import date, timedelta

from retail_assets.landing.drops import LandingZone

LICENCE = "CC BY-NC-SA 4.0"
CITATION = f"Olist: Brazilian E-Commerce Public Dataset by Olist, {LICENCE}: no commercial use, share alike"


@dataclass(frozen=True)
class Marketplace:
    """A source as its tables want to know it."""

    name: str
    title: str
    currency: str
    """ISO 4217."""
    licence: str

    def newest_day(self, landing: LandingZone) -> date | None:
        """The last day of the newest month of orders that has landed; None if nothing has."""
        newest = landing.newest_day(f"{self.name}/orders")
        return (newest.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1) if newest else None


OLIST = Marketplace("olist", "Olist", "BRL", CITATION)
