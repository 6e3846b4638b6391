"""Online Retail: an online shop's daily invoice files."""

from retail_assets.online_retail import (
    clean_transactions,
    customer_month_activity,
    customer_rfm,
    daily_metrics,
    geo_metrics,
    monthly_activity,
    quarantined_invoices,
    raw_invoices,
)
from retail_assets.online_retail.source import INVOICES as SOURCE

TABLES = [
    raw_invoices.build,
    quarantined_invoices.build,
    clean_transactions.build,
    daily_metrics.build,
    customer_month_activity.build,
    customer_rfm.build,
    geo_metrics.build,
    monthly_activity.build,
]

__all__ = ["SOURCE", "TABLES"]
