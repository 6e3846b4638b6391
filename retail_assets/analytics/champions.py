"""Which month's segment model scores: a new one takes over from the champion only if it passes every gate.

Everything follows from the models' rows and the customers of their months, in the order of the months: no registry is
asked, so the same tables always give the same champions, in whatever order and in how many runs they were made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.clustering_measures import adjusted_rand_index, contingency
from retail_assets.analytics.segmentation import SMALLEST_SHARE, centres_of, labels, placed
from retail_assets.partitions.months import month_number

SILHOUETTE_FLOOR = 0.2
"""Below this, groups lie within each other; real data: 0.34 to 0.38."""

AGREEMENT_FLOOR = 0.5
"""Adjusted Rand index against the champion, on the month's own customers. Online Retail II: 0.57 and 0.66 in the first
two months, 0.70 to 0.96 later, and 0.42 once: a December with three groups instead of four, whose customers would
have had other labels for a month."""

GATES = {
    "silhouette": SILHOUETTE_FLOOR,
    "smallest_share": SMALLEST_SHARE,
    "agreement_with_champion": AGREEMENT_FLOOR,
}
"""Gate -> the least that passes it."""

ENOUGH_CUSTOMERS = 1_000
"""Below, two models of one shop differ by chance. Online Retail II drawn down to shops of 200 to 500 customers: two
months' models agree by less than 0.5 in 13 to 26 % of months, of 500 to 1,000 in 6 % (December 2010 apart), of all in
none. Segments are kept all the same: the champion goes on scoring, and nobody is warned."""

MONTHS_IN_FORCE = 12
"""A champion that is a year old has seen every season: what then differs from it is change, and may take over."""

GROWTH_IN_FORCE = 2
"""A shop with more than so many times the customers that the champion was made of has outgrown it: most are new to it.
In Online Retail II each month takes over long before; a shop that begins with a hundred would keep their model a year.
"""

MATCHED_FROM = 0.5
"""Share of the customers of both clusters that are in both (Jaccard), from which two clusters are the same one: more
than half cannot be true of two."""

PANEL = 20_000
"""Customers a month that agreement is measured on: all, or so many by the hash of their id."""


@dataclass(frozen=True)
class Standing:
    """One month's decision: whose model scores (`champion`), and why.

    `promoted`: the month's own model took over. `failed_gates`: why it did not. `agreement`: adjusted Rand index
    against the champion until then, None where there was none. `labels`: the name of each of the champion's clusters.
    """

    champion: date
    promoted: bool
    failed_gates: tuple[str, ...]
    agreement: float | None
    labels: Mapping[int, str]


def panel(customers: DataFrame, sizes: Mapping[date, int], month: str, largest: int = PANEL) -> DataFrame:
    """At most about `largest` customers of each month (the column `month`; `sizes`: how many it has), the same ones."""
    kept = {day: largest / size for day, size in sizes.items() if size > largest}
    if not kept:
        return customers
    place = F.pmod(F.xxhash64("customer_id"), F.lit(1_000_000)) / 1_000_000
    shares = [F.when(F.col(month) == F.lit(day), share) for day, share in kept.items()]
    return customers.filter(place < F.coalesce(*shares, F.lit(1.0)))


def standings(models: Mapping[date, pd.DataFrame], customers: Mapping[date, pd.DataFrame]) -> dict[date, Standing]:
    """The decision of every month, in order of time.

    `models`: the rows of each month's model, with its `silhouette`; `customers`: `FEATURES` of its customers. While no
    model passed yet the month's own scores, as there is no other.
    """
    found: dict[date, Standing] = {}
    champion: Standing | None = None
    for month in sorted(models):
        own = models[month]
        now, before, agreement = placed(own, customers[month]), None, None
        if champion is not None:
            before = placed(models[champion.champion], customers[month])
            agreement = adjusted_rand_index(before, now)
            if len(customers[month]) > GROWTH_IN_FORCE * len(customers[champion.champion]):
                champion = None  # names are given anew, too: most customers never had one
        asked = champion is not None and not _retired(champion.champion, month)
        failed = _failed_gates(own, agreement if asked else None)
        if champion is None or not failed:
            kept = _labels_kept(now, before, champion.labels) if champion and before is not None else {}
            found[month] = Standing(month, not failed, failed, agreement, _named(own, kept))
        else:
            found[month] = Standing(champion.champion, False, failed, agreement, champion.labels)
        if not failed:
            champion = found[month]
    return found


def overlap(clusters: np.ndarray, before: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of clusters (now, before) of the same customers that share most, each cluster in one pair at most, with the
    share of the customers of both that are in both."""
    from scipy.optimize import linear_sum_assignment

    now, then = np.unique(clusters), np.unique(before)
    counts = contingency(clusters, before)[np.ix_(now, then)].astype("float64")
    jaccard = counts / (counts.sum(axis=1)[:, None] + counts.sum(axis=0)[None, :] - counts)
    rows, columns = linear_sum_assignment(-jaccard)
    pairs = zip(rows, columns, strict=True)
    return [(int(now[row]), int(then[column]), float(jaccard[row, column])) for row, column in pairs]


def _failed_gates(model: pd.DataFrame, agreement: float | None) -> tuple[str, ...]:
    figures = {"silhouette": model["silhouette"].iloc[0], "smallest_share": model["share"].min()}
    if agreement is not None:
        figures["agreement_with_champion"] = agreement
    return tuple(name for name, figure in figures.items() if pd.isna(figure) or figure < GATES[name])


def _retired(champion: date, month: date) -> bool:
    return month_number(month) - month_number(champion) > MONTHS_IN_FORCE


def _labels_kept(clusters: np.ndarray, before: np.ndarray, known: Mapping[int, str]) -> dict[int, str]:
    """Cluster -> the label of the champion's cluster that it is the same as."""
    return {new: known[old] for new, old, shared in overlap(clusters, before) if shared > MATCHED_FROM}


def _named(model: pd.DataFrame, kept: Mapping[int, str]) -> dict[int, str]:
    """Labels of all clusters: those kept, and for the others the free name that fits where they lie."""
    new = model[~model["cluster"].isin(list(kept))].sort_values("cluster")
    fresh = labels(centres_of(new), taken=kept.values()) if len(new) else []
    return dict(sorted({**kept, **dict(zip(map(int, new["cluster"]), fresh, strict=True))}.items()))
