"""customer_month_activity: what each customer did in each month. What every customer table reads."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.clean_transactions import CleanTransactions, sums_of_lines
from retail_assets.lakehouse.checks import all_known, reconciles
from retail_assets.lakehouse.contracts import CURRENCY, Contract, Count, Day, Money, Text, Texts, column, partition
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import monthly, same_window

_TOTALS = [(CleanTransactions, "line_total", "line_type")]
_DATES = [(CleanTransactions, "invoice_date", "line_type")]


class CustomerMonthActivity(Contract):
    """One row for each customer and month with any line: orders, units, revenue and returns of the month.

    Orders, units and revenue are those of product lines. The cost of a customer snapshot hangs on these rows, not on
    the length of the history of transactions.
    """

    customer_id: Text = column("Customer", origin=(CleanTransactions, "customer_id"))
    country: Text = column("Country of the customer's last line in the month", origin=(CleanTransactions, "country"))
    orders: Count = column("Distinct invoices with product lines", ge=0, origin=(CleanTransactions, "invoice_no"))
    units: Count = column("Units bought", ge=0, origin=(CleanTransactions, "quantity"))
    revenue: Money = column("Value of product lines", unit=CURRENCY, ge=0, origin=_TOTALS)
    # May be negative: a cancellation of positive quantity (the published data has one) takes returns back.
    returns_value: Money = column("Value of cancelled lines, sign reversed", unit=CURRENCY, origin=_TOTALS)
    active_days: Count = column("Days with a purchase", ge=0, origin=_DATES)
    first_purchase_date: Day = column("First purchase in the month; NULL if only returns", nullable=True, origin=_DATES)
    last_purchase_date: Day = column("Last purchase in the month; NULL if only returns", nullable=True, origin=_DATES)
    lines: Count = column("Lines of any type", ge=1, origin=(CleanTransactions, "line_key"))
    products: Texts = column("Stock codes bought, in order", origin=(CleanTransactions, "stock_code"))
    activity_month: Day = partition("First day of the month", origin=(CleanTransactions, "invoice_date"))

    class Config:
        unique = ["activity_month", "customer_id"]


def customer_month_activity(transactions: DataFrame) -> DataFrame:
    """Known customers' transactions, summed by customer and month."""
    product = F.col("line_type") == "product"
    known = transactions.filter(F.col("customer_id").isNotNull())
    return known.groupBy(F.trunc("invoice_date", "MM").alias("activity_month"), "customer_id").agg(
        F.max_by("country", F.struct("invoice_ts", "invoice_no", "line_key")).alias("country"),
        F.size(F.collect_set(F.when(product, F.col("invoice_no")))).alias("orders"),
        F.coalesce(F.sum(F.when(product, F.col("quantity"))), F.lit(0)).alias("units"),
        F.coalesce(F.sum(F.when(product, F.col("line_total"))), F.lit(0)).alias("revenue"),
        F.coalesce(-F.sum(F.when(F.col("is_cancellation"), F.col("line_total"))), F.lit(0)).alias("returns_value"),
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
