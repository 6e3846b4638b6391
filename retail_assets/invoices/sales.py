"""What clean transactions sum to in every table that is made of them: orders, customers, units, revenue and returns.

The metric layer (retail_assets/metrics.py) defines the same figures in SQL, for DuckDB, catalogs and BI tools. The two
are kept apart on purpose: the tables' reconciliations hold one against the other, in every partition.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from retail_assets.lakehouse.contracts import money


def is_sale() -> Column:
    """Whether a line is a product's: not a service, and not taken back."""
    return F.col("line_type") == "product"


def sales(*names: str) -> list[Column]:
    """Sums of clean transactions, of these names: `orders` (distinct invoices), `customers` (distinct and known) and
    `units` of product lines; `revenue` of product lines and `returns_value` of cancelled ones, Money, positive. Of
    nothing, 0."""
    sold = is_sale()
    sums = {
        "orders": F.size(F.collect_set(F.when(sold, F.col("invoice_no")))),
        "customers": F.size(F.collect_set(F.when(sold, F.col("customer_id")))),
        "units": F.coalesce(F.sum(F.when(sold, F.col("quantity"))), F.lit(0)),
        "revenue": money(F.sum(F.when(sold, F.col("line_total")))),
        "returns_value": money(-F.sum(F.when(F.col("is_cancellation"), F.col("line_total")))),
    }
    return [sums[name].alias(name) for name in names]


SALES = ("orders", "customers", "units", "revenue", "returns_value")
"""All of them."""
