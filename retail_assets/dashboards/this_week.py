"""The first screen of a dashboard page: what to do this week, from the table `actions`."""

from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.customers.actions import ACTIONS

MOST_SHOWN = 500
"""So many of each list a page holds, with the reason of each; `retail audience` has them all."""


def of_page(actions: DataFrame) -> DataFrame:
    """What pages are made of: reasons only of what is shown, as they are long; money in thousandths."""
    return actions.select(
        "snapshot_month",
        "action",
        "rank",
        "customer_id",
        "product",
        "country",
        (F.col("worth") * 1000).cast("bigint").alias("worth"),
        F.when(F.col("rank") <= MOST_SHOWN, F.col("reason")).alias("reason"),
    )


def lists(actions: pd.DataFrame, ids: np.ndarray) -> list[dict[str, Any]]:
    """The lists of a month, those of the highest worth first: `action`, how many `named`, their `worth` (None where it
    is known of none) and the first MOST_SHOWN, each with `who`, `product`, `country`, `worth` and `reason`. `ids`: of
    customers, who are numbers here."""
    found = []
    for action in ACTIONS:
        own = actions[actions["action"] == action].sort_values("rank")
        if own.empty:
            continue
        shown = own.head(MOST_SHOWN)
        known = own["worth"].dropna()
        who = [ids[number] if number >= 0 else None for number in shown["customer_id"]]
        texts = {name: [_none(value) for value in shown[name]] for name in ("product", "country", "reason")}
        worth = [None if pd.isna(value) else int(value) for value in shown["worth"]]
        total = int(known.sum()) if len(known) else None
        found.append(
            {"action": action, "named": len(own), "worth": total, "rows": {"who": who, "value": worth, **texts}}
        )
    return sorted(found, key=lambda each: -1 if each["worth"] is None else each["worth"], reverse=True)


CAMPAIGN_SHOWN = [
    "campaign", "contacted_on", "days_seen", "contacted", "held_out", "contacted_bought", "control_bought",
    "uplift_bought", "uplift_bought_lower", "uplift_bought_upper", "bought_verdict", "contacted_spend", "control_spend",
    "uplift_spend", "uplift_spend_lower", "uplift_spend_upper", "spend_verdict",
]  # fmt: skip


def campaigns(results: pd.DataFrame) -> list[dict[str, Any]]:
    """What campaigns brought, the newest first; money in units of the currency."""
    newest = results.sort_values(["contacted_on", "campaign"], ascending=[False, True]) if len(results) else results
    dated = newest.assign(contacted_on=newest["contacted_on"].astype(str)) if len(newest) else newest
    return [{name: _none(row[name]) for name in CAMPAIGN_SHOWN} for row in dated.to_dict("records")]


def _none(value: Any) -> Any:
    return None if pd.isna(value) else value
