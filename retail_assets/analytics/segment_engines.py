"""Where k-means runs: scikit-learn on the driver, or MLlib over a Spark frame of any size. Both are an `Engine`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pandas as pd
from dagster import ConfigurableResource
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from retail_assets.analytics.clustering_measures import nearest
from retail_assets.analytics.segmentation import (
    CLUSTERS_SEARCHED,
    FEATURES,
    SEED,
    SMALLEST_SHARE,
    WINSORISED_AT,
    Fitted,
    Scaling,
    Segmentation,
    Transform,
    search,
)

STARTS, RESAMPLE_STARTS = 10, 2
STARTS_ON_SPARK = 3  # k-means|| starts well, and each start is a series of jobs
ROWS_PER_PARTITION = 250_000
SAMPLE_ON_DRIVER = 20_000
LEARNT_FROM = 6_000
"""Customers that scikit-learn searches: all, or so many by the hash of their id; then all are counted. Online Retail II
has at most 5,853. Of Olist's 13,856 to 93,358 they find as many clusters as all do, with an adjusted Rand index of 0.94
to 0.99 to theirs."""
ROUNDED_TO = 9
"""Decimals of MLlib's centres. Its sums are added as tasks finish, and so differ in the last of sixteen digits."""


class SegmentTraining(ConfigurableResource):
    """How segments are found: the features' transform, the engine, and up to how many customers `auto` stays on the
    driver (about 1 s and 40 MB for 10,000 customers there)."""

    transform: Literal["log", "winsorised"] = "log"
    engine: Literal["auto", "scikit-learn", "mllib"] = "auto"
    driver_customers: int = 200_000

    def on_spark(self, customers: int) -> bool:
        """Whether so many customers are clustered by MLlib."""
        return self.engine == "mllib" or (self.engine == "auto" and customers > self.driver_customers)


def segment(customers: pd.DataFrame, transform: Transform = "log") -> Segmentation:
    """The segmentation of `customers` (`customer_id` and `FEATURES`, one row per customer, nothing null) by
    scikit-learn. Deterministic, whatever the order of the rows. Negative values count as 0 under the logarithm."""
    if customers.empty:
        nothing = (0.0,) * len(FEATURES)
        return Segmentation((), None, "no customers", Scaling(transform, *[nothing] * 4), (), OnDriver.name, None)
    return search(OnDriver(customers, transform))


def segment_on_spark(customers: DataFrame, transform: Transform = "log") -> Segmentation:
    """The same by MLlib, of a Spark frame that is not empty; only a sample comes to the driver, to measure on."""
    with on_spark(customers, transform) as engine:
        return search(engine)


class OnDriver:
    """scikit-learn, with all customers in memory, searching at most `LEARNT_FROM` of them."""

    name = "scikit-learn"

    def __init__(self, customers: pd.DataFrame, transform: Transform = "log") -> None:
        ordered = customers.sort_values("customer_id", kind="stable")
        values = ordered[FEATURES].to_numpy("float64")
        floor, cap = _no_bounds() if transform == "log" else np.quantile(values, WINSORISED_AT, axis=0)
        middle = np.median(values, axis=0)
        floor, cap = _held(floor, cap, middle, (values != middle).mean(axis=0))
        plain = Scaling(transform, tuple(floor.tolist()), tuple(cap.tolist()), (0.0,) * 3, (1.0,) * 3)
        transformed = plain.scaled(values)
        deviation = transformed.std(axis=0)
        # Of a measure that is the same for all, rounding can leave a deviation that is not 0.
        deviation[np.ptp(transformed, axis=0) == 0] = 1.0
        self.scaling = Scaling(
            transform, plain.floor, plain.cap, tuple(transformed.mean(axis=0).tolist()), tuple(deviation.tolist())
        )
        self._scaled, self.customers = self.scaling.scaled(values), len(values)
        # The lowest hashes: of a month and the next mostly the same customers, in the order of their ids.
        hashed = pd.util.hash_array(ordered["customer_id"].to_numpy(dtype=object))
        self.sample = self._scaled[np.sort(np.argsort(hashed, kind="stable")[:LEARNT_FROM])]
        self.distinct = len(np.unique(self.sample, axis=0))

    def fit(self, clusters: int, seed: int = SEED, resampled: bool = False) -> Fitted:
        """The best of several starts."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        scaled = self.sample
        if resampled:
            scaled = scaled[np.random.default_rng(seed).integers(0, len(scaled), len(scaled))]
        with warnings.catch_warnings():
            # A resample of few customers can have fewer distinct ones than clusters: that is its (in)stability.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = KMeans(clusters, n_init=RESAMPLE_STARTS if resampled else STARTS, random_state=seed).fit(scaled)
        if len(self.sample) == self.customers:
            return Fitted(model.cluster_centers_, float(model.inertia_), np.bincount(model.labels_, minlength=clusters))
        of_all = float(model.inertia_) * self.customers / len(self.sample)
        return Fitted(model.cluster_centers_, of_all, self.sizes(model.cluster_centers_))

    def sizes(self, centres: np.ndarray) -> np.ndarray:
        """How many customers are nearest to each centre."""
        return np.bincount(nearest(centres, self._scaled), minlength=len(centres))


@contextmanager
def on_spark(customers: DataFrame, transform: Transform = "log") -> Iterator["OnSpark"]:
    """MLlib's engine over the frame, whose features are kept until the block ends: every fit reads them many times."""
    engine = OnSpark(customers, transform)
    try:
        yield engine
    finally:
        engine.features.unpersist()


