"""dashboard: one HTML page a month that marketing and the data team act on, made of the gold tables."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.win_back import WinBack
from retail_assets.customers.actions import Actions
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.segment_summary import SegmentSummary
from retail_assets.customers.snapshots import as_of_dates
from retail_assets.dashboards.dashboard_figures import quality, reasons, sales
from retail_assets.dashboards.published_pages import (
    About,
    PublishedPages,
    Shown,
    figures_are_the_tables,
    gold_figures,
    of_customers,
    of_products,
    published,
    versions,
)
from retail_assets.invoices.campaign_results import CampaignResults
from retail_assets.invoices.category_metrics import CategoryMetrics
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.invoices.daily_metrics import DailyMetrics
from retail_assets.invoices.geo_metrics import GeoMetrics
from retail_assets.invoices.product_affinities import ProductAffinities
from retail_assets.invoices.product_metrics import ProductMetrics
from retail_assets.invoices.quarantined_invoices import QuarantinedInvoices
from retail_assets.lakehouse.contracts import made_from
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.lakehouse.layers import REPORT
from retail_assets.lakehouse.table import Built, Reads, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, months_so_far, preceding, same_window
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.reports.page import Pages
from retail_assets.shops.shop import Shop


@made_from(
    customers=(CustomerRfm, "customer_id"),
    orders=(DailyMetrics, "orders"),
    revenue=(DailyMetrics, "revenue"),
    returns_value=(DailyMetrics, "returns_value"),
    snapshot_month=(CustomerRfm, "snapshot_month"),
)
class Dashboard(PublishedPages):
    __doc__ = PublishedPages.__doc__


_READS: Reads = {
    "transactions": (CleanTransactions, months_so_far),
    "quarantined": (QuarantinedInvoices, months_so_far),
    "daily": (DailyMetrics, months_so_far),
    "geography": (GeoMetrics, same_window),
    "rfm": (CustomerRfm, preceding(1)),
    "summary": (SegmentSummary, same_window),
    "churn": (ChurnScores, same_window),
    "clv": (CustomerClv, same_window),
    "actions": (Actions, same_window),
    "campaigns": (CampaignResults, same_window),
    "products": (ProductMetrics, same_window),
    "categories": (CategoryMetrics, same_window),
    "affinities": (ProductAffinities, same_window),
}


@table(Dashboard, monthly, layer=REPORT, kinds=["html", "vegalite"], reads=_READS, checks=[figures_are_the_tables])
def build(
    transactions: DataFrame,
    quarantined: DataFrame,
    daily: DataFrame,
    geography: DataFrame,
    rfm: DataFrame,
    summary: DataFrame,
    churn: DataFrame,
    clv: DataFrame,
    actions: DataFrame,
    campaigns: DataFrame,
    products: DataFrame,
    categories: DataFrame,
    affinities: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Shop,
    pages: Pages,
    win_back: WinBack,
    io_manager: DeltaIOManager,
) -> Built:
    """The window's pages, of a shop's invoices."""
    shown = Shown(
        {
            "sales": sales(transactions),
            **of_customers(rfm, summary, churn, clv, actions),
            **of_products(products, categories, affinities),
            "campaigns": campaigns,
            "quality": quality(transactions, quarantined),
            "reasons": reasons(quarantined),
        },
        by_day=gold_figures(daily, F.col("invoice_date").cast("string").alias("day")),
        by_country=gold_figures(geography, F.col("snapshot_month"), F.col("country")),
    )
    tables = versions(io_manager, source.name, (contract for contract, _ in _READS.values()))
    about = About(source.name, source.title, source.currency, tables, win_back.chance)
    return published(shown, as_of_dates(window, landing, source), window, pages, about)
