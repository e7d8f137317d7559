"""Describe a model's format, signature and packages from its files, without running its code. Runs on the driver."""

from __future__ import annotations

from typing import Final

from sparkscore.config import Model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ModelError
from sparkscore.models.framework_model import describe_framework
from sparkscore.models.mlflow_model import MLMODEL, describe_mlflow
from sparkscore.models.model_description import ModelDescription, ModelFormat
from sparkscore.models.onnx_model import describe_onnx
from sparkscore.models.resolve import ResolvedModel
from sparkscore.scorers.specs import PICKLES

# Accepted values of 'model.framework', including Azure's spellings. They are compared by letters and digits only,
# in lower case.
_FRAMEWORKS: Final[dict[str, ModelFormat]] = {
    "lightgbm": "lightgbm",
    "mlflow": "mlflow",
    "onnx": "onnx",
    "scikitlearn": "sklearn",
    "sklearn": "sklearn",
    "xgboost": "xgboost",
}
_BY_ENDING: Final[dict[str, ModelFormat]] = {".onnx": "onnx", ".ubj": "xgboost"}
_DEEP_LEARNING: Final = frozenset({".ckpt", ".h5", ".keras", ".pb", ".pt", ".pth", ".safetensors", ".tflite"})
_DEEP_FRAMEWORKS: Final = frozenset({"keras", "pytorch", "tensorflow", "torch"})


def describe_model(model: ResolvedModel, section: Model) -> ModelDescription:
    """Describe a model that is used without a scoring script.

    Args:
        model: the model and its files.
        section: the deployment's ``model`` section.

    Raises:
        ModelError: the files are broken, or the model cannot be used without a script.
        MissingDependencyError: a package that is needed to read the files is not installed: ``onnx`` for an ONNX model,
            or MLflow for the signature of an MLflow model.
    """
    model_format = _format_of(model, section.framework)
    if model_format == "mlflow":
        return describe_mlflow(model)
    if model_format == "onnx":
        return describe_onnx(model)
    if model_format == "spark":
        raise AssertionError("only an MLflow model is a Spark pipeline")
    return describe_framework(model, model_format)


def check_trust(model: ResolvedModel, description: ModelDescription, trust: str | None) -> None:
    """Raise an error if loading a model can run arbitrary code and the model is not trusted.

    A model is trusted if it is given as an MLflow reference, or if the deployment sets ``model.trust: code``.

    Args:
        model: the model and its files.
        description: the description of the model, which says whether loading it can run arbitrary code.
        trust: the value of ``model.trust`` in the deployment, or None if it is not set.

    Raises:
        ConfigError: loading the model can run arbitrary code, and the model is not trusted.
    """
    if description.runs_code and model.uri is None and trust != "code":
        raise ConfigError(
            code=ErrorCode.MODEL_TRUST,
            what=f"model '{model.name}' can run any code while it loads",
            got=f"{_code_of(model, description)}, from a path and not from a registry",
            next_step="If you trust who made it, add the line 'trust: code' to the deployment; "
            "'model.sha256' pins exactly these files.",
        )


def _code_of(model: ResolvedModel, description: ModelDescription) -> str:
    if model.path.is_file():
        return f"a pickle ('{model.path.name}')"
    return f"a pickle or Python code in an MLflow model of the flavors {', '.join(description.flavors)}"


def _format_of(model: ResolvedModel, framework: str | None) -> ModelFormat:
    path, ending = model.path, model.path.suffix.lower()
    if path.is_dir():
        return _format_of_folder(model, framework)
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    known = _FRAMEWORKS.get(_plain(framework))
    if ending in _DEEP_LEARNING or _plain(framework) in _DEEP_FRAMEWORKS:
        raise _deep_learning(model)
    # These libraries read files with any extension, for example model.bst or model.lgb.
    if known in {"xgboost", "lightgbm"} or (known == "sklearn" and ending in PICKLES):
        return known
    raise _unknown(model, framework, f"a file with the ending '{ending}'")


def _format_of_folder(model: ResolvedModel, framework: str | None) -> ModelFormat:
    if (model.path / MLMODEL).is_file():
        return "mlflow"
    if any(model.path.glob("*.onnx")):
        return "onnx"
    if (model.path / "saved_model.pb").is_file() or _plain(framework) in _DEEP_FRAMEWORKS:
        raise _deep_learning(model)
    raise _unknown(model, framework, "a folder without an MLmodel file and without an .onnx file")


def _plain(framework: str | None) -> str:
    return "".join(character for character in (framework or "").lower() if character.isalnum())


def _unknown(model: ResolvedModel, framework: str | None, got: str) -> ModelError:
    said = f" and 'model.framework: {framework}'" if framework else " and no 'model.framework'"
    is_sklearn = _FRAMEWORKS.get(_plain(framework)) == "sklearn"
    step = (
        f"Name a pickle with one of the endings {', '.join(sorted(PICKLES))}"
        if is_sklearn
        else ("Add 'model.framework: sklearn' (or xgboost, lightgbm) to the deployment")
    )
    return ModelError(
        code=ErrorCode.MODEL_FRAMEWORK,
        what=f"it is not known how to score model '{model.path.name}'",
        got=got + said,
        expected="an MLflow model, an .onnx file, or a file of sklearn, xgboost or lightgbm",
        next_step=f"{step}, or give the deployment a scoring script.",
    )


def _deep_learning(model: ResolvedModel) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_FRAMEWORK,
        what=f"it is not known how to score model '{model.path.name}'",
        got="a model of TensorFlow or PyTorch",
        expected="an MLflow model, or an .onnx file",
        next_step="Log it with mlflow.pytorch or mlflow.tensorflow, export it as ONNX, or give the deployment a "
        "scoring script.",
    )
