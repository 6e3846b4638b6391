"""What is written without MLflow's client against what the client writes, row by row and file by file."""

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sklearn.cluster import KMeans

from retail_assets.analytics import mlflow_store
from retail_assets.analytics.mlflow_store import ensure_store, known_file, schema
from retail_assets.analytics.stored_run import NotTracked, StoredRun
from retail_assets.analytics.tracked_run import TrackedRun
from retail_assets.analytics.tracking import MlflowTracking

COLUMNS = ["recency_days", "frequency", "monetary"]
EXAMPLE = pd.DataFrame(np.random.default_rng(1).random((30, 3)) * [300, 20, 900], columns=COLUMNS)
MODEL = KMeans(3, n_init=1, random_state=42).fit(EXAMPLE)

Body = Callable[[TrackedRun], object]


def track(store: Path, body: Body, name: str = "segment_model", run_id: str = "a-dagster-run") -> None:
    """One step of that Dagster run."""
    context = SimpleNamespace(
        asset_key=dg.AssetKey(name),
        has_partition_key=False,
        has_partition_key_range=False,
        run=SimpleNamespace(run_id=run_id),
        log=dg.get_dagster_logger(),
    )
    tracking = MlflowTracking(tracking_uri=f"sqlite:///{store}")
    with tracking.run(cast("dg.AssetExecutionContext", context), "online_retail/segments", {"source": "shop"}) as run:
        body(run)


@pytest.fixture
def by_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], object]], Path]:
    """Does it with MLflow's own client, and returns its store."""

    def do(work: Callable[[Path], object]) -> Path:
        store = tmp_path / "client" / "mlflow.db"
        with monkeypatch.context() as patched:
            patched.setattr(mlflow_store, "MLFLOW", "another version")
            work(store)
        return store

    return do