class OnSpark:
    """MLlib: VectorAssembler, StandardScaler with mean and deviation, KMeans with seed 42."""

    name = "mllib"

    def __init__(self, customers: DataFrame, transform: Transform = "log") -> None:
        from pyspark.ml.feature import StandardScaler, VectorAssembler
        from pyspark.ml.functions import vector_to_array

        self.customers = customers.count()
        # The same rows lie in the same partitions in the same order, however they were read.
        rows = customers.repartition(1 + self.customers // ROWS_PER_PARTITION, "customer_id").sortWithinPartitions(
            "customer_id"
        )
        floor, cap = _no_bounds() if transform == "log" else _quantiles(rows, WINSORISED_AT)
        (middle,) = _quantiles(rows, (0.5,))
        floor, cap = _held(floor, cap, middle, _differing(rows, middle))
        transformed = rows.select(
            "customer_id",
            *(
                _transformed(F.col(name).cast("double"), transform, low, high).alias(name)
                for name, low, high in zip(FEATURES, floor.tolist(), cap.tolist(), strict=True)
            ),
        )
        vectors = VectorAssembler(inputCols=FEATURES, outputCol="transformed").transform(transformed)
        standard = StandardScaler(withMean=True, withStd=True, inputCol="transformed", outputCol="features").fit(
            vectors
        )
        deviation = np.round(standard.std.toArray(), ROUNDED_TO)
        self.scaling = Scaling(
            transform,
            tuple(floor.tolist()),
            tuple(cap.tolist()),
            tuple(np.round(standard.mean.toArray(), ROUNDED_TO).tolist()),
            tuple(np.where(deviation == 0, 1.0, deviation).tolist()),
        )
        self.features = (
            standard.transform(vectors)
            .select("customer_id", "features", vector_to_array(F.col("features")).alias("scaled"))
            .persist(StorageLevel.MEMORY_AND_DISK)
        )
        self.distinct = self.features.select("scaled").distinct().limit(max(CLUSTERS_SEARCHED) + 1).count()
        # The lowest hashes: the same customers every time, and a sample of all kinds.
        sampled = self.features.orderBy(F.xxhash64("customer_id"), "customer_id").limit(SAMPLE_ON_DRIVER)
        self.sample = np.array([row.scaled for row in sampled.select("scaled").collect()])

    def fit(self, clusters: int, seed: int = SEED, resampled: bool = False) -> Fitted:
        """The best of several seeds."""
        from pyspark.ml.clustering import KMeans

        rows = self.features.sample(withReplacement=True, fraction=1.0, seed=seed) if resampled else self.features
        models = [
            KMeans(k=clusters, seed=start, maxIter=100, tol=1e-6).fit(rows)
            for start in range(seed, seed + (1 if resampled else STARTS_ON_SPARK))
        ]
        best = min(models, key=lambda model: round(model.summary.trainingCost, ROUNDED_TO))
        centres = np.round(np.array(best.clusterCenters()), ROUNDED_TO) + 0.0  # no −0
        return Fitted(centres, round(best.summary.trainingCost, ROUNDED_TO), np.array(best.summary.clusterSizes))

    def sizes(self, centres: np.ndarray) -> np.ndarray:
        """How many customers are nearest to each centre; of equally near ones the first counts."""
        distances = [
            sum(((F.col("scaled")[number] - place) ** 2 for number, place in enumerate(centre)), F.lit(0.0))
            for centre in centres.tolist()
        ]
        numbered = [F.struct(distance, F.lit(number).alias("cluster")) for number, distance in enumerate(distances)]
        counts = self.features.groupBy(F.array_min(F.array(*numbered))["cluster"].alias("cluster")).count().collect()
        sizes = np.zeros(len(centres), dtype=np.int64)
        for row in counts:
            sizes[row["cluster"]] = row["count"]
        return sizes


def _no_bounds() -> tuple[np.ndarray, np.ndarray]:
    """Of logarithms: from 0 on."""
    return np.zeros(len(FEATURES)), np.full(len(FEATURES), np.inf)


def _held(floor: np.ndarray, cap: np.ndarray, middle: np.ndarray, differing: np.ndarray) -> tuple[np.ndarray, ...]:
    """The bounds, both at the median where the share of customers `differing` from it is smaller than any segment's.

    Such a measure can part off nobody but them, and standardised it is all that is seen of any customer: where 97 of
    100 bought once, frequency is, and neither recency nor value.
    """
    alike = differing < SMALLEST_SHARE
    return np.where(alike, middle, floor), np.where(alike, middle, cap)


def _quantiles(rows: DataFrame, at: tuple[float, ...]) -> np.ndarray:
    found = rows.agg(
        *(F.percentile_approx(F.col(name).cast("double"), list(at), 100_000) for name in FEATURES)
    ).collect()[0]
    return np.array(list(found)).T


def _differing(rows: DataFrame, middle: np.ndarray) -> np.ndarray:
    others = rows.agg(
        *(
            F.avg((F.col(name).cast("double") != F.lit(value)).cast("double"))
            for name, value in zip(FEATURES, middle.tolist(), strict=True)
        )
    ).collect()[0]
    return np.array(list(others))


def _transformed(measure: Column, transform: str, floor: float, cap: float) -> Column:
    bounded = F.least(F.greatest(measure, F.lit(floor)), F.lit(cap))
    return F.log1p(bounded) if transform == "log" else bounded
