"""What was bought when, by whom: purchases as numbers, and what is known of products and customers as of a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

WEEKS_4, WEEKS_13, YEAR = 28, 91, 364
"""Days. A year of whole weeks, so that the same weekday is compared."""

AHEAD = 42
"""Days of last year that tell what season comes: most next orders lie within them."""

UNKNOWN = -1.0
"""What a pair without a purchase has in place of days."""


def number_of(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


@dataclass(frozen=True)
class Purchases:
    """Who bought what on which day: one entry for each customer, product and day, by day.

    `customer`, `product`: positions in `customers` and `products` (ids in order of the alphabet); `day`: days since
    1970. A customer's day is an order: what is bought on one day was, as a rule, chosen at one time.
    """

    customers: Sequence[str]
    products: Sequence[str]
    customer: Integers
    product: Integers
    day: Integers

    @classmethod
    def of(cls, rows: pd.DataFrame, products: Sequence[str] | None = None) -> "Purchases":
        """Of rows with `customer_id`, `product`, `day`, each once, in any order. `products`: those that there are,
        sorted; rows of others are left out."""
        known = sorted(rows["product"].unique()) if products is None else products
        product = pd.Index(known).get_indexer(pd.Index(rows["product"]))
        kept = product >= 0
        customer, customers = pd.factorize(rows["customer_id"].to_numpy()[kept], sort=True)
        product, day = product[kept], rows["day"].to_numpy(np.int64)[kept]
        order = np.lexsort((product, customer, day))
        return cls(
            list(customers), known, customer[order].astype(np.int64), product[order].astype(np.int64), day[order]
        )

    def _only(self, chosen: Any) -> "Purchases":
        return Purchases(self.customers, self.products, self.customer[chosen], self.product[chosen], self.day[chosen])

    def before(self, day: int) -> "Purchases":
        """Those before the day, of the same customers and products."""
        return self._only(slice(0, int(np.searchsorted(self.day, day))))

    def next_baskets(self, day: int, within: int) -> "Purchases":
        """Of each customer known before the day the first order of the `within` days from it on."""
        known = np.zeros(len(self.customers), dtype=bool)
        known[self.before(day).customer] = True
        window = (self.day >= day) & (self.day < day + within)
        first = np.full(len(self.customers), np.iinfo(np.int64).max)
        np.minimum.at(first, self.customer[window], self.day[window])
        return self._only(window & known[self.customer] & (self.day == first[self.customer]))

    @property
    def keys(self) -> Integers:
        """A number for each entry's customer and product."""
        return self.customer * len(self.products) + self.product

    @cached_property
    def orders(self) -> tuple[Integers, Integers]:
        """Customer and day of each order."""
        found = np.unique(self.customer * 10**6 + self.day)
        return found // 10**6, found % 10**6


@dataclass(frozen=True)
class Catalogue:
    """What is known of each product on the morning of `day`: how it sells."""

    day: int
    newly: Reals
    """Purchases of the last four weeks: a product without one is not sold any more."""
    quarter: Reals
    """Purchases of the last thirteen weeks."""
    season: Reals
    """How last year went on from here; see `_season`."""
    buyers: Integers
    """Customers who ever bought it."""
    facts: dict[str, Reals]

    @classmethod
    def of(cls, purchases: Purchases, day: int) -> "Catalogue":
        """Of what lies before the day."""
        known = purchases.before(day)
        width = len(known.products)
        customer_days = known.orders[1]

        def bought(earliest: int, before: int = day) -> Reals:
            lies = slice(*np.searchsorted(known.day, [earliest, before]))
            return np.bincount(known.product[lies], minlength=width).astype(float)

        def rate(days: int) -> Reals:
            return bought(day - days) / max(int((customer_days >= day - days).sum()), 1)

        first = np.full(width, day)
        np.minimum.at(first, known.product, known.day)
        buyers = np.bincount(np.unique(known.keys) % max(width, 1), minlength=width)
        season = _season(known, day, bought)
        facts = {
            "week_rate": rate(7),
            "month_rate": rate(WEEKS_4),
            "quarter_rate": rate(WEEKS_13),
            "season": season,
            "product_age": np.minimum(day - first, YEAR).astype(float),
            "purchases_per_buyer": np.bincount(known.product, minlength=width) / np.maximum(buyers, 1),
        }
        return cls(day, bought(day - WEEKS_4), bought(day - WEEKS_13), season, buyers, facts)

    @cached_property
    def expected(self) -> Reals:
        """How popular each is going to be: purchases of four weeks, half corrected for the season."""
        return self.newly * np.sqrt(self.season)


