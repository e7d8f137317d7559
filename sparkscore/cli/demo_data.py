"""Create the demo's input and models from scikit-learn data sets, unless they already exist. Runs on the driver."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, MissingDependencyError
from sparkscore.registry import quiet_mlflow
from sparkscore.removal import remove_file
from sparkscore.stage.clearing import clear
from sparkscore.stage.surroundings import open_store

# Sizes of the first part of each data set, on which the model is trained. The rest is used to evaluate the model on new
# data. The digits in the two halves were written by different people.
DIGITS_FOR_TRAINING: Final = 899
PATIENTS_FOR_TRAINING: Final = 300
REGISTERED: Final = "models:/diabetes@champion"
_BRIGHTEST: Final = 16
# The images that the demo writes, and their folders.
_IMAGE: Final = re.compile(r"[0-9]/([0-9]{4}\.png)?")
_WHITE: Final = 255


@dataclass(frozen=True)
class DemoData:
    """The input and the model for one of the demo's data sets.

    Attributes:
        folder: folder for the input, the model and the results.
        input: a folder of images, or a Parquet file.
        model: the model file.
        is_new: whether the input and the model were just created, not reused from an earlier demo.
    """

    folder: Path
    input: Path
    model: Path
    is_new: bool


def make_digits(folder: Path) -> DemoData:
    """Write scikit-learn's 1,797 images of handwritten digits, and a model trained on the first half of them.

    If an earlier call wrote them with the same scikit-learn version, they are reused.

    Args:
        folder: folder for the model, and for the images as ``images/<digit>/<number>.png``.

    Raises:
        MissingDependencyError: scikit-learn or Pillow is not installed.
        ConfigError: new images must be written, but ``images/`` contains a file that the demo did not write.
    """
    data = DemoData(folder, folder / "images", folder / "model.joblib", is_new=False)
    return _made(data, _write_digits)


def make_diabetes(folder: Path) -> DemoData:
    """Write scikit-learn's data set of 442 diabetes patients, and a model trained on the first 300 patients.

    If an earlier call wrote them with the same scikit-learn version, they are reused.

    Args:
        folder: folder for the model, and for the data as a Parquet file.

    Raises:
        MissingDependencyError: scikit-learn or Pillow is not installed.
    """
    data = DemoData(folder, folder / "patients.parquet", folder / "model.joblib", is_new=False)
    return _made(data, _write_diabetes)


def register_diabetes(folder: Path, diabetes: DemoData) -> str:
    """Register the diabetes model in the demo's own MLflow store.

    If the store exists and the model is not new, nothing is registered.

    Args:
        folder: folder for the store, which consists of an SQLite file and a folder of models.
        diabetes: the model, and the input from which its signature is inferred.

    Returns:
        the URI of the store.

    Raises:
        MissingDependencyError: the model must be registered, but MLflow is not installed.
    """
    store = f"sqlite:///{folder / 'mlflow.db'}"
    if diabetes.is_new or not (folder / "mlflow.db").exists():
        remove_file(folder / "mlflow.db")  # the model files of an older store stay in the folder, unused
        folder.mkdir(parents=True, exist_ok=True)
        with quiet_mlflow():
            _register(store, folder / "models", diabetes)
    return store


def _register(store: str, models: Path, diabetes: DemoData) -> None:
    import joblib
    import mlflow
    import pandas as pd

    model = joblib.load(diabetes.model)
    patients = pd.read_parquet(diabetes.input)[list(model.feature_names_in_)]
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient(store)
    client.create_experiment("diabetes", artifact_location=models.as_uri())
    mlflow.set_experiment("diabetes")
    logged = mlflow.sklearn.log_model(
        model,
        name="diabetes",
        registered_model_name="diabetes",
        signature=mlflow.models.infer_signature(patients, model.predict(patients)),
        pip_requirements=[f"scikit-learn=={_sklearn_version()}"],
    )
    client.set_registered_model_alias("diabetes", "champion", logged.registered_model_version)


def _made(data: DemoData, write: Callable[[DemoData], None]) -> DemoData:
    """Create the data with `write`, unless an earlier call did so with the same scikit-learn version."""
    marker = data.folder / "made_with.json"
    made_with = {"scikit-learn": _sklearn_version()}
    if marker.exists() and json.loads(marker.read_text(encoding="utf-8")) == made_with:
        return data
    data.folder.mkdir(parents=True, exist_ok=True)
    write(data)
    marker.write_text(json.dumps(made_with), encoding="utf-8")
    return DemoData(data.folder, data.input, data.model, is_new=True)


def _sklearn_version() -> str:
    try:
        import PIL  # noqa: F401 - only whether it is installed matters
        import sklearn
    except ImportError as error:
        raise MissingDependencyError(
            code=ErrorCode.DEMO_PACKAGES,
            what=f"the demo needs scikit-learn and Pillow, and '{error.name}' is not installed",
            next_step="Run: pip install 'sparkscore[demo]'.",
        ) from error
    return str(sklearn.__version__)


def _write_digits(data: DemoData) -> None:
    import joblib
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    _remove_images(data.input)
    digits: Any = load_digits()
    for label in set(digits.target):
        (data.input / str(label)).mkdir(parents=True, exist_ok=True)
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = np.rint(pixels * _WHITE / _BRIGHTEST).astype("uint8")
        Image.fromarray(grey).save(data.input / str(label) / f"{number:04}.png")
    model = SVC(gamma=0.001).fit(digits.data[:DIGITS_FOR_TRAINING], digits.target[:DIGITS_FOR_TRAINING])
    joblib.dump(model, data.model)


def _remove_images(folder: Path) -> None:
    """Remove the images that an earlier demo wrote to a folder.

    Raises:
        ConfigError: the folder contains a file that the demo did not write. It would be scored too.
    """
    left = clear(open_store(folder), lambda name: _IMAGE.fullmatch(name) is not None).left
    if left:
        raise ConfigError(
            code=ErrorCode.DEMO_FOLDER,
            what=f"folder '{folder}'",
            got=f"'{left[0].name}', which the demo did not make",
            expected="the demo's own images only",
            next_step="Move it to another folder, or name another --folder.",
        )


def _write_diabetes(data: DemoData) -> None:
    import joblib
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    patients: Any = load_diabetes(as_frame=True, scaled=False).frame
    measurements, progression = patients.drop(columns="target"), patients["target"]
    model = make_pipeline(StandardScaler(), RidgeCV())
    joblib.dump(model.fit(measurements[:PATIENTS_FOR_TRAINING], progression[:PATIENTS_FOR_TRAINING]), data.model)
    measurements.insert(0, "patient", range(len(measurements)))
    measurements.assign(progression=progression).to_parquet(data.input, index=False)
