"""A lakehouse that already has customer_rfm: what customer science is made from, without the way there."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, cast

import pandas as pd
from dagster import AssetKey, ExecuteInProcessResult, materialize

from retail_assets.analytics.rfm import with_rfm_scores, with_value_and_engagement
from retail_assets.customers.customer_rfm import CustomerRfm
from retail_assets.lakehouse.asset_metadata import layout
from retail_assets.lakehouse.contracts import conform
from retail_assets.lakehouse.path_tables import PathTables
from retail_assets_tests.made_shop import SOURCE
from retail_assets_tests.online_retail.frames import frame
from retail_assets_tests.workbench import Workbench


def keep_rfm(workbench: Workbench, months: Mapping[date, pd.DataFrame]) -> None:
    """Writes customer_rfm of these months from `customer_id, recency_days, frequency, monetary` of each."""
    rows = []
    for month, customers in months.items():
        as_of = (month + timedelta(days=32)).replace(day=1)
        for customer in customers.to_dict("records"):
            last = as_of - timedelta(days=int(customer["recency_days"]))
            monetary = Decimal(str(round(float(customer["monetary"]), 3)))
            rows.append(
                {
                    "customer_id": customer["customer_id"],
                    "as_of_date": as_of,
                    "country": "United Kingdom",
                    "recency_days": int(customer["recency_days"]),
                    "frequency": int(customer["frequency"]),
                    "monetary": monetary,
                    "net_monetary": monetary,
                    "avg_order_value": 1,
                    "units": 1,
                    "distinct_products": 1,
                    "first_purchase_date": last,
                    "last_purchase_date": last,
                    "tenure_days": int(customer["recency_days"]),
                    "snapshot_month": month,
                }
            )
    measured = frame(workbench.spark, CustomerRfm, rows).drop(
        "r_score", "f_score", "m_score", "rfm_score", "rfm_segment", "value_segment", "engagement_segment"
    )
    scored = with_value_and_engagement(with_rfm_scores(measured, "snapshot_month"), "snapshot_month")
    tables = PathTables(workbench.spark, workbench.settings.lakehouse)
    tables.replace(("online_retail", "customer_rfm"), conform(scored, CustomerRfm), layout(CustomerRfm), list(months))


def make(workbench: Workbench, tables: Sequence[str], first: str, last: str | None = None) -> ExecuteInProcessResult:
    """Materializes these tables over a range of months in one run, as a backfill does."""
    definitions = workbench.definitions()
    return materialize(
        cast(Any, definitions.assets),
        selection=[AssetKey([SOURCE.name, table]) for table in tables],
        instance=workbench.instance,
        resources=definitions.resources,
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last or first,
        },
    )
