"""Train the models of the benchmark, the same each time, once, into a cache folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.bench.cases import FEATURES
from tests.bench.trees import onnx_of_booster

_ROWS: Final = 20_000


@dataclass(frozen=True)
class Model:
    """A trained model in the forms that the sides need.

    Attributes:
        files: the model's file by engine.
        flavors: folders that MLflow wrote, by flavor.
    """

    files: Mapping[str, str]
    flavors: Mapping[str, str] = field(default_factory=dict)


def make_model(folder: Path, name: str) -> Model:
    """Return a model of the cache, which is trained if it is not there."""
    made = folder / name
    if not made.exists():
        unfinished = made.with_name(f"{name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _TRAINERS[name](unfinished)
        unfinished.rename(made)
    files = {engine: str(made / file) for engine, file in _FILES.items() if (made / file).exists()}
    flavors = {flavor: str(made / flavor) for flavor in ("sklearn", "onnx", "pyfunc") if (made / flavor).is_dir()}
    return Model(files, flavors)


def _training_data() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    random = np.random.default_rng(1)
    features = random.standard_normal((_ROWS, len(FEATURES)), dtype=np.float32)
    target = np.sin(features[:, 0]) + features[:, 1] * features[:, 2] + 0.1 * features.sum(axis=1)
    return pd.DataFrame(features, columns=list(FEATURES)), target.astype("float32")


def _train_mlp(folder: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPRegressor

    features, target = _training_data()
    # Without names: scikit-learn's part is as quick as it can be.
    model = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=20, early_stopping=True, random_state=0).fit(
        features.to_numpy(), target
    )
    graph = to_onnx(model, features.to_numpy()[:1], target_opset=17)
    _save_onnx(folder, _named(graph), features, target)
    _save_sklearn(folder, model, features)


def _train_boosting(folder: Path) -> None:
    import xgboost

    features, target = _training_data()
    model = xgboost.XGBRegressor(n_estimators=100, max_depth=6, n_jobs=2, random_state=0).fit(features, target)
    model.save_model(folder / _FILES["xgboost"])
    model.set_params(n_jobs=1)
    booster = json.loads(bytes(model.get_booster().save_raw("json")))
    _save_onnx(folder, onnx_of_booster(booster, len(FEATURES)), features, target)
    _save_sklearn(folder, model, features)


def _train_linear(folder: Path) -> None:
    import joblib
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, target = _training_data()
    model = make_pipeline(StandardScaler(), Ridge()).fit(features, target)
    joblib.dump(model, folder / _FILES["sklearn"])
    _save_sklearn(folder, model, features)


def _train_noted(folder: Path) -> None:
    import mlflow

    features, target = _training_data()
    signature = mlflow.models.infer_signature(features, target.astype("float64"))
    mlflow.pyfunc.save_model(
        folder / "pyfunc",
        python_model=str(Path(__file__).with_name("noted_model.py")),
        signature=signature,
        pip_requirements=[],
    )
    (folder / _FILES["pyfunc"]).touch()


def _named(model: Any) -> Any:
    """Return a graph of one column with the names 'features' and 'prediction', and one value for each row."""
    from onnx import TensorProto, helper

    graph = model.graph
    names = {graph.input[0].name: "features", graph.output[0].name: "column"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    graph.initializer.append(helper.make_tensor("any_rows", TensorProto.INT64, [1], [-1]))
    graph.node.append(helper.make_node("Reshape", ["column", "any_rows"], ["prediction"]))
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)]))
    graph.output.append(helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None]))
    return model


def _save_onnx(folder: Path, graph: Any, features: pd.DataFrame, target: np.ndarray[Any, Any]) -> None:
    import mlflow

    (folder / _FILES["onnx"]).write_bytes(graph.SerializeToString())
    signature = mlflow.models.infer_signature(features, target)
    options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    mlflow.onnx.save_model(
        graph, folder / "onnx", signature=signature, pip_requirements=[], onnx_session_options=options
    )


def _save_sklearn(folder: Path, model: Any, features: pd.DataFrame) -> None:
    import mlflow

    signature = mlflow.models.infer_signature(features, model.predict(features.iloc[:5]))
    mlflow.sklearn.save_model(
        model, folder / "sklearn", signature=signature, pip_requirements=[], serialization_format="cloudpickle"
    )


_FILES: Final = {"onnx": "model.onnx", "xgboost": "model.ubj", "sklearn": "model.joblib", "pyfunc": "noted"}
_TRAINERS: Final[Mapping[str, Callable[[Path], None]]] = {
    "mlp": _train_mlp,
    "boosting": _train_boosting,
    "linear": _train_linear,
    "noted": _train_noted,
}
