"""Small frames of the tables' own columns and types, made from rows that name only what matters."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import types as T

from retail_assets.lakehouse.contracts import Contract, spark_schema


def frame(spark: SparkSession, contract: type[Contract], rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """The rows with the contract's columns; what a row does not name is NULL, so that faults can be planted too.

    Dates, times and decimals may be given as text.
    """
    schema = T.StructType([T.StructField(item.name, item.dataType, True) for item in spark_schema(contract)])
    return spark.createDataFrame(
        [tuple(_value(row.get(item.name), item.dataType) for item in schema) for row in rows], schema
    )


def _value(value: Any, kind: T.DataType) -> Any:
    if value is None:
        return None
    if isinstance(kind, T.DecimalType):
        return Decimal(str(value))
    if isinstance(value, str) and isinstance(kind, T.DateType):
        return date.fromisoformat(value)
    if isinstance(value, str) and isinstance(kind, T.TimestampType):
        return datetime.fromisoformat(value)
    return value


def landed(day: str = "2011-01-04", **columns: Any) -> dict[str, Any]:
    """A row of raw_invoices: a sale of one product, as landed."""
    return {
        "invoice_no": "500001",
        "stock_code": "85123A",
        "description": "WHITE HANGING HEART",
        "quantity": "2",
        "invoice_ts": f"{day} 10:00:00",
        "unit_price": "2.55",
        "customer_id": "13085.0",
        "country": "United Kingdom",
        "line_number": 2,
        "source_file": f"online_retail_{day}.csv",
        "ingested_at": "2011-12-31 00:00:00",
        "invoice_date": day,
        "invoice_month": day[:7],
        **columns,
    }


def sale(day: str, invoice: str, total: Any = "10.000", **columns: Any) -> dict[str, Any]:
    """A row of clean_transactions: one unit of a product for `total`; cancelled if the invoice starts with C."""
    cancelled = invoice.startswith("C")
    return {
        "line_key": f"{day} {invoice} {columns.get('stock_code', '')}",
        "invoice_no": invoice,
        "stock_code": "85123A",
        "quantity": -1 if cancelled else 1,
        "unit_price": abs(Decimal(str(total))),
        "line_total": total,
        "invoice_ts": f"{day} 10:00:00",
        "customer_id": "13085",
        "country": "United Kingdom",
        "line_type": "cancellation" if cancelled else "product",
        "is_cancellation": cancelled,
        "invoice_date": day,
        **columns,
    }


def bought(customer: str, month: str, **columns: Any) -> dict[str, Any]:
    """A row of customer_month_activity: one order of one unit on the 10th, for 10."""
    return {
        "customer_id": customer,
        "activity_month": f"{month}-01",
        "country": "United Kingdom",
        "orders": 1,
        "units": 1,
        "revenue": "10.000",
        "returns_value": 0,
        "active_days": 1,
        "first_purchase_date": f"{month}-10",
        "last_purchase_date": f"{month}-10",
        "lines": 1,
        "products": ["85123A"],
        **columns,
    }


def returned(customer: str, month: str, value: Any, **columns: Any) -> dict[str, Any]:
    """A row of customer_month_activity: a month with a return and no purchase."""
    nothing = {"orders": 0, "units": 0, "revenue": 0, "active_days": 0, "products": []}
    no_dates = {"first_purchase_date": None, "last_purchase_date": None}
    return bought(customer, month, returns_value=value, **nothing, **no_dates, **columns)


def sorted_rows(table: DataFrame, *columns: str) -> list[Row]:
    """The rows in the order of these columns."""
    return sorted(table.collect(), key=lambda row: tuple(str(row[name]) for name in columns))
