"""product_demand: what each product sold in each week. What every table about what comes reads."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from retail_assets.analytics.categories import OTHER, category
from retail_assets.foresight import product_demand as demand
from retail_assets.foresight.product_demand import BULK_QUANTITY, SMALL_LOT
from retail_assets.foresight.weeks import monday_of
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.checks import Audit, reconciles
from retail_assets.lakehouse.contracts import made_from, money, ratio
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import same_window, weekly

_UNITS = (CleanTransactions, "quantity", "line_type")
_VALUE = (CleanTransactions, "line_total", "line_type")


@made_from(
    stock_code=(CleanTransactions, "stock_code"),
    description=(CleanTransactions, "description"),
    family=(CleanTransactions, "description"),
    units=_UNITS,
    revenue=_VALUE,
    orders=(CleanTransactions, "invoice_no"),
    customers=(CleanTransactions, "customer_id"),
    bulk_units=_UNITS,
    small_lot_price=_VALUE,
    country_units=(CleanTransactions, "country", "quantity"),
    cancelled_units=_UNITS,
    cancelled_revenue=_VALUE,
    given_units=(CleanTransactions, "quantity", "unit_price"),
    week=(CleanTransactions, "invoice_date"),
    month=(CleanTransactions, "invoice_date"),
)
class ProductDemand(demand.ProductDemand):
    __doc__ = demand.ProductDemand.__doc__


def product_demand(transactions: DataFrame) -> DataFrame:
    """Product lines summed by week and product; of whole weeks, as a line is held against cancellations of its own."""
    lines = _with_what_was_cancelled(transactions)
    sold = F.col("is_sold")
    small, units = sold & (F.col("quantity") < SMALL_LOT), F.col("quantity")

    def total(condition: Column, amount: str = "quantity") -> Column:
        return F.coalesce(F.sum(F.when(condition, F.col(amount))), F.lit(0))

    keys = ["week", "stock_code"]
    sums = lines.groupBy(keys).agg(
        total(sold).alias("units"),
        money(total(sold, "line_total")).alias("revenue"),
        F.size(F.collect_set(F.when(sold, F.col("invoice_no")))).alias("orders"),
        F.size(F.collect_set(F.when(sold, F.col("customer_id")))).alias("customers"),
        total(sold & (units >= BULK_QUANTITY)).alias("bulk_units"),
        F.sum(F.when(small, F.col("line_total"))).alias("small_value"),
        F.sum(F.when(small, units)).alias("small_units"),
        total(F.col("is_cancelled_at_once")).alias("cancelled_units"),
        money(total(F.col("is_cancelled_at_once"), "line_total")).alias("cancelled_revenue"),
        total(F.col("unit_price") <= 0).alias("given_units"),
        F.min(F.when(sold & (F.trim("description") != ""), F.col("description"))).alias("description"),
    )
    small_lot_price = F.when(F.col("small_units") > 0, money(ratio(F.col("small_value"), F.col("small_units"))))
    # A description is told its family once, not every week.
    families = sums.select("description").distinct().withColumn("family", category(F.col("description")))
    return (
        sums.join(_by_country(lines, keys), keys, "left")
        .join(F.broadcast(families), "description", "left")
        .withColumns(
            {
                "family": F.coalesce("family", F.lit(OTHER)),
                "small_lot_price": small_lot_price,
                "country_units": F.coalesce("country_units", _no_country()),
            }
        )
        .drop("small_value", "small_units")
    )


def _with_what_was_cancelled(transactions: DataFrame) -> DataFrame:
    """Product lines with their week: `is_cancelled_at_once`, or else `is_sold` if it was at a price.

    Of a customer's lines of the same product, quantity and day, the last are taken out, as many as were cancelled that
    day and the next.
    """
    of_line = ["week", "customer_id", "stock_code", "quantity", "invoice_date"]
    dated = transactions.select(*_READ).withColumn("week", monday_of("invoice_date"))
    cancelled = dated.filter(F.col("is_cancellation") & F.col("customer_id").isNotNull() & (F.col("quantity") < 0))
    at_once = cancelled.select(
        *of_line[:3],
        (-F.col("quantity")).alias("quantity"),
        F.explode(F.array(F.col("invoice_date"), F.date_add("invoice_date", -1))).alias("invoice_date"),
    )
    counts = at_once.groupBy(of_line).agg(F.count("*").alias("cancellations"))
    products = dated.filter("line_type = 'product'")
    # Only lines that something was cancelled of are ranked; they are few.
    last_first = Window.partitionBy(of_line).orderBy(F.desc("invoice_no"), "line_key")
    taken_out = (
        products.filter("unit_price > 0")
        .join(F.broadcast(counts), of_line)
        .withColumn("place", F.row_number().over(last_first))
        .filter(F.col("place") <= F.col("cancellations"))
        .select("invoice_date", "line_key", F.lit(True).alias("is_cancelled_at_once"))
    )
    return (
        products.join(F.broadcast(taken_out), ["invoice_date", "line_key"], "left")
        .withColumn("is_cancelled_at_once", F.coalesce("is_cancelled_at_once", F.lit(False)))
        .withColumn("is_sold", ~F.col("is_cancelled_at_once") & (F.col("unit_price") > 0))
    )


_READ = (
    "invoice_date", "line_key", "invoice_no", "stock_code", "description", "quantity", "unit_price", "line_total",
    "customer_id", "country", "line_type", "is_cancellation",
)  # fmt: skip


def _by_country(lines: DataFrame, keys: list[str]) -> DataFrame:
    units = lines.filter("is_sold").groupBy(*keys, "country").agg(F.sum("quantity").cast("bigint").alias("units"))
    entries = F.array_sort(F.collect_list(F.struct("country", "units")))
    return units.groupBy(keys).agg(F.map_from_entries(entries).alias("country_units"))


def _no_country() -> Column:
    return F.create_map().cast("map<string,bigint>")


def _product_lines(audit: Audit) -> DataFrame:
    lines = (
        audit.inputs["transactions"].filter("line_type = 'product'").groupBy(monday_of("invoice_date").alias("week"))
    )
    return lines.agg(F.sum("quantity").alias("every_unit"), F.sum("line_total").alias("value"))


@table(
    ProductDemand,
    weekly,
    layer=SILVER,
    reads={"transactions": (CleanTransactions, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "Units and value, with what was cancelled at once and what was given, are those of the week's product "
            "lines in silver, to the last decimal",
            ours={
                "every_unit": lambda: F.sum(F.col("units") + F.col("cancelled_units") + F.col("given_units")),
                "value": lambda: F.sum(F.col("revenue") + F.col("cancelled_revenue")),
            },
            theirs=_product_lines,
        ),
        reconciles(
            "countries",
            "Units of all countries are those of the products",
            ours={"units": lambda: F.sum("units")},
            theirs=lambda audit: (
                audit.frame.select("week", F.explode(F.map_entries("country_units")).alias("of_country"))
                .groupBy("week")
                .agg(F.sum("of_country.value").alias("units"))
            ),
        ),
    ],
)
def build(transactions: DataFrame) -> DataFrame:
    """The week's products."""
    return product_demand(transactions)
