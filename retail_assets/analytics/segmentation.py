"""K-means segments of customers by recency, frequency and monetary value: search, choice, names, assignment.

The features are log1p of each measure (all three have long tails: unlogged, a handful of wholesalers make a
cluster of their own and a silhouette of 0.99), standardised to mean 0 and deviation 1. Training is scikit-learn on
the driver; assignment is Spark, from the few rows of the model table, and agrees with scikit-learn's `predict`.
"""

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# What a dimension is called in the model table -> the column of the customer table it is made from.
DIMENSIONS = {"recency": "recency_days", "frequency": "frequency", "monetary": "monetary"}
FEATURES = list(DIMENSIONS.values())

CLUSTERS_SEARCHED = range(2, 11)
STARTS = 10
SEED = 42
SILHOUETTE_SAMPLE = 2_000  # the silhouette is quadratic in the number of customers
RESAMPLES = 3  # bootstrap samples per candidate
RESAMPLE_STARTS = 2

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
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    clusters: tuple[Cluster, ...]
    model: "Pipeline | None"

    def model_rows(self) -> pd.DataFrame:
        """One row per cluster: the columns of `Cluster` and, for each dimension, its `_mean` and `_deviation`."""
        frame = pd.DataFrame([asdict(cluster) for cluster in self.clusters], columns=list(Cluster.__annotations__))
        for dimension, mean, deviation in zip(DIMENSIONS, self.mean, self.deviation, strict=True):
            frame[f"{dimension}_mean"], frame[f"{dimension}_deviation"] = mean, deviation
        return frame


