"""customer_recommendations: what each customer of a shop takes next, again or for the first time."""

from datetime import date
from functools import partial
from typing import Any

from dagster import AssetExecutionContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.next_basket import AGAIN, NEW
from retail_assets.analytics.purchase_history import WEEKS_4
from retail_assets.analytics.recommending import Recommender
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.customers.snapshots import Dated
from retail_assets.foresight import customer_recommendations as foresight
from retail_assets.foresight.customer_recommendations import recommendations, tracked
from retail_assets.foresight.weeks import as_of
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.checks import (
    REFERENTIAL_INTEGRITY,
    Audit,
    Evidence,
    RuleResult,
    Verdict,
    check,
    nothing_to_judge,
    reconciles,
)
from retail_assets.lakehouse.contracts import days_between, made_from
from retail_assets.lakehouse.layers import ML
from retail_assets.lakehouse.table import Built, table
from retail_assets.partitions.cadence import NEWEST, weekly, weeks_so_far
from retail_assets.partitions.keys import PartitionWindow

PURCHASES = (CleanTransactions, "customer_id", "stock_code", "invoice_date", "line_type")
"""What says who bought what when."""

_BOUGHT = "line_type = 'product' AND unit_price > 0 AND customer_id IS NOT NULL"


@made_from(
    customer_id=(CleanTransactions, "customer_id"),
    country=(CleanTransactions, "country"),
    list=PURCHASES,
    rank=PURCHASES,
    stock_code=(CleanTransactions, "stock_code"),
    description=(CleanTransactions, "description"),
    probability=PURCHASES,
    reason=PURCHASES,
    basis=PURCHASES,
    model=PURCHASES,
    as_of_date=(CleanTransactions, "invoice_date"),
    week=(CleanTransactions, "invoice_date"),
)
class CustomerRecommendations(foresight.CustomerRecommendations):
    __doc__ = foresight.CustomerRecommendations.__doc__


def customer_purchases(transactions: DataFrame) -> DataFrame:
    """`customer_id`, `country`, `product`, `day` (days since 1970): product lines at a price with a known customer,
    one row a customer, product and day."""
    sold = transactions.filter(_BOUGHT)
    return sold.groupBy(
        "customer_id",
        F.col("stock_code").alias("product"),
        days_between(F.lit(date(1970, 1, 1)), "invoice_date").alias("day"),
    ).agg(F.max("country").alias("country"))


def descriptions(transactions: DataFrame, before: date) -> dict[str, str]:
    """Product -> its commonest description before a day; of equally common ones the first by alphabet."""
    told = transactions.filter((F.col("invoice_date") < F.lit(before)) & (F.trim("description") != ""))
    counts = told.filter("line_type = 'product'").groupBy("stock_code", "description").count()
    best = F.min(F.struct((-F.col("count")).alias("order"), "description"))["description"]
    found = counts.groupBy("stock_code").agg(best.alias("description")).toPandas()
    return dict(zip(found["stock_code"], found["description"], strict=True))


def _known(audit: Audit) -> DataFrame:
    """Purchases beside each week that knows them."""
    weeks = [(week, as_of(week)) for week in audit.days]
    of = audit.frame.sparkSession.createDataFrame(weeks, "week date, as_of date")
    sold = audit.inputs["transactions"].filter(_BOUGHT)
    return sold.join(F.broadcast(of), F.col("invoice_date") < F.col("as_of"))


def _customers(audit: Audit) -> DataFrame:
    """How many customers had an order by each week's end."""
    return _known(audit).groupBy("week").agg(F.count_distinct("customer_id").alias("customers"))


def _broken(audit: Audit) -> DataFrame:
    """Of each week, how many rows name a product that is not sold any more, or is in the wrong list."""
    pairs = _known(audit).groupBy("week", "customer_id", "stock_code").agg(F.max("invoice_date").alias("last"))
    sold = _known(audit).groupBy("week", "stock_code").agg(F.max("invoice_date").alias("last_sold"))
    rows = audit.frame.join(sold, ["week", "stock_code"], "left").join(
        pairs, ["week", "customer_id", "stock_code"], "left"
    )
    gone = F.coalesce(F.col("last_sold") < F.date_add("as_of_date", -WEEKS_4), F.lit(True))
    misplaced = ((F.col("list") == AGAIN) & F.col("last").isNull()) | (
        (F.col("list") == NEW) & F.col("last").isNotNull()
    )
    return rows.groupBy("week").agg(
        F.count_if(gone).alias("not_sold_any_more"), F.count_if(misplaced).alias("in_the_wrong_list")
    )


@check(
    "Every product was sold within four weeks; what is recommended again was bought before, and what is new was not",
    asks=_broken,
    family=REFERENTIAL_INTEGRITY,
)
def products_as_promised(week: Evidence) -> Verdict:
    """Rows whose product may not stand where it does."""
    if not week.asked:
        return nothing_to_judge("Nothing was sold in the four weeks before, so that nothing is recommended")
    results = [
        RuleResult.within(rule, week.asked[0][rule], f"{week.asked[0][rule]} of {week.rows} rows: {words}", upper=0)
        for rule, words in (
            ("not_sold_any_more", "their product was not sold for four weeks"),
            ("in_the_wrong_list", "recommended again without a purchase, or new after one"),
        )
    ]
    return Verdict.of(results)


@table(
    CustomerRecommendations,
    weekly,
    layer=ML,
    kinds=["scikitlearn", "mlflow"],
    reads={"transactions": (CleanTransactions, weeks_so_far)},
    due=[NEWEST],
    checks=[
        products_as_promised,
        reconciles(
            "everyone_has_a_list",
            "Every customer with an order has a list of new products",
            ours={"customers": lambda: F.count_distinct(F.when(F.col("list") == NEW, F.col("customer_id")))},
            theirs=_customers,
        ),
    ],
)
def build(
    transactions: DataFrame,
    window: PartitionWindow,
    source: Dated,
    mlflow: MlflowTracking,
    context: AssetExecutionContext,
) -> Built:
    """Learns from all purchases of the weeks so far; one model a list and week."""
    shown: dict[str, dict[str, Any]] = {}
    with mlflow.run(context, f"{source.name}/customer_recommendations") as run:

        def told(week: date, recommender: Recommender) -> None:
            shown[str(week)] = tracked(run, source.name, week, recommender)

        made = recommendations(customer_purchases(transactions), partial(descriptions, transactions), window.days, told)
    return Built(made, metadata=shown)
