"""One small lakehouse for all tests of SQL: a shop's, as the main job makes it, and some of a marketplace."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from retail_assets_tests.operations.test_main_job import bench, succeeded

MADE = [
    "raw_invoices", "quarantined_invoices", "clean_transactions", "customer_month_activity", "daily_metrics",
    "product_metrics", "customer_rfm", "geo_metrics",
]  # fmt: skip
MONTHS = [date(2018, 1, 1), date(2018, 1, 1), date(2018, 2, 1)]


@pytest.fixture(scope="session")
def lakehouse(tmp_path_factory, spark) -> Path:
    workbench = bench(tmp_path_factory.mktemp("sql") / "bench", spark)
    succeeded(workbench.run(MADE))
    lakehouse = workbench.directory / "lakehouse"
    _marketplace(lakehouse / "olist")
    return lakehouse


def _marketplace(directory: Path) -> None:
    """Three rows each of delivered orders, churn scores and lifetime values; and of a table of the shop's name."""
    month = pa.array(MONTHS, pa.date32())
    money = pa.array([Decimal("0.998"), Decimal("0.005"), Decimal("7.500")], pa.decimal128(18, 3))
    orders = {
        "order_id": ["a", "b", "c"],
        "customer_unique_id": ["x", "x", "y"],
        "customer_state": ["SP", "SP", "RJ"],
        "purchase_date": month,
        "items": pa.array([1, 2, 1], pa.int64()),
        "order_total_value": money,
        "review_score": pa.array([5, None, 2], pa.int32()),
    }
    churn = {"churn_probability": [0.25, 0.75, 0.5], "churn_risk": ["Low", "High", "Low"]}
    for name, months, columns in (
        ("orders_master", "purchase_month", orders),
        ("churn_scores", "snapshot_month", churn),
        ("customer_clv", "snapshot_month", {"clv_12m": pa.array([1.0005, 2.0, None], pa.float64())}),
        ("daily_metrics", "purchase_month", {"revenue": money}),
    ):
        table = pa.table({**columns, months: month})
        write_deltalake(str(directory / name), table, partition_by=[months])
