"""Models by what they were fitted to: what was fitted before, in this run or on another day, is not fitted again.

A rolling origin learns from snapshots that are over. Most days add nothing to them, and two tables need the same models
of them. What is looked up is a hash of everything that a fit hangs on, the rows themselves first, so that a corrected
history is fitted anew, and a model from here is the one that fitting would give, bit for bit.
"""

import os
import pickle
import sys
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dagster import ConfigurableResource

KEPT_IN_MEMORY = 64
KEPT_ON_DISK = 32
"""Of the most recently used: a new day asks for half a dozen; one takes up to a megabyte."""

_known: "OrderedDict[str, Any]" = OrderedDict()
"""Of this process: tables of one run share it, as do the runs of a process that stays."""


class FittedModels(ConfigurableResource):
    """scikit-learn's models, kept in this process and, with a `directory`, for the next one.

    The directory holds pickles, as MLflow's artifacts do: whoever can write to it decides what is loaded from it. It
    may be deleted at any time.
    """

    directory: str | None = None

    def fitted(self, estimator: Any, rows: pd.DataFrame, outcome: np.ndarray) -> Any:
        """`estimator` fitted to `rows` (numbers) and `outcome`; or a model that was fitted to the same. Of what is
        returned nothing may be changed."""
        key = _key(estimator, rows, outcome)
        model = _known.get(key)
        if model is None:
            model = self._stored(key)
        if model is None:
            model = estimator.fit(rows, outcome)
            self._store(key, model)
        _known[key] = model
        _known.move_to_end(key)
        while len(_known) > KEPT_IN_MEMORY:
            _known.popitem(last=False)
        return model

    def _stored(self, key: str) -> Any:
        if self.directory is None:
            return None
        file = Path(self.directory) / f"{key}.pickle"
        try:
            model = pickle.loads(file.read_bytes())
            os.utime(file)
        except FileNotFoundError:
            return None
        except Exception:  # whatever a damaged pickle raises; it is fitted, and written, anew
            return None
        return model

    def _store(self, key: str, model: Any) -> None:
        if self.directory is None:
            return
        directory = Path(self.directory)
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = directory / f".{key}.{os.getpid()}"
        unfinished.write_bytes(pickle.dumps(model))
        unfinished.replace(directory / f"{key}.pickle")
        by_use = sorted(directory.glob("*.pickle"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in by_use[KEPT_ON_DISK:]:
            old.unlink(missing_ok=True)


def _key(estimator: Any, rows: pd.DataFrame, outcome: np.ndarray) -> str:
    import sklearn

    kind = type(estimator)
    about = (
        sys.version_info[:2], sklearn.__version__, np.__version__, f"{kind.__module__}.{kind.__qualname__}",
        sorted(estimator.get_params().items()), list(rows.columns), rows.shape, str(outcome.dtype),
    )  # fmt: skip
    values = np.ascontiguousarray(rows.to_numpy(dtype="float64"))
    return sha256(repr(about).encode() + values.tobytes() + np.ascontiguousarray(outcome).tobytes()).hexdigest()
