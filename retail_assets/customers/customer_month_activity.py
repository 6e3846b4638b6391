"""What each customer did in each month, as a source must tell it for all tables about its customers."""

from retail_assets.lakehouse.contracts import CURRENCY, Contract, Count, Day, Money, Text, Texts, column, partition


class CustomerMonthActivity(Contract):
    """One row for each customer and month with any line: orders, units, revenue and returns of the month.

    Orders, units and revenue are those of product lines. The cost of a customer snapshot hangs on these rows, not on
    the length of the history of transactions.
    """

    customer_id: Text = column("Customer")
    country: Text = column("Country of the customer's last line in the month")
    orders: Count = column("Distinct invoices with product lines", ge=0)
    units: Count = column("Units bought", ge=0)
    revenue: Money = column("Value of product lines", unit=CURRENCY, ge=0)
    # May be negative: a cancellation of positive quantity (the published data has one) takes returns back.
    returns_value: Money = column("Value of cancelled lines, sign reversed", unit=CURRENCY)
    active_days: Count = column("Days with a purchase", ge=0)
    first_purchase_date: Day = column("First purchase in the month; NULL if only returns", nullable=True)
    last_purchase_date: Day = column("Last purchase in the month; NULL if only returns", nullable=True)
    lines: Count = column("Lines of any type", ge=1)
    products: Texts = column("Stock codes bought, in order")
    activity_month: Day = partition("First day of the month")

    class Config:
        unique = ["activity_month", "customer_id"]
