"""order_payments: what was paid for each order, and how."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.lakehouse.checks import COMPLETENESS, Audit, all_known, reconciles
from retail_assets.lakehouse.contracts import (
    CURRENCY,
    Contract,
    Count,
    Day,
    Integer,
    Money,
    Text,
    Texts,
    column,
    partition,
    row_rule,
)
from retail_assets.lakehouse.layers import SILVER
from retail_assets.lakehouse.measures import rare, summed
from retail_assets.lakehouse.table import table
from retail_assets.lakehouse.written_values import written_amount, written_integer
from retail_assets.olist.orders import Orders
from retail_assets.olist.raw_order_payments import RawOrderPayments
from retail_assets.operations.bronze import sound
from retail_assets.partitions.cadence import monthly, same_window

PAYMENT_TYPES = ["boleto", "credit_card", "debit_card", "not_defined", "voucher"]

_TYPE = (RawOrderPayments, "payment_type")
_VALUE = (RawOrderPayments, "payment_value")


class OrderPayments(Contract):
    """One row for each order, of all its payments together; an order without any payment has a row, too."""

    order_id: Text = column("Order", origin=[(Orders, "order_id"), (RawOrderPayments, "order_id")])
    payments: Count = column("Payments with a value that is not negative", ge=0, origin=_VALUE)
    payment_types: Texts = column("Means of payment, in order", origin=_TYPE)
    payment_type: Text = column(
        "Means by which most of it was paid; of equal ones the first by alphabet",
        nullable=True,
        isin=PAYMENT_TYPES,
        origin=[_TYPE, _VALUE],
    )
    installments: Integer = column(
        "Most installments of a payment", nullable=True, ge=0, origin=(RawOrderPayments, "payment_installments")
    )
    payment_value: Money = column(
        "Sum of all payments; NULL without any", unit=CURRENCY, nullable=True, ge=0, origin=_VALUE
    )
    purchase_month: Day = partition("First day of the month of the purchase", origin=(Orders, "purchase_month"))

    class Config:
        unique = ["purchase_month", "order_id"]

    @row_rule("Every means of payment is one of those there are")
    def means_are_known() -> Column:
        return F.forall("payment_types", lambda one: one.isin(PAYMENT_TYPES))


def order_payments(raw: DataFrame, orders: DataFrame) -> DataFrame:
    """One row for each order, and for each that payments name and that is none."""
    paid = sound(raw).select(
        "purchase_month",
        "order_id",
        F.coalesce("payment_type", F.lit("")).alias("payment_type"),
        written_amount("payment_value").alias("value"),
        written_integer("payment_installments").alias("installments"),
    )
    by_type = paid.groupBy("purchase_month", "order_id", "payment_type").agg(
        F.count_if(F.col("value") >= 0).alias("payments"),
        F.sum("value").alias("value"),
        F.max("installments").alias("installments"),
    )
    most = F.min(F.struct((-F.coalesce("value", F.lit(0))).alias("order"), "payment_type"))["payment_type"]
    of_orders = by_type.groupBy("purchase_month", "order_id").agg(
        F.sum("payments").alias("payments"),
        F.array_sort(F.collect_set("payment_type")).alias("payment_types"),
        most.alias("payment_type"),
        F.max("installments").alias("installments"),
        F.sum("value").alias("payment_value"),
    )
    every = orders.select("purchase_month", "order_id").join(of_orders, ["purchase_month", "order_id"], "full")
    return every.withColumns(
        {
            "payments": F.coalesce("payments", F.lit(0)),
            "payment_types": F.coalesce("payment_types", F.array().cast("array<string>")),
        }
    )


def _landed(audit: Audit) -> DataFrame:
    """Payments of each month as they landed, readable or not, and their money."""
    raw = sound(audit.inputs["raw"])
    value = F.sum(written_amount("payment_value")).alias("payment_value")
    return raw.groupBy("purchase_month").agg(F.count("*").alias("payments"), value)


@table(
    OrderPayments,
    monthly,
    layer=SILVER,
    reads={"raw": (RawOrderPayments, same_window), "orders": (Orders, same_window)},
    checks=[
        reconciles(
            "reconciliation",
            "Every payment that landed can be read, is not negative, and is in an order's sum, to the last decimal",
            ours=summed("payments", "payment_value"),
            theirs=_landed,
        ),
        all_known(
            "orders_known",
            "Every payment's order is one of its month",
            ["purchase_month", "order_id"],
            lambda inputs: inputs["orders"],
        ),
        rare(
            "orders_paid",
            "Orders have a payment, but for at most one in a thousand",
            {"unpaid": ("have no payment", lambda: F.col("payments") == 0)},
            share=0.001,
            family=COMPLETENESS,
        ),
    ],
)
def build(raw: DataFrame, orders: DataFrame) -> DataFrame:
    """The orders of the window's months."""
    return order_payments(raw, orders)
