"""actions: whom to win back, whom to thank, what to offer, which product to restock or drop, which country changed."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.churn import WINDOW_DAYS
from retail_assets.analytics.win_back import WinBack
from retail_assets.customers import actions as shared
from retail_assets.customers.actions import (
    FEWEST_ORDERS,
    amount,
    country_actions,
    customer_actions,
    customers_are_the_models,
    of_no_customer,
    percent,
    ranked,
    said,
)
from retail_assets.customers.churn_scores import ChurnScores
from retail_assets.customers.customer_clv import CustomerClv
from retail_assets.customers.customer_month_activity import CustomerMonthActivity
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.customers.snapshots import snapshots
from retail_assets.invoices.geo_metrics import GeoMetrics
from retail_assets.invoices.product_affinities import ProductAffinities
from retail_assets.invoices.product_metrics import ProductMetrics
from retail_assets.lakehouse.contracts import made_from, money
from retail_assets.lakehouse.layers import GOLD
from retail_assets.lakehouse.table import Built, table
from retail_assets.landing.drops import LandingZone
from retail_assets.partitions.cadence import monthly, preceding, same_window
from retail_assets.partitions.keys import PartitionWindow
from retail_assets.reports.charts import sign
from retail_assets.shops.shop import Shop

RISEN = 0.5
"""From here on a product of class A sells so much more than in the month before that it may run out."""

RETURNED = 0.2
"""From here on so much of a product's value comes back that it may be better not to have it."""


@made_from(
    product=[(ProductMetrics, "stock_code"), (ProductAffinities, "consequent")],
    country=[(CustomerRfm, "country"), (GeoMetrics, "country")],
    worth=[
        (CustomerClv, "clv_12m"),
        (ChurnScores, "churn_probability"),
        (CustomerRfm, "monetary", "net_monetary"),
        (ProductMetrics, "revenue", "month_over_month_growth", "returns_value"),
        (GeoMetrics, "revenue", "month_over_month_growth"),
    ],
)
class Actions(shared.Actions):
    __doc__ = (
        (shared.Actions.__doc__ or "").rstrip()
        + """

    `restock`: products of class A that sold at least half more than in the month before; worth the rise. `drop`:
    products of which a fifth or more came back; worth what came back. `country`: revenue a quarter more or less than in
    the month before; worth what is missing. An unfinished month is compared with as many days. Of fewer than five
    orders nothing is said.
    """
    )


def offers(activity: DataFrame, rfm: DataFrame, affinities: DataFrame, products: DataFrame) -> DataFrame:
    """What to offer to who has bought once: by `snapshot_month` and `customer_id` the `product` that goes most often
    with what they bought, by the snapshot's rules, else that of most orders of the month; `offer` says so.

    `activity`: customer months with the snapshot that they are looked at from (`snapshot_month`).
    """
    place = ["snapshot_month", "customer_id"]
    once = rfm.filter((F.col("frequency") == 1) & (F.col("recency_days") <= WINDOW_DAYS)).select(*place)
    bought = activity.join(once, place, "left_semi").select(*place, F.explode("products").alias("antecedent"))
    rules = affinities.select(
        "snapshot_month", "antecedent", "consequent", "confidence", "antecedent_description", "consequent_description"
    )
    best = Window.partitionBy(*place).orderBy(F.desc("confidence"), "consequent", "antecedent")
    has_it = bought.withColumnRenamed("antecedent", "consequent")
    by_rule = (
        bought.join(F.broadcast(rules), ["snapshot_month", "antecedent"])
        .join(has_it, [*place, "consequent"], "left_anti")
        .withColumn("place", F.row_number().over(best))
        .filter("place = 1")
    )
    why = said(
        _named("consequent"), ", which is in ", percent(F.col("confidence")), " of the orders that have ",
        _named("antecedent"),
    )  # fmt: skip
    by_orders = Window.partitionBy("snapshot_month").orderBy(F.desc("orders"), "stock_code")
    top = products.withColumn("place", F.row_number().over(by_orders)).filter("place = 1 AND orders > 0")
    top = top.select("snapshot_month", F.col("stock_code").alias("top"), F.col("description").alias("top_description"))
    return (
        once.join(by_rule.select(*place, F.col("consequent").alias("by_rule"), why.alias("why")), place, "left")
        .join(F.broadcast(top), "snapshot_month", "left")
        .select(
            *place,
            F.coalesce("by_rule", "top").alias("product"),
            F.coalesce(F.col("why"), said(_named("top"), ", which most orders of the month have")).alias("offer"),
        )
    )


