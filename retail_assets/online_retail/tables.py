"""The tables of Online Retail, in the order of the data."""

from retail_assets.online_retail import (
    category_metrics,
    churn_scores,
    clean_transactions,
    clv_holdout,
    customer_clv,
    customer_month_activity,
    customer_rfm,
    customer_segments,
    daily_metrics,
    dashboard,
    geo_metrics,
    monthly_activity,
    product_affinities,
    product_metrics,
    quarantined_invoices,
    raw_invoices,
    segment_model,
)
from retail_assets.online_retail.source import INVOICES as SOURCE

TABLES = [
    raw_invoices.build,
    quarantined_invoices.build,
    clean_transactions.build,
    daily_metrics.build,
    customer_month_activity.build,
    customer_rfm.build,
    segment_model.build,
    customer_segments.build,
    churn_scores.build,
    customer_clv.build,
    clv_holdout.build,
    geo_metrics.build,
    monthly_activity.build,
    product_metrics.build,
    category_metrics.build,
    product_affinities.build,
    dashboard.build,
]

__all__ = ["SOURCE", "TABLES"]
