"""product_demand: what each product of the marketplace was ordered in each week."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.foresight import product_demand as demand
from retail_assets.foresight.product_demand import BULK_QUANTITY, SMALL_LOT
from retail_assets.foresight.weeks import monday_of, of_weeks
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import made_from, money
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.olist.order_items import OrderItems
from retail_assets.partitions.cadence import same_window, weekly
from retail_assets.partitions.keys import PartitionWindow

_ITEMS = (OrderItems, "order_item_id")
_PRICE = (OrderItems, "price")


@made_from(
    stock_code=(OrderItems, "product_id"),
    family=(OrderItems, "category_english"),
    units=_ITEMS,
    revenue=_PRICE,
    orders=(OrderItems, "order_id"),
    bulk_units=_ITEMS,
    small_lot_price=_PRICE,
    country_units=_ITEMS,
    week=(OrderItems, "purchase_date"),
    month=(OrderItems, "purchase_date"),
)
class ProductDemand(demand.ProductDemand):
    """One row for each week and product that was ordered in it, whatever became of the order.

    Products have no description, only a category; all customers are in Brazil; cancellations do not say when they were
    made, and nothing is taken out for them.
    """


def product_demand(items: DataFrame) -> DataFrame:
    """Items summed by week and product. The pieces of one order are its line."""
    lines = (
        items.withColumn("week", monday_of("purchase_date"))
        .groupBy("week", "product_id", "order_id")
        .agg(
            F.min("category_english").alias("family"),
            F.count("*").alias("units"),
            F.sum("price").alias("revenue"),
        )
    )
    small = F.col("units") < SMALL_LOT
    sums = lines.groupBy("week", F.col("product_id").alias("stock_code")).agg(
        F.min("family").alias("family"),
        F.sum("units").alias("units"),
        money(F.sum("revenue")).alias("revenue"),
        F.count("*").alias("orders"),
        F.coalesce(F.sum(F.when(F.col("units") >= BULK_QUANTITY, F.col("units"))), F.lit(0)).alias("bulk_units"),
        F.sum(F.when(small, F.col("revenue"))).alias("small_value"),
        F.sum(F.when(small, F.col("units"))).alias("small_units"),
    )
    return sums.select(
        "week",
        "stock_code",
        F.lit(None).cast("string").alias("description"),
        "family",
        "units",
        "revenue",
        "orders",
        F.col("orders").alias("customers"),
        "bulk_units",
        F.when(F.col("small_units") > 0, money(F.col("small_value") / F.col("small_units"))).alias("small_lot_price"),
        F.map_from_entries(F.array(F.struct(F.lit("Brazil").alias("country"), F.col("units").alias("units")))).alias(
            "country_units"
        ),
        F.lit(0).cast("bigint").alias("cancelled_units"),
        F.lit(0).cast("decimal(18,3)").alias("cancelled_revenue"),
        F.lit(0).cast("bigint").alias("given_units"),
    )


def _items_of_weeks(audit: Audit) -> DataFrame:
    weeks = (
        audit.inputs["items"]
        .groupBy(monday_of("purchase_date").alias("week"))
        .agg(F.count("*").alias("units"), F.sum("price").alias("revenue"))
    )
    return of_weeks(weeks, audit.days)


@table(
    ProductDemand,
    weekly,
    layer=SILVER,
    reads={"items": (OrderItems, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "Units and value are those of the week's items in silver, to the last decimal",
            ours={"units": lambda: F.sum("units"), "revenue": lambda: F.sum("revenue")},
            theirs=_items_of_weeks,
        )
    ],
)
def build(items: DataFrame, window: PartitionWindow) -> DataFrame:
    """The window's weeks; the months that they lie in are read."""
    return of_weeks(product_demand(items), window.days)