def rows(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows in the order of their making; ids by the order of their first mention, without times."""
    seen: dict[str, str] = {}

    def plain(column: str, value: Any) -> Any:
        if re.search("time|created|updated", column) and isinstance(value, int):
            return "a time"
        if not isinstance(value, str):
            return value
        value = value.replace(store.parent.as_uri(), "")
        return re.sub("[0-9a-f]{32}", lambda found: seen.setdefault(found.group(), f"id {len(seen)}"), value)

    with sqlite3.connect(store) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {}
        for name in sorted(names, key=lambda name: name != "runs"):
            found = connection.execute(f'SELECT * FROM "{name}" ORDER BY rowid')
            columns = [column for column, *_ in found.description]
            tables[name] = [tuple(map(plain, columns, row)) for row in found]
    return {name: sorted(found, key=repr) if name != "runs" else found for name, found in tables.items()}


def model_files(store: Path) -> dict[str, Any]:
    """The files of the one model, without ids and times."""
    (directory,) = (store.parent / "mlflow-artifacts" / "models").glob("*/artifacts")
    read: dict[str, Any] = {}
    for file in directory.iterdir():
        text = file.read_bytes() if file.suffix == ".pkl" else file.read_text()
        read[file.name] = json.loads(text) if file.suffix == ".json" else text
    about = yaml.safe_load(read.pop("MLmodel"))
    assert about.pop("utc_time_created")
    ids = {about.pop("model_id"), about.pop("model_uuid")}
    assert ids == {directory.parent.name}
    assert about.pop("run_id")
    assert about.pop("artifact_path") == directory.as_uri()
    return {**read, "MLmodel": about}


def everything(run: TrackedRun) -> None:
    """All that a table may ask for."""
    run.log({"rule": "x" * 7000}, {"months": 2}, {"long": "y" * 9000})
    with run.month("2026-01-01"):
        run.log({"clusters": 3, "seed": None}, {"inertia": 1.5, "davies_bouldin": float("inf"), "none": float("nan")})
        for clusters in (2, 3):
            with run.candidate(f"k={clusters}"):
                run.log({"clusters": clusters}, {"silhouette": -clusters / 10})
        run.register(MODEL, "shop.segments", EXAMPLE.head(3), False, "month-2026-01", {"transform": "log", "seed": 42})
        run.log(metrics={"inertia": 1.25})


def decide(run: TrackedRun) -> None:
    """A second step of the same Dagster run."""
    assert run.version("shop.segments", "month-2026-02") is None
    assert run.version("shop.unknown", "champion") is None
    version = run.version("shop.segments", "month-2026-01")
    assert version == "1"
    run.tell("shop.segments", version, {"gates": "failed: share"})
    run.tell("shop.segments", version, {"gates": "passed"})
    assert run.promote("shop.segments", version, "2026-01-01")
    assert not run.promote("shop.segments", version, "2025-12-01")
    run.log(metrics={"months": 3})


def both_steps(store: Path) -> None:
    track(store, everything)
    track(store, decide, "segment_champion")


def test_rows_and_files_are_those_that_mlflows_client_writes(tmp_path: Path, by_client):
    ours, theirs = tmp_path / "ours" / "mlflow.db", by_client(both_steps)
    both_steps(ours)
    written, expected = rows(ours), rows(theirs)
    assert {name for name, found in expected.items() if found} >= {"runs", "logged_model_metrics", "model_versions"}
    for table in expected:
        assert written[table] == expected[table], table
    assert model_files(ours) == model_files(theirs)


def parts(statements: str) -> list[list[str]]:
    """The lines of each statement, in order of the alphabet: MLflow's migrations copy constraints in any order."""
    return sorted(sorted(re.split(r"[\s,]*\n\s*", statement.strip())) for statement in statements.split(";\n"))


def test_a_new_store_has_the_tables_of_mlflows_own(tmp_path: Path):
    """When it fails after an upgrade of MLflow: see what changed in what the client writes, then write
    schema(…) of a store of MLflow's own to mlflow_store.sql, and its version and revision to mlflow_store.py."""
    SqlAlchemyStore(f"sqlite:///{tmp_path / 'theirs.db'}", (tmp_path / "mlflow-artifacts").as_uri()).engine.dispose()
    ensure_store(f"sqlite:///{tmp_path / 'ours.db'}")
    assert known_file(f"sqlite:///{tmp_path / 'theirs.db'}") == tmp_path / "theirs.db"
    ours, theirs = (parts(schema(tmp_path / name)) for name in ("ours.db", "theirs.db"))
    assert ours == theirs
    assert rows(tmp_path / "ours.db") == rows(tmp_path / "theirs.db")


def test_stores_that_mlflow_made_otherwise_are_left_to_its_client(tmp_path: Path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ensure_store(uri)
    assert known_file("postgresql://mlflow@db/mlflow") is None
    assert known_file(f"{uri}?timeout=5") is None
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = 's3://bucket/mlflow'")
    assert known_file(uri) is None
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = 'file:///mlflow'")
        connection.execute("UPDATE alembic_version SET version_num = 'of a later version'")
    assert known_file(uri) is None


def test_nothing_of_a_step_is_seen_before_it_ends_and_all_of_it_after_a_failure(tmp_path: Path):
    store = tmp_path / "mlflow.db"

    def breaks(run: TrackedRun) -> None:
        assert isinstance(run, StoredRun)
        with run.month("2026-01-01"):
            run.log(metrics={"silhouette": 0.4})
            assert rows(store)["metrics"] == []
            raise ValueError("no clusters")

    with pytest.raises(ValueError, match="no clusters"):
        track(store, breaks)
    found = rows(store)
    assert [row[6] for row in found["runs"]] == ["FAILED", "FAILED"]
    assert [row[:2] for row in found["metrics"]] == [("silhouette", 0.4)]


def test_a_store_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path):
    store = tmp_path / "mlflow.db"
    ensure_store(f"sqlite:///{store}")
    with sqlite3.connect(store) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON metrics BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with pytest.raises(NotTracked, match=r"mlflow\.db could not be written \(disk is full\)\. See that there is room"):
        track(store, lambda run: run.log(metrics={"silhouette": 0.4}))
