"""customer_month_activity: what each customer did in each month. What every customer table reads."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.customers import customer_month_activity as activity
from retail_assets.invoices.clean_transactions import CleanTransactions, sums_of_lines
from retail_assets.invoices.sales import is_sale, sales
from retail_assets.lakehouse.checks import all_known, reconciles
from retail_assets.lakehouse.contracts import made_from
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import monthly, same_window

_TOTALS = [(CleanTransactions, "line_total", "line_type")]
_DATES = [(CleanTransactions, "invoice_date", "line_type")]


@made_from(
    customer_id=(CleanTransactions, "customer_id"),
    country=(CleanTransactions, "country"),
    orders=(CleanTransactions, "invoice_no"),
    units=(CleanTransactions, "quantity"),
    revenue=_TOTALS,
    returns_value=_TOTALS,
    active_days=_DATES,
    first_purchase_date=_DATES,
    last_purchase_date=_DATES,
    lines=(CleanTransactions, "line_key"),
    products=(CleanTransactions, "stock_code"),
    activity_month=(CleanTransactions, "invoice_date"),
)
class CustomerMonthActivity(activity.CustomerMonthActivity):
    __doc__ = activity.CustomerMonthActivity.__doc__


def customer_month_activity(transactions: DataFrame) -> DataFrame:
    """Known customers' transactions, summed by customer and month."""
    product = is_sale()
    known = transactions.filter(F.col("customer_id").isNotNull())
    return known.groupBy(F.trunc("invoice_date", "MM").alias("activity_month"), "customer_id").agg(
        F.max_by("country", F.struct("invoice_ts", "invoice_no", "line_key")).alias("country"),
        *sales("orders", "units", "revenue", "returns_value"),
        F.size(F.collect_set(F.when(product, F.col("invoice_date")))).alias("active_days"),
        F.min(F.when(product, F.col("invoice_date"))).alias("first_purchase_date"),
        F.max(F.when(product, F.col("invoice_date"))).alias("last_purchase_date"),
        F.count("*").alias("lines"),
        F.array_sort(F.collect_set(F.when(product, F.col("stock_code")))).alias("products"),
    )


def _sums_of_known_customers(transactions: DataFrame) -> DataFrame:
    known = transactions.filter("customer_id IS NOT NULL")
    return sums_of_lines(known, "activity_month", F.trunc("invoice_date", "MM"), "revenue", "returns_value", "lines")


@table(
    CustomerMonthActivity,
    monthly,
    layer=SILVER,
    reads={"transactions": (CleanTransactions, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "Revenue, returns and lines are those of the month's known customers in silver, to the last decimal",
            ours={
                "revenue": lambda: F.sum("revenue"),
                "returns_value": lambda: F.sum("returns_value"),
                "lines": lambda: F.sum("lines"),
            },
            theirs=lambda audit: _sums_of_known_customers(audit.inputs["transactions"]),
        ),
        all_known(
            "customers_known",
            "Every customer is one of the month's clean transactions",
            ["activity_month", "customer_id"],
            lambda inputs: inputs["transactions"].withColumn("activity_month", F.trunc("invoice_date", "MM")),
        ),
    ],
)
def build(transactions: DataFrame) -> DataFrame:
    """The month's customers."""
    return customer_month_activity(transactions)
