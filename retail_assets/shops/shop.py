"""A shop, as the tables that are made of its invoices want to know it. It knows no table."""

from dataclasses import dataclass, field
from datetime import date

from retail_assets.lakehouse.contracts import Elsewhere
from retail_assets.landing.drops import LandingZone
from retail_assets.landing.layout import SourceLayout
from retail_assets.partitions.calendar import yesterday
from retail_assets.shops.closed_days import ClosedDays
from retail_assets.shops.rules import InvoiceRules

INVOICE_COLUMNS = (
    "invoice_no", "stock_code", "description", "quantity", "invoice_ts", "unit_price", "customer_id", "country",
)  # fmt: skip
"""What a shop's files say of an invoice line, by our names."""


@dataclass(frozen=True)
class Shop:
    """One shop: its name is that of its tables' schema and of its directory in the landing zone."""

    name: str
    title: str
    currency: str
    """ISO 4217."""
    layout: SourceLayout
    closed: ClosedDays
    rules: InvoiceRules = field(default_factory=InvoiceRules)
    """What its invoice lines mean."""
    forgets_lines: bool = False
    """Whether the lines of a customer who is forgotten go; else they stay without the customer."""
    personal_columns: tuple[str, ...] = ()
    """The columns, by our names or their headers, that are blanked in lines that stay; by default the customer's, and
    all that no table knows."""
    elsewhere: Elsewhere = ()
    """What its tables read of other sources' tables."""
    last_day: date | None = None
    """Where its calendar ends; drops of later days are left alone. Without it, it goes on to yesterday."""

    def newest_day(self, landing: LandingZone) -> date | None:
        """The day of the newest drop that is read; None if nothing has landed."""
        # What is left alone must not move as-of dates: drops of days after the calendar, of today, of the future.
        return landing.newest_day(self.name, not_after=self.last_day or yesterday())
