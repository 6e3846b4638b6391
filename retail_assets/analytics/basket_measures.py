"""How good lists are: recall, NDCG and hit rate of the first ten against the next order, reach, calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retail_assets.analytics.purchase_history import History, Integers, Purchases, Reals

LENGTH = 10
SAMPLES = 1000
SEED = 0

_DISCOUNTS = 1 / np.log2(np.arange(2, LENGTH + 2))
_IDEAL = np.cumsum(_DISCOUNTS)


@dataclass(frozen=True)
class Lists:
    """Ranked products, whoever ranked them: one entry each of `customer`, `product` (positions) and `score`."""

    customer: Integers
    product: Integers
    score: Reals

    def first(self) -> tuple[Integers, Integers, Integers]:
        """Customer, product and place (from 0) of the ten best of each customer; a score of 0 is no recommendation."""
        order = np.lexsort((self.product, -self.score, self.customer))
        order = order[self.score[order] > 0]
        customer = self.customer[order]
        begins = np.flatnonzero(np.r_[True, customer[1:] != customer[:-1]][: len(customer)])
        place = np.arange(len(customer)) - np.repeat(begins, np.diff(np.r_[begins, len(customer)]))
        return customer[place < LENGTH], self.product[order][place < LENGTH], place[place < LENGTH]


@dataclass(frozen=True)
class Judged:
    """Of each customer with an order to judge by, in order of their positions."""

    recall: Reals
    """Hits by the products of the order, by ten if these are more."""
    ndcg: Reals
    hit: NDArray[np.bool_]
    recommended: Integers
    """The products that were recommended to anybody."""


def judged(lists: Lists, came: Purchases) -> Judged:
    """Held against the orders that came; who has none of these is not judged, who has no list has 0."""
    customers, wanted = np.unique(came.customer, return_counts=True)
    wanted = np.minimum(wanted, LENGTH)
    customer, product, place = lists.first()
    recommended = np.unique(product)
    hits = np.isin(customer * len(came.products) + product, came.keys)
    at, place = np.searchsorted(customers, customer[hits]), place[hits]
    counts = np.bincount(at, minlength=len(customers))
    gains = np.bincount(at, _DISCOUNTS[place], minlength=len(customers))
    return Judged(counts / wanted, gains / _IDEAL[wanted - 1], counts > 0, recommended)


def interval(differences: Reals) -> tuple[float, float, float]:
    """The mean of paired differences with its 95 % interval, by bootstrap over customers; 0 of nobody."""
    if not len(differences):
        return 0.0, 0.0, 0.0
    draws = np.random.default_rng(SEED).integers(0, len(differences), (SAMPLES, len(differences)), dtype=np.int32)
    lower, upper = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(differences.mean()), float(lower), float(upper)


def calibration_error(probability: Reals, came: NDArray[np.bool_]) -> float | None:
    """Mean distance of probability and what came over ten equal parts by probability; None of nothing."""
    if not len(probability):
        return None
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, 10) if len(part)]
    return float(
        np.average([abs(probability[p].mean() - came[p].mean()) for p in parts], weights=[len(p) for p in parts])
    )


def bm25(history: History, customers: Integers, neighbours: int = 20) -> Any:
    """What item neighbours say, weighted by BM25 (k1 1.2, b 0.75) as implicit's BM25Recommender weights them: the usual
    method to compare with. Of these customers, a score of each product, sparse."""
    from scipy.sparse import csr_matrix

    pairs, width = history.pairs, len(history.purchases.products)
    shape = (width, len(history.purchases.customers))
    counts = csr_matrix((pairs.count.astype(float), (pairs.product, pairs.customer)), shape=shape)
    rare = np.log(shape[0] / (1 + np.bincount(pairs.customer, minlength=shape[1])))
    length = np.asarray(counts.sum(axis=1)).ravel()
    long = 0.25 + 0.75 * length / max(length.mean(), 1e-9)
    weighted = counts.copy()
    row_of = np.repeat(np.arange(width), np.diff(counts.indptr))
    weighted.data = counts.data * 2.2 / (1.2 * long[row_of] + counts.data) * np.maximum(rare[counts.indices], 0)
    alike = (weighted @ weighted.T).toarray().astype(np.float32)
    np.fill_diagonal(alike, 0)
    best = np.argpartition(-alike, min(neighbours, width - 1), axis=1)[:, :neighbours]
    row, column = np.repeat(np.arange(width), best.shape[1]), best.ravel()
    kept = csr_matrix((alike[row, column], (row, column)), shape=(width, width))
    return counts.T.tocsr()[customers] @ kept
