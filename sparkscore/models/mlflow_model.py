"""Describe an MLflow model from the files in its folder, without loading it. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sparkscore.digest import files_of_model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError, SignatureMismatchError, names
from sparkscore.models.mlflow_signature import read_signature
from sparkscore.models.model_description import ModelDescription
from sparkscore.models.requirements import recorded_python, recorded_requirements
from sparkscore.models.resolve import ResolvedModel
from sparkscore.registry import quiet_mlflow
from sparkscore.signature.model_signature import ModelSignature

MLMODEL: Final = "MLmodel"

# Loader modules of MLflow 3.17 that only read data. The scikit-learn loader is not one of them: a pickle can run code,
# and for skops, the trusted types are listed in the model's own MLmodel file.
_DATA_LOADERS: Final = frozenset({"mlflow.lightgbm", "mlflow.onnx", "mlflow.spark", "mlflow.xgboost"})
# For these two loaders, the MLmodel file names the model's class. Classes that are not listed here may run code.
_DATA_CLASSES: Final = {
    "mlflow.lightgbm": ("lightgbm.basic.Booster",),
    "mlflow.xgboost": (
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRanker",
        "xgboost.sklearn.XGBRegressor",
        "xgboost.sklearn.XGBRFClassifier",
        "xgboost.sklearn.XGBRFRegressor",
    ),
}
_CODE_SUFFIXES: Final = frozenset(
    {".cloudpickle", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".py", ".skops", ".so"}
)


def describe_mlflow(model: ResolvedModel) -> ModelDescription:
    """Describe an MLflow model.

    Raises:
        ModelLoadError: the MLmodel file is not valid, MLflow cannot read its signature, or the model does not have the
            ``python_function`` flavor.
        MissingDependencyError: the model has a signature, and MLflow, which reads signatures, is not installed.
    """
    content = _read_mlmodel(model)
    flavors: dict[str, Any] = content["flavors"]
    return ModelDescription(
        model_format="spark" if "spark" in flavors else "mlflow",
        flavors=tuple(sorted(flavors)),
        signature=_signature_of(model, content),
        requirements=recorded_requirements(model.path),
        python_version=flavors["python_function"].get("python_version") or recorded_python(model.path),
        runs_code=_runs_code(model.path, flavors),
        signature_advice=_advice(model),
    )


def check_params(description: ModelDescription, params: Mapping[str, object], *, has_predict_fn: bool = False) -> None:
    """Check a deployment's model parameters against the signature of an MLflow model.

    Models in other formats are not checked.

    Args:
        description: the description of the model.
        params: the parameters that the deployment sets, by name.
        has_predict_fn: whether the deployment sets ``model.predict_fn``. If so, nothing is checked, because a signature
            describes only the parameters of ``predict``, not those of other methods.

    Raises:
        SignatureMismatchError: the signature lacks one of the parameters, or a value's type differs from the type of
            the parameter's default. An integer is accepted for a float. If the default is None, any value is accepted.
    """
    if not params or has_predict_fn or description.model_format not in {"mlflow", "spark"}:
        return
    known = dict(description.signature.params or ())
    if unknown := params.keys() - known.keys():
        raise _wrong_params(
            got=names(unknown),
            expected=names(known) if known else "none: MLflow ignores parameters that the signature does not name",
        )
    wrong = [name for name, value in params.items() if not _fits(value, known[name])]
    if wrong:
        raise _wrong_params(
            got=", ".join(f"'{name}': {type(params[name]).__name__}" for name in wrong),
            expected=", ".join(f"'{name}': {type(known[name]).__name__}" for name in wrong),
        )


def _wrong_params(got: str, expected: str) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_PARAMS,
        what="'model.params' and the parameters in the model's signature",
        got=got,
        expected=expected,
        next_step="Correct 'model.params', or log the model with infer_signature(..., params={...}).",
    )


def _fits(value: object, default: object) -> bool:
    """Return whether a parameter value has the type of the parameter's default in the signature.

    An integer is accepted where the default is a float. If the default is None, any value is accepted. If the default
    is a list, the value must be a list whose elements all fit the default's first element. If the default is an empty
    list, any list is accepted.
    """
    if default is None:
        return True
    if isinstance(default, list):
        return isinstance(value, list) and all(_fits(item, default[0]) for item in value if default)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


def _read_mlmodel(model: ResolvedModel) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load((model.path / MLMODEL).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _broken(model, "a file that is not YAML") from error
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise _broken(model, "no mapping 'flavors'")
    if "python_function" not in flavors:
        raise _broken(model, f"the flavors {names(flavors)}", "also 'python_function', with which MLflow loads it")
    if "loader_module" not in flavors["python_function"]:
        raise _broken(model, "a flavor 'python_function' without 'loader_module'")
    return content


def _broken(model: ResolvedModel, got: str, expected: str = "") -> ModelLoadError:
    return ModelLoadError(
        code=ErrorCode.MODEL_BROKEN,
        what=f"file 'MLmodel' of model '{model.name}'",
        got=got,
        expected=expected,
        next_step="Log the model again with the mlflow.<flavor>.log_model that fits it.",
    )


def _signature_of(model: ResolvedModel, content: dict[str, Any]) -> ModelSignature:
    written = content.get("signature")
    if written is None:
        return ModelSignature()
    with quiet_mlflow():
        try:
            return read_signature(written)
        # MLflow raises many kinds of errors here: JSON and NumPy errors, KeyError, TypeError.
        except Exception as error:
            raise _broken(model, f"a signature that MLflow cannot read ({type(error).__name__})") from error


def _runs_code(folder: Path, flavors: dict[str, Any]) -> bool:
    pyfunc = flavors["python_function"]
    loader = pyfunc["loader_module"]
    if loader not in _DATA_LOADERS or pyfunc.get("code") or pyfunc.get("python_model"):
        return True
    flavor = flavors.get(loader.removeprefix("mlflow."), {})
    classes = _DATA_CLASSES.get(loader)
    if flavor.get("code") or (classes and flavor.get("model_class", classes[0]) not in classes):
        return True
    return any(file.suffix.lower() in _CODE_SUFFIXES for file in files_of_model(folder))


def _advice(model: ResolvedModel) -> str:
    reference = model.uri or str(model.path)
    return (
        f"its input is not checked. Add a signature with mlflow.models.set_signature('{reference}', "
        "mlflow.models.infer_signature(INPUT, OUTPUT)), or log the model again with input_example=INPUT."
    )
