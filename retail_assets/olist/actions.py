"""actions: whom of a marketplace's customers to thank or to bring to a second purchase, and which state changed."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.growth import growth
from retail_assets.analytics.win_back import WinBack
from retail_assets.customers import actions as shared
from retail_assets.customers.actions import (
    country_actions,
    customer_actions,
    customers_are_the_models,
    of_no_customer,
    ranked,
)
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.snapshots import snapshots
from retail_assets.lakehouse.contracts import made_from
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.olist.geographic_metrics import GeographicMetrics
from retail_assets.olist.source import Marketplace
from retail_assets.partitions.cadence import monthly, preceding, same_window
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.reports.charts import sign


@made_from(
    country=[(CustomerRfm, "country"), (GeographicMetrics, "customer_state")],
    worth=[
        (CustomerClv, "clv_12m"),
        (ChurnScores, "churn_probability"),
        (GeographicMetrics, "month_revenue"),
    ],
)
class Actions(shared.Actions):
    __doc__ = (
        (shared.Actions.__doc__ or "").rstrip()
        + """

    `country`: states of Brazil whose revenue is a quarter more or less than in the month before; worth what is missing.
    Nothing is said of products: the data have no names of them, and tell of no returns.
    """
    )


def states(geography: DataFrame) -> DataFrame:
    """Revenue and orders of every state and month (`geographic_metrics` has cities), with growth on the month."""
    sums = geography.groupBy("snapshot_month", F.col("customer_state").alias("country")).agg(
        F.sum("month_revenue").alias("revenue"), F.sum("month_orders").alias("orders")
    )
    earlier = sums.select(
        F.add_months("snapshot_month", 1).alias("snapshot_month"), "country", F.col("revenue").alias("before")
    )
    grown = growth(F.col("revenue"), F.col("before"))
    return sums.join(earlier, ["snapshot_month", "country"], "left").withColumn("month_over_month_growth", grown)


@table(
    Actions,
    monthly,
    layer=GOLD,
    reads={
        "rfm": (CustomerRfm, same_window),
        "churn": (ChurnScores, same_window),
        "clv": (CustomerClv, same_window),
        "geography": (GeographicMetrics, preceding(1)),
    },
    checks=[customers_are_the_models],
)
def build(
    rfm: DataFrame,
    churn: DataFrame,
    clv: DataFrame,
    geography: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Marketplace,
    win_back: WinBack,
) -> Built:
    """The window's months; of the month before them growth is told."""
    of, money_sign = snapshots(rfm.sparkSession, window, landing, source), sign(source.currency)
    about_customers = customer_actions(rfm, churn, clv, None, win_back.chance, money_sign)
    made = ranked([about_customers, of_no_customer(country_actions(states(geography), money_sign), of)])
    return Built(made, findings={"chance": {"of winning back": win_back.chance}})
