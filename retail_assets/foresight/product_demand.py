"""What each product sold in each week, as a source must tell it for all tables about what comes."""

from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    CountMap,
    Day,
    Money,
    Text,
    column,
    month_directory,
    partition,
)

BULK_QUANTITY = 24
"""A line of so many units or more is bulk. Online Retail II: lines below a product's usual price have a median of 24
units, those at it of 4."""

SMALL_LOT = 12
"""A line of fewer units is a small lot: its price is what a product costs without a discount by quantity."""


class ProductDemand(Contract):
    """One row for each week and product that was sold in it, or would have been had it not been cancelled at once.

    Demand is what was sold at a price, without the lines that the same customer cancelled whole on the same or the next
    day of the week: these were mistakes. What was taken out stands beside it, so that units and revenue of both are
    those of the product lines in silver.
    """

    stock_code: Text = column("Product")
    description: Text = column("Description of the week's last line that has one", nullable=True)
    family: Text = column("Category of the description")
    units: Count = column("Units sold", ge=0)
    revenue: Money = column("Value of what was sold", unit=CURRENCY, ge=0)
    orders: Count = column("Distinct invoices", ge=0)
    customers: Count = column("Distinct known customers", ge=0)
    bulk_units: Count = column(f"Units of lines of {BULK_QUANTITY} or more", ge=0)
    small_lot_price: Money = column(
        f"Mean price of a unit in lines of fewer than {SMALL_LOT}; NULL without one", unit=CURRENCY, nullable=True, ge=0
    )
    country_units: CountMap = column("Units sold by country of the customer")
    cancelled_units: Count = column("Units taken out, as they were cancelled within a day", ge=0)
    cancelled_revenue: Money = column("Value of what was taken out", unit=CURRENCY, ge=0)
    given_units: Count = column("Units that went out without a price, which are no demand", ge=0)
    week: Day = partition("Monday of the week")
    month: Text = month_directory("the week's Monday")

    class Config:
        unique = ["week", "stock_code"]
