"""Save small models of every flavor, and make rows with unusual values."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FEATURES = [f"f{number}" for number in range(6)]
#: Without it, MLflow loads each model in a process of its own to find out.
PINNED = ["mlflow"]
EXTREMES = [0.0, -0.0, 1e308, -1e308, 5e-324, -5e-324, 1.7976931348623157e308, 2.0**53 + 2, 1e-300, 3.5]


def make_rows(count: int = 10_000) -> pd.DataFrame:
    """Return rows with a key, NaN in a tenth of each feature, and extreme values in a fiftieth of the rows."""
    random = np.random.default_rng(42)
    values = random.normal(size=(count, len(FEATURES))) * 10
    values[random.random(values.shape) < 0.1] = np.nan
    places = random.integers(0, count, count // 50), random.integers(0, len(FEATURES), count // 50)
    values[places] = random.choice(EXTREMES, count // 50)
    frame = pd.DataFrame(values, columns=FEATURES)
    # Keys beyond 2^53: what goes through a float is found out.
    frame.insert(0, "key", np.arange(count) + 2**60)
    frame["text"] = [None if number % 7 == 0 else f"row {number}, é" for number in range(count)]
    return frame


def training_data() -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(400, len(FEATURES))), columns=FEATURES)
    frame = frame.mask(random.random(frame.shape) < 0.1)
    return frame, (frame.fillna(0).sum(axis=1) > 0).to_numpy().astype(np.int64)


def signature_of(frame: pd.DataFrame, output: Any, **more: Any) -> Any:
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return infer_signature(frame, output, **more)


def classifier() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=15, random_state=0).fit(*training_data())


def pipeline() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    steps = SimpleImputer(), QuantileTransformer(n_quantiles=50, random_state=0), LogisticRegression()
    return make_pipeline(*steps).fit(*training_data())


def save_sklearn(path: Path) -> None:
    import mlflow

    model, frame = classifier(), training_data()[0]
    signature = signature_of(frame, model.predict(frame))
    mlflow.sklearn.save_model(
        model, path, signature=signature, serialization_format="cloudpickle", pip_requirements=PINNED
    )


def save_pipeline(path: Path) -> None:
    import mlflow

    model, frame = pipeline(), training_data()[0]
    signature = signature_of(frame, model.predict(frame))
    mlflow.sklearn.save_model(
        model, path, signature=signature, skops_trusted_types=["numpy.dtype"], pip_requirements=PINNED
    )


def save_xgboost(path: Path) -> None:
    import mlflow
    import xgboost

    frame, target = training_data()
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=3, n_jobs=1).fit(frame, target)
    signature = signature_of(frame, model.predict(frame))
    mlflow.xgboost.save_model(model, path, signature=signature, model_format="json", pip_requirements=PINNED)


def save_lightgbm(path: Path) -> None:
    import lightgbm
    import mlflow

    frame, target = training_data()
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    model = lightgbm.train(settings, lightgbm.Dataset(frame, target), num_boost_round=10)
    signature = signature_of(frame, model.predict(frame))
    mlflow.lightgbm.save_model(model, path, signature=signature, pip_requirements=PINNED)


def onnx_graph() -> Any:
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier

    frame, target = training_data()
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(frame.fillna(0).to_numpy("f"), target)
    return to_onnx(model, frame.to_numpy("f")[:1], target_opset=17)


def save_onnx(path: Path) -> None:
    path.write_bytes(onnx_graph().SerializeToString())


def save_mlflow_onnx(path: Path) -> None:
    import mlflow
    from mlflow.types import ColSpec, Schema

    signature = mlflow.models.ModelSignature(inputs=Schema([ColSpec("double", name) for name in FEATURES]))
    mlflow.onnx.save_model(onnx_graph(), path, signature=signature, pip_requirements=PINNED)


def save_tensorflow(path: Path) -> None:
    """Copy a dense network that tf2onnx 1.17 converted from TensorFlow 2.21 (see tests/data/tensorflow)."""
    path.write_bytes((Path(__file__).parents[1] / "data" / "tensorflow" / "dense.onnx").read_bytes())


def save_joblib(path: Path) -> None:
    import joblib

    joblib.dump(classifier(), path)


def save_xgboost_json(path: Path) -> None:
    import xgboost

    frame, target = training_data()
    settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    xgboost.train(settings, xgboost.DMatrix(frame, target), num_boost_round=10).save_model(path)


def save_lightgbm_text(path: Path) -> None:
    import lightgbm

    frame, target = training_data()
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    lightgbm.train(settings, lightgbm.Dataset(frame, target), num_boost_round=10).save_model(path)


PYFUNC = """
import json

import mlflow
from weighing import weigh


class Weighed(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with open(context.artifacts["weights"]) as file:
            self.weights = json.load(file)

    def predict(self, context, model_input, params=None):
        return weigh(model_input, self.weights)


mlflow.models.set_model(Weighed())
"""

WEIGHING = """
def weigh(frame, weights):
    return sum((frame[name].fillna(0.5) * weight for name, weight in weights.items()), start=0.0)
"""


def save_pyfunc(path: Path) -> None:
    """Save a pyfunc model from code, with an artifact and a module."""
    import json

    import mlflow

    source = path.with_name("source")
    source.mkdir()
    (source / "model.py").write_text(PYFUNC)
    (source / "weighing.py").write_text(WEIGHING)
    (source / "weights.json").write_text(json.dumps({name: number / 7 for number, name in enumerate(FEATURES)}))
    sys.path.insert(0, str(source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            path,
            python_model=str(source / "model.py"),
            artifacts={"weights": str(source / "weights.json")},
            code_paths=[str(source / "weighing.py")],
            signature=signature_of(training_data()[0], np.zeros(1)),
            pip_requirements=PINNED,
        )
    sys.path.remove(str(source))


TYPE_HINTS = """
import mlflow


class Lengths(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[float]) -> list[float]:
        return [value / 3 for value in model_input]


mlflow.models.set_model(Lengths())
"""

FRAMES = """
import mlflow
import pandas as pd


class Frames(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        total = model_input.sum(axis=1)
        return pd.DataFrame({"total": total, "is_large": total > 10, "label": total.map("{:.3f}".format)})


mlflow.models.set_model(Frames())
"""


def save_type_hints(path: Path) -> None:
    _save_code(path, TYPE_HINTS)


def save_frame_pyfunc(path: Path) -> None:
    output = pd.DataFrame({"total": [1.0], "is_large": [True], "label": ["x"]})
    _save_code(path, FRAMES, signature=signature_of(training_data()[0], output))


def _save_code(path: Path, code: str, **more: Any) -> None:
    import mlflow

    source = path.with_name("source.py")
    source.write_text(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(path, python_model=str(source), pip_requirements=PINNED, **more)


def save_spark_pipeline(spark: Any, path: Path) -> Any:
    """Save a pipeline of `pyspark.ml`, and return it."""
    import mlflow
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import Imputer, VectorAssembler

    frame, target = training_data()
    table = spark.createDataFrame(frame.assign(label=target.astype("float64")))
    filled = [f"{name}_filled" for name in FEATURES]
    stages: list[Any] = [
        Imputer(inputCols=FEATURES, outputCols=filled),
        VectorAssembler(inputCols=filled, outputCol="features"),
        LogisticRegression(maxIter=5),
    ]
    model = Pipeline(stages=stages).fit(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.spark.save_model(model, str(path), signature=signature_of(frame, np.zeros(1)), pip_requirements=PINNED)
    return model