def segment(customers: pd.DataFrame) -> Segmentation:
    """The segmentation of `customers` (`customer_id` and `FEATURES`, one row per customer, nothing null).

    Deterministic, whatever the order of the rows. Negative values count as 0. Customers too few or too alike for
    three clusters get two, or one that holds them all.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from threadpoolctl import threadpool_limits

    values = customers.sort_values("customer_id", kind="stable")[FEATURES].astype("float64")
    if values.empty:
        return Segmentation((), None, "no customers", (0.0,) * 3, (1.0,) * 3, (), None)
    # One thread: sums over several threads depend on which finishes first, and labels must not.
    with threadpool_limits(limits=1):
        transformed = Pipeline(
            [
                ("not_negative", FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": None})),
                ("logarithm", FunctionTransformer(np.log1p)),
                ("standard", StandardScaler()),
            ]
        )
        scaled = np.asarray(transformed.fit_transform(values))
        # A silhouette needs more customers than clusters, and k-means as many distinct ones.
        most = min(len(np.unique(scaled, axis=0)), len(scaled) - 1)
        fitted = {clusters: _fit(scaled, clusters, STARTS) for clusters in CLUSTERS_SEARCHED if clusters <= most}
        candidates = tuple(_measure(scaled, model) for model in fitted.values())
        chosen, rule = choose(candidates)
        best = fitted[chosen.clusters] if chosen else _fit(scaled, 1, 1)
        value_scores = best.cluster_centers_ @ np.array([-1.0, 1.0, 1.0]) / 3
        order = np.argsort(-value_scores, kind="stable")
        best.cluster_centers_ = np.ascontiguousarray(best.cluster_centers_[order])
        best.labels_ = best.predict(scaled)
    scaler = transformed.named_steps["standard"]
    sizes = np.bincount(best.labels_, minlength=len(order))
    original = np.expm1(best.cluster_centers_ * scaler.scale_ + scaler.mean_)
    clusters = tuple(
        Cluster(number, label, int(size), size / len(scaled), *map(float, (value_score, *centre, *scaled_centre)))
        for number, (label, size, value_score, centre, scaled_centre) in enumerate(
            zip(
                labels(best.cluster_centers_),
                sizes,
                value_scores[order],
                original,
                best.cluster_centers_,
                strict=True,
            )
        )
    )
    return Segmentation(
        candidates,
        chosen,
        rule,
        tuple(map(float, scaler.mean_)),
        tuple(map(float, scaler.scale_)),
        clusters,
        Pipeline([*transformed.steps, ("clusters", best)]),
    )


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


def labels(centres: np.ndarray) -> list[str]:
    """A name of `LABELS` for each centre (scaled: recency, frequency, monetary), no name twice.

    Names go to centres so that the total squared distance to the places of the names is least: what a name means
    is fixed, so the same kind of customer has the same name in every month, whatever the clusters' numbers.
    """
    from scipy.optimize import linear_sum_assignment

    positions = np.column_stack([centres[:, 0], centres[:, 1:].mean(axis=1)])
    distances = ((positions[:, None, :] - np.array(list(LABELS.values()))[None, :, :]) ** 2).sum(axis=2)
    _, assigned = linear_sum_assignment(distances)
    return [list(LABELS)[number] for number in assigned]


def nearest_cluster(customers: DataFrame, model: DataFrame, on: str, key: str = "customer_id") -> DataFrame:
    """Adds `cluster`, `label` and `distance` (Euclidean, scaled) of the nearest cluster to each customer.

    `model` holds the rows of `Segmentation.model_rows`, for each value of the column `on` (a snapshot's date, say)
    its own; `on` and `key` identify a customer's row. Of equally near clusters the lower is taken. All three are
    null where `model` has no row for the customer's `on`.
    """

    # In a struct of their own: the model's table names centroids as the customers' table names measures.
    models = model.select(on, F.struct(*(name for name in model.columns if name != on)).alias("model"))

    def square(dimension: str) -> Column:
        value = F.log1p(F.greatest(F.col(DIMENSIONS[dimension]).cast("double"), F.lit(0.0)))
        scaled = (value - F.col(f"model.{dimension}_mean")) / F.col(f"model.{dimension}_deviation")
        return F.pow(scaled - F.col(f"model.{dimension}_scaled"), F.lit(2.0))

    return (
        customers.join(models, on, "left")
        .select(
            *customers.columns,
            F.col("model.cluster").alias("cluster"),
            F.col("model.label").alias("label"),
            F.sqrt(square("recency") + square("frequency") + square("monetary")).alias("distance"),
        )
        .withColumn("nearness", F.row_number().over(Window.partitionBy(on, key).orderBy("distance", "cluster")))
        .where("nearness = 1")
        .drop("nearness")
    )


def _fit(scaled: np.ndarray, clusters: int, starts: int, seed: int = SEED) -> Any:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A resample of few customers can have fewer distinct ones than clusters: that is its (in)stability.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(clusters, n_init=starts, random_state=seed).fit(scaled)


def _measure(scaled: np.ndarray, model: Any) -> Candidate:
    from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score, silhouette_score

    found = model.labels_
    customers, clusters = len(scaled), model.n_clusters
    sample = np.sort(np.random.default_rng(SEED).permutation(customers)[:SILHOUETTE_SAMPLE])
    # A clustering of which the sample sees one cluster only is as bad as can be.
    visible = len(np.unique(found[sample])) > 1
    agreements = []
    for seed in range(SEED, SEED + RESAMPLES):
        drawn = np.random.default_rng(seed).integers(0, customers, customers)
        again = _fit(scaled[drawn], clusters, RESAMPLE_STARTS, seed).predict(scaled)
        agreements.append(adjusted_rand_score(found, again))
    return Candidate(
        clusters=clusters,
        silhouette=float(silhouette_score(scaled[sample], found[sample])) if visible else -1.0,
        calinski_harabasz=float(calinski_harabasz_score(scaled, found)),
        davies_bouldin=float(davies_bouldin_score(scaled, found)),
        inertia=float(model.inertia_),
        smallest_share=float(np.bincount(found, minlength=clusters).min() / customers),
        stability=float(np.mean(agreements)),
    )
