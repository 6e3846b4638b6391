"""Each customer's two lists: what was learnt, and the lists made of it, of any part of the customers at a time."""

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from retail_assets.analytics.ease import Ease
from retail_assets.analytics.next_basket import AGAIN, NEW, Candidates, Ranker, candidates, learn
from retail_assets.analytics.purchase_history import (
    WEEKS_4,
    Catalogue,
    History,
    Integers,
    Purchases,
    Reals,
    number_of,
)
from retail_assets.analytics.threads import one_thread

LENGTH = 10
"""Products of a list."""

FIRST = "first"
"""The list of customers without an order: what their country buys."""

OWN, OTHERS, COUNTRY = "own purchases", "others who buy the same", "country and season"
"""What a recommendation goes by."""

BOOSTED, SHARES = "gradient boosting", "shares"
"""What probabilities are: a model's, or shares of orders so far, where too little was bought to learn from."""

ANYWHERE = "all countries"

DOUBT = 50
"""A country of so many orders in four weeks goes half by its own and half by what all countries buy."""

AT_A_TIME = 1000
"""Customers whose lists are worked out together: some 300 MB."""


@dataclass(frozen=True)
class Recommender:
    """All that lists are made of, but the customers' own purchases; small enough to be sent to where these lie."""

    as_of: date
    catalogue: Catalogue
    ease: Ease
    ranker: Ranker | None
    products: Sequence[str]
    descriptions: Sequence[str]
    popular: Mapping[str, Reals]
    """Country -> of each product, which share of the coming orders has it."""

    @classmethod
    @one_thread()
    def learnt(cls, rows: pd.DataFrame, as_of: date, descriptions: Mapping[str, str]) -> "Recommender":
        """From rows with `customer_id`, `country`, `product`, `day` (each customer, product and day once);
        what lies on the as-of day or
        after it is not looked at."""
        known = rows[rows["day"] < number_of(as_of)]
        purchases, day = Purchases.of(known), number_of(as_of)
        history, catalogue = History.as_of(purchases, day), Catalogue.of(purchases, day)
        words = [descriptions.get(product, product) for product in purchases.products]
        return cls(
            as_of,
            catalogue,
            Ease.of(history, catalogue),
            learn(purchases, day),
            purchases.products,
            words,
            _popular(known, purchases.products, catalogue),
        )

    @property
    def model(self) -> str:
        """What its probabilities are."""
        return BOOSTED if self.ranker else SHARES

    @one_thread()
    def lists(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The lists of the customers of these rows, as `learnt` takes them: `customer_id`, `list`, `rank`, `product`,
        `description`, `probability`, `reason`, `basis`. What lies on the as-of day or after it is not looked at."""
        known = rows[rows["day"] < number_of(self.as_of)]
        purchases = Purchases.of(known, self.products)
        history = History.as_of(purchases, number_of(self.as_of))
        newest = known.sort_values(["day", "country"]).groupby("customer_id")["country"].last()
        countries, parts = newest.reindex(list(purchases.customers)).to_numpy(), []
        for begin in range(0, len(history.known), AT_A_TIME):
            customers = history.known[begin : begin + AT_A_TIME]
            found = candidates(history, self.catalogue, self.ease, customers)
            best = self._best(found)
            parts += [self._told(history, best), self._filled(history, best, customers, countries)]
        every = pd.concat([_nothing(), *(part for part in parts if len(part))])
        customer = every["customer"].to_numpy(np.int64)
        told = every.assign(
            customer_id=np.asarray(purchases.customers, dtype=object)[customer], country=countries[customer]
        )
        return self._in_words(told)

    def firsts(self) -> pd.DataFrame:
        """The lists of customers without an order, by country: as `lists`, with `country` and no customer."""
        rows = [
            (country, position, rates[position], place + 1)
            for country, rates in sorted(self.popular.items())
            for place, position in enumerate(np.argsort(-rates, kind="stable")[:LENGTH])
            if rates[position] > 0
        ]
        found = pd.DataFrame(rows, columns=["country", "position", "probability", "rank"])
        reasons = [f"much bought in {country} these weeks" for country in found["country"]]
        return self._in_words(found.assign(list=FIRST, reason=reasons, basis=COUNTRY, customer_id=None))

    def _in_words(self, found: pd.DataFrame) -> pd.DataFrame:
        position = found["position"].to_numpy(np.int64)
        return found.assign(
            product=np.asarray(self.products, dtype=object)[position],
            description=np.asarray(self.descriptions, dtype=object)[position],
        )

    def _best(self, found: Candidates) -> pd.DataFrame:
        """The best candidates of each customer and list: `customer`, `position`, `list`, `probability`, `rank`."""
        facts = found.facts
        if self.ranker:
            probability, score = self.ranker.probabilities(found), np.zeros(len(found.new))
        else:
            probability = np.where(found.new, facts["month_rate"], facts["share_of_orders"])
            score = np.where(found.new, facts["liked_by_popularity"], facts["usual"])
        ordered = np.lexsort((found.product, -score, -probability, found.new, found.customer))
        best = pd.DataFrame(
            {
                "customer": found.customer[ordered],
                "position": found.product[ordered],
                "list": np.where(found.new[ordered], NEW, AGAIN),
                "probability": np.clip(probability[ordered], 0, 1),
            }
        )
        best["rank"] = best.groupby(["customer", "list"]).cumcount() + 1
        return best[best["rank"] <= LENGTH]

    def _told(self, history: History, best: pd.DataFrame) -> pd.DataFrame:
        facts = history.pair_facts(best["customer"].to_numpy(), best["position"].to_numpy())
        because = self._because(history, best)
        reasons = [
            f"bought by those who buy {self.descriptions[other]}"
            if new
            else _bought(int(count), self.as_of - timedelta(days=int(days)))
            for new, other, count, days in zip(
                best["list"] == NEW, because, facts["count"], facts["days_since_product"], strict=True
            )
        ]
        return best.assign(reason=reasons, basis=np.where(best["list"] == NEW, OTHERS, OWN))

    def _because(self, history: History, best: pd.DataFrame) -> Integers:
        """Of each new product, the one among the customer's own that speaks most for it; 0 elsewhere."""
        ease, pairs = self.ease, history.pairs
        found = np.zeros(len(best), dtype=np.int64)
        customer, position = best["customer"].to_numpy(), best["position"].to_numpy()
        new = np.flatnonzero((best["list"] == NEW).to_numpy())
        for of in np.split(new, np.flatnonzero(np.diff(customer[new])) + 1) if len(new) else []:
            own = pairs.product[slice(*np.searchsorted(pairs.customer, [customer[of[0]], customer[of[0]] + 1]))]
            own = own[ease.place[own] >= 0]
            found[of] = own[np.argmax(ease.weights[np.ix_(ease.place[own], ease.place[position[of]])], axis=0)]
        return found

    def _filled(self, history: History, best: pd.DataFrame, customers: Integers, countries: Any) -> pd.DataFrame:
        """What the customer's country buys, where the list of new products is not full."""
        counted = best.loc[best["list"] == NEW, "customer"].value_counts()
        listed = counted.reindex(customers).fillna(0).to_numpy(np.int64)
        rows = [
            (customers[at], position, NEW, rate, listed[at] + place + 1, f"much bought in {country} these weeks")
            for at in np.flatnonzero(listed < LENGTH)
            for country in [countries[customers[at]]]
            for place, (position, rate) in enumerate(
                self._of_country(history, best, customers[at], country, listed[at])
            )
        ]
        columns = ["customer", "position", "list", "probability", "rank", "reason"]
        return pd.DataFrame(rows, columns=columns).assign(basis=COUNTRY)

    def _of_country(
        self, history: History, best: pd.DataFrame, customer: int, country: str, listed: int
    ) -> Iterator[tuple[int, float]]:
        """The most bought products of the country that the customer neither has nor is recommended."""
        rates = self.popular.get(country, self.popular[ANYWHERE]).copy()
        pairs = history.pairs
        rates[pairs.product[slice(*np.searchsorted(pairs.customer, [customer, customer + 1]))]] = 0
        if listed:
            rates[best.loc[(best["customer"] == customer) & (best["list"] == NEW), "position"]] = 0
        for position in np.argsort(-rates, kind="stable")[: LENGTH - listed]:
            if rates[position] > 0:
                yield int(position), float(min(rates[position], 1))


def _bought(count: int, last: date) -> str:
    times = {1: "once", 2: "twice"}.get(count, f"{count} times")
    last_in = f"in {calendar.month_name[last.month]} {last.year}"
    return f"bought {times}, {last_in}" if count == 1 else f"bought {times}, last {last_in}"


def _nothing() -> pd.DataFrame:
    kinds = {"customer": int, "position": int, "list": object, "probability": float, "rank": int, "reason": object}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in {**kinds, "basis": object}.items()})


def _popular(rows: pd.DataFrame, products: Sequence[str], catalogue: Catalogue) -> dict[str, Reals]:
    """Country -> of each product the share of orders that has it, of the last four weeks, half corrected for the
    season; drawn to all countries' where orders are few."""
    newest = rows[rows["day"] >= catalogue.day - WEEKS_4]
    season, places = np.sqrt(catalogue.season), pd.Index(products)

    def bought(of: pd.DataFrame) -> tuple[Reals, int]:
        counts = np.bincount(places.get_indexer(pd.Index(of["product"])), minlength=len(products)).astype(float)
        return counts * season, len(of[["customer_id", "day"]].drop_duplicates())

    counts, orders = bought(newest)
    overall = counts / max(orders, 1)
    found = {ANYWHERE: np.minimum(overall, 1)}
    for country, of in newest.groupby("country"):
        counts, orders = bought(of)
        found[str(country)] = np.minimum((counts + DOUBT * overall) / (orders + DOUBT), 1)
    return found
