from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from retail_assets.analytics import fitted_models
from retail_assets.analytics.fitted_models import KEPT_ON_DISK, FittedModels

random = np.random.default_rng(3)
ROWS = pd.DataFrame(random.random((60, 2)), columns=["recency", "frequency"])
OUTCOME = (ROWS["recency"] > 0.5).to_numpy(dtype=int)


class Counted(DecisionTreeClassifier):
    """A tree that knows how often one was fitted."""

    fits = 0

    def fit(self, *rows: Any, **options: Any) -> "Counted":
        Counted.fits += 1
        return super().fit(*rows, **options)


@pytest.fixture
def another_process(monkeypatch: pytest.MonkeyPatch):
    """Calling it forgets what this process has fitted."""

    def forget() -> None:
        monkeypatch.setattr(fitted_models, "_known", type(fitted_models._known)())
        Counted.fits = 0

    forget()
    return forget


def fit(models: FittedModels, rows: pd.DataFrame = ROWS, outcome: np.ndarray = OUTCOME, **parameters: Any) -> Any:
    return models.fitted(Counted(random_state=1, **parameters), rows, outcome)


def test_what_was_fitted_on_another_day_is_found_and_foresees_the_same(tmp_path: Path, another_process):
    models = FittedModels(directory=str(tmp_path))
    foreseen = fit(models).predict_proba(ROWS)
    another_process()
    assert (fit(models).predict_proba(ROWS) == foreseen).all()
    assert Counted.fits == 0


def test_tables_of_one_run_share_what_was_fitted(another_process):
    assert fit(FittedModels()) is fit(FittedModels())
    assert Counted.fits == 1


def test_anything_that_a_fit_hangs_on_makes_another_model(tmp_path: Path, another_process):
    models = FittedModels(directory=str(tmp_path))
    corrected, known_now = ROWS.copy(), OUTCOME.copy()
    corrected["recency"] += 1e-12 * (corrected.index == 7)
    known_now[7] = 1 - known_now[7]
    fit(models)
    fit(models, corrected)
    fit(models, ROWS.set_axis(["frequency", "recency"], axis=1))
    fit(models, outcome=known_now)
    fit(models, max_depth=1)
    assert Counted.fits == 5
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_file_is_fitted_anew_and_mended(tmp_path: Path, another_process):
    models = FittedModels(directory=str(tmp_path))
    fit(models)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], b"no pickle"):
        file.write_bytes(damaged)
        another_process()
        fit(models)
        assert Counted.fits == 1
        assert file.read_bytes() == whole


def test_the_directory_keeps_those_used_last(tmp_path: Path, another_process):
    models = FittedModels(directory=str(tmp_path))
    fit(models)
    (first,) = tmp_path.iterdir()
    for depth in range(1, KEPT_ON_DISK + 5):
        fit(models, max_depth=depth)
        another_process()
        fit(models)  # is used every time
    assert len(list(tmp_path.iterdir())) == KEPT_ON_DISK
    assert first.exists()
