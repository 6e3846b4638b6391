"""The files of a scikit-learn model as MLflow keeps it, with its signature, an example and what it needs.

What `mlflow.sklearn.log_model` writes, by the version of MLflow that is named in `mlflow_store`; a test holds the two
against each other. MLflow itself, to write these seven small files, loads itself, its web framework, and the model that
it has just written.
"""

import json
import pickle
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MODEL_PACKAGES = ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle")
"""What a model needs to be loaded. Without such a list MLflow loads the model in a new process to find out: 7.5 s."""


@dataclass(frozen=True)
class LoggedModel:
    """A model's id, the run it is of, where its files are to lie, and the definition that is kept with it."""

    model_id: str
    run_id: str
    location: str
    definition: Mapping[str, Any] | None


def requirements() -> list[str]:
    """The packages that a model needs, pinned."""
    return [f"{package}=={version(package)}" for package in MODEL_PACKAGES]


def write_model(directory: Path, logged: LoggedModel, model: Any, example: pd.DataFrame) -> None:
    """Writes the files. `example`: rows of numbers that the model takes; its answers to them are in its signature."""
    import cloudpickle
    import yaml

    directory.mkdir(parents=True)
    with (directory / "model.pkl").open("wb") as file:
        cloudpickle.dump(model, file, protocol=pickle.DEFAULT_PROTOCOL)
    split = {
        "columns": list(example.columns),
        "data": example.astype(object).where(example.notna(), None).values.tolist(),
    }
    (directory / "input_example.json").write_text(json.dumps(split))
    (directory / "serving_input_example.json").write_text(json.dumps({"dataframe_split": split}, indent=2))
    size = sum(file.stat().st_size for file in directory.iterdir())
    about = _about(logged, example, np.asarray(model.predict(example)), size)
    (directory / "MLmodel").write_text(yaml.safe_dump(about))
    needed, python = requirements(), platform.python_version()
    build = {package: _installed(package) for package in ("pip", "setuptools", "wheel")}
    pip = [f"pip<={build['pip']}"] if build["pip"] else ["pip"]
    conda = {
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", *pip, {"pip": needed}],
        "name": "mlflow-env",
    }
    (directory / "conda.yaml").write_text(yaml.safe_dump(conda))
    (directory / "requirements.txt").write_text("\n".join(needed))
    environment = {
        "python": python,
        "build_dependencies": [f"{name}=={found}" if found else name for name, found in build.items()],
        "dependencies": ["-r requirements.txt"],
    }
    (directory / "python_env.yaml").write_text(yaml.safe_dump(environment, sort_keys=False))


def _about(logged: LoggedModel, example: pd.DataFrame, predicted: Any, size: int) -> dict[str, Any]:
    inputs = [{"type": "double", "name": str(name), "required": True} for name in example.columns]
    tensor = {"dtype": str(predicted.dtype), "shape": [-1, *predicted.shape[1:]]}
    return {
        "artifact_path": logged.location,
        "flavors": {
            "python_function": {
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.sklearn",
                "model_path": "model.pkl",
                "predict_fn": "predict",
                "python_version": platform.python_version(),
            },
            "sklearn": {
                "code": None,
                "pickled_model": "model.pkl",
                "serialization_format": "cloudpickle",
                "sklearn_version": version("scikit-learn"),
                "skops_trusted_types": None,
            },
        },
        "is_signature_from_type_hint": False,
        "metadata": dict(logged.definition) if logged.definition else None,
        "mlflow_version": version("mlflow"),
        "model_id": logged.model_id,
        "model_size_bytes": size,
        "model_uuid": logged.model_id,
        "prompts": None,
        "run_id": logged.run_id,
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
        },
        "signature": {
            "inputs": json.dumps(inputs),
            "outputs": json.dumps([{"type": "tensor", "tensor-spec": tensor}]),
            "params": None,
        },
        "type_hint_from_example": False,
        "utc_time_created": str(datetime.now(tz=UTC).replace(tzinfo=None)),
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
