"""Lists held against the next orders, beside what anybody could recommend instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.basket_measures import Judged, Lists, bm25, calibration_error, interval, judged
from retail_assets.analytics.next_basket import AGAIN, NEW, WITHIN
from retail_assets.analytics.purchase_history import Catalogue, History, Integers, Purchases, number_of
from retail_assets.analytics.recommending import Recommender
from retail_assets.analytics.threads import one_thread

LISTS, OWN_FREQUENCY, POPULARITY, NEIGHBOURS = "lists", "own frequency", "popularity", "BM25"
"""What was recommended, and the cheap rules beside it: what the customer bought most often (of equals the more popular
first), what everybody bought most in four weeks, and item neighbours weighted by BM25."""

MOST_POPULAR = 300
"""So many are kept in mind: enough that ten are left to almost everybody who bought many of them."""

BASELINE = {AGAIN: OWN_FREQUENCY, NEW: POPULARITY}
"""The cheap rule that a list must beat."""


@dataclass(frozen=True)
class Evaluation:
    """What one day's lists came to: `rows` of figures by list and method, and what they were worked out from."""

    rows: pd.DataFrame
    judged: Mapping[tuple[str, str], Judged]
    model: str


@one_thread()
def evaluated(rows: pd.DataFrame, day: date) -> Evaluation | None:
    """The lists of the day held against the orders of the 90 days from it on; None where nobody known ordered.

    `rows`: as `Recommender.learnt` takes them; that, and the lists, know nothing from the day on.
    """
    recommender = Recommender.learnt(rows, day, {})
    purchases = Purchases.of(rows[rows["day"] < number_of(day) + WITHIN])
    came = purchases.next_baskets(number_of(day), WITHIN)
    if not len(came.day):
        return None
    # The same products and customers as learnt from, by the positions of `purchases`.
    history, catalogue = History.as_of(purchases, number_of(day)), Catalogue.of(purchases, number_of(day))
    customers = np.unique(came.customer)
    said = _said(recommender, rows, purchases, customers)
    new_only = came._only(~np.isin(came.keys, history.pairs.keys))
    wanted = {AGAIN: came, NEW: new_only}
    found = {(which, LISTS): judged(lists, wanted[which]) for which, (lists, _) in said.items()}
    for (which, method), lists in _cheap(history, catalogue, customers).items():
        found[which, method] = judged(lists, wanted[which])
    sold = int((catalogue.newly > 0).sum())
    figures = []
    for (which, method), one in found.items():
        figures.append(_figures(one, sold) | {"list": which, "method": method, "model": recommender.model})
        if method == LISTS:
            figures[-1] |= _against(one, found, which) | _calibrated(said[which], wanted[which])
    return Evaluation(pd.DataFrame(figures), found, recommender.model)


def _said(
    recommender: Recommender, rows: pd.DataFrame, purchases: Purchases, customers: Integers
) -> dict[str, tuple[Lists, Any]]:
    """The lists of these customers, with their probabilities."""
    wanted = {purchases.customers[position] for position in customers}
    made = recommender.lists(rows[rows["customer_id"].isin(wanted)])
    customer = pd.Index(purchases.customers).get_indexer(pd.Index(made["customer_id"]))
    product = pd.Index(purchases.products).get_indexer(pd.Index(made["product"]))
    found = {}
    for which in (AGAIN, NEW):
        of = (made["list"] == which).to_numpy()
        place = 1.0 / made["rank"].to_numpy()[of]
        found[which] = Lists(customer[of], product[of], place), made["probability"].to_numpy()[of]
    return found


def _cheap(history: History, catalogue: Catalogue, customers: Integers) -> dict[tuple[str, str], Lists]:
    pairs, width = history.pairs, len(history.purchases.products)
    of = np.isin(pairs.customer, customers)
    frequent = pairs.count[of] + catalogue.newly[pairs.product[of]] / (1 + catalogue.newly.max())
    own = Lists(pairs.customer[of], pairs.product[of], frequent)
    popular = np.argsort(-catalogue.newly, kind="stable")[:MOST_POPULAR]
    everybody = Lists(
        np.repeat(customers, len(popular)),
        np.tile(popular, len(customers)),
        np.tile(catalogue.newly[popular], len(customers)),
    )
    scores = bm25(history, customers).tocoo()
    neighbours = Lists(customers[scores.row], scores.col.astype(np.int64), scores.data)

    def unbought(lists: Lists) -> Lists:
        kept = ~np.isin(lists.customer * width + lists.product, pairs.keys)
        return Lists(lists.customer[kept], lists.product[kept], lists.score[kept])

    return {
        (AGAIN, OWN_FREQUENCY): own,
        (AGAIN, POPULARITY): everybody,
        (AGAIN, NEIGHBOURS): neighbours,
        (NEW, POPULARITY): unbought(everybody),
        (NEW, NEIGHBOURS): unbought(neighbours),
    }


def _figures(one: Judged, sold: int) -> dict[str, Any]:
    return {
        "customers": len(one.recall),
        "recall": float(one.recall.mean()) if len(one.recall) else None,
        "ndcg": float(one.ndcg.mean()) if len(one.recall) else None,
        "hit_rate": float(one.hit.mean()) if len(one.recall) else None,
        "reach": len(one.recommended) / max(sold, 1),
    }


def _against(one: Judged, found: Mapping[tuple[str, str], Judged], which: str) -> dict[str, Any]:
    """The list's NDCG less that of its cheap rule, and of popularity, customer by customer."""
    figures: dict[str, Any] = {}
    for name, rule in (("gain", BASELINE[which]), ("popularity_gain", POPULARITY)):
        gain, lower, upper = interval(one.ndcg - found[which, rule].ndcg)
        figures |= {name: gain, f"{name}_lower": lower, f"{name}_upper": upper}
    return figures


def _calibrated(said: tuple[Lists, Any], came: Purchases) -> dict[str, Any]:
    """How probable what was recommended was said to be, and how much of it came."""
    lists, probability = said
    taken = np.isin(lists.customer * len(came.products) + lists.product, came.keys)
    return {
        "mean_probability": float(probability.mean()) if len(taken) else None,
        "share_taken": float(taken.mean()) if len(taken) else None,
        "calibration_error": calibration_error(probability, taken),
    }