def _season(known: Purchases, day: int, bought: Any) -> Reals:
    """Of each product, purchases a day of the six weeks that came a year ago by those of the four weeks before, drawn
    to 1 where there were few; 1 where last year's weeks are not known."""
    same = day - YEAR
    if not len(known.day) or known.day[0] > same - WEEKS_4 // 2:
        return np.ones(len(known.products))
    days = same - max(same - WEEKS_4, int(known.day[0]))
    came, came_before = bought(same, same + AHEAD), bought(same - WEEKS_4, same) * AHEAD / days
    return np.clip((came + 5) / (came_before + 5), 0.1, 3.0)


@dataclass(frozen=True)
class Pairs:
    """What is known of customers and products together: one entry a pair, by customer, then product."""

    keys: Integers
    customer: Integers
    product: Integers
    count: Integers
    first: Integers
    last: Integers
    half_year: Reals
    """Purchases, each counting half as much after 180 days."""
    six_weeks: Reals
    """The same after 45 days."""


@dataclass(frozen=True)
class History:
    """What customers had done by the morning of `day`: nothing of that day or later is in `purchases`."""

    day: int
    purchases: Purchases

    @classmethod
    def as_of(cls, purchases: Purchases, day: int) -> "History":
        """Cuts off whatever lies on the day or after it."""
        return cls(day, purchases.before(day))

    @cached_property
    def pairs(self) -> Pairs:
        """Customers with products."""
        width = max(len(self.purchases.products), 1)
        order = np.argsort(self.purchases.keys, kind="stable")  # they lie by day, and stay so within a pair
        key, day = self.purchases.keys[order], self.purchases.day[order]
        starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]][: len(key)])
        ends, age, pair = np.r_[starts[1:], len(key)][: len(starts)], self.day - day, key[starts]

        def fading(half_life: int) -> Reals:
            return np.add.reduceat(0.5 ** (age / half_life), starts) if len(key) else np.empty(0)

        return Pairs(
            pair, pair // width, pair % width, ends - starts, day[starts], day[ends - 1], fading(180), fading(45)
        )

    @cached_property
    def customer_facts(self) -> dict[str, Reals]:
        """Of each customer; of one without an order, what 0 orders come to."""
        (customer, day), width = self.purchases.orders, len(self.purchases.customers)
        orders = np.bincount(customer, minlength=width).astype(float)
        last, first = np.zeros(width), np.full(width, float(self.day))
        np.maximum.at(last, customer, day.astype(float))
        np.minimum.at(first, customer, day.astype(float))
        return {
            "orders": orders,
            "days_since_order": np.where(orders > 0, self.day - last, UNKNOWN),
            "tenure": self.day - first,
            "products_per_order": np.bincount(self.purchases.customer, minlength=width) / np.maximum(orders, 1),
        }

    @cached_property
    def known(self) -> Integers:
        """The customers with an order, by position."""
        return np.flatnonzero(self.customer_facts["orders"])

    def pair_facts(self, customer: Integers, product: Integers) -> dict[str, Reals]:
        """Of each of these pairs; days that a pair without a purchase does not have are UNKNOWN."""
        pairs, wanted = self.pairs, customer * len(self.purchases.products) + product
        at = np.minimum(np.searchsorted(pairs.keys, wanted), max(len(pairs.keys) - 1, 0))
        there = pairs.keys[at] == wanted if len(pairs.keys) else np.zeros(len(wanted), dtype=bool)

        def known(values: Any, otherwise: float = UNKNOWN) -> Reals:
            return np.where(there, values, otherwise)

        count, first, last = pairs.count[at], pairs.first[at], pairs.last[at]
        gap = np.where(count > 1, (last - first) / np.maximum(count - 1, 1), UNKNOWN)
        return {
            "count": known(count, 0),
            "half_year": known(pairs.half_year[at], 0),
            "six_weeks": known(pairs.six_weeks[at], 0),
            "days_since_product": known(self.day - last),
            "days_since_first": known(self.day - first),
            "usual_gap": known(gap),
            "overdue": known(np.where(gap > 0, (self.day - last) / np.maximum(gap, 1), UNKNOWN)),
            "share_of_orders": known(count / np.maximum(self.customer_facts["orders"][customer], 1), 0),
        }
