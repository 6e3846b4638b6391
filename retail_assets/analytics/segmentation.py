"""K-means segments of customers by recency, frequency and monetary value: search, choice, names.

Features are held within bounds, transformed and standardised to mean 0 and deviation 1 (`Scaling`): by default the
logarithm, log1p, as all three measures have long tails (untransformed, a handful of wholesalers make a cluster of their
own and a silhouette of 0.99); or winsorised, each measure held between two quantiles. Clusters are found by an engine
(`segment_engines`), scikit-learn or MLlib; the search, the choice and the names are the same for both.
"""

import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

from retail_assets.analytics.clustering_measures import adjusted_rand_index, mean_silhouette, nearest
from retail_assets.analytics.threads import one_thread

if TYPE_CHECKING:
    from sklearn.cluster import KMeans
    from sklearn.pipeline import Pipeline

# What a dimension is called in the model table -> the column of the customer table it is made from.
DIMENSIONS = {"recency": "recency_days", "frequency": "frequency", "monetary": "monetary"}
FEATURES = list(DIMENSIONS.values())

Transform = Literal["log", "winsorised"]
WINSORISED_AT = (0.01, 0.99)
"""The quantiles that winsorised measures are held between."""

CLUSTERS_SEARCHED = range(2, 11)
SEED = 42
SILHOUETTE_SAMPLE = 2_000  # the silhouette is quadratic in the number of customers
RESAMPLES = 3  # bootstrap samples per candidate

# The choice. Two groups ("good" and "bad") tell marketing nothing new, so at least three; a group of less than a
# twentieth is a handful of outliers; below 0.75 a clustering is not recovered from a resample of its own customers
# (the threshold that C. Hennig, "Cluster-wise assessment of cluster stability" (2007), gives for valid clusters).
FEWEST_CLUSTERS = 3
SMALLEST_SHARE = 0.05
LEAST_STABILITY = 0.75

# What a kind of customer is called -> where that kind lies: (recency, value), in standard deviations from the
# average customer, value being the mean of frequency and monetary. Recency counts days: lower is more recent.
LABELS = {
    "Best customers": (-1.2, 1.6),
    "Steady buyers": (-0.5, 0.8),
    "Recent light buyers": (-1.0, -0.3),
    "Occasional buyers": (-0.2, 0.1),
    "Lapsing regulars": (0.4, 0.4),
    "Dormant": (0.9, -0.9),
    "Top accounts": (-1.6, 2.8),
    "Lapsed big spenders": (0.7, 1.4),
    "Recent first-timers": (-1.3, -1.1),
    "Fading light buyers": (0.1, -0.8),
}

HABITS = ("Steady buyers", "Lapsing regulars")
"""Names of those who came again and again: not given where frequency tells no customers apart."""

LABEL_ACTIONS = {
    "Best customers": "Reward them: early access, a named contact, no discounts they do not need",
    "Steady buyers": "Widen what they buy: related products, volume prices",
    "Recent light buyers": "Bring the next order forward: suggest what goes with the last one",
    "Occasional buyers": "Remind them at their season, with what they bought before",
    "Lapsing regulars": "Win them back now: write personally, ask what is missing, a renewal offer",
    "Dormant": "A cheap reminder; leave them out of costly campaigns",
    "Top accounts": "Look after each one personally; agree terms for the year",
    "Lapsed big spenders": "Call them: each is worth a visit",
    "Recent first-timers": "Welcome them; make the second order easy",
    "Fading light buyers": "One offer on a bestseller; then let them rest",
}


