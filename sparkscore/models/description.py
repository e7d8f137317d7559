"""Say what a model's files hold: kind, signature, requirements (driver; nothing of the model is run)."""

from __future__ import annotations

from typing import Final

from sparkscore.config import Model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ModelError
from sparkscore.models.framework_model import describe_framework
from sparkscore.models.kinds import ModelDescription, ModelKind
from sparkscore.models.mlflow_model import MLMODEL, describe_mlflow
from sparkscore.models.onnx_model import describe_onnx
from sparkscore.models.resolve import ResolvedModel
from sparkscore.scorers.specs import PICKLES

# Azure's spellings are among them; letters, case and signs do not count.
_FRAMEWORKS: Final[dict[str, ModelKind]] = {
    "lightgbm": "lightgbm",
    "mlflow": "mlflow",
    "onnx": "onnx",
    "scikitlearn": "sklearn",
    "sklearn": "sklearn",
    "xgboost": "xgboost",
}
_BY_ENDING: Final[dict[str, ModelKind]] = {".onnx": "onnx", ".ubj": "xgboost"}
_DEEP_LEARNING: Final = frozenset({".ckpt", ".h5", ".keras", ".pb", ".pt", ".pth", ".safetensors", ".tflite"})
_DEEP_FRAMEWORKS: Final = frozenset({"keras", "pytorch", "tensorflow", "torch"})


def describe_model(model: ResolvedModel, section: Model) -> ModelDescription:
    """Find out what a model is.

    Raises:
        ModelError: the files are no model that can be scored without a script, or a broken one.
        MissingDependencyError: the package that reads such a model is not installed.
    """
    kind = _kind_of(model, section.framework)
    if kind == "mlflow":
        return describe_mlflow(model)
    if kind == "onnx":
        return describe_onnx(model)
    if kind == "spark":
        raise AssertionError("only an MLflow model is a Spark pipeline")
    return describe_framework(model, kind)


def check_trust(model: ResolvedModel, description: ModelDescription, trust: str | None) -> None:
    """Refuse a model that runs code and that nobody has trusted.

    Raises:
        ConfigError: loading the model can run any code, it comes from no registry, and the deployment does not say so.
    """
    if description.runs_code and model.uri is None and trust != "code":
        raise ConfigError(
            code=ErrorCode.MODEL_TRUST,
            what=f"model '{model.name}' can run any code while it loads",
            got=f"{_code_of(model, description)}, and a path that no registry vouches for",
            next_step="If you trust who made it, add the line 'trust: code' to the deployment; "
            "'model.sha256' pins these very files.",
        )


def _code_of(model: ResolvedModel, description: ModelDescription) -> str:
    if model.path.is_file():
        return f"a pickle ('{model.path.name}')"
    return f"a pickle or Python code in an MLflow model of the flavors {', '.join(description.flavors)}"


def _kind_of(model: ResolvedModel, framework: str | None) -> ModelKind:
    path, ending = model.path, model.path.suffix.lower()
    if path.is_dir():
        return _kind_of_folder(model, framework)
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    known = _FRAMEWORKS.get(_plain(framework))
    if ending in _DEEP_LEARNING or _plain(framework) in _DEEP_FRAMEWORKS:
        raise _deep_learning(model)
    # The libraries themselves take files of any ending: model.bst, model.lgb.
    if known in {"xgboost", "lightgbm"} or (known == "sklearn" and ending in PICKLES):
        return known
    raise _unknown(model, framework, f"a file with the ending '{ending}'")


def _kind_of_folder(model: ResolvedModel, framework: str | None) -> ModelKind:
    if (model.path / MLMODEL).is_file():
        return "mlflow"
    if any(model.path.glob("*.onnx")):
        return "onnx"
    if (model.path / "saved_model.pb").is_file() or _plain(framework) in _DEEP_FRAMEWORKS:
        raise _deep_learning(model)
    raise _unknown(model, framework, "a folder without MLmodel file and without .onnx file")


def _plain(framework: str | None) -> str:
    return "".join(sign for sign in (framework or "").lower() if sign.isalnum())


def _unknown(model: ResolvedModel, framework: str | None, got: str) -> ModelError:
    said = f" and 'model.framework: {framework}'" if framework else " and no 'model.framework'"
    is_sklearn = _FRAMEWORKS.get(_plain(framework)) == "sklearn"
    step = (
        f"Name a pickle of it with one of the endings {', '.join(sorted(PICKLES))}"
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
