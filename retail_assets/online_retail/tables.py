"""The tables of Online Retail, in the order of the data."""

from retail_assets.lakehouse.results_table import ResultsTable
from retail_assets.lakehouse.table import Table
from retail_assets.online_retail import (
    bronze_daily_quality,
    bronze_silver_comparison,
    category_metrics,
    churn_evaluation,
    churn_scores,
    clean_transactions,
    clv_holdout,
    customer_clv,
    customer_month_activity,
    customer_rfm,
    customer_segments,
    daily_counts,
    daily_metrics,
    dashboard,
    dq_results,
    geo_metrics,
    monthly_activity,
    product_affinities,
    product_metrics,
    quarantined_invoices,
    raw_invoices,
    segment_champion,
    segment_drift,
    segment_model,
    segment_summary,
)
from retail_assets.online_retail.source import INVOICES as SOURCE

TABLES = [
    raw_invoices.build,
    quarantined_invoices.build,
    clean_transactions.build,
    daily_metrics.build,
    bronze_daily_quality.build,
    bronze_silver_comparison.build,
    daily_counts.build,
    customer_month_activity.build,
    customer_rfm.build,
    segment_model.build,
    segment_champion.build,
    customer_segments.build,
    segment_drift.build,
    segment_summary.build,
    churn_evaluation.build,
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

RESULTS = dq_results.build
"""The table that all of them write the results of their checks to."""

STORED: list[Table | ResultsTable] = [*TABLES, RESULTS]
"""Everything of this source that lies in the lakehouse."""

ID_COLUMNS = frozenset({"customer_id"})
"""What people read of this source has pseudonyms of its customers."""

__all__ = ["ID_COLUMNS", "RESULTS", "SOURCE", "STORED", "TABLES"]