@dataclass(frozen=True)
class Scaling:
    """How measures become features: held between `floor` and `cap`, transformed, standardised; in FEATURES' order."""

    transform: str
    floor: tuple[float, ...]
    cap: tuple[float, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Rows of measures as features."""
        bounded = np.clip(values, self.floor, self.cap)
        return ((np.log1p(bounded) if self.transform == "log" else bounded) - self.mean) / self.deviation

    def original(self, scaled: np.ndarray) -> np.ndarray:
        """Rows of features as measures."""
        transformed = scaled * self.deviation + self.mean
        return np.expm1(transformed) if self.transform == "log" else transformed

    def in_words(self) -> str:
        """The features' definition, for people."""
        if self.transform == "log":
            return "log1p of each measure (negative values count as 0), standardised by mean and deviation"
        low, high = WINSORISED_AT
        return f"each measure held between its {low:.0%} and {high:.0%} quantiles, standardised by mean and deviation"


@dataclass(frozen=True)
class Candidate:
    """One clustering that was tried. `stability`: mean adjusted Rand index of its labels against those of models
    trained on bootstrap samples (1: always found again, 0: chance). `silhouette` is measured on a fixed sample."""

    clusters: int
    silhouette: float
    calinski_harabasz: float
    davies_bouldin: float
    inertia: float
    smallest_share: float
    stability: float


@dataclass(frozen=True)
class Cluster:
    """One segment. `recency_days, frequency, monetary`: the centroid in original units (the back-transformed mean
    of the logarithms: the typical customer). Numbered from 0, the highest `value_score` first."""

    cluster: int
    label: str
    customers: int
    share: float
    value_score: float
    recency_days: float
    frequency: float
    monetary: float
    recency_scaled: float
    frequency_scaled: float
    monetary_scaled: float


@dataclass(frozen=True)
class Segmentation:
    """The clusters chosen, why, and what they were chosen from.

    `model` is a scikit-learn pipeline from `FEATURES` in original units to the cluster's number; it needs nothing
    of this package to be loaded. It is None where there was no customer.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    rule: str
    scaling: Scaling
    clusters: tuple[Cluster, ...]
    engine: str
    model: "Pipeline | None"

    def model_rows(self) -> pd.DataFrame:
        """One row per cluster: the columns of `Cluster`, `transform`, and of each dimension its bounds, `_mean` and
        `_deviation`."""
        frame = pd.DataFrame([asdict(cluster) for cluster in self.clusters], columns=list(Cluster.__annotations__))
        frame["transform"] = self.scaling.transform
        for number, dimension in enumerate(DIMENSIONS):
            for name in ("floor", "cap", "mean", "deviation"):
                frame[f"{dimension}_{name}"] = getattr(self.scaling, name)[number]
        return frame


@dataclass(frozen=True)
class Fitted:
    """k-means as an engine found it: centres (scaled, one row each), inertia, customers of each centre."""

    centres: np.ndarray
    inertia: float
    sizes: np.ndarray


class Engine(Protocol):
    """Finds clusters among one month's customers, wherever their rows are. The same customers, the same clusters."""

    name: str
    scaling: Scaling
    customers: int
    distinct: int
    """Different customers by their features; counted no further than the search needs."""
    sample: np.ndarray
    """Scaled features that candidates are measured on: of all customers, or of the same sample every time."""

    def fit(self, clusters: int, seed: int = SEED, resampled: bool = False) -> Fitted:
        """k-means over all customers, or a fixed sample, or over a bootstrap sample of these drawn with the seed."""

    def sizes(self, centres: np.ndarray) -> np.ndarray:
        """How many customers are nearest to each centre."""


def search(engine: Engine, clusters: Iterable[int] = CLUSTERS_SEARCHED) -> Segmentation:
    """Tries every number of clusters, measures each, chooses one by `choose`, and names and numbers its clusters.

    Customers too few or too alike for three clusters get two, or one that holds them all.
    """
    with one_thread():
        # A silhouette needs more customers than clusters, and k-means as many distinct ones.
        most = min(engine.distinct, engine.customers - 1)
        fits = {number: engine.fit(number) for number in clusters if number <= most}
        # MLlib may find fewer than it was asked for.
        fitted = {number: found for number, found in fits.items() if len(found.centres) == number}
        measured_on = _Sample(engine.sample)
        candidates = tuple(_measure(engine, found, measured_on) for found in fitted.values())
        chosen, rule = choose(candidates)
        centres = fitted[chosen.clusters].centres if chosen else np.zeros((1, len(FEATURES)))
        value_scores = centres @ np.array([-1.0, 1.0, 1.0]) / 3
        order = np.argsort(-value_scores, kind="stable")
        centres, value_scores = np.ascontiguousarray(centres[order]), value_scores[order]
        sizes = engine.sizes(centres)
    named = zip(
        labels(centres), sizes, value_scores, engine.scaling.original(centres).tolist(), centres.tolist(), strict=True
    )
    found = tuple(
        Cluster(number, label, int(size), float(size / engine.customers), float(value_score), *original, *scaled)
        for number, (label, size, value_score, original, scaled) in enumerate(named)
    )
    return Segmentation(candidates, chosen, rule, engine.scaling, found, engine.name, pipeline(engine.scaling, centres))


def pipeline(scaling: Scaling, centres: np.ndarray) -> "Pipeline":
    """The scikit-learn pipeline from `FEATURES` in original units to the number of the nearest centre."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    standard = StandardScaler()
    standard.mean_, standard.scale_ = np.array(scaling.mean), np.array(scaling.deviation)
    standard.var_, standard.n_features_in_ = standard.scale_**2, len(FEATURES)
    bounds = {"a_min": np.array(scaling.floor), "a_max": np.array(scaling.cap)}
    first = FunctionTransformer(np.clip, kw_args=bounds, validate=True)
    first.fit(pd.DataFrame(np.zeros((1, len(FEATURES))), columns=FEATURES))  # what it takes, by name
    steps: list[tuple[str, Any]] = [("bounds", first)]
    if scaling.transform == "log":
        steps.append(("logarithm", FunctionTransformer(np.log1p)))
    return Pipeline([*steps, ("standard", standard), ("clusters", _k_means(centres))])


def _k_means(centres: np.ndarray) -> "KMeans":
    """A scikit-learn model whose `predict` gives the nearest of these centres."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of centres that are alike: they are taken as they are
        model = KMeans(len(centres), init=centres, n_init=1, random_state=SEED).fit(centres)
    model.cluster_centers_ = np.ascontiguousarray(centres, dtype="float64")
    return model


def model_of(rows: pd.DataFrame) -> "Pipeline":
    """The pipeline of a month's model, made of its rows in the model table alone."""
    rows = rows.sort_values("cluster")
    return pipeline(scaling_of(rows), centres_of(rows))


def placed(rows: pd.DataFrame, customers: pd.DataFrame) -> np.ndarray:
    """The cluster of each of the customers (`FEATURES`) by a month's model, made of its rows in the model table alone:
    what the pipeline predicts."""
    rows = rows.sort_values("cluster")
    return nearest(centres_of(rows), scaling_of(rows).scaled(customers[FEATURES].to_numpy("float64")))


def centres_of(rows: pd.DataFrame) -> np.ndarray:
    """The scaled centroids of rows of the model table, in the rows' order."""
    return rows[[f"{dimension}_scaled" for dimension in DIMENSIONS]].to_numpy("float64")


def scaling_of(rows: pd.DataFrame) -> Scaling:
    """The scaling that every row of a month's model repeats."""
    first = rows.iloc[0]

    def of_each(name: str) -> tuple[float, ...]:
        return tuple(float(first[f"{dimension}_{name}"]) for dimension in DIMENSIONS)

    return Scaling(str(first["transform"]), of_each("floor"), of_each("cap"), of_each("mean"), of_each("deviation"))


def choose(candidates: tuple[Candidate, ...]) -> tuple[Candidate | None, str]:
    """The highest silhouette (of equals, the fewer clusters) among the candidates of the first rule that any meets.

    Returns it with the rule's words; None where no candidate meets any: then all customers are one cluster.
    """
    large = [candidate for candidate in candidates if candidate.smallest_share >= SMALLEST_SHARE]
    useful = [candidate for candidate in large if candidate.clusters >= FEWEST_CLUSTERS]
    stable = [candidate for candidate in useful if candidate.stability >= LEAST_STABILITY]
    words = f"highest silhouette of those with at least {FEWEST_CLUSTERS} clusters"
    share = f"no share under {SMALLEST_SHARE:.0%}"
    for eligible, rule in (
        (stable, f"{words}, {share}, stability at least {LEAST_STABILITY}"),
        (useful, f"none is stable: {words}, {share}"),
        (large, f"no {FEWEST_CLUSTERS} clusters hold: two clusters, {share}"),
    ):
        if eligible:
            return max(eligible, key=lambda candidate: (candidate.silhouette, -candidate.clusters)), rule
    return None, "no clusters hold: all customers are one"


def labels(centres: np.ndarray, taken: Iterable[str] = ()) -> list[str]:
    """A name of `LABELS` for each centre (scaled: recency, frequency, monetary), no name twice, none that is taken.

    Names go to centres so that the total squared distance to the places of the names is least: what a name means
    is fixed, so the same kind of customer has the same name in every month, whatever the clusters' numbers. Where all
    centres are of one frequency, value is monetary alone, and no name tells of a habit.
    """
    from scipy.optimize import linear_sum_assignment

    frequent = not np.allclose(centres[:, 1], 0.0)
    positions = np.column_stack([centres[:, 0], centres[:, 1:].mean(axis=1) if frequent else centres[:, 2]])
    refused = {*taken, *(() if frequent else HABITS)}
    free = {label: place for label, place in LABELS.items() if label not in refused}
    distances = ((positions[:, None, :] - np.array(list(free.values()))[None, :, :]) ** 2).sum(axis=2)
    _, assigned = linear_sum_assignment(distances)
    return [list(free)[number] for number in assigned]


class _Sample:
    """What candidates are measured on: scaled features, and of a fixed part of them all distances, worked out once."""

    def __init__(self, scaled: np.ndarray) -> None:
        from sklearn.metrics.pairwise import euclidean_distances

        self.scaled = scaled
        self.part = np.sort(np.random.default_rng(SEED).permutation(len(scaled))[:SILHOUETTE_SAMPLE])
        self.distances = euclidean_distances(scaled[self.part])


def _measure(engine: Engine, fitted: Fitted, sample: _Sample) -> Candidate:
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    scaled, clusters = sample.scaled, len(fitted.centres)
    found = nearest(fitted.centres, scaled)
    # A clustering of which the sample sees one cluster only is as bad as can be.
    visible = len(np.unique(found[sample.part])) > 1
    agreements = []
    for seed in range(SEED, SEED + RESAMPLES):
        again = nearest(engine.fit(clusters, seed, resampled=True).centres, scaled)
        agreements.append(adjusted_rand_index(found, again))
    return Candidate(
        clusters=clusters,
        silhouette=mean_silhouette(sample.distances, found[sample.part]) if visible else -1.0,
        calinski_harabasz=float(calinski_harabasz_score(scaled, found)) if visible else 0.0,
        davies_bouldin=float(davies_bouldin_score(scaled, found)) if visible else float("inf"),
        inertia=fitted.inertia,
        smallest_share=float(fitted.sizes.min() / fitted.sizes.sum()),
        stability=float(np.mean(agreements)),
    )
