"""dashboard: the marketplace's page of a month, by the implementation that shops have."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.abc_classes import with_abc_class
from retail_assets.analytics.growth import growth
from retail_assets.analytics.win_back import WinBack
from retail_assets.customers.actions import Actions
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.segment_summary import SegmentSummary
from retail_assets.customers.snapshots import as_of_dates
from retail_assets.dashboards.dashboard_figures import thousandths
from retail_assets.dashboards.published_pages import (
    About,
    PublishedPages,
    Shown,
    figures_are_the_tables,
    of_customers,
    published,
    versions,
)
from retail_assets.lakehouse.contracts import made_from
from retail_assets.lakehouse.io_manager import DeltaIOManager
from retail_assets.lakehouse.layers import REPORT
from retail_assets.lakehouse.table import Built, Reads, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.daily_metrics import DailyMetrics
from retail_assets.olist.geographic_metrics import GeographicMetrics
from retail_assets.olist.order_items import OrderItems
from retail_assets.olist.orders import Orders
from retail_assets.olist.orders_master import OrdersMaster
from retail_assets.olist.source import Marketplace
from retail_assets.partitions.cadence import monthly, months_so_far, preceding, same_window
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.reports.page import Pages


@made_from(
    customers=(CustomerRfm, "customer_id"),
    orders=(DailyMetrics, "delivered_orders"),
    revenue=(DailyMetrics, "revenue"),
    snapshot_month=(CustomerRfm, "snapshot_month"),
)
class Dashboard(PublishedPages):
    __doc__ = PublishedPages.__doc__


_READS: Reads = {
    "orders": (Orders, months_so_far),
    "delivered": (OrdersMaster, months_so_far),
    "items": (OrderItems, months_so_far),
    "daily": (DailyMetrics, months_so_far),
    "geography": (GeographicMetrics, same_window),
    "rfm": (CustomerRfm, preceding(1)),
    "summary": (SegmentSummary, same_window),
    "churn": (ChurnScores, same_window),
    "clv": (CustomerClv, same_window),
    "actions": (Actions, same_window),
}


def sales(delivered: DataFrame) -> DataFrame:
    """Delivered orders by day, customer and state, as a page counts them; nothing is returned that was delivered."""
    by_day = F.col("purchase_date").alias("invoice_date")
    customer, state = F.col("customer_unique_id").alias("customer_id"), F.col("customer_state").alias("country")
    none = F.lit(0).cast("bigint")
    return (
        delivered.groupBy(by_day, customer, state)
        .agg(
            F.count("*").alias("orders"),
            F.sum("items").alias("units"),
            thousandths(F.sum("order_total_value")).alias("revenue"),
        )
        .withColumns({"further": none, "returns": none})
    )


def in_states(rfm: DataFrame, delivered: DataFrame) -> DataFrame:
    """Customers with the state of their first order in place of their country, which is Brazil."""
    first = F.min(F.struct("purchase_date", "order_id", "customer_state"))["customer_state"].alias("country")
    homes = delivered.groupBy(F.col("customer_unique_id").alias("customer_id")).agg(first)
    return rfm.drop("country").join(homes, "customer_id")


def products(items: DataFrame) -> DataFrame:
    """What was sold of each product in each month, ranked; the data name no product: its category stands for it."""
    sold = items.filter("is_delivered").withColumnRenamed("purchase_month", "snapshot_month")
    sums = sold.groupBy("snapshot_month", F.col("product_id").alias("stock_code")).agg(
        F.max("category_english").alias("category"),
        F.sum("price").cast("decimal(18,3)").alias("revenue"),
        F.count("*").alias("units"),
        F.size(F.collect_set("order_id")).alias("orders"),
    )
    unknown = {"customers": F.lit(None).cast("bigint")} | dict.fromkeys(
        ("return_rate", "month_over_month_growth"), F.lit(None).cast("double")
    )
    ranked = with_abc_class(sums, "snapshot_month", "stock_code")
    return ranked.withColumns(unknown | {"description": F.col("category"), "revenue": thousandths("revenue")})


def categories(items: DataFrame) -> DataFrame:
    """What was sold of each category in each month, with its growth over the month before."""
    sold = items.filter("is_delivered").withColumnRenamed("purchase_month", "snapshot_month")
    keys = ["snapshot_month", "category"]
    sums = sold.groupBy("snapshot_month", F.col("category_english").alias("category")).agg(
        F.sum("price").cast("decimal(18,3)").alias("revenue"),
        F.count("*").alias("units"),
        F.size(F.collect_set("order_id")).alias("orders"),
        F.size(F.collect_set("product_id")).alias("products"),
    )
    earlier = sums.select(
        F.add_months("snapshot_month", 1).alias("snapshot_month"), "category", F.col("revenue").alias("before")
    )
    grown = growth(F.col("revenue"), F.col("before"))
    ranked = with_abc_class(sums.join(earlier, keys, "left"), "snapshot_month", "category")
    return ranked.withColumns({"month_over_month_growth": grown, "revenue": thousandths("revenue")})


def quality(orders: DataFrame) -> DataFrame:
    """Per month: orders placed that count as sales, as they were delivered, and those set aside, as they were not."""
    counted = orders.groupBy(F.col("purchase_month").alias("month")).agg(
        F.count_if("is_delivered").alias("clean"), F.count_if(~F.col("is_delivered")).alias("quarantined")
    )
    return counted.withColumns(dict.fromkeys(("duplicates", "outliers", "without_customer"), F.lit(0)))


def reasons(orders: DataFrame) -> DataFrame:
    """Per month: what became of the orders that were not delivered."""
    open_ = orders.filter(~F.col("is_delivered"))
    return open_.groupBy(F.col("purchase_month").alias("month"), F.col("order_status").alias("reason")).count()


@table(Dashboard, monthly, layer=REPORT, kinds=["html", "vegalite"], reads=_READS, checks=[figures_are_the_tables])
def build(
    orders: DataFrame,
    delivered: DataFrame,
    items: DataFrame,
    daily: DataFrame,
    geography: DataFrame,
    rfm: DataFrame,
    summary: DataFrame,
    churn: DataFrame,
    clv: DataFrame,
    actions: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    pages: Pages,
    win_back: WinBack,
    io_manager: DeltaIOManager,
    source: Marketplace,
) -> Built:
    """The window's pages, of delivered orders; customers are told apart by their states."""
    no_rules = items.limit(0).select(
        F.col("purchase_month").alias("snapshot_month"),
        F.lit("").alias("antecedent_description"),
        F.lit("").alias("consequent_description"),
        *(F.lit(0).alias(name) for name in ("together_baskets", "rule_rank")),
        *(F.lit(0.0).alias(name) for name in ("support", "confidence", "lift")),
    )
    money = {"revenue": thousandths("revenue"), "returns": F.lit(0).cast("bigint")}
    shown = Shown(
        {
            "sales": sales(delivered),
            **of_customers(in_states(rfm, delivered), summary, churn, clv, actions),
            "products": products(items),
            "categories": categories(items),
            "affinities": no_rules,
            "quality": quality(orders),
            "reasons": reasons(orders),
        },
        by_day=daily.select(
            F.col("purchase_date").cast("string").alias("day"),
            F.col("delivered_orders").alias("orders"),
            F.col("items").alias("units"),
            *(value.alias(name) for name, value in money.items()),
        ),
        by_country=geography.groupBy("snapshot_month", F.col("customer_state").alias("country")).agg(
            thousandths(F.sum("month_revenue")).alias("revenue")
        ),
    )
    tables = versions(io_manager, source.name, (contract for contract, _ in _READS.values()))
    about = About(source.name, source.title, source.currency, tables, win_back.chance, "state", "states", source.terms)
    return published(shown, as_of_dates(window, landing, source), window, pages, about)
