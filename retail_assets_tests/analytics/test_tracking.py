import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.cluster import KMeans

from retail_assets.analytics.mlflow_store import ensure_store
from retail_assets.analytics.tracked_run import RegisteredModel
from retail_assets.analytics.tracking import MlflowTracking
from retail_assets.project import project_root

COLUMNS = ["recency_days", "frequency", "monetary"]
EXAMPLE = pd.DataFrame(np.random.default_rng(1).random((30, 3)) * [300, 20, 900], columns=COLUMNS)


def trained() -> KMeans:
    return KMeans(3, n_init=1, random_state=42).fit(EXAMPLE)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A SQLite store, away from the working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"


def materialize(store: str, body) -> dg.ExecuteInProcessResult:
    @dg.asset
    def segment_model(context: dg.AssetExecutionContext, tracking: MlflowTracking) -> None:
        body(context, tracking)

    Path(store.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
    return dg.materialize(
        [segment_model], resources={"tracking": MlflowTracking(tracking_uri=store)}, raise_on_error=False
    )


def runs_of(store: str, experiment: str) -> dict[str, list]:
    """Every run of the experiment, by its name."""
    client = MlflowClient(store, store)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs: dict[str, list] = {}
    for run in client.search_runs([found.experiment_id]):
        runs.setdefault(str(run.info.run_name), []).append(run)
    return runs


def test_a_store_whose_making_was_killed_is_made_anew(store: str, tmp_path: Path):
    # As MLflow makes it, which takes long enough to be caught at it.
    make = (
        "from retail_assets.analytics import mlflow_store; mlflow_store.MLFLOW = 'another version'; "
        f"mlflow_store.ensure_store({store!r})"
    )
    part = tmp_path / "store" / ".mlflow.db.in-the-making" / "mlflow.db"
    surroundings = {**os.environ, "PYTHONPATH": str(project_root())}
    with subprocess.Popen([sys.executable, "-c", make], env=surroundings) as process:
        while not part.exists() or not part.stat().st_size:
            assert process.poll() is None, "it was not caught in the making"
        process.kill()
    assert not (tmp_path / "store" / "mlflow.db").exists()

    with ThreadPoolExecutor(2) as pool:  # as the warm-up and the first step that needs it
        for made in [pool.submit(ensure_store, store) for _ in range(2)]:
            made.result()
    assert [each.name for each in MlflowClient(store, store).search_experiments()] == ["Default"]
    assert not part.parent.exists()


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def body(context, tracking):
        with tracking.run(context, "segments"):
            raise AssertionError("nothing answers there")

    (failure,) = materialize("http://me:hunter2@127.0.0.1:9", body).get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert "API request to http://me:***@127.0.0.1:9/" in error.to_string()
    assert "hunter2" not in error.to_string()


def test_months_and_candidates_are_nested_in_one_run_per_dagster_run(store: str, tmp_path: Path):
    def body(context, tracking):
        with tracking.run(context, "segments", {"source": "online_retail"}) as run:
            for month in ("2026-01-01", "2026-02-01"):
                with run.month(month):
                    for clusters in (3, 4):
                        with run.candidate(f"k={clusters}"):
                            run.log({"clusters": clusters}, {"silhouette": clusters / 10}, {"rule": "best"})
        # A second step of the same Dagster run finds the run again.
        with tracking.run(context, "segments") as again:
            again.log(metrics={"months": 2})

    result = materialize(store, body)
    assert result.success
    runs = runs_of(store, "segments")
    assert {name: len(found) for name, found in runs.items()} == {
        "segment_model": 1, "2026-01-01": 1, "2026-02-01": 1, "k=3": 2, "k=4": 2,
    }  # fmt: skip
    (parent,) = runs["segment_model"]
    assert parent.data.tags["dagster_run_id"] == result.run_id
    assert parent.data.tags["source"] == "online_retail"
    assert parent.data.metrics == {"months": 2.0}
    months = {runs[name][0].info.run_id for name in ("2026-01-01", "2026-02-01")}
    assert {runs[name][0].data.tags["mlflow.parentRunId"] for name in ("2026-01-01", "2026-02-01")} == {
        parent.info.run_id
    }
    for candidate in runs["k=3"]:
        assert candidate.data.params == {"clusters": "3"}
        assert candidate.data.metrics == {"silhouette": 0.3}
        assert candidate.data.tags["rule"] == "best"
    assert {candidate.data.tags["mlflow.parentRunId"] for candidate in runs["k=3"]} == months
    assert {run.info.status for found in runs.values() for run in found} == {"FINISHED"}
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_that_breaks_ends_with_its_own_status_at_every_level(store: str, error: BaseException, status: str):
    def body(context, tracking):
        with tracking.run(context, "segments") as run, run.month("2026-01-01"):
            with run.candidate("fine"):
                pass
            with run.candidate("broken"):
                raise error

    try:
        result = materialize(store, body)
        assert not result.success
    except BaseException as raised:
        # Dagster hands an interruption on.
        assert status == "KILLED" and not isinstance(raised, Exception)  # noqa: PT017, PT018
    statuses = {name: run.info.status for name, (run,) in runs_of(store, "segments").items()}
    assert statuses.pop("fine") == "FINISHED"
    assert len(statuses) == 3
    assert set(statuses.values()) == {status}


def test_a_model_is_registered_as_a_new_version_and_the_champion_is_the_newest_unless_told_otherwise(
    store: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    registered: list[RegisteredModel] = []

    def body(context, tracking):
        with tracking.run(context, "segments") as run:
            registered.extend(
                run.register(trained(), "segment_model", EXAMPLE.head(5), champion=champion)
                for champion in (True, True, False)
            )

    assert materialize(store, body).success
    assert [model.version for model in registered] == ["1", "2", "3"]
    assert registered[1].uri == "models:/segment_model/2"
    client = MlflowClient(store, store)
    assert str(client.get_model_version_by_alias("segment_model", "champion").version) == "2"
    assert (tmp_path / "store" / "mlflow-artifacts").is_dir()
    assert list((tmp_path / "elsewhere").iterdir()) == []

    # In a new process, without this package: the version, its signature, its example, its requirements.
    program = f"""
import json, sys
sys.modules["retail_assets"] = None
import mlflow
mlflow.set_tracking_uri({store!r})
model = mlflow.pyfunc.load_model("models:/segment_model@champion")
example = model.input_example
print(json.dumps([model.metadata.signature.inputs.input_names(), model.predict(example).tolist()]))
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    names, predicted = json.loads(result.stdout)
    assert names == COLUMNS
    assert predicted == trained().predict(EXAMPLE.head(5)).tolist()
    requirements = next((tmp_path / "store" / "mlflow-artifacts").rglob("requirements.txt")).read_text()
    assert "scikit-learn==" in requirements

    output = capfd.readouterr()
    lines = [line for line in (output.out + output.err).splitlines() if " - dagster - " not in line]
    assert lines == []
