import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import adjusted_rand_score, pairwise_distances, silhouette_score

from retail_assets.analytics.clustering_measures import (
    adjusted_rand_index,
    contingency,
    mean_silhouette,
    nearest,
)

labels = arrays.arrays(np.int64, st.shared(st.integers(2, 40), key="rows"), elements=st.integers(0, 6))


@given(labels, labels)
def test_the_adjusted_rand_index_is_scikit_learns(one: np.ndarray, other: np.ndarray):
    assert adjusted_rand_index(one, other) == adjusted_rand_score(one, other)


def test_the_contingency_counts_rows_by_both_labels():
    assert contingency(np.array([0, 2, 2, 2]), np.array([1, 0, 0, 1])).tolist() == [[0, 1], [0, 0], [2, 1]]


@given(labels, st.integers(0, 1000))
def test_the_mean_silhouette_is_scikit_learns(found: np.ndarray, seed: int):
    rows = np.random.default_rng(seed).integers(0, 5, (len(found), 2)).astype(float)  # some lie on each other
    if 2 <= len(np.unique(found)) < len(found):
        expected = silhouette_score(rows, found)
        assert mean_silhouette(pairwise_distances(rows), found) == pytest.approx(expected, abs=1e-12)


def test_of_equally_near_centres_the_first_counts():
    centres = np.array([[1.0, 0.0], [-1.0, 0.0], [9.0, 9.0]])
    assert nearest(centres, np.array([[0.0, 5.0], [-0.1, 0.0], [8.0, 8.0]])).tolist() == [0, 1, 2]
