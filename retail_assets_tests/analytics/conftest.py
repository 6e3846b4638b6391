"""Real customers for the models' tests, made from the published file by an engine that shares no code with ours."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

ACTIVITY = """
with landed as (
    select distinct * from read_csv('{file}', all_varchar = true, header = true)
), clean as (
    select Invoice as invoice, cast(Quantity as int) as quantity, cast(InvoiceDate[:10] as date) as day,
        cast(Quantity as int) * cast(Price as decimal(12, 3)) as total,
        split_part("Customer ID", '.', 1) as customer_id, Invoice like 'C%' as cancelled,
        regexp_full_match(Invoice, '[0-9]{{6}}') and regexp_full_match(StockCode, '[0-9]{{5}}[A-Za-z]*|PADS') as product
    from landed where cast(Price as double) >= 0 and (cast(Quantity as int) > 0 or Invoice like 'C%')
)
select customer_id, cast(date_trunc('month', day) as date) as activity_month,
    count(distinct invoice) filter (product) as orders,
    coalesce(sum(quantity) filter (product), 0)::bigint as units,
    coalesce(sum(total) filter (product), 0)::decimal(18, 3) as revenue,
    coalesce(-sum(total) filter (cancelled), 0)::decimal(18, 3) as returns_value,
    count(distinct day) filter (product) as active_days,
    min(day) filter (product) as first_purchase_date, max(day) filter (product) as last_purchase_date,
    count(*) filter (product) as lines
from clean where customer_id != '' group by all
"""


@pytest.fixture(scope="session")
def real_activity(real_data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection whose table `activity` has the rows and columns of `customer_month_activity`."""
    file = real_data / "online_retail_ii" / "online_retail_ii.csv.gz"
    with duckdb.connect() as connection:
        connection.execute(f"create table activity as {ACTIVITY.format(file=file)}")
        yield connection


def real_customers(activity: duckdb.DuckDBPyConnection, as_of: date) -> pd.DataFrame:
    """`customer_id, recency_days, frequency, monetary` of who bought before the as-of date."""
    return activity.execute(
        """select customer_id, date_diff('day', max(last_purchase_date), $1) as recency_days,
        sum(orders)::bigint as frequency, sum(revenue)::double as monetary
        from activity where orders > 0 and activity_month < $1 group by all order by all""",
        [as_of],
    ).df()


@pytest.fixture(autouse=True)
def _mlflows_own_environment(mlflows_own_environment: None) -> None:
    """For all of these tests."""
