"""bronze_silver_comparison: the same measures of each day on both layers, side by side."""

from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.invoices.bronze_daily_quality import BronzeDailyQuality
from retail_assets.invoices.clean_transactions import CleanTransactions
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    CountMap,
    Day,
    Money,
    Text,
    column,
    money,
    month_directory,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import QUALITY
from retail_assets.lakehouse.table import table
from retail_assets.partitions.cadence import daily, same_window

STEPS_PER_DOUBLING = 4
"""Order values are counted by quarters of a doubling: fine enough for quantiles, and a few dozen numbers a day."""


class BronzeSilverComparison(Contract):
    """What cleaning did to each calendar day: the same measures of the landed and of the clean rows, side by side.

    Silver never has more than bronze; what it has less is in quarantine, or was landed twice.
    """

    bronze_records: Count = column("Landed rows", ge=0, origin=(BronzeDailyQuality, "records"))
    silver_records: Count = column("Clean lines that landed", ge=0, origin=(CleanTransactions, "line_key"))
    quarantined_records: Count = column("Landed rows in quarantine", ge=0, origin=(BronzeDailyQuality, "unusable"))
    duplicate_records: Count = column(
        "Landed rows that repeat another", ge=0, origin=(CleanTransactions, "landed_rows")
    )
    bronze_invoices: Count = column("Distinct landed invoice numbers", ge=0, origin=(BronzeDailyQuality, "invoices"))
    silver_invoices: Count = column("Distinct invoices of clean lines", ge=0, origin=(CleanTransactions, "invoice_no"))
    bronze_customers: Count = column("Distinct landed customers", ge=0, origin=(BronzeDailyQuality, "customers"))
    silver_customers: Count = column(
        "Distinct customers of clean lines", ge=0, origin=(CleanTransactions, "customer_id")
    )
    bronze_stock_codes: Count = column("Distinct landed codes", ge=0, origin=(BronzeDailyQuality, "stock_codes"))
    silver_stock_codes: Count = column("Distinct codes of clean lines", ge=0, origin=(CleanTransactions, "stock_code"))
    bronze_without_customer: Count = column(
        "Landed rows without a customer", ge=0, origin=(BronzeDailyQuality, "null_customer_id")
    )
    silver_without_customer: Count = column(
        "Clean lines without a customer", ge=0, origin=(CleanTransactions, "customer_id")
    )
    bronze_value: Money = column("Landed quantity × price", unit=CURRENCY, origin=(BronzeDailyQuality, "landed_value"))
    silver_value: Money = column("Sum of line totals", unit=CURRENCY, origin=(CleanTransactions, "line_total"))
    order_values: CountMap = column(
        f"Orders by their value: floor({STEPS_PER_DOUBLING} × log2 of it) -> orders",
        origin=[(CleanTransactions, "invoice_no", "line_total")],
    )
    invoice_date: Day = partition("Calendar day", origin=(BronzeDailyQuality, "invoice_date"))
    invoice_month: Text = month_directory("the day")

    class Config:
        unique = ["invoice_date"]

    @row_rule("Landed rows are clean, in quarantine, or repeat another")
    def records_add_up() -> Column:
        return F.col("bronze_records") == (
            F.col("silver_records") + F.col("quarantined_records") + F.col("duplicate_records")
        )

    @row_rule("The clean lines have no more invoices, customers or codes than have landed")
    def nothing_gained() -> Column:
        pairs = [(f"silver_{name}", f"bronze_{name}") for name in ("invoices", "customers", "stock_codes")]
        return reduce(and_, [F.col(silver) <= F.col(bronze) for silver, bronze in pairs])


def bronze_silver_comparison(quality: DataFrame, transactions: DataFrame) -> DataFrame:
    """One row for each day of `quality`."""
    # What takes back an order that was cancelled or refunded did not land: it is in silver alone.
    silver = (
        transactions.filter("landed_rows > 0")
        .groupBy("invoice_date")
        .agg(
            F.count("*").alias("silver_records"),
            F.sum(F.col("landed_rows") - 1).alias("duplicate_records"),
            F.size(F.collect_set("invoice_no")).alias("silver_invoices"),
            F.size(F.collect_set("customer_id")).alias("silver_customers"),
            F.size(F.collect_set("stock_code")).alias("silver_stock_codes"),
            F.count_if(F.col("customer_id").isNull()).alias("silver_without_customer"),
            F.sum("line_total").alias("silver_value"),
        )
    )
    orders = transactions.filter("NOT is_cancellation").groupBy("invoice_date", "invoice_no")
    step = F.floor(STEPS_PER_DOUBLING * F.log2(F.col("value").cast("double"))).cast("int").cast("string")
    steps = orders.agg(F.sum("line_total").alias("value")).filter("value > 0").withColumn("step", step)
    counted = steps.groupBy("invoice_date", "step").agg(F.count("*").alias("orders"))
    # In the order of the steps, so that the same day has the same map, bit for bit.
    entries = F.array_sort(F.collect_list(F.struct("step", "orders")))
    values = counted.groupBy("invoice_date").agg(F.map_from_entries(entries).alias("order_values"))
    known = quality.join(silver, "invoice_date", "left").fillna(0).join(values, "invoice_date", "left")
    none: list[Column] = []
    return known.select(
        "invoice_date",
        F.col("records").alias("bronze_records"),
        "silver_records",
        F.col("unusable").alias("quarantined_records"),
        "duplicate_records",
        F.col("invoices").alias("bronze_invoices"),
        "silver_invoices",
        F.col("customers").alias("bronze_customers"),
        "silver_customers",
        F.size("stock_codes").alias("bronze_stock_codes"),
        "silver_stock_codes",
        F.col("null_customer_id").alias("bronze_without_customer"),
        "silver_without_customer",
        F.col("landed_value").alias("bronze_value"),
        money(F.col("silver_value")).alias("silver_value"),
        F.coalesce("order_values", F.create_map(*none).cast("map<string,bigint>")).alias("order_values"),
    )


@table(
    BronzeSilverComparison,
    daily,
    layer=QUALITY,
    reads={"quality": (BronzeDailyQuality, same_window), "transactions": (CleanTransactions, same_window)},
)
def build(quality: DataFrame, transactions: DataFrame) -> DataFrame:
    """The window's days."""
    return bronze_silver_comparison(quality, transactions)
