"""Online Retail as it is published: UCI's workbook and the CSV versions of it write two different headers."""

from retail_assets.landing.layout import SourceLayout
from retail_assets.shops.closed_days import ClosedDays, closed_days
from retail_assets.shops.shop import Shop

INVOICES = SourceLayout(
    name="online_retail",
    columns={
        "invoice_no": ("Invoice", "InvoiceNo"),
        "stock_code": ("StockCode",),
        "description": ("Description",),
        "quantity": ("Quantity",),
        "invoice_ts": ("InvoiceDate",),
        "unit_price": ("Price", "UnitPrice"),
        "customer_id": ("Customer ID", "CustomerID"),
        "country": ("Country",),
    },
    date_column="invoice_ts",
)

ONLINE_RETAIL = Shop("online_retail", "Online Retail II", "GBP", INVOICES, ClosedDays(closed_days))
