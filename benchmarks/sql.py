"""How long analysts wait: twenty questions to a lakehouse in SQL, warm and from the prompt.

    RETAIL_LAKEHOUSE=data/lakehouse .venv/bin/python -m benchmarks.sql [--repeat 5]

Warm is an answer in a session that was asked the same once before; from the prompt is `retail sql "…"` as a process of
its own, to its exit. The lakehouse is one of Online Retail II, as `retail run` makes it. Exit code 1 where a promise is
broken.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from retail_assets.sql.door import Door

WARM, PROMPT = 1.0, 2.0
"""Seconds within which 95 of 100 answers are there."""

QUESTIONS = {
    "Revenue by month": "FROM online_retail_metrics.by_month ORDER BY month",
    "Revenue by day of 2011": "SELECT day, revenue FROM online_retail_metrics.by_day WHERE day >= '2011-01-01'",
    "All of it in one line": "FROM online_retail_metrics.in_all",
    "Revenue by country, 2011": "SELECT country, sum(revenue) FROM online_retail_metrics.by_month_and_country "
    "WHERE month >= '2011-01-01' GROUP BY ALL ORDER BY 2 DESC",
    "Best products of a month": "SELECT product, revenue FROM online_retail_metrics.by_month_and_product "
    "WHERE month = '2011-11-01' ORDER BY revenue DESC LIMIT 20",
    "Segments now": "SELECT rfm_segment, count(*), sum(monetary) FROM online_retail.customer_rfm_current GROUP BY ALL",
    "Segments by month": "FROM online_retail_metrics.customers_by_month_and_segment ORDER BY ALL",
    "Best customers now": "FROM online_retail.customer_rfm_current ORDER BY monetary DESC LIMIT 20",
    "Customers that changed segment": "SELECT a.rfm_segment, b.rfm_segment, count(*) FROM online_retail.customer_rfm a "
    "JOIN online_retail.customer_rfm b USING (customer_id) WHERE a.snapshot_month = '2011-10-01' "
    "AND b.snapshot_month = '2011-11-01' GROUP BY ALL ORDER BY 3 DESC",
    "New customers by country": "SELECT country, sum(new_customers) FROM online_retail.geo_metrics GROUP BY ALL",
    "Class A products by month": "SELECT snapshot_month, count(*) FROM online_retail.product_metrics "
    "WHERE abc_class = 'A' GROUP BY ALL ORDER BY ALL",
    "Return rate of products": "SELECT stock_code, sum(returns_value) / sum(revenue) FROM "
    "online_retail.product_metrics GROUP BY ALL HAVING sum(revenue) > 1000 ORDER BY 2 DESC LIMIT 20",
    "Growth of the months": "SELECT snapshot_month, net_sales_growth FROM online_retail.monthly_activity ORDER BY 1",
    "Best days ever": "SELECT invoice_date, revenue FROM online_retail.daily_metrics ORDER BY revenue DESC LIMIT 10",
    "Lines of an invoice": "FROM online_retail.clean_transactions WHERE invoice_no = '536365'",
    "Lines of a day": "FROM online_retail.clean_transactions WHERE invoice_date = '2010-12-09'",
    "What a customer bought": "SELECT stock_code, sum(quantity) FROM online_retail.clean_transactions "
    "WHERE customer_id = '17850' GROUP BY ALL ORDER BY 2 DESC",
    "Orders by hour": "SELECT hour(invoice_ts), count(DISTINCT invoice_no) FROM online_retail.clean_transactions "
    "GROUP BY ALL ORDER BY ALL",
    "Why rows cannot be used": "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason "
    "FROM online_retail.quarantined_invoices) GROUP BY ALL",
    "Rules that are broken": "SELECT table_name, check_name, count(*) FROM online_retail.dq_results "
    "WHERE status = 'failed' GROUP BY ALL",
}


def warm_seconds(lakehouse: str, repeat: int) -> dict[str, list[float]]:
    """Question -> how long each answer took, in one session, after a first."""
    door, taken = Door(lakehouse), {}
    for name, question in QUESTIONS.items():
        turns = [_answered(door, question) for _ in range(repeat + 1)]
        taken[name] = turns[1:]
    return taken


def _answered(door: Door, question: str) -> float:
    began = time.perf_counter()
    answer = door.answer(question)
    assert answer is not None
    assert answer.fetchall()
    return time.perf_counter() - began


def prompt_seconds(repeat: int) -> dict[str, list[float]]:
    """Question -> how long each process took."""
    return {name: [_asked(question) for _ in range(repeat)] for name, question in QUESTIONS.items()}


def _asked(question: str) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "retail_assets.cli", "sql", question]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def p95(taken: dict[str, list[float]]) -> float:
    """What 95 of 100 answers of all questions were there within."""
    return statistics.quantiles([seconds for turns in taken.values() for seconds in turns], n=20)[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    warm = warm_seconds(os.environ["RETAIL_LAKEHOUSE"], options.repeat)
    prompt = prompt_seconds(options.repeat)
    print(f"{'question':<34} warm, s  prompt, s   (medians)")
    for name in QUESTIONS:
        print(f"{name:<34} {statistics.median(warm[name]):7.3f}  {statistics.median(prompt[name]):9.3f}")
    print(f"{'95 of 100 within':<34} {p95(warm):7.3f}  {p95(prompt):9.3f}   (promised: {WARM:.0f} s, {PROMPT:.0f} s)")
    sys.exit(p95(warm) > WARM or p95(prompt) > PROMPT)
