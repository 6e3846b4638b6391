"""EASE: which products go with which, from all customers' histories (Steck 2019, "Embarrassingly shallow autoencoders
for sparse data"), in closed form; a product says nothing of itself."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retail_assets.analytics.purchase_history import Catalogue, History, Integers, Reals

RIDGE = 300.0
"""EASE's only parameter: buyers' worth of doubt that a product is bought for another's sake."""

LEAST_BUYERS = 5
MOST_PRODUCTS = 4000
"""The most bought ones are compared: a matrix of so many takes 64 MB, and some seconds to invert."""


@dataclass(frozen=True)
class Ease:
    """What was learnt: `weights`, product × product, of `products` (positions), of so many products (`width`)."""

    width: int
    products: Integers
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, history: History, catalogue: Catalogue) -> "Ease":
        """Of the products sold within thirteen weeks that enough customers bought."""
        import scipy.linalg

        enough = np.flatnonzero((catalogue.buyers >= LEAST_BUYERS) & (catalogue.quarter > 0))
        products = np.sort(enough[np.argsort(-catalogue.buyers[enough], kind="stable")[:MOST_PRODUCTS]])
        found = cls(len(catalogue.buyers), products, np.zeros((len(products), len(products)), np.float32))
        if not len(products):
            return found
        bought = found.matrix(history, np.ones(len(history.pairs.keys)))
        gram = (bought.T @ bought).toarray()
        gram[np.diag_indices_from(gram)] += RIDGE
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return cls(found.width, products, weights.astype(np.float32))

    @cached_property
    def place(self) -> Integers:
        """Product -> its position in `products`, or -1."""
        place = np.full(self.width, -1)
        place[self.products] = np.arange(len(self.products))
        return place

    def matrix(self, history: History, values: Reals) -> Any:
        """Customer × product, sparse: the values of a history's pairs."""
        from scipy.sparse import csr_matrix

        place = self.place[history.pairs.product]
        there = place >= 0
        shape = (len(history.purchases.customers), len(self.products))
        entries = values[there].astype(np.float32)
        return csr_matrix((entries, (history.pairs.customer[there], place[there])), shape=shape)
