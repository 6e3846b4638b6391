"""The next order: which products a customer takes again, and which for the first time, each with a probability.

Candidates are what a customer bought and what those buy who buy the same (EASE). Two gradient boosted models, learnt
from windows that were over by the day, say how probable each is in the next order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retail_assets.analytics.ease import Ease
from retail_assets.analytics.purchase_history import Catalogue, History, Integers, Purchases, Reals

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

AGAIN, NEW = "again", "new"

WITHIN = 90
"""Days within which the next order must come to be learnt from, and to be judged by."""

LEARNT_FROM = (91, 147, 364)
"""Windows that are learnt from begin so many days before: the newest that is over, one before it, and the same season
of last year."""

LEAST_HISTORY = 112
"""Days of history that such a window must have before it."""

LEAST_TAKEN = 500
"""Purchases of candidates that a list's model is learnt from at least."""

CANDIDATES = 80
"""New products of which the probability is worked out: the best by EASE."""

SEED = 0
BOOSTING = {
    "max_iter": 120, "learning_rate": 0.08, "max_leaf_nodes": 24, "min_samples_leaf": 80, "l2_regularization": 5.0,
    "early_stopping": False, "random_state": SEED,
}  # fmt: skip

_OF_PRODUCT = ("week_rate", "month_rate", "quarter_rate", "season", "product_age", "purchases_per_buyer")
_OF_CUSTOMER = ("orders", "days_since_order", "tenure", "products_per_order")
_OF_PAIR = (
    "count", "half_year", "six_weeks", "days_since_product", "days_since_first", "usual_gap", "overdue",
    "share_of_orders",
)  # fmt: skip
_OF_OTHERS = ("liked", "liked_lately", "liked_by_popularity", "liked_lately_by_popularity")
FEATURES = {
    AGAIN: ("usual", *_OF_PAIR, *_OF_CUSTOMER, *_OF_PRODUCT, *_OF_OTHERS),
    NEW: (*_OF_CUSTOMER, *_OF_PRODUCT, *_OF_OTHERS, "place"),
}
_RISING = {"usual", "half_year", "liked", "liked_by_popularity", "liked_lately_by_popularity"}
"""All else the same, more of it never makes a purchase less probable."""


@dataclass(frozen=True)
class Candidates:
    """Customers' products with what is known of them; `new`: those that they never bought."""

    customer: Integers
    product: Integers
    new: NDArray[np.bool_]
    facts: Mapping[str, Reals] = field(repr=False)

    def of(self, which: str) -> NDArray[np.bool_]:
        """Which of them are a list's."""
        return self.new if which == NEW else ~self.new

    def features(self, which: str) -> NDArray[np.float32]:
        """What the list's model learns from and scores."""
        rows = self.of(which)
        return np.column_stack([self.facts[name][rows] for name in FEATURES[which]]).astype(np.float32)


def candidates(history: History, catalogue: Catalogue, ease: Ease, customers: Integers) -> Candidates:
    """Of each customer all products bought that are still sold, and the best new ones."""
    ever, lately = (
        ease.matrix(history, values)[customers]
        for values in (np.ones(len(history.pairs.keys)), history.pairs.half_year)
    )
    liked, liked_lately = ever @ ease.weights, lately @ ease.weights
    root = np.sqrt(catalogue.expected)
    score = (np.maximum(liked, 0) + np.maximum(liked_lately, 0)) * root[ease.products].astype(np.float32)
    score[ever.nonzero()] = 0
    best = np.argsort(-score, axis=1, kind="stable")[:, :CANDIDATES]
    row_new, place = np.nonzero(np.take_along_axis(score, best, 1) > 0)
    row_again, bought = _bought_and_sold(history, catalogue, customers)
    row, product = np.r_[row_new, row_again], np.r_[ease.products[best[row_new, place]], bought]
    column = ease.place[product]
    facts = history.pair_facts(customers[row], product)
    facts |= {name: history.customer_facts[name][customers[row]] for name in _OF_CUSTOMER}
    facts |= {name: catalogue.facts[name][product] for name in _OF_PRODUCT}
    for name, scores in (("liked", liked), ("liked_lately", liked_lately)):
        facts[name] = np.where(column >= 0, scores[row, column], 0.0) if len(ease.products) else np.zeros(len(row))
        facts[f"{name}_by_popularity"] = np.maximum(facts[name], 0) * root[product]
    facts["usual"] = (facts["half_year"] + 0.3 * facts["count"]) * (1 + catalogue.expected[product]) ** 0.4
    facts["place"] = np.r_[place, np.zeros(len(row_again))].astype(float)
    return Candidates(customers[row], product, np.arange(len(row)) < len(row_new), facts)


def _bought_and_sold(history: History, catalogue: Catalogue, customers: Integers) -> tuple[Integers, Integers]:
    """Of these customers (by position among them) every product bought that is still sold."""
    at = np.full(len(history.purchases.customers), -1)
    at[customers] = np.arange(len(customers))
    chosen = (at[history.pairs.customer] >= 0) & (catalogue.newly[history.pairs.product] > 0)
    return at[history.pairs.customer[chosen]], history.pairs.product[chosen]


@dataclass(frozen=True)
class Ranker:
    """List -> its model, and the first days of the windows that they were learnt from."""

    models: "Mapping[str, HistGradientBoostingClassifier]"
    windows: tuple[int, ...]

    def probabilities(self, found: Candidates) -> Reals:
        """Of each candidate, that the customer's next order has it, should there be one within 90 days."""
        probability = np.zeros(len(found.new))
        for which, model in self.models.items():
            if found.of(which).any():
                probability[found.of(which)] = model.predict_proba(found.features(which))[:, 1]
        return probability


def learn(purchases: Purchases, day: int) -> Ranker | None:
    """Learnt from windows over by the day; None where too little was bought in them."""
    first = int(purchases.day[0]) if len(purchases.day) else day
    windows = tuple(day - back for back in LEARNT_FROM if day - back - first >= LEAST_HISTORY)
    known = purchases.before(day)
    seen = [_window(known, begin) for begin in windows]
    models = {}
    for which in (AGAIN, NEW):
        features = [found.features(which) for found, _ in seen]
        taken = np.concatenate([taken[found.of(which)] for found, taken in seen]) if seen else np.empty(0)
        if taken.sum() < LEAST_TAKEN:
            return None
        models[which] = _boosted(FEATURES[which]).fit(np.vstack(features), taken)
    return Ranker(models, windows)


def _boosted(names: tuple[str, ...]) -> "HistGradientBoostingClassifier":
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**BOOSTING, monotonic_cst=[int(name in _RISING) for name in names])


def _window(known: Purchases, begin: int) -> tuple[Candidates, NDArray[np.bool_]]:
    """The candidates of those who ordered within 90 days of it, and whether that order had them."""
    history, catalogue, came = (
        History.as_of(known, begin),
        Catalogue.of(known, begin),
        known.next_baskets(begin, WITHIN),
    )
    found = candidates(history, catalogue, Ease.of(history, catalogue), np.unique(came.customer))
    return found, np.isin(found.customer * len(known.products) + found.product, came.keys)