def _named(code: str) -> Column:
    """A product by its description and its code; by its code where it has no description."""
    described = said(F.trim(F.col(f"{code}_description")), " (", F.col(code), ")")
    return F.coalesce(described, F.col(code))


def product_actions(products: DataFrame, sign: str) -> DataFrame:
    """Which products to restock and to drop, for `ranked`."""
    growth, revenue, returns = F.col("month_over_month_growth"), F.col("revenue"), F.col("returns_value")
    risen, returned = revenue.cast("double") * growth / (growth + 1), returns.cast("double")
    sold = products.filter(F.col("orders") >= FEWEST_ORDERS).withColumn(
        "name", F.coalesce(F.trim(F.col("description")), F.col("stock_code"))
    )
    restock = sold.filter((F.col("abc_class") == "A") & (growth >= RISEN)).select(
        *_of_product(shared.RESTOCK, risen),
        said(
            F.col("name"), " sold for ", amount(revenue, sign), ", ", amount(risen, sign), " (", percent(growth),
            ") more than in as long of the month before: see that there is enough",
        ).alias("reason"),
    )  # fmt: skip
    dropped = sold.filter(F.col("return_rate") >= RETURNED).select(
        *_of_product(shared.DROP, returned),
        said(
            F.col("name"), " sold for ", amount(revenue, sign), ", and ", amount(returns, sign),
            " came back: find out why, or drop it",
        ).alias("reason"),
    )  # fmt: skip
    return restock.unionByName(dropped)


def _of_product(action: str, worth: Column) -> list[Column]:
    return [
        F.col("snapshot_month"),
        F.lit(action).alias("action"),
        F.col("stock_code").alias("product"),
        F.lit(None).cast("string").alias("country"),
        money(worth).alias("worth"),
        F.col("revenue").cast("double").alias("second_to"),
    ]


@table(
    Actions,
    monthly,
    layer=GOLD,
    reads={
        "activity": (CustomerMonthActivity, preceding(3)),
        "rfm": (CustomerRfm, same_window),
        "churn": (ChurnScores, same_window),
        "clv": (CustomerClv, same_window),
        "products": (ProductMetrics, same_window),
        "affinities": (ProductAffinities, same_window),
        "geography": (GeoMetrics, same_window),
    },
    checks=[customers_are_the_models],
)
def build(
    activity: DataFrame,
    rfm: DataFrame,
    churn: DataFrame,
    clv: DataFrame,
    products: DataFrame,
    affinities: DataFrame,
    geography: DataFrame,
    window: PartitionWindow,
    landing: LandingZone,
    source: Shop,
    win_back: WinBack,
) -> Built:
    """The window's months."""
    of, money_sign = snapshots(activity.sparkSession, window, landing, source), sign(source.currency)
    recent = activity.join(
        F.broadcast(of),
        (F.col("activity_month") <= F.col("snapshot_month"))
        & (F.col("activity_month") >= F.add_months("snapshot_month", -3)),
    ).drop("as_of_date")
    about_customers = customer_actions(
        rfm, churn, clv, offers(recent, rfm, affinities, products), win_back.chance, money_sign
    )
    others = [product_actions(products, money_sign), country_actions(geography, money_sign)]
    made = ranked([about_customers, *(of_no_customer(each, of) for each in others)])
    return Built(made, findings={"chance": {"of winning back": win_back.chance}})
