"""How good recommendations are on Online Retail II: five days, fourteen weeks apart, as docs/foresight.md judges them,
and what all customers' lists take. Part of `python -m benchmarks.foresight`."""

import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from deltalake import DeltaTable

from retail_assets.analytics.basket_measures import interval
from retail_assets.analytics.list_evaluation import LISTS, OWN_FREQUENCY, Evaluation, evaluated
from retail_assets.analytics.next_basket import AGAIN
from retail_assets.analytics.purchase_history import number_of
from retail_assets.analytics.recommending import Recommender

DAYS = [date(2010, 10, 4) + timedelta(weeks=14 * number) for number in range(5)]
NEWEST = date(2011, 12, 5)


def purchases_of(lakehouse: Path) -> pd.DataFrame:
    """The purchases as the table's step reads them, from silver."""
    columns = ["customer_id", "stock_code", "invoice_date", "country", "line_type", "unit_price"]
    rows = DeltaTable(str(lakehouse / "online_retail" / "clean_transactions")).to_pandas(columns=columns)
    sold = rows[(rows["line_type"] == "product") & (rows["unit_price"] > 0) & rows["customer_id"].notna()]
    sold = sold.rename(columns={"stock_code": "product"})
    found = sold.groupby(["customer_id", "product", "invoice_date"], as_index=False)["country"].max()
    return found.assign(day=[number_of(day) for day in found["invoice_date"]])


def markdown(lakehouse: Path) -> str:
    """Figures over the customers of all five days, and the CPU seconds of all customers' lists."""
    purchases = purchases_of(lakehouse)
    found = [judged for day in DAYS if (judged := evaluated(purchases, day)) is not None]
    lines = ["| list | method | recall | NDCG | hit rate | reach |", "| --- | --- | --- | --- | --- | --- |"]
    for which, method in found[0].judged:
        lines.append(_line(found, which, method))
    gains = [one.judged[AGAIN, LISTS].ndcg - one.judged[AGAIN, OWN_FREQUENCY].ndcg for one in found]
    gain, lower, upper = interval(np.concatenate(gains))
    began = time.process_time()
    lists = Recommender.learnt(purchases, NEWEST, {}).lists(purchases)
    seconds, customers = time.process_time() - began, lists["customer_id"].nunique()
    return "\n".join(
        [
            *lines,
            "",
            f"again: NDCG {gain:+.4f} ({lower:+.4f} to {upper:+.4f}) against own frequency, "
            f"{sum(len(of) for of in gains):,} orders",
            f"all lists as of {NEWEST}: {customers:,} customers, {len(lists):,} rows, {seconds:.1f} CPU-s",
        ]
    )


def _line(found: list[Evaluation], which: str, method: str) -> str:
    parts = [one.judged[which, method] for one in found]
    figures = [np.concatenate([getattr(part, name) for part in parts]).mean() for name in ("recall", "ndcg", "hit")]
    rows = [one.rows[(one.rows["list"] == which) & (one.rows["method"] == method)] for one in found]
    figures.append(min(float(of["reach"].iloc[0]) for of in rows))
    return f"| {which} | {method} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"
