"""How good a clustering is, and how alike two are: textbook figures from labels and distances.

scikit-learn has them, too, and the tests hold these against it. There each call checks and counts its labels anew, and
a silhouette works out all distances again, which are the same for every clustering of the same customers.
"""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Numbers = NDArray[np.float64]


def nearest(centres: Numbers, rows: Numbers) -> Labels:
    """The number of the nearest centre of each row, by Euclidean distance; of equally near ones the first."""
    apart = np.einsum("cd,cd->c", centres, centres) - 2 * (
        rows @ centres.T
    )  # and the row's own length, the same for all
    return apart.argmin(axis=1)


def adjusted_rand_index(one: Labels, other: Labels) -> float:
    """How far two clusterings of the same rows agree: 1 if they are the same, about 0 by chance.

    L. Hubert and P. Arabie, "Comparing partitions", Journal of Classification 2 (1985), by pairs of rows: together in
    both, in one alone, in neither.
    """
    pairs = contingency(one, other)
    both = int((pairs**2).sum())
    in_one, in_other = (int((pairs.sum(axis=axis) ** 2).sum()) for axis in (1, 0))
    together, alone, alone_there = both - len(one), in_one - both, in_other - both
    apart = len(one) ** 2 - alone - alone_there - both
    if alone == alone_there == 0:
        return 1.0
    return (
        2.0
        * (together * apart - alone * alone_there)
        / ((together + alone_there) * (alone_there + apart) + (together + alone) * (alone + apart))
    )


def contingency(one: Labels, other: Labels) -> NDArray[np.int64]:
    """How many rows have both labels: labels of `one` (from 0 to the highest) x labels of `other`."""
    columns = int(other.max()) + 1
    counts = np.bincount(one * columns + other, minlength=(int(one.max()) + 1) * columns)
    return counts.reshape(-1, columns).astype(np.int64)


def mean_silhouette(distances: Numbers, labels: Labels) -> float:
    """The mean over all rows of (b - a) / max(a, b); 0 for a row that is a cluster of its own.

    `distances`: of every row to every row. a: the mean distance to the others of the own cluster, b: to the rows of the
    nearest other one. P. J. Rousseeuw, "Silhouettes" (1987). At least two labels must occur.
    """
    _, cluster = np.unique(labels, return_inverse=True)
    sizes = np.bincount(cluster)
    members = np.zeros((len(labels), len(sizes)))
    rows = np.arange(len(labels))
    members[rows, cluster] = 1.0
    sums = distances @ members
    own_size = sizes[cluster]
    within = sums[rows, cluster] / np.maximum(own_size - 1, 1)
    means = sums / sizes
    means[rows, cluster] = np.inf
    beyond = means.min(axis=1)
    larger = np.maximum(within, beyond)
    known = (own_size > 1) & (larger > 0)
    return float(np.divide(beyond - within, larger, out=np.zeros(len(rows)), where=known).mean())
