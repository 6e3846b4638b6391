"""Whom to win back first: what the first of the list spent afterwards, beside other orders, over months of real data.

    .venv/bin/python -m benchmarks.win_back LAKEHOUSE [--source online_retail] [--first 200] [--from 2010-12-01]

LAKEHOUSE holds the tables of a finished run, `actions` of all months among them. Of each as-of date whose 90 days are
over, the first customers by each order are followed: the share of them who bought again, and what they spent, in the 90
days from it. No order knows anything later than its as-of date. What a customer would have spent without being written
to is in these figures: what writing brings is only known with a control group (`campaign_results`).
"""

import argparse
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from deltalake import DeltaTable

WINDOW_DAYS = 90

ORDERS = {
    "list win_back": "in_list, -place",
    "before: spent in a year × probability": "churn_risk <> 'Low', spent * churn_probability",
    "recency, of those likely to leave": "churn_probability >= 0.5, -recency_days",
    "value so far, of those likely to leave": "churn_probability >= 0.5, monetary",
    "recency, of all": "true, -recency_days",
    "value so far, of all": "true, monetary",
}
"""Who is looked at, and in what order."""

_FOLLOWED = """
WITH days AS (
    SELECT customer_id, invoice_date,
           sum(CASE WHEN line_type = 'product' THEN line_total ELSE 0 END)::DOUBLE AS bought,
           sum(CASE WHEN is_cancellation THEN line_total ELSE 0 END)::DOUBLE AS returned
    FROM clean_transactions WHERE customer_id IS NOT NULL GROUP BY 1, 2
), after AS (
    SELECT r.snapshot_month, r.customer_id, sum(d.bought) AS spent_after, sum(d.bought) > 0 AS again
    FROM customer_rfm r JOIN days d ON d.customer_id = r.customer_id
        AND d.invoice_date >= r.as_of_date AND d.invoice_date < r.as_of_date + {window}
    GROUP BY 1, 2
), before AS (
    SELECT r.snapshot_month, r.customer_id, greatest(sum(d.bought + d.returned), 0) AS spent
    FROM customer_rfm r JOIN days d ON d.customer_id = r.customer_id
        AND d.invoice_date < r.as_of_date AND d.invoice_date >= r.as_of_date - 365
    GROUP BY 1, 2
)
SELECT r.as_of_date, r.customer_id, r.recency_days, r.monetary::DOUBLE AS monetary, c.churn_probability, c.churn_risk,
       coalesce(b.spent, 0) AS spent, coalesce(a.spent_after, 0) AS spent_after, coalesce(a.again, false) AS again,
       l.rank AS place, l.rank IS NOT NULL AS in_list
FROM customer_rfm r
JOIN churn_scores c USING (snapshot_month, customer_id)
LEFT JOIN after a USING (snapshot_month, customer_id)
LEFT JOIN before b USING (snapshot_month, customer_id)
LEFT JOIN (SELECT * FROM actions WHERE action = 'win_back') l USING (snapshot_month, customer_id)
WHERE r.as_of_date >= DATE '{first}'
    AND r.as_of_date + {window} <= (SELECT max(invoice_date) + 1 FROM clean_transactions)
"""


def followed(source: Path, first: str) -> pd.DataFrame:
    """Every scored customer of every as-of date from `first` on, with what came in the days after it."""
    connection = duckdb.connect()
    for name in ("clean_transactions", "customer_rfm", "churn_scores", "actions"):
        connection.register(name, DeltaTable(str(source / name)).to_pyarrow_dataset())
    return connection.sql(_FOLLOWED.format(window=WINDOW_DAYS, first=first)).df()


def captured(customers: pd.DataFrame, most: int) -> pd.DataFrame:
    """By order and as-of date: of the first `most` customers the share who bought again, and what they spent."""
    connection, found = duckdb.connect(), []
    connection.register("customers", customers)
    for name, order in ORDERS.items():
        who, by = order.split(", ", 1)
        query = f"""
            WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY as_of_date ORDER BY {by} DESC, customer_id) AS n
                            FROM customers WHERE {who})
            SELECT '{name}' AS "order", as_of_date, count(*) AS customers, avg(again::INT) AS again,
                   sum(spent_after) AS spent
            FROM ranked WHERE n <= {most} GROUP BY 2"""
        found.append(connection.sql(query).df())
    return pd.concat(found)


def table(found: pd.DataFrame) -> str:
    """Means over the months as Markdown, and of each as-of date the spend by the list and by the order before."""
    means = found.groupby("order", sort=False)[["again", "spent"]].mean()
    lines = ["| order | bought again | spent in 90 days |", "| --- | --- | --- |"]
    lines += [f"| {name} | {row.again:.1%} | £{row.spent:,.0f} |" for name, row in _rows(means)]
    names = list(ORDERS)[:2]
    spent = found.pivot(index="as_of_date", columns="order", values="spent")[names]
    again = found.pivot(index="as_of_date", columns="order", values="again")[names]
    lines += ["", "| as of | list win_back | before | list: bought again | before |", "| --- | --- | --- | --- | --- |"]
    for day, row in _rows(spent):
        shares = again.loc[day]
        cells = [f"£{row.iloc[0]:,.0f}", f"£{row.iloc[1]:,.0f}", f"{shares.iloc[0]:.1%}", f"{shares.iloc[1]:.1%}"]
        lines.append(f"| {day:%Y-%m-%d} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rows(frame: pd.DataFrame) -> list[tuple[Any, Any]]:
    return list(frame.iterrows())


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="What the first of the win-back list spent afterwards.")
    parser.add_argument("lakehouse", type=Path)
    parser.add_argument("--source", default="online_retail")
    parser.add_argument("--first", type=int, default=200, help="customers of each order")
    parser.add_argument("--from", dest="since", default="2010-12-01", help="first as-of date")
    arguments = parser.parse_args()
    customers = followed(arguments.lakehouse / arguments.source, arguments.since)
    print(table(captured(customers, arguments.first)))


if __name__ == "__main__":
    main()
